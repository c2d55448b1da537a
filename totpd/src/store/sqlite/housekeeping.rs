//! What the writer does between transactions: old events are deleted, and the log is kept short.

use crate::store::sqlite::checkpointer::Checkpointer;
use crate::store::sqlite::space::free_bytes;
use rusqlite::{Connection, params};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Frames that the log has grown by when it is moved into the file beside the writer: when nothing
/// waits, and in any case.
const FRAMES_IDLE: usize = 300;
const FRAMES_BUSY: usize = 2000;
/// Frames that the log has grown by when the writer moves it. While commits follow each other, the
/// log is never moved to its end beside them, and would grow without one.
const FRAMES_MAX: usize = 6000;
/// The same on a disk that is nearly full: so many fit into the room that the log has from its
/// begin, and it takes no more.
const FRAMES_MAX_NEARLY_FULL: usize = 800;
/// With fewer free bytes a disk is nearly full, as `totpd doctor` says.
const NEARLY_FULL: u64 = 256 * 1024 * 1024;
/// Events that are deleted at once.
const TRIM: i64 = 512;

/// Whether a change waits for the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueueState {
    Empty,
    Waiting,
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
    checkpointer: Checkpointer,
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
            checkpointer,
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
            return self.move_log(db);
        }
        if frames - self.requested >= due {
            self.requested = frames;
            self.checkpointer.request();
        }
        Ok(())
    }

    /// Moves the log into the file on this thread.
    pub(super) fn move_log(&self, db: &Connection) -> rusqlite::Result<()> {
        self.checkpointer.move_now(db)
    }

    /// Ends what runs beside the writer.
    pub(super) fn stop(&mut self) {
        self.checkpointer.stop();
    }

    /// Does what is due, and returns how each part of it ended.
    pub(super) fn run(&mut self, db: &Connection, queue: QueueState) -> [rusqlite::Result<()>; 2] {
        // Deleting in the same rhythm as writing keeps the file's size.
        let mut trimmed = Ok(());
        if self.since_trim >= TRIM / 4 {
            self.since_trim = 0;
            let deleted = db.execute(
                "DELETE FROM history WHERE seq IN
                   (SELECT seq FROM history WHERE seq <= (SELECT max(seq) FROM history) - ?1 LIMIT ?2)",
                params![self.keep_events, TRIM],
            );
            trimmed = deleted.map(drop);
        }
        [trimmed, self.keep_log_short(db, queue)]
    }

    /// Deletes the oldest events, whatever is to be kept, so that the newest have room. Returns how
    /// each part of it ended.
    pub(super) fn make_room(&self, db: &Connection) -> [rusqlite::Result<()>; 3] {
        let moved = self.move_log(db);
        let deleted = db.execute(
            "DELETE FROM history WHERE seq IN (SELECT seq FROM history ORDER BY seq LIMIT ?1)",
            params![TRIM],
        );
        [moved, deleted.map(drop), self.move_log(db)]
    }
}
