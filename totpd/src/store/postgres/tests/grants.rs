//! What the statements of a login may do: within their transaction only, durable, and beside a row
//! that another one holds.

use super::PostgresFixture;
use crate::audit::EventRow;
use crate::store::contract::fixture::{Fixture as _, account, by_id, change, commit, guard};
use crate::store::postgres::dial::Dialer;
use crate::store::postgres::login::Logins;
use crate::store::postgres::session::{self, Role};
use crate::store::{AccountWrite, ChangeSet, CommitError, SideWrite};
use std::time::{Duration, Instant};
use tokio_postgres::SimpleQueryMessage;
use totp_core::Time;

#[tokio::test]
async fn a_login_writes_nothing_where_its_begin_was_refused() {
    let fixture = PostgresFixture::new();
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    let dialer = Dialer::new(fixture.settings.url.clone(), fixture.settings.password_file.as_deref());
    let db = dialer.dial(Role::Write).await.unwrap();
    let logins = Logins::prepared(&db).await.unwrap();
    let update = change(AccountWrite::Update(alice.clone(), 1));
    let note = change(AccountWrite::Nothing);
    let events = fixture.sql("SELECT count(*) FROM history");
    for write in [&update, &note] {
        assert!(!logins.write(&db, 0, write).await.unwrap());
    }
    let together = logins.write_all(&db, 0, &[&update, &note]).await.unwrap();
    assert_eq!(together, [false, false]);
    assert_eq!(by_id(&store, &alice.id).await.unwrap().version, 1);
    db.run(session::BEGIN).await.unwrap();
    for write in [&update, &note] {
        assert!(logins.write(&db, 0, write).await.unwrap());
    }
    db.run("ROLLBACK").await.unwrap();
    // What says that a transaction has begun ends with it.
    assert!(!logins.write(&db, 0, &update).await.unwrap());
    assert_eq!(fixture.sql("SELECT count(*) FROM history"), events);
}

#[tokio::test]
async fn many_logins_are_written_or_not_each_by_itself() {
    let fixture = PostgresFixture::new();
    let store = fixture.open();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| account(&fixture, name));
    for account in [&alice, &bob, &carol] {
        commit(&store, change(AccountWrite::Insert(account.clone()))).await;
    }
    let dialer = Dialer::new(fixture.settings.url.clone(), fixture.settings.password_file.as_deref());
    let db = dialer.dial(Role::Write).await.unwrap();
    let logins = Logins::prepared(&db).await.unwrap();
    let slot = 7;
    let named = |name: &str, write: AccountWrite, at: u64| {
        let event =
            EventRow { at: Time::from_unix(at), user: Some(name.into()), json: format!("{{\"n\":{at}}}") };
        let side_writes = vec![SideWrite::RecordGrant(Time::from_unix(at))];
        ChangeSet { event: Some(event), side_writes, ..change(write) }
    };
    // Two at one version, one at a version that is gone, an event alone, and nothing at all.
    let changes = [
        named("first", AccountWrite::Update(alice.clone(), 1), 11),
        named("second", AccountWrite::Update(alice.clone(), 1), 12),
        named("late", AccountWrite::Update(bob.clone(), 7), 99),
        named("note", AccountWrite::Nothing, 13),
        ChangeSet { event: None, ..change(AccountWrite::Nothing) },
        named("carol", AccountWrite::Update(carol.clone(), 1), 14),
    ];
    let all: Vec<&ChangeSet> = changes.iter().collect();
    db.run(session::BEGIN).await.unwrap();
    let written = logins.write_all(&db, slot, &all).await.unwrap();
    // Few rows are read faster as a whole, but the plan is kept while they become many.
    let read =
        "SELECT sum(seq_scan) FROM pg_stat_xact_user_tables WHERE relname IN ('account', 'latest_grant')";
    let read = db.client.simple_query(read).await.unwrap();
    assert!(read.iter().any(|row| matches!(row, SimpleQueryMessage::Row(row) if row.get(0) == Some("0"))));
    db.run("COMMIT").await.unwrap();
    assert_eq!(written.iter().filter(|one| **one).count(), 4, "{written:?}");
    assert!(written[0] != written[1] && !written[2] && written[3..] == [true; 3], "{written:?}");
    for (account, version) in [(&alice, 2), (&bob, 1), (&carol, 2)] {
        assert_eq!(by_id(&store, &account.id).await.unwrap().version, version);
    }
    let winner = if written[0] { "first" } else { "second" };
    let events = fixture.sql("SELECT name FROM history WHERE event LIKE '{\"n\":%' ORDER BY seq");
    assert_eq!(events, format!("{winner}\nnote\ncarol"));
    assert_eq!(fixture.sql(&format!("SELECT at FROM latest_grant WHERE slot = {slot}")), "14");
}

#[tokio::test]
async fn a_held_row_of_grants_delays_one_grant_at_most() {
    let fixture = PostgresFixture::new();
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    let grant = |version: u64| {
        let side_writes = vec![SideWrite::RecordGrant(Time::from_unix(1000 + version))];
        ChangeSet { side_writes, ..change(AccountWrite::Update(alice.clone(), version)) }
    };
    commit(&store, grant(1)).await;
    std::thread::scope(|scope| {
        let held = scope.spawn(|| {
            fixture.sql("BEGIN; UPDATE latest_grant SET at = at WHERE at = 1001; SELECT pg_sleep(8); COMMIT")
        });
        let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
        while fixture.sql(sleeps) != "1" {}
        let start = Instant::now();
        let run = async {
            for version in 2..6 {
                commit(&store, grant(version)).await;
                let latest = format!("{}", 1000 + version);
                assert_eq!(fixture.sql("SELECT max(at) FROM latest_grant"), latest);
            }
        };
        super::fixture::on_thread(|| run);
        assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
        held.join().unwrap();
    });
}

#[tokio::test]
async fn a_trigger_that_makes_a_commit_unsafe_is_refused() {
    let fixture = PostgresFixture::new();
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    for (setting, value) in [("synchronous_commit", "off"), ("client_min_messages", "error")] {
        for (kind, when) in [("", ""), ("CONSTRAINT", "DEFERRABLE INITIALLY DEFERRED")] {
            fixture.sql(&format!(
                "CREATE FUNCTION weaken() RETURNS trigger LANGUAGE plpgsql AS
                   $$ BEGIN PERFORM set_config('{setting}', '{value}', true); RETURN NEW; END $$;
                 CREATE {kind} TRIGGER weaken AFTER INSERT OR UPDATE ON account {when}
                   FOR EACH ROW EXECUTE FUNCTION weaken()"
            ));
            for write in
                [AccountWrite::Update(alice.clone(), 1), AccountWrite::Insert(account(&fixture, "bob"))]
            {
                let done = store.commit(change(write), guard()).await;
                let Err(CommitError::Unavailable(why)) = done else { panic!("{done:?}") };
                assert!(why.contains(&format!("sets {setting} to {value}")), "{why}");
            }
            fixture.sql("DROP FUNCTION weaken CASCADE");
        }
    }
    assert_eq!(fixture.sql("SELECT count(*), max(version) FROM account"), "1|1");
    commit(&store, change(AccountWrite::Update(alice, 1))).await;
}

#[tokio::test]
async fn a_server_that_is_told_to_sync_less_is_not_obeyed() {
    let (fixture, server) = PostgresFixture::on_own_server();
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    for (value, version) in [("off", 1), ("remote_apply", 2), ("local", 3)] {
        server.configure(&[("synchronous_commit", value)]);
        // On the connections that are open, and on new ones.
        commit(&store, change(AccountWrite::Update(alice.clone(), version))).await;
        drop(fixture.open());
    }
}
