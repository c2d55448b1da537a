//! What the writer does between transactions: old events are deleted, and the log is kept short.

use crate::store::sqlite::checkpointer::Checkpointer;
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::space::{free_bytes, reserve};
use rusqlite::{Connection, params};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Frames that the log has grown by when it is moved into the file beside the writer: when nothing
/// waits, and in any case.
const FRAMES_IDLE: usize = 300;
const FRAMES_BUSY: usize = 1000;
/// Frames that the log has grown by when the writer moves it. While commits follow each other, the
/// log is never moved to its end beside them, and would grow without one. Every login waits until
/// so many pages at most are on the disk, which takes seconds on a slow one.
const FRAMES_MAX: usize = 2000;
/// The same on a disk that is nearly full: so many fit into the room that the log has from its
/// begin, and it takes no more.
const FRAMES_MAX_NEARLY_FULL: usize = 800;
/// With fewer free bytes a disk is nearly full, as `totpd doctor` says.
const NEARLY_FULL: u64 = 256 * 1024 * 1024;
/// Events that are deleted at once.
const TRIM: i64 = 512;
/// Free pages that the file has at least, while there is a disk to take them from.
const FREE_PAGES: i64 = 512;
/// With fewer free bytes the file takes none of them any more.
const ROOM_FOR_PAGES: u64 = 16 * 1024 * 1024;

/// Whether a change waits for the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueueState {
    Empty,
    Waiting,
}

fn delete_oldest(db: &Connection) -> rusqlite::Result<()> {
    let sql = "DELETE FROM history WHERE seq IN (SELECT seq FROM history ORDER BY seq LIMIT ?1)";
    db.execute(sql, params![TRIM]).map(drop)
}

/// What has been written since the last housekeeping.
#[derive(Debug)]
pub(super) struct Housekeeping {
    keep_events: i64,
    /// Events written since old ones were last deleted.
    since_trim: i64,
    /// Frames in the log, as SQLite counts them after each commit.
    frames: Arc<AtomicUsize>,
    /// Frames that were in the log when it was last to be moved, by whom ever.
    requested: usize,
    /// Frames that were in the log when the writer last moved it.
    moved: usize,
    /// Whether events are deleted for want of a disk, which is logged once.
    takes_events: bool,
    checkpointer: Checkpointer,
    failure: Failure,
    state_dir: PathBuf,
}

impl Housekeeping {
    /// Of the writer's connection to a store that keeps so many events.
    ///
    /// # Errors
    /// When the frames cannot be counted.
    pub(super) fn new(
        keep_events: u64,
        db: &mut Connection,
        checkpointer: Checkpointer,
        failure: Failure,
        state_dir: &Path,
    ) -> rusqlite::Result<Self> {
        let keep_events = i64::try_from(keep_events).unwrap_or(i64::MAX);
        let frames = Arc::new(AtomicUsize::new(FRAMES_IDLE));
        let counter = Arc::clone(&frames);
        db.wal_hook(Some(move |_: &mut _, pages| {
            counter.store(usize::try_from(pages).unwrap_or(FRAMES_MAX), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            keep_events,
            since_trim: 0,
            frames,
            requested: 0,
            moved: 0,
            takes_events: false,
            checkpointer,
            failure,
            state_dir: state_dir.to_owned(),
        })
    }

    /// So many changes were committed.
    pub(super) fn wrote(&mut self, changes: usize) {
        self.since_trim += i64::try_from(changes).unwrap_or(TRIM);
    }

    /// Moves the log into the file, or has it moved, when it has grown. Once all of it is moved the
    /// next commit writes at its begin again, unless a reader still uses it.
    fn keep_log_short(&mut self, db: &Connection, queue: QueueState) -> rusqlite::Result<()> {
        let frames = self.frames.load(Ordering::Relaxed);
        if frames < self.requested {
            (self.requested, self.moved) = (0, 0);
        }
        let due = if queue == QueueState::Empty { FRAMES_IDLE } else { FRAMES_BUSY };
        let grown = frames - self.moved;
        let has_room = grown < FRAMES_MAX_NEARLY_FULL || free_bytes(&self.state_dir) >= NEARLY_FULL;
        if grown >= if has_room { FRAMES_MAX } else { FRAMES_MAX_NEARLY_FULL } {
            (self.requested, self.moved) = (frames, frames);
            return self.checkpointer.move_now(db);
        }
        if frames - self.requested >= due {
            self.requested = frames;
            self.checkpointer.request();
        }
        Ok(())
    }

    /// Moves the log into the file on this thread.
    pub(super) fn move_log(&self, db: &Connection) {
        self.allows(self.checkpointer.move_now(db));
    }

    fn allows(&self, done: rusqlite::Result<()>) -> bool {
        self.failure.allows(done, &self.state_dir)
    }

    /// Ends what runs beside the writer.
    pub(super) fn stop(&mut self) {
        self.checkpointer.stop();
    }

    /// Does what is due, up to the first error of the disk.
    pub(super) fn run(&mut self, db: &Connection, queue: QueueState) {
        // Deleting in the same rhythm as writing keeps the file's size.
        if self.since_trim >= TRIM / 4 {
            self.since_trim = 0;
            let kept = self.keep_free_pages(db);
            if !self.allows(kept) || !self.allows(self.trim(db)) {
                return;
            }
        }
        let kept_short = self.keep_log_short(db, queue);
        self.allows(kept_short);
    }

    /// Deletes events beyond those that are to be kept.
    fn trim(&self, db: &Connection) -> rusqlite::Result<()> {
        let sql = "DELETE FROM history WHERE seq IN
                     (SELECT seq FROM history WHERE seq <= (SELECT max(seq) FROM history) - ?1 LIMIT ?2)";
        db.execute(sql, params![self.keep_events, TRIM]).map(drop)
    }

    /// Deletes the oldest events, whatever is to be kept, so that the newest have room.
    pub(super) fn make_room(&self, db: &Connection) {
        if self.allows(delete_oldest(db)) {
            self.move_log(db);
        }
    }

    /// Keeps free pages in the file. Without them it grows, first in the log: on a disk that is
    /// full by then the log can never be moved again, and nobody logs in.
    fn keep_free_pages(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let free: i64 = db.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        if free >= FREE_PAGES {
            return Ok(());
        }
        if free_bytes(&self.state_dir) < ROOM_FOR_PAGES {
            // From the oldest events, as long as there is time for it.
            let is_short = free < FREE_PAGES / 2;
            if is_short && !self.takes_events {
                tracing::warn!(
                    "the disk under {} is nearly full: the oldest events of the history make room for logins. Make \
                     room there",
                    self.state_dir.display()
                );
            }
            self.takes_events |= is_short;
            return if is_short { delete_oldest(db) } else { Ok(()) };
        }
        self.takes_events = false;
        reserve(db, &self.state_dir, || self.checkpointer.move_now(db))
    }
}
