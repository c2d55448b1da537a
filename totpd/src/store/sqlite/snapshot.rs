//! A consistent copy of the store, made while it is served.

use crate::seal::Sealer;
use crate::store::copies::Snapshot;
use crate::store::error::{OpenError, ReadError};
use crate::store::files::database_file;
use crate::store::sqlite::connection::{connect, describe};
use crate::store::sqlite::{meta, open, withdrawals};
use crate::sync::ignore_poison;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Mutex;

/// The name of the copy in the state folder. The caller removes it; so do the next copy and the
/// next start.
pub(super) const SNAPSHOT: &str = "backup.db";

/// Makes the copy. SQLite reads one moment of the store, whatever is written meanwhile.
pub(super) fn take(state_dir: &Path, one_at_a_time: &Mutex<()>) -> Result<Snapshot, ReadError> {
    let _one = ignore_poison(one_at_a_time.lock());
    remove(state_dir);
    let file = state_dir.join(SNAPSHOT);
    let make = || -> rusqlite::Result<Snapshot> {
        let db = connect(&database_file(state_dir))?;
        db.execute("VACUUM INTO ?1", [file.to_string_lossy()])?;
        drop(db);
        let copy = Connection::open(&file)?;
        meta::mark(&copy, meta::COMPLETE)?;
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

/// Checks that every page, index and row of a copy is sound, and that its key is the one of
/// `sealer`.
///
/// # Errors
/// [`OpenError`]: what is damaged, or whose key it needs.
pub(in crate::store) fn check_snapshot(folder: &Path, sealer: &Sealer) -> Result<(), OpenError> {
    let (db, mine) = open::writer(folder, sealer)?;
    let name = "the copy".to_owned();
    let said: rusqlite::Result<String> = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0));
    match said {
        Ok(said) if said == "ok" => {}
        _ => return Err(OpenError::Damaged(name, "its pages are not sound".to_owned())),
    }
    meta::close(&db, &mine).map_err(|error| OpenError::Database(name, describe(&error)))
}
