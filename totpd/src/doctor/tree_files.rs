//! Reading files of a host or of a tree, bounded, whatever is in their place.

use nix::fcntl::OFlag;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The most bytes of a file or of a program's output that are read.
pub(super) const LARGEST: u64 = 16 * 1024 * 1024;

/// Where `path` of the tree at `root` is.
pub(super) fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The text of a file, as far as doctor reads one.
///
/// # Errors
/// What the file system said, or that it is no file.
pub(super) fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    // A FIFO of a tree that others made would wait for a writer.
    let file = std::fs::OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() && !path.starts_with("/proc") {
        return Err(std::io::Error::other("it is not a file"));
    }
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
