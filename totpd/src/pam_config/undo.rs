//! The undo of a change: stored before the first edit, it can restore every file.
//!
//! ```text
//! /var/lib/totpd-pam/            root, 0700
//!     pending                    the change that no login has confirmed yet (JSON)
//!     backup-TIME-NAME           a file's content before the change
//!     lock                       locked while files are changed
//! ```
//!
//! If the program is killed, each step leaves a state that [`take_back`] handles. The backups are
//! on the disk before `pending`, and `pending` before the first edit. Each file is replaced
//! atomically (temporary file, fsync, rename, fsync of the folder). If a file has neither its old
//! nor its new content, another program or a person has changed it since: only totpd's block is
//! removed.

use super::block::{self, Mode};
use crate::folder::{Existing, Folder, Owner};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The state folder.
pub const STATE: &str = "/var/lib/totpd-pam";
/// How long to wait for another change. A process that is stopped in the middle of one must not
/// block the undo.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
/// How many backups to keep for administrators, besides those that are in use.
const KEPT_BACKUPS: usize = 40;
/// The most bytes of a service file or a drop-in.
const MAX_BYTES: u64 = 256 * 1024;

/// One service of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingService {
    /// The service's name.
    pub name: String,
    /// The name on the command line. A login to any service of a group confirms the whole group.
    pub group: String,
    /// How it asks for the code.
    pub mode: Mode,
    /// The user whose login confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<String>,
}

/// One file of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingFile {
    /// The file.
    pub path: PathBuf,
    /// The service of the file.
    pub service: String,
    /// The name of its backup in the state folder; `None` if the file did not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// SHA-256 of its old content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// SHA-256 of its new content; `None` if it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

/// A change that is not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The id of the change. The timer of another change ignores it.
    pub id: String,
    /// When it is taken back, in Unix seconds.
    pub until: u64,
    /// When all its files were written, in Unix seconds. Only a later login confirms it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<u64>,
    /// The ids of events of that second that came before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<String>,
    /// Administrators with a factor. Under `require` and `rules`, only their logins confirm. Stored
    /// here, so that a directory that hangs cannot block the undo.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub administrators: Vec<String>,
    /// The timer's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timer: Option<String>,
    /// Its services.
    pub services: Vec<PendingService>,
    /// Its files, in the order in which they are written.
    pub files: Vec<PendingFile>,
}

impl Pending {
    /// The change that stays pending after this one has ended: `rest`, which keeps its timer, and
    /// the files that could not be taken back.
    #[must_use]
    pub fn left(mut self, files: Vec<PendingFile>, rest: Option<&Self>) -> Option<Self> {
        if files.is_empty() {
            return rest.cloned();
        }
        let Some(rest) = rest else {
            self.files = files;
            return Some(self);
        };
        let mut left = rest.clone();
        left.services.append(&mut self.services);
        left.files.extend(files);
        Some(left)
    }
}

/// The state folder.
#[derive(Debug)]
pub struct State {
    folder: Folder,
}

impl State {
    /// Opens the folder, and creates it if it is missing.
    ///
    /// # Errors
    /// The file system's error, or that other users than root may change the folder.
    pub fn open(path: &Path) -> Result<Self> {
        match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let folder = Folder::open(path)?;
        if folder.owner()?.uid != nix::unistd::geteuid() || std::fs::metadata(path)?.mode() & 0o077 != 0 {
            let what = format!("{} must belong to root alone, with mode 0700", path.display());
            return Err(Error::new(ErrorKind::PermissionDenied, what));
        }
        Ok(Self { folder })
    }

    /// Takes the lock of changes, which is released when the result is dropped.
    ///
    /// # Errors
    /// The file system's error, or `TimedOut` if another change holds the lock.
    pub fn lock(&self) -> Result<Flock<File>> {
        let mut file =
            File::options().create(true).truncate(false).write(true).open(self.folder.path().join("lock"))?;
        let start = Instant::now();
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(lock),
                Err((back, Errno::EWOULDBLOCK)) if start.elapsed() < LOCK_TIMEOUT => file = back,
                Err((_, Errno::EWOULDBLOCK)) => {
                    return Err(Error::new(
                        ErrorKind::TimedOut,
                        "another totpd pam is changing files. Try again",
                    ));
                }
                Err((_, error)) => return Err(error.into()),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Reads the change that is not confirmed.
    ///
    /// # Errors
    /// The file system's error, or that the file is damaged.
    pub fn pending(&self) -> Result<Option<Pending>> {
        let text = match self.folder.read("pending") {
            Ok(file) => std::io::read_to_string(file.take(MAX_BYTES))?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let damaged = |error: serde_json::Error| {
            let at = self.folder.path().join("pending");
            Error::new(ErrorKind::InvalidData, format!("{} is damaged: {error}", at.display()))
        };
        serde_json::from_str(&text).map(Some).map_err(damaged)
    }

    /// Stores `pending` durably; `None` removes it.
    ///
    /// # Errors
    /// The file system's error.
    pub fn set_pending(&self, pending: Option<&Pending>) -> Result<()> {
        let text = pending.map(serde_json::to_string_pretty).transpose().map_err(Error::other)?;
        replace_in(&self.folder, "pending", text.as_deref().map(str::as_bytes), 0o600, Owner::me())
    }

    /// Stores a backup of `content` durably. Returns its name.
    ///
    /// # Errors
    /// The file system's error.
    pub fn back_up(&self, path: &Path, content: &str, now: u64) -> Result<String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let names = (0..100).map(|n| if n == 0 { String::new() } else { format!("-{n}") });
        for more in names {
            let backup = format!("backup-{now}-{name}{more}");
            match self.folder.write_new(&backup, &mut content.as_bytes(), 0o600, Owner::me()) {
                Ok(_) => return self.folder.sync().map(|()| backup),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::AlreadyExists, "too many backups of one moment"))
    }

    /// Marks a group of services as confirmed by this user. Returns whether every service is
    /// confirmed.
    ///
    /// # Errors
    /// The file system's error.
    pub fn confirm(&self, id: &str, group: &str, user: &str) -> Result<bool> {
        let _lock = self.lock()?;
        let Some(mut pending) = self.pending()?.filter(|pending| pending.id == id) else { return Ok(false) };
        for service in pending.services.iter_mut().filter(|service| service.group == group) {
            service.confirmed.get_or_insert_with(|| user.to_owned());
        }
        let all = pending.services.iter().all(|service| service.confirmed.is_some());
        self.set_pending((!all).then_some(&pending))?;
        Ok(all)
    }

    /// Removes folders of trials, and all but the newest backups.
    ///
    /// # Errors
    /// The file system's error.
    pub fn tidy(&self) -> Result<()> {
        let mut backups = Vec::new();
        for entry in std::fs::read_dir(self.folder.path())? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("backup-") {
                backups.push((entry.metadata()?.modified()?, name));
            } else if name.starts_with(".totpd-trial-") {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        backups.sort();
        let in_use = self.pending()?.map_or_else(Vec::new, |pending| pending.files);
        let more = backups.len().saturating_sub(KEPT_BACKUPS);
        for (_, name) in backups.into_iter().take(more) {
            if !in_use.iter().any(|file| file.backup.as_ref() == Some(&name)) {
                self.folder.remove(&name)?;
            }
        }
        Ok(())
    }

    fn backup(&self, name: &str) -> Result<String> {
        std::io::read_to_string(self.folder.read(name)?.take(MAX_BYTES))
    }
}

/// SHA-256 in hexadecimal digits.
pub fn checksum(content: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(content.as_bytes()))
}

/// A file's content; `None` if it does not exist.
///
/// # Errors
/// The file system's error, or that other users than root may change the file.
pub fn content(path: &Path) -> Result<Option<String>> {
    let (folder, name) = split(path)?;
    match folder.read(&name) {
        Ok(file) => std::io::read_to_string(file.take(MAX_BYTES)).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces a file atomically, and keeps its owner and mode; `None` removes it.
///
/// # Errors
/// The file system's error.
pub fn replace(path: &Path, content: Option<&str>) -> Result<()> {
    let (folder, name) = split(path)?;
    let (mode, owner) = match folder.read(&name) {
        Ok(file) => {
            let metadata = file.metadata()?;
            let (uid, gid) = (metadata.uid().into(), metadata.gid().into());
            (metadata.mode() & 0o7777, Owner { uid, gid })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => (0o644, Owner::me()),
        Err(error) => return Err(error),
    };
    replace_in(&folder, &name, content.map(str::as_bytes), mode, owner)
}

/// The name of the temporary file that [`replace`] makes. Neither libpam nor sshd's `Include` reads
/// it.
fn temporary(name: &str) -> String {
    format!(".totpd-new-{name}")
}

fn replace_in(folder: &Folder, name: &str, content: Option<&[u8]>, mode: u32, owner: Owner) -> Result<()> {
    let new = temporary(name);
    folder.remove(&new)?;
    match content {
        Some(mut content) => {
            folder.write_new(&new, &mut content, mode, owner)?;
            folder.rename(&new, name, Existing::Replace)?;
        }
        None => folder.remove(name)?,
    }
    folder.sync()
}

fn split(path: &Path) -> Result<(Folder, String)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(Error::new(ErrorKind::InvalidInput, "it is not the path of a file"));
    };
    Ok((Folder::open(folder)?, name.to_owned()))
}

/// How a file was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It has its old content again.
    OldContent,
    /// It still had its old content.
    Unchanged,
    /// It was edited since: only totpd's block was removed.
    BlockRemoved,
}

/// Restores one file.
///
/// # Errors
/// The file system's error, or which block is damaged.
pub fn take_back(state: &State, file: &PendingFile) -> Result<Restored> {
    let (folder, name) = split(&file.path)?;
    // Best effort: no program reads the temporary file.
    let _ = folder.remove(&temporary(&name));
    let now = content(&file.path)?;
    let sum = now.as_deref().map(checksum);
    if sum == file.old {
        return Ok(Restored::Unchanged);
    }
    if sum == file.new {
        let old = file.backup.as_deref().map(|backup| state.backup(backup)).transpose();
        // Without a good backup the block itself is used, which keeps the lines that it replaced.
        if let Ok(old) = old.as_ref()
            && old.as_deref().map(checksum) == file.old
        {
            replace(&file.path, old.as_deref())?;
            return Ok(Restored::OldContent);
        }
    }
    let Some(now) = now else { return Ok(Restored::Unchanged) };
    remove_block(&file.path, &now)?;
    let left = content(&file.path)?.as_deref().map(checksum);
    Ok(if left == file.old { Restored::OldContent } else { Restored::BlockRemoved })
}

/// Removes totpd's blocks from a file, and the file if nothing is left. Returns whether it had a
/// block.
///
/// # Errors
/// The file system's error, or which block is damaged.
pub fn remove_block(path: &Path, text: &str) -> Result<bool> {
    let damaged = |why: String| Error::new(ErrorKind::InvalidData, format!("{}: {why}", path.display()));
    let plain = block::strip(text).map_err(damaged)?;
    if plain == text {
        return Ok(false);
    }
    let empty = plain.trim().is_empty();
    replace(path, (!empty).then_some(plain.as_str()))?;
    Ok(true)
}

#[cfg(test)]
#[path = "undo_tests.rs"]
mod tests;
