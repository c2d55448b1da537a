//! Several daemons over one database, each with a witness of its own.

use super::PostgresFixture;
use super::fixture::{only, wait_until};
use crate::store::contract::fixture::{Durable as _, Fixture as _, account, change, commit, guard, session};
use crate::store::{AccountWrite, ChangeSet, CommitError, Health, KeyRow, SideWrite, Store};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use totp_core::Time;
use totp_core::withdrawal::{Kind, Withdrawal};

fn withdraw(id: &str) -> ChangeSet {
    only(SideWrite::Withdraw(Withdrawal::new(Kind::Factor, id)))
}

fn accept(token: &str, removed: &BTreeSet<Withdrawal>) -> ChangeSet {
    only(SideWrite::AcceptOlderCopy { token: token.to_owned(), removed: removed.clone() })
}

/// The ids that the file of a witness names.
fn witnessed(folder: &Path) -> Vec<String> {
    let file = std::fs::read_dir(folder).unwrap().filter_map(Result::ok).map(|entry| entry.path());
    let file = file.into_iter().find(|path| path.to_string_lossy().contains("withdrawals-"));
    let text = file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    text.lines().filter_map(|line| line.split(' ').nth(2)).map(str::to_owned).collect()
}

fn refused(store: &Arc<dyn Store>) -> BTreeSet<String> {
    store.refusals().withdrawn.iter().map(|what| what.id.clone()).collect()
}

#[tokio::test]
async fn of_many_on_three_daemons_one_wins() {
    let fixture = PostgresFixture::new();
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let stores: Vec<Arc<dyn Store>> =
        folders.iter().map(|folder| fixture.open_elsewhere(folder.path())).collect();
    let alice = account(&fixture, "alice");
    let begin = vec![SideWrite::InsertSession(session(&alice.id, "s1"))];
    commit(&stores[0], ChangeSet { side_writes: begin, ..change(AccountWrite::Insert(alice.clone())) }).await;
    for version in 1..6 {
        let commits: Vec<_> = (0..60)
            .map(|number| {
                let (store, write) =
                    (Arc::clone(&stores[number % 3]), AccountWrite::Update(alice.clone(), version));
                tokio::spawn(async move { store.commit(change(write), guard()).await.err() })
            })
            .collect();
        let mut won = 0;
        for commit in commits {
            match commit.await.unwrap() {
                None => won += 1,
                Some(error) => assert_eq!(error, CommitError::Conflict),
            }
        }
        assert_eq!(won, 1, "version {version}");
    }
    assert_eq!(fixture.sql("SELECT version FROM account; SELECT count(*) FROM history"), "6\n6");
}

#[tokio::test]
async fn changes_of_other_daemons_are_known_within_seconds() {
    let fixture = PostgresFixture::new();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (fixture.open_elsewhere(here.path()), fixture.open_elsewhere(there.path()));
    let at = Time::from_unix;
    commit(&one, only(SideWrite::RecordGrant(at(900)))).await;
    commit(&two, only(SideWrite::RecordGrant(at(700)))).await;
    wait_until(|| two.latest_grant() == at(900)).await;
    assert_eq!(one.latest_grant(), at(900));
    commit(&two, only(SideWrite::TrustClock(at(60)))).await;
    assert_eq!(two.latest_grant(), at(60));
    wait_until(|| one.latest_grant() == at(60)).await;
    // A witness has no gap: what another daemon withdrew in between is in it at once.
    for (store, id) in [(&one, "a"), (&two, "b"), (&one, "c")] {
        commit(store, withdraw(id)).await;
    }
    assert_eq!(witnessed(here.path()), ["a", "b", "c"]);
    wait_until(|| witnessed(there.path()) == ["a", "b", "c"]).await;
    assert_eq!((one.health(), two.health()), (Health::Serving, Health::Serving));
}

#[tokio::test]
async fn an_older_copy_is_compared_with_the_witness_of_each_daemon() {
    let fixture = PostgresFixture::new();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (fixture.open_elsewhere(here.path()), fixture.open_elsewhere(there.path()));
    commit(&one, withdraw("before")).await;
    wait_until(|| witnessed(there.path()) == ["before"]).await;
    let older = fixture.copy();
    commit(&one, withdraw("known-to-both")).await;
    wait_until(|| witnessed(there.path()).len() == 2).await;
    // The first daemon ends, and the other one goes on.
    drop(one);
    commit(&two, withdraw("known-to-two")).await;
    drop(two);
    let one = older.open_elsewhere(here.path());
    assert_eq!(refused(&one), BTreeSet::from(["known-to-both".to_owned()]));
    commit(&one, withdraw("of-the-new-generation")).await;
    let two = older.open_elsewhere(there.path());
    let both = BTreeSet::from(["known-to-both".to_owned(), "known-to-two".to_owned()]);
    assert_eq!(refused(&two), both);
    wait_until(|| refused(&one) == both).await;
    // And at the next start neither finds an older copy again.
    drop((one, two));
    for folder in [&here, &there] {
        let again = older.open_elsewhere(folder.path());
        assert_eq!((refused(&again), again.health()), (both.clone(), Health::Serving));
    }
}

#[tokio::test]
async fn an_older_copy_under_running_daemons_is_noticed() {
    let fixture = PostgresFixture::new();
    let folder = tempfile::tempdir().unwrap();
    let store = fixture.open_elsewhere(folder.path());
    commit(&store, withdraw("kept")).await;
    let older = fixture.sql("SELECT string_agg(format('(%L, %L)', key, value), ', ') FROM meta");
    commit(&store, withdraw("lost")).await;
    // As a failover to a standby that lags behind: the database is older, and every connection new.
    fixture.sql(&format!("DELETE FROM meta; INSERT INTO meta VALUES {older}"));
    fixture.sql(&format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = '{}' AND pid <> pg_backend_pid()",
        fixture.database
    ));
    wait_until(|| refused(&store) == BTreeSet::from(["lost".to_owned()])).await;
    assert!(store.refusals().floor.is_some());
    assert_eq!(store.health(), Health::Serving);
}

#[tokio::test]
async fn a_restore_in_one_transaction_under_a_daemon_is_noticed() {
    let fixture = PostgresFixture::new();
    let folder = tempfile::tempdir().unwrap();
    let store = fixture.open_elsewhere(folder.path());
    commit(&store, withdraw("before")).await;
    fixture.sql("CREATE TABLE dump AS SELECT * FROM meta");
    commit(&store, withdraw("after")).await;
    // No connection is lost by it.
    fixture.sql("BEGIN; DELETE FROM meta; INSERT INTO meta SELECT * FROM dump; COMMIT");
    wait_until(|| refused(&store) == BTreeSet::from(["after".to_owned()])).await;
    wait_until(|| store.health() == Health::Serving).await;
}

#[tokio::test]
async fn a_copy_with_unknown_gaps_is_refused_until_accepted() {
    let fixture = PostgresFixture::new();
    let folder = tempfile::tempdir().unwrap();
    let store = fixture.open_elsewhere(folder.path());
    for id in ["a", "b", "c"] {
        commit(&store, withdraw(id)).await;
    }
    // The witness has forgotten one of those that the copy lacks.
    let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        text.lines().filter(|line| !line.contains(" b ")).map(|l| format!("{l}\n")).collect::<String>(),
    )
    .unwrap();
    fixture.sql("UPDATE meta SET value = '1' WHERE key = 'withdrawals'");
    fixture.sql(&format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = '{}' AND pid <> pg_backend_pid()",
        fixture.database
    ));
    // For good: it has to be opened again, which an administrator may accept.
    wait_until(|| matches!(store.health(), Health::Reopen(_))).await;
    let Health::Reopen(why) = store.health() else { panic!() };
    assert!(why.contains("restore --accept"), "{why}");
    let done = store.commit(withdraw("d"), guard()).await;
    assert!(matches!(done, Err(CommitError::Unavailable(_))), "{done:?}");
}

#[tokio::test]
async fn what_was_accepted_stays_so_on_every_daemon() {
    let fixture = PostgresFixture::new();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (fixture.open_elsewhere(here.path()), fixture.open_elsewhere(there.path()));
    commit(&one, withdraw("before")).await;
    let older = fixture.copy();
    commit(&one, withdraw("lost")).await;
    wait_until(|| witnessed(there.path()).len() == 2).await;
    drop((one, two));
    let one = older.open_elsewhere(here.path());
    assert_eq!(refused(&one), BTreeSet::from(["lost".to_owned()]));
    commit(&one, accept("abc", &one.refusals().withdrawn)).await;
    // The other daemon comes back after so many withdrawals that the store keeps none of these.
    older.sql("DELETE FROM meta WHERE key LIKE 'withdrawal.%'");
    for _ in 0..2 {
        let two = older.open_elsewhere(there.path());
        let found = refused(&two);
        commit(&one, accept("def", &two.refusals().withdrawn)).await;
        assert!(found.is_empty() || found == BTreeSet::from(["lost".to_owned()]), "{found:?}");
    }
    let two = older.open_elsewhere(there.path());
    assert_eq!((refused(&two), two.health()), (BTreeSet::new(), Health::Serving));
}

/// One daemon accepts an older copy while another one, whose witness knows of more, joins it.
#[tokio::test]
async fn an_acceptance_takes_no_more_than_was_removed() {
    let fixture = PostgresFixture::new();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (fixture.open_elsewhere(here.path()), fixture.open_elsewhere(there.path()));
    commit(&one, withdraw("before")).await;
    let older = fixture.copy();
    commit(&one, withdraw("x")).await;
    wait_until(|| witnessed(there.path()).len() == 2).await;
    drop(one);
    commit(&two, withdraw("y")).await;
    drop(two);
    let one = older.open_elsewhere(here.path());
    let removed = one.refusals().withdrawn.clone();
    assert_eq!(refused(&one), BTreeSet::from(["x".to_owned()]));
    let two = older.open_elsewhere(there.path());
    assert_eq!(refused(&two), BTreeSet::from(["x".to_owned(), "y".to_owned()]));
    let early = one.commit(accept("abc", &removed), guard()).await;
    assert_eq!(early.err(), Some(CommitError::Conflict));
    assert_eq!(refused(&older.open_elsewhere(there.path())).len(), 2, "y is still refused");
    wait_until(|| refused(&one).len() == 2).await;
    commit(&one, accept("def", &one.refusals().withdrawn)).await;
    assert_eq!(refused(&older.open_elsewhere(there.path())), BTreeSet::new());
}

#[tokio::test]
async fn daemons_that_start_together_make_one_key_of_tokens() {
    let fixture = PostgresFixture::new();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let stores = [fixture.open_elsewhere(here.path()), fixture.open_elsewhere(there.path())];
    let make = |store: &Arc<dyn Store>, id: &str| {
        let row = KeyRow { id: id.to_owned(), created: Time::from_unix(1), record: "sealed".to_owned() };
        let (store, change) = (Arc::clone(store), only(SideWrite::InsertKey(Box::new(row))));
        async move { store.commit(change, guard()).await.err() }
    };
    let made = tokio::join!(make(&stores[0], "token-key-a"), make(&stores[1], "token-key-b"));
    assert!(
        matches!(made, (None, Some(CommitError::Conflict)) | (Some(CommitError::Conflict), None)),
        "{made:?}"
    );
    for (store, id) in stores.iter().zip(["jwk-a", "jwk-b"]) {
        assert_eq!(make(store, id).await, None, "keys that sign are several");
    }
}
