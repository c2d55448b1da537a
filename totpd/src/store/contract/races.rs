//! Races: many writers of one record, and one winner.

use super::fixture::{Fixture, account, by_id, change, commit, events, guard, session};
use crate::store::{AccountWrite, ChangeSet, CommitError, OtherNames, SideWrite, Store, UniqueField};
use std::sync::Arc;

/// Writers that come together.
const WRITERS: usize = 64;

/// Commits all of them at once. Returns how many were committed; the others got `loser`.
async fn race(store: &Arc<dyn Store>, changes: Vec<ChangeSet>, loser: CommitError) -> usize {
    let commit = |change| {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.commit(change, guard()).await })
    };
    let tasks: Vec<_> = changes.into_iter().map(commit).collect();
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => won += 1,
            Err(error) => assert_eq!(error, loser),
        }
    }
    won
}

pub(crate) async fn of_many_updates_of_one_version_one_wins(fixture: impl Fixture) {
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    let changes = (0..WRITERS).map(|_| change(AccountWrite::Update(alice.clone(), 1))).collect();
    assert_eq!(race(&store, changes, CommitError::Conflict).await, 1);
    assert_eq!(by_id(&store, &alice.id).await.unwrap().version, 2);
    assert_eq!(events(&store).await, 2);
}

pub(crate) async fn of_many_inserts_of_one_name_one_wins(fixture: impl Fixture) {
    let store = fixture.open();
    let changes = (0..WRITERS).map(|_| change(AccountWrite::Insert(account(&fixture, "alice")))).collect();
    assert_eq!(race(&store, changes, CommitError::Duplicate(UniqueField::Name)).await, 1);
    assert_eq!(store.accounts(None, 9).await.unwrap().len(), 1);
    assert_eq!(events(&store).await, 1);
}

pub(crate) async fn of_many_who_delete_one_session_one_wins(fixture: impl Fixture) {
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    let begin = vec![SideWrite::InsertSession(session(&alice.id, "s1"))];
    commit(&store, ChangeSet { side_writes: begin, ..change(AccountWrite::Insert(alice)) }).await;
    let delete = || {
        let side_writes = vec![SideWrite::DeleteSession("s1".into())];
        ChangeSet { side_writes, ..change(AccountWrite::Nothing) }
    };
    let changes = (0..WRITERS).map(|_| delete()).collect();
    assert_eq!(race(&store, changes, CommitError::Conflict).await, 1);
    assert_eq!(events(&store).await, 2);
}

pub(crate) async fn of_many_names_of_one_uid_one_is_enrolled(fixture: impl Fixture) {
    let store = fixture.open();
    let named = |number: usize| account(&fixture, &format!("name{number}"));
    let expect = |account: &str, versions: &[(String, u64)]| {
        let (account, versions) = (account.to_owned(), versions.to_vec());
        vec![SideWrite::ExpectOtherNames(OtherNames { uid: 1, account, versions })]
    };
    let enroll = |number, versions: &[(String, u64)]| {
        let account = named(number);
        let side_writes = expect(&account.id, versions);
        ChangeSet { side_writes, ..change(AccountWrite::Insert(account)) }
    };
    let changes = (0..WRITERS).map(|number| enroll(number, &[])).collect();
    assert_eq!(race(&store, changes, CommitError::Conflict).await, 1);
    assert_eq!(events(&store).await, 1);
    let first = store.accounts_of_uid(1).await.unwrap().remove(0);
    // By its version, and by nothing else.
    for (versions, won) in
        [(vec![(first.account.id.clone(), 2)], 0), (vec![(first.account.id.clone(), 1)], 1)]
    {
        assert_eq!(race(&store, vec![enroll(99, &versions)], CommitError::Conflict).await, won);
    }
    let mut other = named(100);
    other.uid = Some(2);
    let side_writes = vec![SideWrite::ExpectOtherNames(OtherNames {
        uid: 2,
        account: other.id.clone(),
        versions: Vec::new(),
    })];
    commit(&store, ChangeSet { side_writes, ..change(AccountWrite::Insert(other)) }).await;
}
