//! One thread at a time; `totpd/tests/commit_guard_orders.rs` runs every order of several.

use crate::store::CommitGuard;
use std::time::{Duration, Instant};

#[test]
fn work_is_begun_or_dropped_and_never_both() {
    let far = Instant::now() + Duration::from_hours(1);
    let guard = CommitGuard::new(far);
    assert!(guard.claim() && guard.claim());
    assert!(!guard.cancel());
    guard.release();
    assert!(guard.cancel());
    let guard = CommitGuard::new(far);
    assert!(guard.cancel() && guard.cancel());
    assert!(!guard.claim());
    let late = CommitGuard::new(Instant::now());
    assert!(!late.claim());
    assert!(late.cancel());
}
