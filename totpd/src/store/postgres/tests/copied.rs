//! A store that is copied away, under a daemon that was not stopped.

use super::PostgresFixture;
use super::fixture::wait_for;
use crate::store::contract::fixture::{Fixture as _, account, change, commit, guard};
use crate::store::copy::{CopyError, copy};
use crate::store::postgres::PostgresEnd;
use crate::store::sqlite::SqliteEnd;
use crate::store::{AccountKey, AccountWrite, CommitError, Health};
use std::time::{Duration, Instant};
use totp_core::Time;

#[tokio::test]
async fn a_copy_by_another_role_sees_the_daemon() {
    let fixture = PostgresFixture::new();
    let store = fixture.open();
    commit(&store, change(AccountWrite::Insert(account(&fixture, "alice")))).await;
    let other = format!("{}_copies", fixture.settings.url.user);
    fixture.sql(&format!("CREATE ROLE {other} LOGIN; GRANT {} TO {other}", fixture.settings.url.user));
    let mut settings = fixture.settings.clone();
    for server in &mut settings.url.servers {
        server.config.user(&other);
    }
    let refused = PostgresEnd::open_source(&settings).await.map(drop);
    assert!(matches!(refused, Err(CopyError::Running(_))), "{refused:?}");
    drop(store);
    PostgresEnd::open_source(&settings).await.map(drop).unwrap();
}

/// A daemon that was not stopped, and whose connections were ended for the copy, finds no store
/// that it could serve: neither meanwhile nor afterwards.
#[tokio::test]
async fn a_daemon_that_was_cut_off_serves_no_store_that_is_copied() {
    let fixture = PostgresFixture::new();
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    let end_connections = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{}'",
        fixture.settings.url.user
    );
    let start = Instant::now();
    let mut source = loop {
        fixture.sql(&end_connections);
        match PostgresEnd::open_source(&fixture.settings).await {
            Ok(source) => break source,
            Err(CopyError::Running(_)) => assert!(start.elapsed() < Duration::from_secs(30)),
            Err(error) => panic!("{error}"),
        }
    };
    // It connects again, but is not told whose store this is.
    let read = store.load(AccountKey::Id(alice.id.clone())).await;
    assert!(read.is_err(), "a store was read while it was copied: {read:?}");
    let done = store.commit(change(AccountWrite::Update(alice.clone(), 1)), guard()).await;
    assert!(matches!(done, Err(CommitError::Unavailable(_))), "{done:?}");
    wait_for(&store, |health| matches!(health, Health::Unavailable(_))).await;
    let folder = tempfile::tempdir().unwrap();
    let mut target = SqliteEnd::open_or_make(folder.path()).unwrap();
    copy(&mut source, &mut target, fixture.sealer(), Time::from_unix(99), &|_| {}).await.unwrap();
    drop(source);
    wait_for(&store, |health| matches!(health, Health::Reopen(why) if why.contains("was copied to"))).await;
    let done = store.commit(change(AccountWrite::Update(alice, 1)), guard()).await;
    assert!(matches!(done, Err(CommitError::Unavailable(_))), "{done:?}");
}
