use super::*;
use crate::entropy::Kernel;
use crate::key::StoreKey;
use crate::store::{EventRow, Unique, Write};
use std::time::{Duration, Instant};
use totp_core::Account;

struct Fixture {
    folder: tempfile::TempDir,
    sealer: Sealer,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(&StoreKey::generate().unwrap());
        create(folder.path(), &sealer).unwrap();
        Self { folder, sealer }
    }

    fn open(&self) -> Sqlite {
        Sqlite::open(self.folder.path(), &self.sealer, 1_000).unwrap()
    }

    fn account(&self, name: &str) -> Box<SealedAccount> {
        let name = UserName::parse(name).ok();
        let account = Account::new(name, Some(1), Time::default(), &mut Kernel).unwrap();
        Box::new(self.sealer.seal(account).unwrap())
    }
}

fn ticket() -> Arc<Ticket> {
    Arc::new(Ticket::new(Instant::now() + Duration::from_mins(10)))
}

fn change(write: Write) -> Change {
    Change::of(write, EventRow { at: Time::default(), user: None, json: "{}".into() })
}

fn events(fixture: &Fixture) -> i64 {
    let db = rusqlite::Connection::open(database_file(fixture.folder.path())).unwrap();
    db.query_row("SELECT count(*) FROM history", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_change_against_an_old_version_is_a_conflict_and_leaves_no_event() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let alice = fixture.account("alice");
    store.commit(change(Write::Insert(alice.clone())), ticket()).await.unwrap();
    let again = store.commit(change(Write::Insert(fixture.account("alice"))), ticket()).await;
    assert_eq!(again.err(), Some(CommitError::Taken(Unique::Name)));
    let read = store.load(Key::Id(alice.id.clone())).await.unwrap().unwrap();
    store.commit(change(Write::Update(alice.clone(), read.version)), ticket()).await.unwrap();
    let late = store.commit(change(Write::Update(alice.clone(), read.version)), ticket()).await;
    assert_eq!(late.err(), Some(CommitError::Conflict));
    assert_eq!(events(&fixture), 2);
}

#[tokio::test]
async fn what_was_dropped_is_not_written() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let (dropped, late) = (ticket(), Arc::new(Ticket::new(Instant::now())));
    assert!(dropped.drop_it());
    for ticket in [dropped, late] {
        let done = store.commit(change(Write::Insert(fixture.account("alice"))), ticket).await;
        assert_eq!(done.err(), Some(CommitError::Dropped));
    }
    assert!(store.load((&UserName::parse("alice").unwrap()).into()).await.unwrap().is_none());
    assert_eq!(events(&fixture), 0);
}

#[tokio::test]
async fn changes_that_come_together_all_arrive_and_survive_a_reopening() {
    let fixture = Fixture::new();
    let store = Arc::new(fixture.open());
    let tasks: Vec<_> = (0..500)
        .map(|i| {
            let (store, account) = (Arc::clone(&store), fixture.account(&format!("user{i:03}")));
            tokio::spawn(async move { store.commit(change(Write::Insert(account)), ticket()).await.is_ok() })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    drop(store);
    let store = fixture.open();
    let page = store.scan(Some("user100".into()), 3).await.unwrap();
    let names: Vec<_> = page.iter().map(|s| s.account.label()).collect();
    assert_eq!(names, ["user101", "user102", "user103"]);
}

#[tokio::test]
async fn history_is_kept_to_its_bound() {
    let fixture = Fixture::new();
    let store = fixture.open();
    for _ in 0..2_000 {
        store.commit(change(Write::Nothing), ticket()).await.unwrap();
    }
    drop(store);
    let kept = events(&fixture);
    assert!((1_000..1_200).contains(&kept), "{kept}");
}

#[test]
fn an_older_daemon_that_closes_does_not_call_complete_what_a_newer_one_uses() {
    let fixture = Fixture::new();
    let state = || {
        let db = rusqlite::Connection::open(database_file(fixture.folder.path())).unwrap();
        db.query_row("SELECT value FROM meta WHERE key = 'state'", [], |r| r.get::<_, String>(0)).unwrap()
    };
    let (older, newer) = (fixture.open(), fixture.open());
    drop(older);
    assert!(state().starts_with("in-use "), "{}", state());
    drop(newer);
    assert_eq!(state(), "complete");
}

#[test]
fn room_is_made_ahead_and_kept_over_a_restart() {
    let fixture = Fixture::new();
    let size = |file: &str| std::fs::metadata(fixture.folder.path().join(file)).unwrap().len();
    for _ in 0..3 {
        drop(fixture.open());
        assert!((4 << 20..5 << 20).contains(&size("totpd.db-wal")), "{}", size("totpd.db-wal"));
        assert!((4 << 20..5 << 20).contains(&size("totpd.db")), "{}", size("totpd.db"));
    }
}

#[test]
fn a_newer_schema_another_key_and_another_program_are_refused() {
    let fixture = Fixture::new();
    let key = StoreKey::generate().unwrap();
    let other = Sqlite::open(fixture.folder.path(), &Sealer::new(&key), 1_000);
    assert!(matches!(other, Err(OpenError::OtherStore(..))), "{other:?}");
    let db = rusqlite::Connection::open(database_file(fixture.folder.path())).unwrap();
    db.execute(
        "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
         VALUES (99, 'future', '2027-01-01T00:00:00Z', '0')",
        [],
    )
    .unwrap();
    let newer = Sqlite::open(fixture.folder.path(), &fixture.sealer, 1_000);
    assert!(matches!(newer, Err(OpenError::Newer(_, 99, 3))), "{newer:?}");
    db.pragma_update(None, "application_id", 5).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let foreign = Sqlite::open(fixture.folder.path(), &fixture.sealer, 1_000);
    assert!(matches!(foreign, Err(OpenError::Damaged(..))), "{foreign:?}");
}
