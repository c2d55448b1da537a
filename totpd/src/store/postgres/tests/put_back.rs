//! A database that was put back while its daemon runs: what the daemon needs may be missing in it.

use super::PostgresFixture;
use super::fixture::{only, wait_until};
use crate::store::contract::fixture::{Durable as _, Fixture as _, change, commit, event};
use crate::store::{AccountWrite, ChangeSet, Health, SideWrite};
use totp_core::Time;
use totp_core::withdrawal::{Kind, Withdrawal};

#[tokio::test]
async fn a_grant_is_recorded_in_a_copy_older_than_the_daemon() {
    let fixture = PostgresFixture::new();
    let store = fixture.open();
    for at in [900, 901] {
        fixture.sql("DELETE FROM latest_grant");
        commit(&store, only(SideWrite::RecordGrant(Time::from_unix(at)))).await;
        assert_eq!(fixture.sql("SELECT max(at) FROM latest_grant"), at.to_string());
    }
    drop(store);
    assert_eq!(fixture.open().latest_grant(), Time::from_unix(901));
}

#[tokio::test]
async fn without_its_witness_a_daemon_serves_what_was_put_back() {
    let fixture = PostgresFixture::new();
    let store = fixture.open();
    fixture.sql("CREATE TABLE dump AS SELECT * FROM meta");
    commit(&store, only(SideWrite::Withdraw(Withdrawal::new(Kind::Factor, "after")))).await;
    // Its watch has looked at everything, so that nobody compares the witness now.
    let watch = format!(
        "SELECT pid FROM pg_stat_activity WHERE datname = '{}' AND state = 'idle' AND query LIKE '%SyncRep%'",
        fixture.database
    );
    wait_until(|| !fixture.sql(&watch).is_empty()).await;
    let before = fixture.sql(&watch);
    fixture.lose_witness();
    fixture.sql("BEGIN; DELETE FROM meta; INSERT INTO meta SELECT * FROM dump; COMMIT");
    // It is seen that the store is another one, and then that nothing says how old it is.
    wait_until(|| ![before.as_str(), ""].contains(&fixture.sql(&watch).as_str())).await;
    wait_until(|| store.health() == Health::Serving).await;
    assert!(store.refusals().withdrawn.is_empty());
    commit(&store, only(SideWrite::Withdraw(Withdrawal::new(Kind::Factor, "next")))).await;
    assert_eq!(fixture.witnessed().len(), 1, "{:?}", fixture.witnessed());
}

#[tokio::test]
async fn many_old_events_are_deleted_at_once() {
    let fixture = PostgresFixture::new();
    fixture.sql("INSERT INTO history (at, event) SELECT n, '{}' FROM generate_series(1, 25000) AS n");
    let store = fixture.open();
    let noted = ChangeSet { event: Some(event(1, None, "{}")), ..change(AccountWrite::Nothing) };
    commit(&store, noted).await;
    wait_until(|| fixture.sql("SELECT count(*) FROM history") == "1000").await;
    assert_eq!(fixture.sql("SELECT min(at), max(at) FROM history"), "1|25000");
}
