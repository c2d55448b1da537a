//! A look into a store that root replaces. Whoever runs as the daemon's user may have written it: nothing in it is
//! executed, and reading it has an end.

use super::open::{self, OpenError, describe};
use super::withdrawals::kept;
use crate::seal::Sealer;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use totp_core::withdrawal::Entry;

/// Steps of SQLite's machine between two looks at how many there were.
const STEPS: i32 = 10_000;
/// Looks after which it ends: seconds at most. A store's own list takes a thousandth of it.
const LOOKS: u32 = 2_000;

/// The latest withdrawals that a store lists, and its generation, from a copy of it in `folder`.
///
/// # Errors
/// [`OpenError`]: it is no store of this key, or more than a store.
pub fn latest_withdrawals(folder: &Path, sealer: &Sealer) -> Result<Vec<Entry>, OpenError> {
    let file = open::database_file(folder);
    let name = file.display().to_string();
    let failed = |error: rusqlite::Error| OpenError::Sqlite(name.clone(), describe(&error));
    if !open::is_ours(&file) {
        return Err(OpenError::Damaged(name, "not written by totpd".to_owned()));
    }
    let mut db = open::connect(&file, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    let mut looks = 0;
    let too_many = move || {
        looks += 1;
        looks > LOOKS
    };
    db.progress_handler(STEPS, Some(too_many)).map_err(failed)?;
    db.pragma_update(None, "query_only", true).map_err(failed)?;
    if table(&db).map_err(failed)? != as_made()? {
        return Err(OpenError::Damaged(name, "its tables are not those of a store".to_owned()));
    }
    open::check_key(&db, &name, sealer, failed)?;
    kept(&db).map_err(failed)
}

/// What the database says that `meta` is: a view of this name would run what it says.
fn table(db: &Connection) -> rusqlite::Result<(String, String)> {
    let query = "SELECT type, sql FROM sqlite_schema WHERE name = 'meta'";
    db.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// The same of a store that has just been made.
fn as_made() -> Result<(String, String), OpenError> {
    let failed = |error: rusqlite::Error| OpenError::Sqlite("memory".to_owned(), describe(&error));
    let mut db = Connection::open_in_memory().map_err(failed)?;
    open::migrate(&mut db, "memory")?;
    table(&db).map_err(failed)
}
