//! The schema of a database: its migrations, and the header by which a file is known as ours.

use crate::store::error::OpenError;
use crate::store::sqlite::connection::describe;
use refinery::embed_migrations;
use rusqlite::{Connection, ErrorCode};
use std::path::Path;

embed_migrations!("src/store/sqlite/migrations");

/// "totp" in ASCII: `PRAGMA application_id` of our files.
const APPLICATION_ID: i32 = 0x746f_7470;

/// Marks a new database as ours.
pub(super) fn claim(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "application_id", APPLICATION_ID)
}

/// Says whether the file's header is that of a database of ours. Read without SQLite, which would
/// already change a file of another program.
pub(super) fn is_ours(file: &Path) -> bool {
    let mut header = [0; 100];
    let read = std::fs::File::open(file).and_then(|mut f| std::io::Read::read_exact(&mut f, &mut header));
    let (magic, rest) = header.split_at(16);
    read.is_ok() && magic == b"SQLite format 3\0" && rest.get(52..56) == Some(&APPLICATION_ID.to_be_bytes())
}

/// Brings the database to this release's schema. `name` names it in errors.
///
/// # Errors
/// [`OpenError::Newer`] when a newer release wrote it, or SQLite's error.
pub(super) fn migrate(db: &mut Connection, name: &str) -> Result<(), OpenError> {
    let runner = migrations::runner();
    let known = runner.get_migrations().iter().map(refinery::Migration::version).max().unwrap_or(0);
    let failed = |error: refinery::Error| OpenError::Database(name.to_owned(), error.to_string());
    let any: i64 = db
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'refinery_schema_history'", [], |r| {
            r.get(0)
        })
        .map_err(|e| OpenError::Database(name.to_owned(), describe(&e)))?;
    let applied = match any {
        0 => 0,
        _ => runner.get_last_applied_migration(db).map_err(failed)?.map_or(0, |m| m.version()),
    };
    let (known, applied) = (i64::from(known), i64::from(applied));
    if applied > known {
        return Err(OpenError::Newer(name.to_owned(), applied, known));
    }
    if applied < known {
        runner.run(db).map_err(failed)?;
    }
    write_header(db, known, name)
}

/// Writes the version into the file's header, where a package's preinst reads it without SQLite and
/// without this program.
fn write_header(db: &Connection, known: i64, name: &str) -> Result<(), OpenError> {
    let failed = |error| OpenError::Database(name.to_owned(), describe(&error));
    let in_header: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    if in_header >= known {
        return Ok(());
    }
    match db.pragma_update(None, "user_version", known) {
        // Logins go on while the disk is full; the next start writes it.
        Err(error) if error.sqlite_error_code() != Some(ErrorCode::DiskFull) => Err(failed(error)),
        _ => Ok(()),
    }
}
