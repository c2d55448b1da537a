//! A consistent copy of the store, made while it is served.

use super::open::{self, describe};
use super::withdrawals;
use crate::store::{ReadError, Snapshot};
use crate::sync::ignore_poison;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Mutex;

/// The file's name in the state folder. Whoever asked removes it; so does the next copy, and the next start.
pub const SNAPSHOT: &str = "backup.db";

/// Makes the copy. SQLite reads one moment of the store, whatever is written meanwhile.
pub(super) fn take(state_dir: &Path, one_at_a_time: &Mutex<()>) -> Result<Snapshot, ReadError> {
    let _one = ignore_poison(one_at_a_time.lock());
    remove(state_dir);
    let file = state_dir.join(SNAPSHOT);
    let make = || -> rusqlite::Result<Snapshot> {
        let db = open::connect(&open::database_file(state_dir), rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        db.execute("VACUUM INTO ?1", [file.to_string_lossy()])?;
        drop(db);
        let copy = Connection::open(&file)?;
        open::mark(&copy, open::COMPLETE)?;
        let mark = withdrawals::mark(&copy)?;
        drop(copy);
        let size = std::fs::metadata(&file).map_or(0, |metadata| metadata.len());
        Ok(Snapshot { file: SNAPSHOT, size, mark })
    };
    make().map_err(|error| {
        remove(state_dir);
        ReadError(format!("{} cannot be written: {}", file.display(), describe(&error)))
    })
}

/// Removes a copy that is left over.
pub(super) fn remove(state_dir: &Path) {
    for name in [SNAPSHOT, "backup.db-journal"] {
        let _ = std::fs::remove_file(state_dir.join(name));
    }
}

/// Whether every page, index and row of a copy is sound, and its key is the one of `sealer`.
///
/// # Errors
/// [`open::OpenError`], or what is damaged.
pub fn check(folder: &Path, sealer: &crate::seal::Sealer) -> Result<(), open::OpenError> {
    let (db, mine) = open::writer(folder, sealer)?;
    let name = "the copy".to_owned();
    let said: rusqlite::Result<String> = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0));
    match said {
        Ok(said) if said == "ok" => {}
        _ => return Err(open::OpenError::Damaged(name, "its pages are not sound".to_owned())),
    }
    open::close(&db, &mine).map_err(|error| open::OpenError::Sqlite(name, describe(&error)))
}
