//! Creates a backup: encrypts the copy of the store that the daemon made, and reads the result
//! back.

use super::archive::{self, Lock, Manifest, StoreCopy};
use super::{BackupError, io};
use crate::config::Config;
use crate::folder::Folder;
use crate::key::StoreKey;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What to create a backup from.
#[derive(Debug)]
pub struct Source<'a> {
    /// The configuration in use.
    pub config: &'a Config,
    /// The path of the configuration file.
    pub config_path: &'a Path,
    /// The copy of the store that the daemon made.
    pub copy: &'a StoreCopy,
    /// Whether to put the key into the backup.
    pub with_key: bool,
}

/// A backup that was created and read back.
#[derive(Debug)]
pub struct Created {
    /// The manifest in the backup.
    pub manifest: Manifest,
    /// The length of the backup file in bytes.
    pub size: u64,
}

/// Writes a backup to `file`, which must not exist, and reads it back. Removes the daemon's copy of
/// the store. `progress` is called with each number of bytes that were written or read back.
///
/// # Errors
/// [`BackupError`]; then the file is removed.
pub fn create(
    source: &Source<'_>,
    file: &Path,
    lock: Lock,
    progress: &dyn Fn(u64),
) -> Result<Created, BackupError> {
    // The daemon's user owns this folder and could replace a file with a link, so nothing in it is
    // opened by path.
    let state = &source.copy.state_dir;
    let folder = Folder::open(state).map_err(io(state))?;
    let copy_path = state.join(&source.copy.file);
    let database = folder.read(&source.copy.file).map_err(io(&copy_path))?;
    folder.remove(&source.copy.file).map_err(io(&copy_path))?;
    let key = StoreKey::load(&source.config.key_file).map_err(crate::init::InitError::from)?;
    if key.store_id != source.copy.store_id {
        let path = source.config.key_file.display().to_string();
        return Err(BackupError::OtherStore(path, "Is --config the one that the daemon runs with?"));
    }
    let config = std::fs::read(source.config_path).map_err(io(source.config_path))?;
    let mut options = File::options();
    let mut out = options.read(true).write(true).create_new(true).mode(0o600).open(file).map_err(io(file))?;
    let created = write_and_check(source, &config, &key, database, &mut out, file, lock, progress);
    if created.is_err() {
        let _ = std::fs::remove_file(file);
    }
    created
}

#[expect(clippy::too_many_arguments, reason = "a step of `create`, whose failure removes the file")]
fn write_and_check(
    source: &Source<'_>,
    config: &[u8],
    key: &StoreKey,
    database: File,
    out: &mut File,
    file: &Path,
    lock: Lock,
    progress: &dyn Fn(u64),
) -> Result<Created, BackupError> {
    let manifest = Manifest::new(source.copy, key);
    let included_key = source.with_key.then_some(key);
    let database = ProgressReader { inner: database, progress };
    let written = archive::write(out, lock, &manifest, config, included_key, database, source.copy.size);
    let opener = written.map_err(io(file))?;
    out.rewind().map_err(io(file))?;
    let name = file.display().to_string();
    let copy =
        |from: &mut dyn Read, to: &mut File| std::io::copy(&mut ProgressReader { inner: from, progress }, to);
    let state = &source.config.state_dir;
    let make_folder = |_: &archive::Contents| Folder::private_beside(state, "verify").map_err(io(state));
    let (contents, folder) = archive::read(out, &name, &opener, copy, make_folder)?;
    if contents.manifest != manifest {
        return Err(BackupError::NotOurs(name, "it reads back otherwise than it was written".to_owned()));
    }
    archive::check(&contents, contents.key.as_ref().unwrap_or(key), folder.path())?;
    let size = out.metadata().map_err(io(file))?.len();
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))?;
    }
    Ok(Created { manifest, size })
}

/// A reader that reports how many bytes each read returned.
pub(super) struct ProgressReader<'a, R> {
    pub(super) inner: R,
    pub(super) progress: &'a dyn Fn(u64),
}

impl<R: Read> Read for ProgressReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        (self.progress)(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}
