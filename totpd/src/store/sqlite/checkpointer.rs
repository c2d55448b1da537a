//! Moves the write-ahead log into the file beside the writer, so that no login waits for the syncs
//! of it. SQLite calls that a checkpoint (<https://sqlite.org/wal.html#ckpt>): a passive one holds
//! up no commit.
//!
//! While commits follow each other it never moves the log to its end, and then SQLite does not sync
//! the file. The writer does both, when the log has grown long. Syncing the file here instead was
//! tried: it made each login beside it slower, and not one of hundreds.

use crate::store::error::OpenError;
use crate::store::sqlite::connection;
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::space::checkpoint;
use crate::sync::ignore_poison;
use rusqlite::Connection;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The thread that moves the log, with a connection of its own. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Checkpointer {
    requests: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Held while the log is moved: SQLite skips it where another connection does it.
    moving: Arc<Mutex<()>>,
    failure: Failure,
}

impl Checkpointer {
    /// Starts the thread. An I/O error there is one of the store.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(super) fn start(state_dir: &Path, failure: Failure) -> Result<Self, OpenError> {
        let db = connection::reader(state_dir)?;
        let (requests, requested) = sync_channel(1);
        let moving = Arc::<Mutex<()>>::default();
        let (held, state_dir, failed) = (Arc::clone(&moving), state_dir.to_owned(), failure.clone());
        let run = move || {
            for () in requested {
                let _one = ignore_poison(held.lock());
                if failed.reason().is_some() {
                    continue;
                }
                // One that is full or busy is tried again by the next request.
                failed.allows(checkpoint(&db), &state_dir);
            }
        };
        let thread = std::thread::Builder::new().name("store-checkpoint".into()).spawn(run);
        let thread = Some(thread.map_err(OpenError::Thread)?);
        Ok(Self { requests: Some(requests), thread, moving, failure })
    }

    /// Has the log moved soon. Does not wait.
    pub(super) fn request(&self) {
        if let Some(requests) = &self.requests {
            // One that waits already does for both.
            let _ = requests.try_send(());
        }
    }

    /// Moves the log on this thread and connection. Does nothing once the store has failed: after
    /// an error of a sync the next one succeeds, and what it was to write is lost.
    pub(super) fn move_now(&self, db: &Connection) -> rusqlite::Result<()> {
        let _one = ignore_poison(self.moving.lock());
        if self.failure.reason().is_some() { Ok(()) } else { checkpoint(db) }
    }

    /// Ends the thread, and waits for what it does.
    pub(super) fn stop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop();
    }
}
