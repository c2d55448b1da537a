//! Commit guards: what was cancelled, came too late or was left.

use super::fixture::{Fixture, account, by_id, change, commit, events, guard};
use crate::store::{AccountKey, AccountWrite, CommitError, CommitGuard};
use std::sync::Arc;
use std::time::{Duration, Instant};
use totp_core::UserName;

pub(crate) async fn a_cancelled_or_late_change_is_not_written(fixture: impl Fixture) {
    let store = fixture.open();
    let (cancelled, late) = (guard(), Arc::new(CommitGuard::new(Instant::now())));
    assert!(cancelled.cancel());
    for guard in [cancelled, late] {
        let done = store.commit(change(AccountWrite::Insert(account(&fixture, "alice"))), guard).await;
        assert_eq!(done.err(), Some(CommitError::Cancelled));
    }
    let alice = AccountKey::from(&UserName::parse("alice").unwrap());
    assert!(store.load(alice).await.unwrap().is_none());
    assert_eq!(events(&store).await, 0);
}

pub(crate) async fn a_commit_that_has_begun_stands(fixture: impl Fixture) {
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    let guard = guard();
    store.commit(change(AccountWrite::Insert(alice.clone())), Arc::clone(&guard)).await.unwrap();
    assert!(!guard.cancel());
    assert!(by_id(&store, &alice.id).await.is_some());
}

pub(crate) async fn after_a_conflict_the_guard_can_be_used_again(fixture: impl Fixture) {
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    let again = guard();
    for _ in 0..2 {
        let update = change(AccountWrite::Update(alice.clone(), 1));
        let done = store.commit(update, Arc::clone(&again)).await;
        assert_eq!(done.err(), Some(CommitError::Conflict));
    }
    store.commit(change(AccountWrite::Insert(alice.clone())), again).await.unwrap();
    let left = guard();
    let update = change(AccountWrite::Update(alice, 7));
    assert_eq!(store.commit(update, Arc::clone(&left)).await.err(), Some(CommitError::Conflict));
    assert!(left.cancel(), "nothing of it had been written");
}

pub(crate) async fn a_dropped_commit_is_written_as_a_whole_or_not_at_all(fixture: impl Fixture) {
    let store = fixture.open();
    let mut written = 0;
    for number in 0..20 {
        let guard = guard();
        let account = account(&fixture, &format!("user{number:02}"));
        let id = account.id.clone();
        let commit = store.commit(change(AccountWrite::Insert(account)), Arc::clone(&guard));
        // Some are left at once, some after a while.
        let _ = tokio::time::timeout(Duration::from_micros(number * 50), commit).await;
        let cancelled = guard.cancel();
        // What was queued before is decided once this is.
        self::commit(&store, change(AccountWrite::Nothing)).await;
        let found = by_id(&store, &id).await.is_some();
        assert!(!(cancelled && found), "{number}: it was cancelled and is there");
        assert!(cancelled || found, "{number}: it had begun and is not there");
        written += usize::from(found);
    }
    assert_eq!(events(&store).await, 20 + written);
}
