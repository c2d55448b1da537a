//! Reads files of a host or a tree safely: bounded, and without blocking on a FIFO.

use nix::fcntl::OFlag;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The most bytes to read of a file or of a program's output.
pub(super) const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The path of the tree's `path` on this host.
pub(super) fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Reads at most [`MAX_BYTES`] of a file, as text.
///
/// # Errors
/// The file system's error, or that it is not a file.
pub(super) fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    // Opening a FIFO would wait for a writer.
    let file = std::fs::OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() && !path.starts_with("/proc") {
        return Err(std::io::Error::other("it is not a file"));
    }
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
