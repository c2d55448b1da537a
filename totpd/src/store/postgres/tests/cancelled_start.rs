//! What is written before a daemon serves, when the wait for its standby is cancelled or would not
//! end: nothing rests on what the standby may lack, and no key is lost.

use super::PostgresFixture;
use super::fixture::{on_thread, only, settings};
use crate::key::StoreKey;
use crate::seal::Sealer;
use crate::store::contract::fixture::{Fixture as _, commit};
use crate::store::postgres::create;
use crate::store::{OpenError, SideWrite};
use totp_core::withdrawal::{Kind, Withdrawal};
use totpd_test_postgres::Server;

/// Runs `start`, which waits for a standby that answers nothing, and cancels each wait.
fn cancelled<T: Send>(server: &Server, start: impl FnOnce() -> Result<T, OpenError> + Send) -> String {
    std::thread::scope(|scope| {
        let starting = scope.spawn(start);
        while !starting.is_finished() {
            server.sql(
                "postgres",
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
            );
        }
        starting.join().unwrap().err().map(|error| error.to_string()).unwrap_or_default()
    })
}

/// Makes the database an older copy, of before every withdrawal.
fn make_older(fixture: &PostgresFixture) {
    fixture.sql(
        "DELETE FROM meta WHERE key LIKE 'withdrawal.%'; UPDATE meta SET value = '0' WHERE key = 'withdrawals'",
    );
}

#[test]
fn a_new_store_that_its_standby_may_lack_keeps_its_key() {
    let server = Server::start();
    let database = server.create_database();
    let standby = server.start_standby("standby_1");
    server.require_standby("standby_1");
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&database.socket_url(), &database.password, folder.path());
    let sealer = Sealer::new(&StoreKey::generate().unwrap());
    standby.freeze();
    // Who makes it deletes the key after an error, and the tables are there.
    assert_eq!(cancelled(&server, || on_thread(|| create(&settings, &sealer))), "");
    standby.thaw();
    assert!(matches!(on_thread(|| create(&settings, &sealer)), Err(OpenError::HoldsStore(_))));
}

#[tokio::test]
async fn a_refusal_that_its_standby_may_lack_is_no_start() {
    let (fixture, server) = PostgresFixture::on_own_server();
    let witness = tempfile::tempdir().unwrap();
    let store = fixture.open_elsewhere(witness.path());
    let withdrawn = Withdrawal::new(Kind::Factor, "lost");
    commit(&store, only(SideWrite::Withdraw(withdrawn.clone()))).await;
    drop(store);
    make_older(&fixture);
    let standby = server.start_standby("standby_1");
    server.require_standby("standby_1");
    standby.freeze();
    let error = cancelled(server, || fixture.open_with(fixture.sealer(), witness.path()));
    assert!(error.contains("a standby may lack it"), "{error:?}");
    standby.thaw();
    let store = fixture.open_elsewhere(witness.path());
    assert_eq!(Vec::from_iter(store.refusals().withdrawn.clone()), [withdrawn]);
    let refused = "SELECT count(*) FROM meta WHERE key = 'refused' AND value LIKE '%lost%'";
    standby.wait_for(&fixture.database, refused, "1");
}

#[tokio::test]
async fn a_start_on_an_older_copy_without_its_standby_is_refused() {
    let (fixture, server) = PostgresFixture::on_own_server();
    let witness = tempfile::tempdir().unwrap();
    let store = fixture.open_elsewhere(witness.path());
    commit(&store, only(SideWrite::Withdraw(Withdrawal::new(Kind::Factor, "lost")))).await;
    drop(store);
    make_older(&fixture);
    server.configure(&[("synchronous_standby_names", "standby_1")]);
    // A commit of what it refuses would not end.
    let error = fixture.open_with(fixture.sealer(), witness.path()).unwrap_err().to_string();
    assert!(error.contains("no standby that commits wait for is connected"), "{error}");
    server.configure(&[("synchronous_standby_names", "")]);
    assert_eq!(fixture.open_elsewhere(witness.path()).refusals().withdrawn.len(), 1);
}
