//! Making a database, and opening one: never amnesia. `create` alone makes files; opening refuses anything
//! that is missing, empty, damaged, newer, or another store's.

use crate::os_random::Kernel;
use crate::permission::{self, Want, Who};
use crate::seal::Sealer;
use nix::errno::Errno;
use nix::unistd::AccessFlags;
use refinery::embed_migrations;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use std::path::{Path, PathBuf};
use std::time::Duration;
use totp_core::random;

embed_migrations!("src/store/sqlite/migrations");

/// "totp" in ASCII: `PRAGMA application_id` of our files.
const APPLICATION_ID: i32 = 0x746f_7470;
/// `meta.state` of a file that holds everything, with or without a log.
pub(super) const COMPLETE: &str = "complete";
/// `meta.state` of a file that is worth nothing without its log; followed by whose it is.
const IN_USE: &str = "in-use";
/// Bytes of the log, and of free pages in the file, that exist before the disk is full.
const WORKING_SIZE: i64 = 4 * 1024 * 1024;

/// Why a store cannot be opened or made; the text says what to look at.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing is there.
    #[error(
        "{0} holds no store (totpd.db). Is the state folder mounted? Nobody is let in without it. If this \
         host was never set up, run `{1}`"
    )]
    Missing(String, String),
    /// The file is there and empty.
    #[error("{0} is empty. Put the store back from its backup; totpd never starts over by itself")]
    Empty(String),
    /// Its log is gone.
    #[error(
        "{0} was in use when it was last written, and its log ({0}-wal) is missing: without it used codes \
         would be fresh again. Put the whole state folder back as it was, or a backup from an orderly stop"
    )]
    LogMissing(String),
    /// This process may not use it; the text says why and what to do.
    #[error("{0}")]
    Denied(String),
    /// It is no database of ours, or a damaged one.
    #[error("{0} is damaged or no store of totpd ({1}). It was left as it is; put it back from its backup")]
    Damaged(String, String),
    /// Store, key and configuration are not of one kind.
    #[error(
        "{0} is store {1}, but the key belongs to store {2}. Is another state folder mounted, or an old key \
         in place?"
    )]
    OtherStore(String, String, String),
    /// The key has the store's id and does not open it.
    #[error("the key does not open {0}: it was sealed with another key")]
    OtherKey(String),
    /// A newer release wrote it.
    #[error("{0} was written by a newer totpd (schema {1}, this one knows {2}). Install that release again")]
    Newer(String, i64, i64),
    /// It is older than its witness says, and not everything that it lacks is known.
    #[error(
        "{0} is older than this host's store was: {1}. Put the newer store back, or take this one as it is: \
         `totpd restore --accept`"
    )]
    Older(String, String),
    /// There is a store already.
    #[error("{0} exists already; `totpd init` never overwrites a store")]
    Exists(String),
    /// The file system said no.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    /// SQLite said no.
    #[error("{0}: {1}")]
    Sqlite(String, String),
    /// No thread could be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// The database in a state folder.
pub fn database_file(state_dir: &Path) -> PathBuf {
    state_dir.join("totpd.db")
}

/// SQLite's own words, without any of the data.
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

/// Makes an empty store in `state_dir`.
///
/// # Errors
/// [`OpenError::Exists`], or what the file system said.
pub fn create(state_dir: &Path, sealer: &Sealer) -> Result<(), OpenError> {
    let file = database_file(state_dir);
    let name = file.display().to_string();
    let failed = |error: rusqlite::Error| OpenError::Sqlite(name.clone(), describe(&error));
    std::fs::File::create_new(&file).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => OpenError::Exists(name.clone()),
        _ => OpenError::Io(name.clone(), error),
    })?;
    let mut db = connect(&file, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    db.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    migrate(&mut db, &name)?;
    let check = sealer.seal_check().map_err(|e| OpenError::Sqlite(name.clone(), e.to_string()))?;
    for (key, value) in [("store_id", sealer.store_id()), ("key_check", &check)] {
        db.execute("INSERT INTO meta (key, value) VALUES (?1, ?2)", params![key, value]).map_err(failed)?;
    }
    mark(&db, COMPLETE).and_then(|()| checkpoint(&db)).map_err(failed)
}

/// Marks the file as complete without its log, and makes it so; unless another process has opened it since,
/// whose log it now needs.
pub(super) fn close(db: &Connection, mine: &str) -> rusqlite::Result<()> {
    db.execute("UPDATE meta SET value = ?1 WHERE key = 'state' AND value = ?2", params![COMPLETE, mine])?;
    checkpoint(db)
}

pub(super) fn mark(db: &Connection, state: &str) -> rusqlite::Result<()> {
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('state', ?1)", [state])?;
    Ok(())
}

/// Whether the file's header is that of a database of ours. Read without SQLite, which would already change
/// somebody else's.
pub(super) fn is_ours(file: &Path) -> bool {
    let mut header = [0; 100];
    let read = std::fs::File::open(file).and_then(|mut f| std::io::Read::read_exact(&mut f, &mut header));
    let (magic, rest) = header.split_at(16);
    read.is_ok() && magic == b"SQLite format 3\0" && rest.get(52..56) == Some(&APPLICATION_ID.to_be_bytes())
}

/// The connection of the writer, after every check, and the mark by which it holds the file.
pub(super) fn writer(state_dir: &Path, sealer: &Sealer) -> Result<(Connection, String), OpenError> {
    let file = database_file(state_dir);
    let name = file.display().to_string();
    let metadata = std::fs::metadata(&file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            OpenError::Missing(state_dir.display().to_string(), crate::units::init_command())
        }
        _ => denied(&file, &error, Want::Write),
    })?;
    check_access(state_dir)?;
    if metadata.len() == 0 {
        return Err(OpenError::Empty(name));
    }
    let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenError::Damaged(name.clone(), describe(&error))
        }
        _ => OpenError::Sqlite(name.clone(), describe(&error)),
    };
    if !is_ours(&file) {
        return Err(OpenError::Damaged(name, "not written by totpd".to_owned()));
    }
    let had_log = state_dir.join("totpd.db-wal").exists();
    let mut db = connect(&file, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    migrate(&mut db, &name)?;
    check_key(&db, &name, sealer, failed)?;
    let state = meta(&db, "state").map_err(failed)?;
    if state != COMPLETE && !had_log {
        // The empty log that opening has just made would let the next start pass.
        drop(db);
        let _ = std::fs::remove_file(state_dir.join("totpd.db-wal"));
        return Err(OpenError::LogMissing(name));
    }
    // From here on the log belongs to the file: that is written where a lost log cannot take it along.
    let token: [u8; 8] =
        random::bytes(&mut Kernel).map_err(|e| OpenError::Sqlite(name.clone(), e.to_string()))?;
    let mine = format!("{IN_USE} {:016x}", u64::from_be_bytes(token));
    let marked = mark(&db, &mine).and_then(|()| checkpoint(&db));
    match marked {
        Err(error) if error.sqlite_error_code() != Some(ErrorCode::DiskFull) => Err(failed(error)),
        _ => Ok((db, mine)),
    }
}

fn denied(path: &Path, error: &std::io::Error, want: Want) -> OpenError {
    OpenError::Denied(permission::explain(path, error, &Who::me(), want))
}

/// Asks the file system before SQLite does, whose errors name no file: that the folder can be written, and what is in it.
fn check_access(state_dir: &Path) -> Result<(), OpenError> {
    let file = database_file(state_dir);
    for name in [state_dir.to_owned(), file.clone(), beside(&file, "-wal"), beside(&file, "-shm")] {
        match nix::unistd::access(&name, AccessFlags::R_OK | AccessFlags::W_OK) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(denied(&name, &errno.into(), Want::Write)),
        }
    }
    Ok(())
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn meta(db: &Connection, key: &str) -> rusqlite::Result<String> {
    db.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))
}

/// Whether the store is the one of this key.
pub(super) fn check_key(
    db: &Connection,
    name: &str,
    sealer: &Sealer,
    failed: impl Fn(rusqlite::Error) -> OpenError,
) -> Result<(), OpenError> {
    let store_id = meta(db, "store_id").map_err(&failed)?;
    if store_id != sealer.store_id() {
        return Err(OpenError::OtherStore(name.to_owned(), store_id, sealer.store_id().to_owned()));
    }
    let check = meta(db, "key_check").map_err(&failed)?;
    if sealer.opens_check(&check) { Ok(()) } else { Err(OpenError::OtherKey(name.to_owned())) }
}

/// The latest granted code of a phone, in Unix seconds. A value that cannot be read is none.
pub(super) fn latest_grant(db: &Connection, state_dir: &Path) -> Result<u64, OpenError> {
    let read =
        db.query_row("SELECT value FROM meta WHERE key = 'latest_grant'", [], |row| row.get::<_, String>(0));
    match read {
        Ok(value) => Ok(value.parse().unwrap_or(0)),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(0),
        Err(error) => {
            Err(OpenError::Sqlite(database_file(state_dir).display().to_string(), describe(&error)))
        }
    }
}

/// A connection that only reads.
pub(super) fn reader(state_dir: &Path) -> Result<Connection, OpenError> {
    let file = database_file(state_dir);
    let failed = |error: rusqlite::Error| OpenError::Sqlite(file.display().to_string(), describe(&error));
    let db = connect(&file, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    db.pragma_update(None, "query_only", true).map_err(failed)?;
    Ok(db)
}

/// The pragmas of every connection. NO_CKPT_ON_CLOSE keeps the log at its working size over a restart, so
/// that a daemon can start on a full disk.
pub(super) fn connect(file: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
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

pub(super) fn migrate(db: &mut Connection, name: &str) -> Result<(), OpenError> {
    let runner = migrations::runner();
    let known = runner.get_migrations().iter().map(refinery::Migration::version).max().unwrap_or(0);
    let failed = |error: refinery::Error| OpenError::Sqlite(name.to_owned(), error.to_string());
    let any: i64 = db
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'refinery_schema_history'", [], |r| {
            r.get(0)
        })
        .map_err(|e| OpenError::Sqlite(name.to_owned(), describe(&e)))?;
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
    // In the file's header, where a package's preinst reads it without SQLite and without this program.
    let failed = |error| OpenError::Sqlite(name.to_owned(), describe(&error));
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

/// Makes room ahead: the log gets its working size, and the file free pages, while there is a disk to take
/// them from. Zeros are written, stored, and given back to the file's own free list.
pub(super) fn reserve(db: &Connection, state_dir: &Path) -> rusqlite::Result<()> {
    let pragma = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let free = pragma("freelist_count")? * pragma("page_size")?;
    let log = std::fs::metadata(state_dir.join("totpd.db-wal"))
        .map_or(0, |m| i64::try_from(m.len()).unwrap_or(i64::MAX));
    if free >= WORKING_SIZE / 2 && log >= WORKING_SIZE {
        return Ok(());
    }
    db.execute_batch("DROP TABLE IF EXISTS ballast; CREATE TABLE ballast (zeros BLOB) STRICT;")?;
    db.execute("INSERT INTO ballast VALUES (zeroblob(?1))", [WORKING_SIZE])?;
    checkpoint(db)?;
    db.execute_batch("DROP TABLE ballast;")?;
    checkpoint(db)
}

/// Moves the log into the file as far as readers let it; the log keeps its size.
pub(super) fn checkpoint(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}
