//! Change sets: all of one is written, or nothing.

use super::fixture::{Fixture, account, by_id, change, commit, events, guard, session};
use crate::store::{AccountWrite, ChangeSet, CommitError, SessionKey, SideWrite};
use std::sync::Arc;
use totp_core::Time;

pub(crate) async fn a_change_set_is_written_as_a_whole_or_not_at_all(fixture: impl Fixture) {
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    let with = |side_writes, version| ChangeSet {
        side_writes,
        ..change(AccountWrite::Update(alice.clone(), version))
    };
    // The second of two fails: the record, the first and the event are not written either.
    let first = SideWrite::InsertSession(session(&alice.id, "s1"));
    let bad = [
        SideWrite::UpdateSession(session(&alice.id, "s9"), 1),
        SideWrite::DeleteSession("s9".into()),
        SideWrite::DeleteSessionAt("s1".into(), 2),
        SideWrite::InsertSession(session("user-nobody", "s2")),
        SideWrite::DeleteClient("nobody".into()),
        SideWrite::DeleteKey("nothing".into()),
    ];
    for second in bad {
        let done = store.commit(with(vec![first.clone(), second], 1), guard()).await;
        assert_eq!(done.err(), Some(CommitError::Conflict));
    }
    assert_eq!(by_id(&store, &alice.id).await.unwrap().version, 1);
    assert!(store.session(SessionKey::Id("s1".into())).await.unwrap().is_none());
    assert_eq!(events(&store).await, 1);
    assert!(fixture.witnessed().is_empty());
    // And other changes in the same transaction are untouched by it.
    commit(&store, with(vec![first], 1)).await;
    let found = store.session(SessionKey::Token("hash of s1".into())).await.unwrap().unwrap();
    assert_eq!((found.row.account.as_str(), found.version), (alice.id.as_str(), 1));
    assert!(!store.has_expired_session(Time::from_unix(99)).await.unwrap());
    assert!(store.has_expired_session(Time::from_unix(100)).await.unwrap());
    // Deleting the user deletes the sessions.
    commit(&store, change(AccountWrite::Delete(alice.id.clone(), 2))).await;
    assert!(store.sessions_of(alice.id.clone()).await.unwrap().is_empty());
    assert!(store.session(SessionKey::Id("s1".into())).await.unwrap().is_none());
    // A change without event leaves none.
    let quiet = ChangeSet { event: None, ..change(AccountWrite::Insert(account(&fixture, "bob"))) };
    commit(&store, quiet).await;
    assert_eq!(events(&store).await, 3);
}

pub(crate) async fn a_conflict_leaves_other_changes_of_its_moment_alone(fixture: impl Fixture) {
    let store = fixture.open();
    let tasks: Vec<_> = (0..60)
        .map(|number| {
            let (store, account) = (Arc::clone(&store), account(&fixture, &format!("user{number:02}")));
            let write = if number % 3 == 0 {
                AccountWrite::Update(account, 1)
            } else {
                AccountWrite::Insert(account)
            };
            tokio::spawn(async move { (number, store.commit(change(write), guard()).await) })
        })
        .collect();
    for task in tasks {
        let (number, done) = task.await.unwrap();
        let expected = (number % 3 == 0).then_some(CommitError::Conflict);
        assert_eq!(done.err(), expected, "{number}");
    }
    assert_eq!(store.accounts(None, 100).await.unwrap().len(), 40);
    assert_eq!(events(&store).await, 40);
}
