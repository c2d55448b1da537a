//! What the end of a `COMMIT` means, and that nothing of a change that was refused is written.

use super::PostgresFixture;
use crate::store::contract::fixture::{Fixture as _, account, by_id, change, commit, guard};
use crate::store::{AccountKey, AccountWrite, CommitError, CommitGuard, Health, Store};
use std::sync::Arc;
use std::time::{Duration, Instant};
use totpd_test_postgres::Server;

const WAITS: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

/// Begins to commit an update of `alice` at version 1, and returns once it waits for the standby.
async fn commit_that_waits(
    store: &Arc<dyn Store>,
    write: AccountWrite,
    server: &'static Server,
) -> tokio::task::JoinHandle<Option<CommitError>> {
    let store = Arc::clone(store);
    let task = tokio::spawn(async move { store.commit(change(write), guard()).await.err() });
    // Off this thread, on which the task runs.
    tokio::task::spawn_blocking(|| server.wait_for("postgres", WAITS, "1")).await.unwrap();
    task
}

#[tokio::test]
async fn a_cancelled_wait_for_a_standby_is_in_doubt() {
    let (fixture, server) = PostgresFixture::on_own_server();
    let standby = server.start_standby("standby_1");
    server.require_standby("standby_1");
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    for (version, end) in (1..).zip(["pg_cancel_backend", "pg_terminate_backend"]) {
        standby.freeze();
        let write = AccountWrite::Update(alice.clone(), version);
        let waiting = commit_that_waits(&store, write, server).await;
        server.sql(
            "postgres",
            &format!("SELECT {end}(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"),
        );
        let error = waiting.await.unwrap();
        assert!(matches!(error, Some(CommitError::InDoubt(_))), "{end}: {error:?}");
        standby.thaw();
        // It happened here, which the next read tells; and the connection is not used again.
        assert_eq!(by_id(&store, &alice.id).await.unwrap().version, version + 1);
    }
    commit(&store, change(AccountWrite::Update(alice, 3))).await;
}

#[tokio::test]
async fn a_role_that_hides_notices_cannot_hide_a_cancelled_wait() {
    let (fixture, server) = PostgresFixture::on_own_server();
    let user = &fixture.settings.url.user;
    server.sql("postgres", &format!("ALTER ROLE {user} SET client_min_messages = error"));
    server.sql("postgres", &format!("ALTER ROLE {user} SET statement_timeout = '300ms'"));
    server.sql("postgres", &format!("ALTER ROLE {user} SET synchronous_commit = off"));
    let standby = server.start_standby("standby_1");
    server.require_standby("standby_1");
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    standby.freeze();
    let waiting = commit_that_waits(&store, AccountWrite::Update(alice, 1), server).await;
    // The role's own timeout would have ended it by now.
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!waiting.is_finished());
    server
        .sql("postgres", "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
    let error = waiting.await.unwrap();
    assert!(matches!(error, Some(CommitError::InDoubt(_))), "{error:?}");
    standby.thaw();
}

#[tokio::test]
async fn a_commit_that_waits_holds_up_its_record_alone() {
    let (fixture, server) = PostgresFixture::on_own_server();
    let standby = server.start_standby("standby_1");
    let store = fixture.open();
    let (alice, bob) = (account(&fixture, "alice"), account(&fixture, "bob"));
    for account in [&alice, &bob] {
        commit(&store, change(AccountWrite::Insert(account.clone()))).await;
    }
    server.require_standby("standby_1");
    standby.freeze();
    let waiting = commit_that_waits(&store, AccountWrite::Update(alice.clone(), 1), server).await;
    // Another login is not in its queue, and a second one of alice ends by its own deadline.
    server.configure(&[("synchronous_standby_names", "")]);
    assert_eq!(waiting.await.unwrap(), None, "the server no longer waits");
    commit(&store, change(AccountWrite::Update(bob, 1))).await;
    standby.thaw();
    let held = std::thread::spawn({
        let (id, database) = (alice.id.clone(), fixture.database.clone());
        move || {
            server.sql(
                &database,
                &format!("BEGIN; UPDATE account SET uid = 9 WHERE id = '{id}'; SELECT pg_sleep(4); COMMIT"),
            )
        }
    });
    server.wait_for("postgres", "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", "1");
    let soon = Arc::new(CommitGuard::new(Instant::now() + Duration::from_millis(500)));
    let done = store.commit(change(AccountWrite::Update(alice.clone(), 2)), Arc::clone(&soon)).await;
    assert_eq!(done.err(), Some(CommitError::Cancelled));
    assert!(soon.cancel(), "nothing of it was written");
    held.join().unwrap();
    assert_eq!(by_id(&store, &alice.id).await.unwrap().version, 2);
    assert_eq!(store.health(), Health::Serving);
}

#[tokio::test]
async fn a_text_with_a_nul_is_not_found_and_stops_nothing() {
    let fixture = PostgresFixture::new();
    let store = fixture.open();
    let nul = || "user-\0".to_owned();
    for key in
        [AccountKey::Id(nul()), AccountKey::Totp(nul()), AccountKey::Email(nul()), AccountKey::Phone(nul())]
    {
        assert!(store.load(key).await.unwrap().is_none());
    }
    assert!(store.client(nul()).await.unwrap().is_none());
    assert!(store.sessions_of(nul()).await.unwrap().is_empty());
    let filters =
        vec![crate::store::UserFilter::EmailContains(nul()), crate::store::UserFilter::Id(vec![nul()])];
    let query =
        crate::store::UserQuery { any: true, filters, limit: 9, ..crate::store::UserQuery::default() };
    assert_eq!(store.search_users(query).await.unwrap().total, Some(0));
    let event = crate::store::contract::fixture::event(1, Some("a\0b"), "{\"x\":\"\0\"}");
    commit(&store, crate::store::ChangeSet { event: Some(event), ..change(AccountWrite::Nothing) }).await;
}
