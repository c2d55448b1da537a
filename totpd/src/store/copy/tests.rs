//! Copies between two databases of SQLite: what is decided is the same for every pair.

use super::values::{STORE_ID, begin_generation, closed, unfinished};
use super::{Copied, CopyEnd, CopyError, Progress, TABLES, Values, copy};
use crate::key::StoreKey;
use crate::seal::Sealer;
use crate::store::OpenError;
use crate::store::files::{database_file, log_file};
use crate::store::sqlite::{Sqlite, SqliteEnd, Start, create};
use crate::witness::Witness;
use std::sync::Mutex;
use tempfile::TempDir;
use totp_core::Time;
use totp_core::withdrawal::{Entry, Kind, Withdrawal};

/// A store with rows in each table, an empty folder, and their key.
struct Ends {
    from: TempDir,
    to: TempDir,
    sealer: Sealer,
}

impl Ends {
    fn new(accounts: i64) -> Self {
        let sealer = Sealer::new(&StoreKey::generate().unwrap());
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        create(from.path(), &sealer).unwrap();
        let ends = Self { from, to, sealer };
        let mut db = Ends::rows_of(&ends.from);
        let change = db.transaction().unwrap();
        for number in 0..accounts {
            let id = format!("user-{number}");
            change
                .execute(
                    "INSERT INTO account (id, name, version, record) VALUES (?1, ?1, 7, ?2)",
                    (&id, format!("{{\"damaged\": {number}")),
                )
                .unwrap();
            change
                .execute(
                    "INSERT INTO history (seq, at, name, event) VALUES (?1, 5, ?2, '{}')",
                    (3 * number + 1, &id),
                )
                .unwrap();
        }
        // Sessions are read in the order in which they were made, and not of their ids.
        for id in ["s2", "s1", "s3"] {
            change
                .execute(
                    "INSERT INTO session (id, account, version, token, expires, record) VALUES (?1, 'user-0', 2, ?1, 9, '')",
                    [id],
                )
                .unwrap();
        }
        change.execute("INSERT INTO client (secret_id, name, record) VALUES ('c', 'app', '')", []).unwrap();
        change.execute("INSERT INTO signing_key (id, created, record) VALUES ('k', 5, '')", []).unwrap();
        change.execute("INSERT INTO meta (key, value) VALUES ('latest_grant', '77')", []).unwrap();
        change.commit().unwrap();
        drop(db);
        ends
    }

    fn rows_of(folder: &TempDir) -> rusqlite::Connection {
        rusqlite::Connection::open(database_file(folder.path())).unwrap()
    }

    fn copy(&self) -> Result<Copied, CopyError> {
        self.copy_watched(&|_| {})
    }

    fn copy_watched(&self, progress: &(dyn Fn(Progress) + Sync)) -> Result<Copied, CopyError> {
        let mut source = SqliteEnd::open(self.from.path())?;
        let mut target = SqliteEnd::open_or_make(self.to.path())?;
        wait(copy(&mut source, &mut target, &self.sealer, Time::from_unix(99), progress))
    }

    fn value(folder: &TempDir, sql: &str) -> String {
        Self::rows_of(folder).query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

/// Waits for a future of SQLite's, which is ready at once.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

impl Ends {
    /// Opens the store in a folder, as the daemon does.
    fn serve(&self, folder: &TempDir) -> Result<Sqlite, OpenError> {
        let witness = Witness::new(&folder.path().join("log"), self.sealer.store_id());
        Sqlite::open(folder.path(), &self.sealer, 1_000, witness, Start::default())
    }

    /// Begins a copy, and leaves it with the first 500 accounts.
    fn interrupt(&self) {
        let mut source = SqliteEnd::open(self.from.path()).unwrap();
        let mut target = SqliteEnd::open_or_make(self.to.path()).unwrap();
        let mark = Values::from([(STORE_ID.into(), unfinished(self.sealer.store_id()))]);
        wait(target.set_values(&mark)).unwrap();
        let rows = wait(source.page(&TABLES[0], None)).unwrap();
        assert_eq!(rows.len(), 500);
        wait(target.append(&TABLES[0], &rows)).unwrap();
    }
}

const SESSIONS: &str = "SELECT group_concat(id) FROM (SELECT id FROM session ORDER BY rowid)";

#[test]
fn a_copy_has_every_row_and_closes_its_source() {
    let ends = Ends::new(1_200);
    let steps = Mutex::new((0, 0));
    let copied = ends
        .copy_watched(&|progress| match progress {
            Progress::Start(all) => steps.lock().unwrap().0 = all,
            Progress::Done(more) => steps.lock().unwrap().1 += more,
        })
        .unwrap();
    assert_eq!((copied.rows, copied.resumed), (2_405, 0));
    assert_eq!(steps.into_inner().unwrap(), (4_810, 4_810));
    assert_eq!(Ends::value(&ends.to, SESSIONS), "s2,s1,s3");
    assert_eq!(Ends::value(&ends.to, "SELECT value FROM meta WHERE key = 'latest_grant'"), "77");
    // The last event of the source, and that of the copy after it.
    assert_eq!(
        Ends::value(&ends.to, "SELECT group_concat(seq) FROM (SELECT seq FROM history WHERE seq > 3595)"),
        "3598,3599"
    );
    let event = Ends::value(&ends.to, "SELECT event FROM history WHERE seq = 3599");
    assert!(event.contains(r#""event":"copy""#), "{event}");
    let there = "SELECT CAST(count(*) AS TEXT) FROM history WHERE event LIKE '%copy%'";
    assert_eq!(Ends::value(&ends.from, there), "0", "the source is as it was");
    // The copy is the next generation, and the source is served no more.
    assert_eq!(copied.generation.counter, 1);
    assert!(Ends::value(&ends.to, "SELECT value FROM meta WHERE key = 'generation'").starts_with("1-"));
    ends.serve(&ends.to).unwrap();
    let refused = ends.serve(&ends.from).unwrap_err().to_string();
    assert!(refused.contains("copied to"), "{refused}");
    assert!(matches!(ends.copy(), Err(CopyError::Closed(..))));
}

#[test]
fn an_interrupted_copy_is_not_served_and_goes_on() {
    let ends = Ends::new(1_200);
    ends.interrupt();
    let refused = ends.serve(&ends.to).unwrap_err().to_string();
    assert!(refused.contains("unfinished copy of"), "{refused}");
    assert_eq!(ends.copy().unwrap().resumed, 500);
    ends.serve(&ends.to).unwrap();
    assert_eq!(Ends::value(&ends.to, "SELECT CAST(count(*) AS TEXT) FROM account"), "1200");
}

#[test]
fn a_copy_that_ended_after_its_source_was_closed_goes_on() {
    let ends = Ends::new(600);
    ends.interrupt();
    let mut source = SqliteEnd::open(ends.from.path()).unwrap();
    let mark = Values::from([(STORE_ID.into(), closed(ends.sealer.store_id(), "there"))]);
    wait(source.set_values(&mark)).unwrap();
    drop(source);
    ends.copy().unwrap();
    ends.serve(&ends.to).unwrap();
    ends.serve(&ends.from).unwrap_err();
}

#[test]
fn a_store_whose_daemon_was_killed_keeps_its_log() {
    let ends = Ends::new(1);
    // As kill -9 leaves it: in use, with its log.
    let (killed, witness) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let serving = ends.serve(&ends.from).unwrap();
    for file in [database_file, log_file] {
        std::fs::copy(file(ends.from.path()), file(killed.path())).unwrap();
    }
    drop(serving);
    let opened = SqliteEnd::open(killed.path()).unwrap();
    drop(opened);
    let witness = Witness::new(witness.path(), ends.sealer.store_id());
    Sqlite::open(killed.path(), &ends.sealer, 10, witness, Start::default()).unwrap();
}

#[test]
fn withdrawals_have_the_places_of_the_target() {
    let mut values = Values::from([("withdrawals".into(), "1030".into())]);
    let entry = |counter: u64| Entry {
        counter,
        what: Withdrawal::new(Kind::Factor, &format!("totp-{counter}")),
        at: Time::from_unix(5),
    };
    // As PostgreSQL keeps them.
    for counter in 7..=1030_u64 {
        values.insert(format!("withdrawal.{}", counter % 1024), entry(counter).to_string());
    }
    let begun = begin_generation(&mut values, Time::from_unix(9), 64).unwrap();
    assert_eq!(begun.counter, 1031);
    let kept: Vec<_> = values.iter().filter(|(name, _)| name.starts_with("withdrawal.")).collect();
    assert_eq!(kept.len(), 64);
    for (name, text) in kept {
        let entry = Entry::parse(text).unwrap();
        assert_eq!(*name, format!("withdrawal.{}", entry.counter % 64));
        assert!(entry.counter > 1031 - 64, "{text}");
    }
}

#[test]
fn a_row_that_differs_ends_the_copy_and_closes_nothing() {
    for change in
        ["UPDATE account SET version = 6 WHERE id = 'user-1'", "DELETE FROM account WHERE id = 'user-1'"]
    {
        let ends = Ends::new(1_200);
        ends.interrupt();
        Ends::rows_of(&ends.to).execute(change, []).unwrap();
        assert!(matches!(ends.copy(), Err(CopyError::Differs(_, "account"))), "{change}");
        ends.serve(&ends.from).unwrap();
        ends.serve(&ends.to).unwrap_err();
    }
}

#[test]
fn a_store_in_use_and_a_store_in_place_are_left_alone() {
    let ends = Ends::new(600);
    let serving = ends.serve(&ends.from).unwrap();
    assert!(matches!(ends.copy(), Err(CopyError::Running(_))));
    drop(serving);
    let held = SqliteEnd::open(ends.from.path()).unwrap();
    ends.serve(&ends.from).unwrap_err();
    drop(held);
    let other = Ends::new(1);
    let mut ends = ends;
    let there = database_file(ends.to.path());
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", there.display()));
    }
    create(ends.to.path(), &ends.sealer).unwrap();
    assert!(matches!(ends.copy(), Err(CopyError::NotEmpty(_))));
    ends.sealer = other.sealer;
    assert!(matches!(ends.copy(), Err(CopyError::OtherStore(..))));
}
