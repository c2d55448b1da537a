//! Servers that stop, crash, are demoted or give way to a standby, under a store that stays open.

use super::PostgresFixture;
use super::fixture::wait_for;
use crate::store::contract::fixture::{Fixture as _, account, by_id, change, commit, guard};
use crate::store::{AccountWrite, CommitError, Health};
use std::time::{Duration, Instant};

fn says(health: &Health, words: &str) -> bool {
    matches!(health, Health::Unavailable(why) if why.contains(words))
}

#[tokio::test]
async fn a_killed_server_is_noticed_and_used_again_when_it_is_back() {
    let (fixture, server) = PostgresFixture::on_own_server();
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    for version in 1..3 {
        server.kill();
        let done = store.commit(change(AccountWrite::Update(alice.clone(), version)), guard()).await;
        assert!(matches!(done, Err(CommitError::Unavailable(_))), "{done:?}");
        wait_for(&store, |health| says(health, "cannot be reached")).await;
        server.resume();
        wait_for(&store, |health| *health == Health::Serving).await;
        assert_eq!(by_id(&store, &alice.id).await.unwrap().version, version);
        commit(&store, change(AccountWrite::Update(alice.clone(), version))).await;
    }
}

#[tokio::test]
async fn a_demoted_server_is_left_and_used_again_once_it_writes() {
    let (fixture, server) = PostgresFixture::on_own_server();
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    server.configure(&[("default_transaction_read_only", "on")]);
    let start = Instant::now();
    loop {
        let done = store.commit(change(AccountWrite::Update(alice.clone(), 7)), guard()).await;
        match done {
            // The setting reaches the connection within a moment.
            Err(CommitError::Conflict) if start.elapsed() < Duration::from_secs(10) => {}
            Err(CommitError::Unavailable(why)) => {
                assert!(why.contains("accepts no writes"), "{why}");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    wait_for(&store, |health| says(health, "accepts no writes")).await;
    server.configure(&[("default_transaction_read_only", "off")]);
    wait_for(&store, |health| *health == Health::Serving).await;
    commit(&store, change(AccountWrite::Update(alice, 1))).await;
}

#[tokio::test]
async fn a_promoted_standby_has_every_commit_and_goes_on() {
    let (mut fixture, server) = PostgresFixture::on_own_server();
    let standby: &'static _ = Box::leak(Box::new(server.start_standby("standby_1")));
    server.require_standby("standby_1");
    fixture.also_on(standby);
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    for version in 1..10 {
        commit(&store, change(AccountWrite::Update(alice.clone(), version))).await;
    }
    server.kill();
    wait_for(&store, |health| says(health, "accepts no writes")).await;
    standby.promote();
    wait_for(&store, |health| *health == Health::Serving).await;
    assert_eq!(by_id(&store, &alice.id).await.unwrap().version, 10);
    let again = store.commit(change(AccountWrite::Update(alice.clone(), 9)), guard()).await;
    assert_eq!(again.err(), Some(CommitError::Conflict), "a version works once");
    commit(&store, change(AccountWrite::Update(alice, 10))).await;
}

#[tokio::test]
async fn a_hung_server_ends_reads_and_refuses_in_time() {
    let (fixture, server) = PostgresFixture::on_own_server();
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    server.freeze();
    let start = Instant::now();
    let read = store.load(crate::store::AccountKey::Id(alice.id.clone())).await;
    assert!(read.is_err() && start.elapsed() < Duration::from_secs(13), "{:?}", start.elapsed());
    wait_for(&store, |health| matches!(health, Health::Unavailable(_))).await;
    server.thaw();
    wait_for(&store, |health| *health == Health::Serving).await;
    commit(&store, change(AccountWrite::Update(alice.clone(), 1))).await;
    // Before its COMMIT was sent a change is given up, and not written later.
    server.freeze();
    let start = Instant::now();
    let done = store.commit(change(AccountWrite::Update(alice.clone(), 2)), guard()).await;
    assert!(matches!(done, Err(CommitError::Unavailable(_))), "{done:?}");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    server.thaw();
    wait_for(&store, |health| *health == Health::Serving).await;
    assert_eq!(by_id(&store, &alice.id).await.unwrap().version, 2);
}

#[tokio::test]
async fn a_replaced_primary_that_comes_back_is_left_alone() {
    let (mut fixture, server) = PostgresFixture::on_own_server();
    let standby: &'static totpd_test_postgres::Server =
        Box::leak(Box::new(server.start_standby("standby_1")));
    fixture.also_on(standby);
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    server.require_standby("standby_1");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    server.configure(&[("synchronous_standby_names", "")]);
    server.kill();
    standby.promote();
    wait_for(&store, |health| *health == Health::Serving).await;
    commit(&store, change(AccountWrite::Update(alice.clone(), 1))).await;
    // Nobody has told it that it was replaced.
    server.resume();
    standby.kill();
    wait_for(&store, |health| says(health, "was replaced in a failover")).await;
    let done = store.commit(change(AccountWrite::Update(alice.clone(), 1)), guard()).await;
    assert!(matches!(done, Err(CommitError::Unavailable(_))), "{done:?}");
    standby.resume();
    wait_for(&store, |health| *health == Health::Serving).await;
    commit(&store, change(AccountWrite::Update(alice, 2))).await;
}

#[tokio::test]
async fn what_a_failover_could_lose_is_said() {
    let (fixture, server) = PostgresFixture::on_own_server();
    server.configure(&[("fsync", "off")]);
    let store = fixture.open();
    let said = |words: &str| store.notices().iter().any(|notice| notice.contains(words));
    assert!(said("fsync = off") && said("waits for no standby"), "{:?}", store.notices());
    let standby = server.start_standby("standby_1");
    server.configure(&[("fsync", "on")]);
    server.require_standby("standby_1");
    let start = Instant::now();
    // The user may not read which standbys are in step.
    while !said("GRANT pg_monitor") {
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", store.notices());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.sql("postgres", &format!("GRANT pg_monitor TO {}", fixture.settings.url.user));
    while !store.notices().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", store.notices());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(standby);
}

#[tokio::test]
async fn a_server_that_can_have_no_standby_waits_for_none() {
    let (fixture, server) = PostgresFixture::on_own_server();
    // What is left of a cluster that there was.
    server.configure(&[("synchronous_standby_names", "standby_1"), ("max_wal_senders", "0")]);
    server.restart();
    let store = fixture.open();
    let said = store.notices().concat();
    assert!(said.contains("waits for no standby (max_wal_senders is 0)"), "{said}");
    assert_eq!(store.health(), Health::Serving);
    commit(&store, change(AccountWrite::Insert(account(&fixture, "alice")))).await;
}

#[tokio::test]
async fn a_standby_promoted_beside_its_primary_is_not_used() {
    let (mut fixture, server) = PostgresFixture::on_own_server();
    let standby: &'static _ = Box::leak(Box::new(server.start_standby("standby_1")));
    fixture.also_on(standby);
    standby.promote();
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    let start = Instant::now();
    while !store.notices().iter().any(|notice| notice.contains("two primaries")) {
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", store.notices());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // New connections go to the one that this daemon and the others use: a code that is used there
    // would be fresh on the other.
    server.sql(
        "postgres",
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'totpd'",
    );
    wait_for(&store, |health| *health == Health::Serving).await;
    let mut written = store.commit(change(AccountWrite::Update(alice.clone(), 1)), guard()).await;
    if written.is_err() {
        wait_for(&store, |health| *health == Health::Serving).await;
        written = store.commit(change(AccountWrite::Update(alice.clone(), 1)), guard()).await;
    }
    written.unwrap();
    assert_eq!(fixture.sql("SELECT version FROM account"), "2", "on the first server");
}
