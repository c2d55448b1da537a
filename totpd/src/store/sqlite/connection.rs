//! Connections to a database, and what each of them sets.

use crate::store::error::OpenError;
use crate::store::files::database_file;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// Opens a connection with the pragmas of every connection. It makes no file.
///
/// `NO_CKPT_ON_CLOSE` keeps the log at its working size over a restart, so that a daemon can start
/// on a full disk.
pub(super) fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(file, flags)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    for (pragma, value) in [
        ("synchronous", "FULL"),
        ("secure_delete", "ON"),
        ("trusted_schema", "OFF"),
        ("cell_size_check", "ON"),
        ("foreign_keys", "ON"),
        ("temp_store", "MEMORY"),
        ("wal_autocheckpoint", "0"),
        ("cache_size", "-512"),
    ] {
        db.pragma_update(None, pragma, value)?;
    }
    Ok(db)
}

/// Opens a connection that only reads. It can also move the log into the file, which changes
/// nothing that a query sees (<https://sqlite.org/pragma.html#pragma_query_only>).
pub(super) fn reader(state_dir: &Path) -> Result<Connection, OpenError> {
    let file = database_file(state_dir);
    let failed = |error: rusqlite::Error| OpenError::Database(file.display().to_string(), describe(&error));
    let db = connect(&file).map_err(failed)?;
    db.pragma_update(None, "query_only", true).map_err(failed)?;
    Ok(db)
}

/// SQLite's own words for an error, without any of the data.
pub(super) fn describe(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(code, _) if code.code == ErrorCode::OperationInterrupted => {
            "it took too long".to_owned()
        }
        rusqlite::Error::SqliteFailure(code, _) => code.to_string(),
        rusqlite::Error::InvalidQuery => "a record cannot be read".to_owned(),
        _ => "the database answered nonsense".to_owned(),
    }
}
