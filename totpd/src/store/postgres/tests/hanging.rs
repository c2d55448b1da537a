//! A primary that hangs while commits wait on it: nobody waits for it for ever, also not after
//! another server has taken over.

use super::PostgresFixture;
use super::fixture::wait_until;
use crate::store::contract::fixture::{Fixture as _, account, by_id, change, commit, guard};
use crate::store::{AccountWrite, CommitError, CommitGuard, Health};
use std::sync::Arc;
use std::time::{Duration, Instant};

const WAITS: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

#[tokio::test]
async fn commits_on_a_hung_primary_end_in_doubt_after_failover() {
    let (mut fixture, server) = PostgresFixture::on_own_server();
    let standby: &'static totpd_test_postgres::Server =
        Box::leak(Box::new(server.start_standby("standby_1")));
    fixture.also_on(standby);
    let store = fixture.open();
    let users = ["a", "b", "c", "d", "e"].map(|name| account(&fixture, name));
    for user in &users {
        commit(&store, change(AccountWrite::Insert(user.clone()))).await;
    }
    server.require_standby("standby_1");
    standby.freeze();
    // As many as may be under way.
    let mut waiting = Vec::new();
    for (user, count) in users.iter().zip(["1", "2", "3", "4"]) {
        let (store, write) = (Arc::clone(&store), AccountWrite::Update(user.clone(), 1));
        waiting.push(tokio::spawn(async move { store.commit(change(write), guard()).await.err() }));
        tokio::task::spawn_blocking(move || server.wait_for("postgres", WAITS, count)).await.unwrap();
    }
    // One for which there is no place gets its answer in its time, and not much later.
    let start = Instant::now();
    let soon = Arc::new(CommitGuard::new(start + Duration::from_millis(500)));
    let late = store.commit(change(AccountWrite::Update(users[4].clone(), 1)), soon).await;
    assert_eq!(late.err(), Some(CommitError::Cancelled));
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    // And the store does not say for long that it serves.
    let next = store.commit(change(AccountWrite::Update(users[4].clone(), 1)), guard()).await;
    assert!(matches!(&next, Err(CommitError::Unavailable(why)) if why.contains("commits")), "{next:?}");
    assert!(matches!(store.health(), Health::Unavailable(_)));
    server.freeze();
    standby.thaw();
    standby.promote();
    let start = Instant::now();
    for waiting in waiting {
        let error = waiting.await.unwrap();
        assert!(matches!(error, Some(CommitError::InDoubt(_))), "{error:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
    wait_until(|| store.health() == Health::Serving).await;
    let version = by_id(&store, &users[4].id).await.unwrap().version;
    commit(&store, change(AccountWrite::Update(users[4].clone(), version))).await;
}

#[tokio::test]
async fn a_commit_that_nobody_answers_is_in_doubt_after_30_s() {
    let (fixture, server) = PostgresFixture::on_own_server();
    let standby = server.start_standby("standby_1");
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    server.require_standby("standby_1");
    standby.freeze();
    let start = Instant::now();
    let done = store.commit(change(AccountWrite::Update(alice.clone(), 1)), guard()).await;
    assert!(matches!(done, Err(CommitError::InDoubt(_))), "{done:?}");
    let took = start.elapsed();
    assert!(took > Duration::from_secs(29) && took < Duration::from_secs(40), "{took:?}");
    // Nothing has cancelled it: the server still waits for its standby.
    assert_eq!(server.sql("postgres", WAITS), "1");
    standby.thaw();
    tokio::task::spawn_blocking(move || server.wait_for("postgres", WAITS, "0")).await.unwrap();
    assert_eq!(by_id(&store, &alice.id).await.unwrap().version, 2);
}
