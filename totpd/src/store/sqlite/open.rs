//! Makes a database, and opens one. `create` alone makes files; opening refuses anything that is
//! missing, empty, damaged, newer, or another store's.

use crate::os_random::Kernel;
use crate::permission::{self, Access, Credentials};
use crate::seal::Sealer;
use crate::store::error::OpenError;
use crate::store::files::{database_file, log_file, shared_memory_file};
use crate::store::sqlite::connection::{connect, describe};
use crate::store::sqlite::meta::{self, COMPLETE, IN_USE, check_key};
use crate::store::sqlite::schema::{self, migrate};
use crate::store::sqlite::space::checkpoint;
use nix::errno::Errno;
use nix::unistd::AccessFlags;
use rusqlite::{Connection, ErrorCode};
use std::path::Path;
use totp_core::random;

/// The first SQLite in which a log that is moved on one connection loses nothing that another one
/// commits (<https://sqlite.org/wal.html#walresetbug>).
const FIRST_SQLITE: i32 = 3_051_003;

/// Makes an empty store in `state_dir`.
///
/// # Errors
/// [`OpenError::Exists`], or what the file system said.
pub(in crate::store) fn create(state_dir: &Path, sealer: &Sealer) -> Result<(), OpenError> {
    let file = database_file(state_dir);
    let name = file.display().to_string();
    let failed = |error: rusqlite::Error| OpenError::Database(name.clone(), describe(&error));
    std::fs::File::create_new(&file).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => OpenError::Exists(name.clone()),
        _ => OpenError::Io(name.clone(), error),
    })?;
    let mut db = connect(&file).map_err(failed)?;
    schema::claim(&db).map_err(failed)?;
    migrate(&mut db, &name)?;
    let check = sealer.seal_check().map_err(|e| OpenError::Database(name.clone(), e.to_string()))?;
    for (key, value) in [("store_id", sealer.store_id()), ("key_check", &check)] {
        meta::set(&db, key, value).map_err(failed)?;
    }
    meta::mark(&db, COMPLETE).and_then(|()| checkpoint(&db)).map_err(failed)
}

/// Opens the connection of the writer, after every check, and returns it with the mark by which
/// this process holds the file.
pub(super) fn writer(state_dir: &Path, sealer: &Sealer) -> Result<(Connection, String), OpenError> {
    let file = database_file(state_dir);
    let name = file.display().to_string();
    let metadata = std::fs::metadata(&file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            OpenError::Missing(state_dir.display().to_string(), crate::units::init_command())
        }
        _ => denied(&file, &error, Access::Write),
    })?;
    check_access(state_dir)?;
    if metadata.len() == 0 {
        return Err(OpenError::Empty(name));
    }
    let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenError::Damaged(name.clone(), describe(&error))
        }
        _ => OpenError::Database(name.clone(), describe(&error)),
    };
    if !schema::is_ours(&file) {
        return Err(OpenError::Damaged(name, "not written by totpd".to_owned()));
    }
    if rusqlite::version_number() < FIRST_SQLITE {
        let why = format!(
            "SQLite {} may lose commits. Build totpd with its own (3.51.3 or later)",
            rusqlite::version()
        );
        return Err(OpenError::Database(name, why));
    }
    let had_log = log_file(state_dir).exists();
    let mut db = connect(&file).map_err(failed)?;
    migrate(&mut db, &name)?;
    check_key(&db, &name, sealer, failed)?;
    let state = meta::require(&db, "state").map_err(failed)?;
    if state != COMPLETE && !had_log {
        // The empty log that opening has just made would let the next start pass.
        drop(db);
        let _ = std::fs::remove_file(log_file(state_dir));
        return Err(OpenError::LogMissing(name));
    }
    // From here on the log belongs to the file. The file says so, where a lost log cannot take it
    // along.
    let token: [u8; 8] =
        random::bytes(&mut Kernel).map_err(|e| OpenError::Database(name.clone(), e.to_string()))?;
    let mine = format!("{IN_USE} {:016x}", u64::from_be_bytes(token));
    let marked = meta::mark(&db, &mine).and_then(|()| checkpoint(&db));
    match marked {
        Err(error) if error.sqlite_error_code() != Some(ErrorCode::DiskFull) => Err(failed(error)),
        _ => Ok((db, mine)),
    }
}

fn denied(path: &Path, error: &std::io::Error, access: Access) -> OpenError {
    OpenError::Denied(permission::explain(path, error, &Credentials::of_process(), access))
}

/// Asks the file system before SQLite does, whose errors name no file: whether the folder and the
/// files in it can be written.
fn check_access(state_dir: &Path) -> Result<(), OpenError> {
    let files = [database_file(state_dir), log_file(state_dir), shared_memory_file(state_dir)];
    for name in [state_dir.to_owned()].into_iter().chain(files) {
        match nix::unistd::access(&name, AccessFlags::R_OK | AccessFlags::W_OK) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(denied(&name, &errno.into(), Access::Write)),
        }
    }
    Ok(())
}
