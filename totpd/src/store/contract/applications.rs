//! What is kept for applications: sessions, clients and signing keys.

use super::fixture::{Fixture, account, by_id, change, commit, guard, session};
use crate::store::{AccountWrite, ChangeSet, ClientRow, CommitError, KeyRow, SessionKey, SideWrite, Store};
use std::sync::Arc;
use totp_core::Time;

/// A change of these alone.
fn only(write: SideWrite) -> ChangeSet {
    ChangeSet { side_writes: vec![write], event: None, ..change(AccountWrite::Nothing) }
}

/// The error of a change that has to fail.
async fn refused(store: &Arc<dyn Store>, write: SideWrite) -> Option<CommitError> {
    store.commit(only(write), guard()).await.err()
}

pub(crate) async fn sessions_change_by_version_and_expire(fixture: impl Fixture) {
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    for id in ["s1", "s2", "s3"] {
        commit(&store, only(SideWrite::InsertSession(session(&alice.id, id)))).await;
    }
    let ids = async || -> Vec<String> {
        store.sessions_of(alice.id.clone()).await.unwrap().into_iter().map(|s| s.row.id).collect()
    };
    assert_eq!(ids().await, ["s1", "s2", "s3"]);
    let mut longer = session(&alice.id, "s2");
    longer.expires = Time::from_unix(200);
    longer.token = "another hash".into();
    longer.record = "{\"n\":1}".into();
    commit(&store, only(SideWrite::UpdateSession(longer.clone(), 1))).await;
    let conflict = Some(CommitError::Conflict);
    assert_eq!(refused(&store, SideWrite::UpdateSession(longer, 1)).await, conflict);
    assert_eq!(refused(&store, SideWrite::DeleteSessionAt("s2".into(), 1)).await, conflict);
    assert!(store.session(SessionKey::Token("hash of s2".into())).await.unwrap().is_none());
    let found = store.session(SessionKey::Token("another hash".into())).await.unwrap().unwrap();
    assert_eq!(
        (found.version, found.row.expires, found.row.record),
        (2, Time::from_unix(200), "{\"n\":1}".into())
    );
    // What has expired is deleted when that is asked for, and not before.
    assert!(store.has_expired_session(Time::from_unix(150)).await.unwrap());
    assert_eq!(ids().await.len(), 3);
    commit(&store, only(SideWrite::DeleteExpiredSessions(Time::from_unix(150)))).await;
    assert!(!store.has_expired_session(Time::from_unix(150)).await.unwrap());
    assert_eq!(ids().await, ["s2"]);
    commit(&store, only(SideWrite::DeleteSessionAt("s2".into(), 2))).await;
    assert_eq!(refused(&store, SideWrite::DeleteSession("s2".into())).await, conflict);
    // Deleting all of a user's is no conflict where there is none.
    commit(&store, only(SideWrite::InsertSession(session(&alice.id, "s4")))).await;
    for _ in 0..2 {
        commit(&store, only(SideWrite::DeleteSessionsOf(alice.id.clone()))).await;
        assert!(ids().await.is_empty());
    }
    assert_eq!(by_id(&store, &alice.id).await.unwrap().version, 1, "the account was not written");
}

pub(crate) async fn a_token_belongs_to_one_session(fixture: impl Fixture) {
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    let first = session(&alice.id, "s1");
    commit(&store, only(SideWrite::InsertSession(first.clone()))).await;
    let mut same_token = session(&alice.id, "s2");
    same_token.token = first.token.clone();
    for second in [first, same_token] {
        assert_eq!(refused(&store, SideWrite::InsertSession(second)).await, Some(CommitError::Conflict));
    }
    // And the store goes on.
    commit(&store, only(SideWrite::InsertSession(session(&alice.id, "s3")))).await;
    assert_eq!(store.sessions_of(alice.id.clone()).await.unwrap().len(), 2);
}

pub(crate) async fn clients_and_keys_are_listed_in_order(fixture: impl Fixture) {
    let store = fixture.open();
    for (secret_id, name) in [("c3", "mail"), ("c1", "web"), ("c2", "mail")] {
        let row =
            ClientRow { secret_id: secret_id.into(), name: name.into(), record: format!("of {secret_id}") };
        commit(&store, only(SideWrite::InsertClient(Box::new(row)))).await;
    }
    let secrets = async || -> Vec<String> {
        store.clients().await.unwrap().into_iter().map(|row| row.secret_id).collect()
    };
    assert_eq!(secrets().await, ["c3", "c2", "c1"]);
    let row = store.client("c2".into()).await.unwrap().unwrap();
    assert_eq!((row.name.as_str(), row.record.as_str()), ("mail", "of c2"));
    commit(&store, only(SideWrite::DeleteClient("c3".into()))).await;
    assert_eq!(refused(&store, SideWrite::DeleteClient("c3".into())).await, Some(CommitError::Conflict));
    assert!(store.client("c3".into()).await.unwrap().is_none());
    assert_eq!(secrets().await, ["c2", "c1"]);
    assert_eq!(fixture.witnessed(), ["1 client c3 0"], "a deleted secret is a withdrawal");

    for (id, created) in [("k2", 20), ("k3", 10), ("k1", 20)] {
        let row = KeyRow { id: id.into(), created: Time::from_unix(created), record: "sealed".into() };
        commit(&store, only(SideWrite::InsertKey(Box::new(row)))).await;
    }
    let keys = async || -> Vec<(String, Time)> {
        store.signing_keys().await.unwrap().into_iter().map(|row| (row.id, row.created)).collect()
    };
    let wanted = [("k3", 10), ("k1", 20), ("k2", 20)];
    assert_eq!(keys().await, wanted.map(|(id, created)| (id.to_owned(), Time::from_unix(created))));
    commit(&store, only(SideWrite::DeleteKey("k1".into()))).await;
    assert_eq!(refused(&store, SideWrite::DeleteKey("k1".into())).await, Some(CommitError::Conflict));
    assert_eq!(keys().await.len(), 2);
}
