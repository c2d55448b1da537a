//! Making a backup: the daemon copies its store, root encrypts the copy and reads the result back.

use super::archive::{self, Lock, Manifest};
use super::{BackupError, io};
use crate::config::Config;
use crate::folder::Folder;
use crate::key::StoreKey;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use totp_wire::admin::BackupReply;

/// What a backup is made from.
#[derive(Debug)]
pub struct Source<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// Its file.
    pub config_path: &'a Path,
    /// The copy that the daemon made.
    pub copy: &'a BackupReply,
    /// The key goes into the backup.
    pub with_key: bool,
}

/// A backup that was made and read back.
#[derive(Debug)]
pub struct Created {
    /// What it is of.
    pub manifest: Manifest,
    /// Its bytes.
    pub size: u64,
}

/// Writes the backup to `file`, which must not exist, and reads it back. `progress` is told of each
/// byte.
///
/// # Errors
/// [`BackupError`]; the file is removed then.
pub fn create(
    source: &Source<'_>,
    file: &Path,
    lock: Lock,
    progress: &dyn Fn(u64),
) -> Result<Created, BackupError> {
    // The daemon's user owns this folder: nothing in it is opened by path.
    let state = PathBuf::from(&source.copy.state_dir);
    let folder = Folder::open(&state).map_err(io(&state))?;
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
    let made = write_and_check(source, &config, &key, database, &mut out, file, lock, progress);
    if made.is_err() {
        let _ = std::fs::remove_file(file);
    }
    made
}

#[expect(clippy::too_many_arguments, reason = "one step, apart so that its failure removes the file")]
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
    let manifest = Manifest::of(source.copy, key);
    let kept = source.with_key.then_some(key);
    let counted = Counted { inner: database, progress };
    let opener =
        archive::write(out, lock, &manifest, config, kept, counted, source.copy.size).map_err(io(file))?;
    out.rewind().map_err(io(file))?;
    let name = file.display().to_string();
    let copy = |_size: u64, from: &mut dyn Read, to: &mut File| {
        std::io::copy(&mut Counted { inner: from, progress }, to)
    };
    let state = &source.config.state_dir;
    let place = |_: &archive::Contents| Folder::private_beside(state, "verify").map_err(io(state));
    let (contents, folder) = archive::read(out, &name, &opener, copy, place)?;
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

/// A reader that tells of what was read.
pub(super) struct Counted<'a, R> {
    pub(super) inner: R,
    pub(super) progress: &'a dyn Fn(u64),
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        (self.progress)(u64::try_from(read).unwrap_or(0));
        Ok(read)
    }
}
