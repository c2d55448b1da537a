//! What the writer does between transactions: old events are deleted, and the log is moved into the
//! file.

use crate::store::sqlite::space::checkpoint;
use rusqlite::{Connection, params};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Frames that the log has grown by when it is moved into the file: when nothing waits, and in any
/// case. Moving it takes two syncs, for which every login waits.
const FRAMES_IDLE: usize = 300;
const FRAMES_MAX: usize = 800;
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
    /// Frames that were in the log when it was last moved.
    moved: usize,
}

impl Housekeeping {
    /// Of the writer's connection to a store that keeps so many events.
    ///
    /// # Errors
    /// When the frames cannot be counted.
    pub(super) fn new(keep_events: u64, db: &mut Connection) -> rusqlite::Result<Self> {
        let keep_events = i64::try_from(keep_events).unwrap_or(i64::MAX);
        let frames = Arc::new(AtomicUsize::new(FRAMES_IDLE));
        let counter = Arc::clone(&frames);
        db.wal_hook(Some(move |_: &mut _, pages| {
            counter.store(usize::try_from(pages).unwrap_or(FRAMES_MAX), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { keep_events, since_trim: 0, frames, moved: 0 })
    }

    /// So many changes were committed.
    pub(super) fn wrote(&mut self, changes: usize) {
        self.since_trim += i64::try_from(changes).unwrap_or(TRIM);
    }

    /// Frames that the log has grown by since it was last moved. The next commit writes at its
    /// begin again, unless a reader still uses it.
    fn grown(&mut self) -> usize {
        let frames = self.frames.load(Ordering::Relaxed);
        if frames < self.moved {
            self.moved = 0;
        }
        frames - self.moved
    }

    /// Does what is due, and returns how each part of it ended. The write-ahead log is moved into
    /// the file when nothing waits, or when it has grown long.
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
        let mut moved = Ok(());
        let grown = self.grown();
        if (queue == QueueState::Empty && grown >= FRAMES_IDLE) || grown >= FRAMES_MAX {
            self.moved += grown;
            moved = checkpoint(db);
        }
        [trimmed, moved]
    }

    /// Deletes the oldest events, whatever is to be kept, so that the newest have room. Returns how
    /// each part of it ended.
    pub(super) fn make_room(db: &Connection) -> [rusqlite::Result<()>; 3] {
        let moved = checkpoint(db);
        let deleted = db.execute(
            "DELETE FROM history WHERE seq IN (SELECT seq FROM history ORDER BY seq LIMIT ?1)",
            params![TRIM],
        );
        [moved, deleted.map(drop), checkpoint(db)]
    }
}
