//! The write-ahead log: moved into the file beside the writer, and bounded.

use super::SqliteFixture;
use crate::store::contract::fixture::{Embedded as _, Fixture as _, event, guard};
use crate::store::files::{database_file, log_file};
use crate::store::sqlite::checkpointer::Checkpointer;
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::housekeeping::{Housekeeping, QueueState};
use crate::store::sqlite::open;
use crate::store::{AccountWrite, ChangeSet, Store as _};
use futures_util::future::join_all;
use rusqlite::{Connection, OpenFlags};

/// Frames of the log's room at its begin, and of its longest.
const RESERVED: u64 = 4 * 1024 * 1024 / 4096;
const LONGEST: u64 = 2000;

/// A store with a writer's connection, which syncs nothing.
fn writer(fixture: &SqliteFixture) -> Connection {
    let (db, _) = open::writer(fixture.folder(), fixture.sealer()).unwrap();
    db.pragma_update(None, "synchronous", "OFF").unwrap();
    db
}

/// Commits one event of so many bytes.
fn write(db: &Connection, bytes: usize) {
    db.execute("INSERT INTO history (at, name, event) VALUES (1, NULL, ?1)", ["x".repeat(bytes)]).unwrap();
}

/// How many events the file has without its log.
fn events_in_file(fixture: &SqliteFixture) -> i64 {
    let copy = tempfile::tempdir().unwrap();
    let file = copy.path().join("copy.db");
    std::fs::copy(database_file(fixture.folder()), &file).unwrap();
    let db = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    db.query_row("SELECT count(*) FROM history", [], |row| row.get(0)).unwrap()
}

#[test]
fn the_log_is_moved_while_a_transaction_is_open() {
    let fixture = SqliteFixture::new();
    let db = writer(&fixture);
    let mut checkpointer = Checkpointer::start(fixture.folder(), Failure::default()).unwrap();
    (0..10).for_each(|_| write(&db, 100));
    assert_eq!(events_in_file(&fixture), 0);
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    write(&db, 100);
    checkpointer.request();
    checkpointer.stop();
    assert_eq!(events_in_file(&fixture), 10, "what is committed, and no more");
    db.execute_batch("COMMIT").unwrap();
    checkpointer.move_now(&db).unwrap();
    assert_eq!(events_in_file(&fixture), 11);
}

#[test]
fn the_log_is_bounded_although_commits_never_pause() {
    for bytes in [100, 40_000] {
        let fixture = SqliteFixture::new();
        let mut db = writer(&fixture);
        let failure = Failure::default();
        let checkpointer = Checkpointer::start(fixture.folder(), failure.clone()).unwrap();
        let mut housekeeping =
            Housekeeping::new(10_000, &mut db, checkpointer, failure.clone(), fixture.folder()).unwrap();
        let mut longest = 0;
        for _ in 0..60_000_000 / (bytes + 8192) {
            write(&db, bytes);
            housekeeping.wrote(1);
            housekeeping.run(&db, QueueState::Waiting);
            assert_eq!(failure.reason(), None);
            longest = longest.max(std::fs::metadata(log_file(fixture.folder())).unwrap().len());
        }
        let frames = longest / 4096;
        // One commit, and what is written to make room ahead, may come on top.
        let longest = LONGEST + RESERVED + 300;
        assert!((RESERVED..longest).contains(&frames), "{bytes}: {frames} frames");
        housekeeping.stop();
    }
}

#[test]
fn after_a_failure_nothing_is_moved() {
    let fixture = SqliteFixture::new();
    let db = writer(&fixture);
    let failure = Failure::default();
    let mut checkpointer = Checkpointer::start(fixture.folder(), failure.clone()).unwrap();
    write(&db, 100);
    failure.of_write("disk I/O error", fixture.folder());
    checkpointer.move_now(&db).unwrap();
    checkpointer.request();
    checkpointer.stop();
    // A later sync would succeed, and the log that has what was lost would be written over.
    assert_eq!(events_in_file(&fixture), 0);
}

#[tokio::test]
async fn on_a_full_disk_events_never_stop_logins() {
    let fixture = SqliteFixture::on_small_disk();
    let store = fixture.open_keeping(1_000_000);
    let note = || ChangeSet::new(AccountWrite::Nothing, event(0, None, &"x".repeat(400)));
    let notes = async |count: usize| {
        for batch in 0..count / 50 {
            let commits = (0..50).map(|_| store.commit(note(), guard()));
            for done in join_all(commits).await {
                assert!(done.is_ok(), "batch {batch}: {done:?}");
            }
        }
    };
    // Most of the pages that were made ahead are in use, and the disk has room.
    notes(8_000).await;
    fixture.fill_disk();
    // Many times what is left.
    notes(20_000).await;
    drop(store);
    let store = fixture.open_keeping(1_000_000);
    store.commit(note(), guard()).await.unwrap();
}
