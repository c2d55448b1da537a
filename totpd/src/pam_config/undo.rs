//! The undo of a change: written down before the first edit, and able to take every file back.
//!
//! ```text
//! /var/lib/totpd-pam/            root, 0700
//!     pending                    the change that nobody has confirmed yet (JSON)
//!     backup-TIME-NAME           what a file held before
//!     lock                       held while files are changed
//! ```
//!
//! Each step leaves a state that [`take_back`] understands, whatever kills the program: the backups are on the disk before
//! `pending` is, `pending` before the first edit, and each file is replaced at once (temporary file, fsync, rename, fsync
//! of the folder). A file that holds neither what it held nor what was written was edited by somebody else since: only
//! our block is taken out of it.

use super::block::{self, Mode};
use crate::folder::{Folder, Owner};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where the state of a change is.
pub const STATE: &str = "/var/lib/totpd-pam";
/// How long another change is waited for. A program that is stopped in the middle of one must not block the undo.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
/// Backups that are kept for people, beside those that are in use.
const BACKUPS: usize = 40;
/// A service file or a drop-in is smaller than this.
const LARGEST: u64 = 256 * 1024;

/// One service of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingService {
    /// Its name.
    pub name: String,
    /// The name that was asked for: a login to any service of one group confirms all of it.
    pub group: String,
    /// How it asks.
    pub mode: Mode,
    /// Who logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<String>,
}

/// One file of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingFile {
    /// The file.
    pub path: PathBuf,
    /// The service whose file it is.
    pub service: String,
    /// The backup of what it held, in the state folder; none if it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// SHA-256 of what it held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// SHA-256 of what is written; none if it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

/// A change that is not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Names the change: the timer of another one leaves it alone.
    pub id: String,
    /// When it is taken back, in Unix seconds.
    pub until: u64,
    /// When all its files were written. Only a login after that confirms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<u64>,
    /// Logins of that second which came before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<String>,
    /// Administrators with a factor: of `require` and `rules`, only their logins confirm. Kept here, so that a directory
    /// that hangs keeps nothing from being taken back.
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
    /// What goes on waiting once this change is settled: `rest`, under whose name its timer runs, and the files that could
    /// not be taken back.
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
    /// Opens the folder, and makes it where it is missing.
    ///
    /// # Errors
    /// What the file system said, or that somebody else than root may change it.
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

    /// Keeps every other change away while it lives.
    ///
    /// # Errors
    /// What the file system said, or `TimedOut` while another change holds it.
    pub fn lock(&self) -> Result<Flock<File>> {
        let mut file =
            File::options().create(true).truncate(false).write(true).open(self.folder.path().join("lock"))?;
        let start = Instant::now();
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(lock),
                Err((back, Errno::EWOULDBLOCK)) if start.elapsed() < LOCK_TIMEOUT => file = back,
                Err((_, Errno::EWOULDBLOCK)) => {
                    return Err(Error::new(ErrorKind::TimedOut, "another totpd pam is changing files"));
                }
                Err((_, error)) => return Err(error.into()),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The change that is not confirmed, if there is one.
    ///
    /// # Errors
    /// What the file system said, or that the file is damaged.
    pub fn pending(&self) -> Result<Option<Pending>> {
        let text = match self.folder.read("pending") {
            Ok(file) => std::io::read_to_string(file.take(LARGEST))?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let damaged = |error: serde_json::Error| {
            let at = self.folder.path().join("pending");
            Error::new(ErrorKind::InvalidData, format!("{} is damaged: {error}", at.display()))
        };
        serde_json::from_str(&text).map(Some).map_err(damaged)
    }

    /// Writes `pending` down, durably; none removes it.
    ///
    /// # Errors
    /// What the file system said.
    pub fn set_pending(&self, pending: Option<&Pending>) -> Result<()> {
        let text = pending.map(serde_json::to_string_pretty).transpose().map_err(Error::other)?;
        replace_in(&self.folder, "pending", text.as_deref().map(str::as_bytes), 0o600, Owner::me())
    }

    /// Keeps a copy of `content`, durably; its name.
    ///
    /// # Errors
    /// What the file system said.
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

    /// Marks a group of services as confirmed by this user. Whether all are.
    ///
    /// # Errors
    /// What the file system said.
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

    /// Removes what trials and older changes have left. The newest backups stay.
    ///
    /// # Errors
    /// What the file system said.
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
        let more = backups.len().saturating_sub(BACKUPS);
        for (_, name) in backups.into_iter().take(more) {
            if !in_use.iter().any(|file| file.backup.as_ref() == Some(&name)) {
                self.folder.remove(&name)?;
            }
        }
        Ok(())
    }

    fn backup(&self, name: &str) -> Result<String> {
        std::io::read_to_string(self.folder.read(name)?.take(LARGEST))
    }
}

/// SHA-256 in hexadecimal digits.
pub fn checksum(content: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(content.as_bytes()))
}

/// What a file holds now; none if it is not there.
///
/// # Errors
/// What the file system said, or that it is not a file of root's alone.
pub fn content(path: &Path) -> Result<Option<String>> {
    let (folder, name) = split(path)?;
    match folder.read(&name) {
        Ok(file) => std::io::read_to_string(file.take(LARGEST)).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces a file at once, with the owner and mode it has; none removes it.
///
/// # Errors
/// What the file system said.
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

/// The temporary file that [`replace`] makes: neither libpam nor sshd's `Include` takes it for one of theirs.
fn temporary(name: &str) -> String {
    format!(".totpd-new-{name}")
}

fn replace_in(folder: &Folder, name: &str, content: Option<&[u8]>, mode: u32, owner: Owner) -> Result<()> {
    let new = temporary(name);
    folder.remove(&new)?;
    match content {
        Some(mut content) => {
            folder.write_new(&new, &mut content, mode, owner)?;
            folder.rename(&new, name, true)?;
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

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It holds what it held.
    Back,
    /// It held that already.
    Untouched,
    /// Somebody else has edited it since: our block alone is out of it.
    BlockOnly,
}

/// Takes one file back.
///
/// # Errors
/// What the file system said, or which mark of our block is damaged.
pub fn take_back(state: &State, file: &PendingFile) -> Result<Restored> {
    let (folder, name) = split(&file.path)?;
    // Nobody reads it; where it cannot be removed, the file itself may still be untouched.
    let _ = folder.remove(&temporary(&name));
    let now = content(&file.path)?;
    let sum = now.as_deref().map(checksum);
    if sum == file.old {
        return Ok(Restored::Untouched);
    }
    if sum == file.new {
        let old = file.backup.as_deref().map(|backup| state.backup(backup)).transpose();
        // A backup that is damaged or gone must not keep everybody out: the block itself keeps what it replaced.
        if let Ok(old) = old.as_ref()
            && old.as_deref().map(checksum) == file.old
        {
            replace(&file.path, old.as_deref())?;
            return Ok(Restored::Back);
        }
    }
    let Some(now) = now else { return Ok(Restored::Untouched) };
    remove_block(&file.path, &now)?;
    let left = content(&file.path)?.as_deref().map(checksum);
    Ok(if left == file.old { Restored::Back } else { Restored::BlockOnly })
}

/// Takes our blocks out of a file, and the file away if nothing is left of it. Whether it had one.
///
/// # Errors
/// What the file system said, or which mark is damaged.
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
