//! The `meta` table: single values, and whose the file is at this moment.

use crate::seal::Sealer;
use crate::store::copy::another_store;
use crate::store::error::OpenError;
use crate::store::files::database_file;
use crate::store::sqlite::connection::describe;
use crate::store::sqlite::space::checkpoint;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;

/// `state` of a file that holds everything, with or without a log.
pub(super) const COMPLETE: &str = "complete";
/// `state` of a file that is worth nothing without its log. The mark of its process follows.
pub(super) const IN_USE: &str = "in-use";

/// The value of a key that may be missing.
pub(super) fn get(db: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    let mut statement = db.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    statement.query_row([key], |row| row.get(0)).optional()
}

/// The value of a key that every store has.
pub(super) fn require(db: &Connection, key: &str) -> rusqlite::Result<String> {
    db.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))
}

/// Sets a value.
pub(super) fn set(db: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?.execute([key, value])?;
    Ok(())
}

/// Sets whose the file is.
pub(super) fn mark(db: &Connection, state: &str) -> rusqlite::Result<()> {
    set(db, "state", state)
}

/// Marks the file as complete without its log, and makes it so; unless another process has opened
/// it since, whose log it now needs. `mine` is the mark by which this process holds it.
pub(super) fn close(db: &Connection, mine: &str) -> rusqlite::Result<()> {
    db.execute("UPDATE meta SET value = ?1 WHERE key = 'state' AND value = ?2", params![COMPLETE, mine])?;
    checkpoint(db)
}

/// Checks that the store is the one of this key.
pub(super) fn check_key(
    db: &Connection,
    name: &str,
    sealer: &Sealer,
    failed: impl Fn(rusqlite::Error) -> OpenError,
) -> Result<(), OpenError> {
    let store_id = require(db, "store_id").map_err(&failed)?;
    if store_id != sealer.store_id() {
        return Err(another_store(name, store_id, sealer.store_id()));
    }
    let check = require(db, "key_check").map_err(&failed)?;
    if sealer.opens_check(&check) { Ok(()) } else { Err(OpenError::OtherKey(name.to_owned())) }
}

/// The latest granted code of a phone, in Unix seconds. A value that cannot be read is 0.
pub(super) fn latest_grant(db: &Connection, state_dir: &Path) -> Result<u64, OpenError> {
    match get(db, "latest_grant") {
        Ok(value) => Ok(value.and_then(|value| value.parse().ok()).unwrap_or(0)),
        Err(error) => {
            Err(OpenError::Database(database_file(state_dir).display().to_string(), describe(&error)))
        }
    }
}
