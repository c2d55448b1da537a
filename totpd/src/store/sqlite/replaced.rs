//! Reads a store that root replaces. Anyone who runs as the daemon's user may have written it:
//! nothing in it is executed, and reading it has an end.

use crate::seal::Sealer;
use crate::store::error::OpenError;
use crate::store::files::database_file;
use crate::store::sqlite::connection::{connect, describe};
use crate::store::sqlite::meta::check_key;
use crate::store::sqlite::schema::{is_ours, migrate};
use crate::store::sqlite::withdrawals::kept;
use rusqlite::Connection;
use std::path::Path;
use totp_core::withdrawal::Entry;

/// SQLite's steps between two checks.
const STEPS: i32 = 10_000;
/// Checks after which reading ends: seconds at most. A store's own list takes a thousandth of it.
const MAX_CHECKS: u32 = 2_000;

/// The latest withdrawals that a store lists, and its generation, from a copy of it in `folder`.
///
/// # Errors
/// [`OpenError`]: it is not a store of this key, or more than a store.
pub(in crate::store) fn latest_withdrawals(folder: &Path, sealer: &Sealer) -> Result<Vec<Entry>, OpenError> {
    let file = database_file(folder);
    let name = file.display().to_string();
    let failed = |error: rusqlite::Error| OpenError::Database(name.clone(), describe(&error));
    if !is_ours(&file) {
        return Err(OpenError::Damaged(name, "not written by totpd".to_owned()));
    }
    let mut db = connect(&file).map_err(failed)?;
    let mut checks = 0;
    let too_many = move || {
        checks += 1;
        checks > MAX_CHECKS
    };
    db.progress_handler(STEPS, Some(too_many)).map_err(failed)?;
    db.pragma_update(None, "query_only", true).map_err(failed)?;
    if meta_table(&db).map_err(failed)? != new_meta_table()? {
        return Err(OpenError::Damaged(name, "its tables are not those of a store".to_owned()));
    }
    check_key(&db, &name, sealer, failed)?;
    kept(&db).map_err(failed)
}

/// The type and the definition of `meta`: a view of this name would run what it says.
fn meta_table(db: &Connection) -> rusqlite::Result<(String, String)> {
    let query = "SELECT type, sql FROM sqlite_schema WHERE name = 'meta'";
    db.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// The type and the definition of `meta` in a new store.
fn new_meta_table() -> Result<(String, String), OpenError> {
    let failed = |error: rusqlite::Error| OpenError::Database("memory".to_owned(), describe(&error));
    let mut db = Connection::open_in_memory().map_err(failed)?;
    migrate(&mut db, "memory")?;
    meta_table(&db).map_err(failed)
}
