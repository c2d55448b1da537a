//! The room that a database has on its disk: made ahead, so that logins go on when the disk is
//! full.

use crate::store::files::log_file;
use rusqlite::Connection;
use std::path::Path;

/// Bytes of the log, and of free pages in the file, that exist before the disk is full.
const WORKING_SIZE: i64 = 4 * 1024 * 1024;

/// Makes room ahead: the log gets its working size, and the file free pages, while there is a disk
/// to take them from. Zeros are written, stored, and given back to the file's own free list.
/// `move_log` moves the log into the file.
pub(super) fn reserve(
    db: &Connection,
    state_dir: &Path,
    move_log: impl Fn() -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let pragma = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let free = pragma("freelist_count")? * pragma("page_size")?;
    let log =
        std::fs::metadata(log_file(state_dir)).map_or(0, |m| i64::try_from(m.len()).unwrap_or(i64::MAX));
    if free >= WORKING_SIZE / 2 && log >= WORKING_SIZE {
        return Ok(());
    }
    db.execute_batch("DROP TABLE IF EXISTS ballast; CREATE TABLE ballast (zeros BLOB) STRICT;")?;
    db.execute("INSERT INTO ballast VALUES (zeroblob(?1))", [WORKING_SIZE])?;
    move_log()?;
    db.execute_batch("DROP TABLE ballast;")?;
    move_log()
}

/// Moves the log into the file as far as readers let it; the log keeps its size.
pub(super) fn checkpoint(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// The free bytes of the file system that holds the store.
pub(super) fn free_bytes(state_dir: &Path) -> u64 {
    nix::sys::statvfs::statvfs(state_dir)
        .map_or(u64::MAX, |fs| fs.blocks_available().saturating_mul(fs.fragment_size()))
}
