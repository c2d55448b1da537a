//! One thread at a time; totpd/tests/ticket_orders.rs has all orders of several.

use crate::store::CommitGuard;
use std::time::{Duration, Instant};

#[test]
fn work_is_begun_or_dropped_and_never_both() {
    let far = Instant::now() + Duration::from_hours(1);
    let ticket = CommitGuard::new(far);
    assert!(ticket.claim() && ticket.claim());
    assert!(!ticket.cancel());
    ticket.release();
    assert!(ticket.cancel());
    let ticket = CommitGuard::new(far);
    assert!(ticket.cancel() && ticket.cancel());
    assert!(!ticket.claim());
    let late = CommitGuard::new(Instant::now());
    assert!(!late.claim());
    assert!(late.cancel());
}
