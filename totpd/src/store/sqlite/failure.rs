//! The end of a store that has failed: everything is refused until a fresh process opens it.

use crate::store::Health;
use crate::store::sqlite::connection::describe;
use rusqlite::ErrorCode;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Why a transaction was not committed. It was rolled back, unless it broke.
pub(super) enum WriteError {
    /// There is no room.
    Full,
    /// Another process holds the write lock for too long.
    Contended,
    /// An I/O error or worse.
    Broken(String),
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Contended,
            _ => Self::Broken(describe(&error)),
        }
    }
}

/// Whether a store has failed. Everything that belongs to one store shares it.
#[derive(Clone, Debug, Default)]
pub(super) struct Failure(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Why everything is refused: the first failure.
    why: OnceLock<String>,
    /// A write failed, first or later: what is in the files is not known.
    write_failed: AtomicBool,
}

impl Failure {
    /// A write to the files in `state_dir` failed, and what is in them is not known. Logs it, and
    /// returns the reason that stays.
    pub(super) fn of_write(&self, why: &str, state_dir: &Path) -> String {
        self.0.write_failed.store(true, Ordering::Release);
        self.set(format!(
            "the store failed while writing ({why}) and refuses everything until totpd is restarted; look \
             at the disk under {}",
            state_dir.display()
        ))
    }

    /// Whether writing may go on after this. An I/O error is one of the store in `state_dir`, and
    /// nothing may be written after it; a full disk and a lock that another process holds are not.
    pub(super) fn allows(&self, done: rusqlite::Result<()>, state_dir: &Path) -> bool {
        let Err(WriteError::Broken(why)) = done.map_err(WriteError::from) else { return true };
        let _ = self.of_write(&why, state_dir);
        false
    }

    /// The files were moved away or replaced; what was written to them is whole where they are now.
    pub(super) fn files_moved(&self, why: String) {
        let _ = self.set(why);
    }

    fn set(&self, why: String) -> String {
        tracing::error!("{why}");
        self.0.why.get_or_init(|| why).clone()
    }

    /// Why everything is refused, once it is.
    pub(super) fn reason(&self) -> Option<String> {
        self.0.why.get().cloned()
    }

    /// Whether the files can be marked as complete: nothing failed while they were written.
    pub(super) fn files_are_whole(&self) -> bool {
        !self.0.write_failed.load(Ordering::Acquire)
    }

    /// The same as the store's health.
    pub(super) fn health(&self) -> Health {
        self.reason().map_or(Health::Serving, Health::Failed)
    }
}
