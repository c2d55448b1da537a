//! What the writer does between transactions: old events are deleted, and the log is moved into the
//! file.

use crate::store::sqlite::space::checkpoint;
use rusqlite::{Connection, params};

/// Frames in the log after which it is moved into the file: when nothing waits, and in any case.
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
    /// Frames in the log since it was last moved.
    frames: usize,
}

impl Housekeeping {
    /// Of a store that keeps so many events.
    pub(super) fn new(keep_events: u64) -> Self {
        let keep_events = i64::try_from(keep_events).unwrap_or(i64::MAX);
        Self { keep_events, since_trim: 0, frames: FRAMES_IDLE }
    }

    /// So many changes were committed.
    pub(super) fn wrote(&mut self, changes: usize) {
        self.since_trim += i64::try_from(changes).unwrap_or(TRIM);
        self.frames += 4 * changes;
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
        if (queue == QueueState::Empty && self.frames >= FRAMES_IDLE) || self.frames >= FRAMES_MAX {
            self.frames = 0;
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
