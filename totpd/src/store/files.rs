//! The names of a store's files in the state folder, for those who check, place or copy them.

use std::path::{Path, PathBuf};

/// The name of the database in the state folder.
pub(crate) const DATABASE: &str = "totpd.db";
/// What follows the database's name in the name of its log.
pub(crate) const LOG_SUFFIX: &str = "-wal";
/// What follows the database's name in the name of its shared memory.
pub(crate) const SHARED_MEMORY_SUFFIX: &str = "-shm";

/// The path of the database in a state folder.
pub fn database_file(state_dir: &Path) -> PathBuf {
    state_dir.join(DATABASE)
}

/// The path of the database's log.
pub fn log_file(state_dir: &Path) -> PathBuf {
    state_dir.join(format!("{DATABASE}{LOG_SUFFIX}"))
}

/// The path of the database's shared memory.
pub fn shared_memory_file(state_dir: &Path) -> PathBuf {
    state_dir.join(format!("{DATABASE}{SHARED_MEMORY_SUFFIX}"))
}
