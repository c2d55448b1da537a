//! Operations on the files of an open folder. Root uses them where the folder belongs to the
//! daemon's user, who can replace any file in it at any moment: names are looked up relative to the
//! descriptor and without following links, and owner and mode are changed by descriptor only.

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, openat, renameat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, Whence, fchown, geteuid, lseek, unlinkat};
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The owner of a file: user and group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user's id.
    pub uid: Uid,
    /// The group's id.
    pub gid: Gid,
}

impl Owner {
    /// Returns the effective user and group of this process.
    pub fn me() -> Self {
        Self { uid: geteuid(), gid: nix::unistd::getegid() }
    }
}

/// What [`Folder::rename`] does when a file has the new name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It fails with `AlreadyExists`.
    Keep,
    /// It replaces the file atomically.
    Replace,
}

/// An open folder.
#[derive(Debug)]
pub struct Folder {
    handle: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens the folder at `path`. Its last component must not be a link. If this process is root,
    /// no other user may be able to rename the folder or one above it.
    ///
    /// # Errors
    /// The file system's error, or `PermissionDenied` with the folder that others can change.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let parents = path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
        // Only root has rights that somebody else's link could abuse.
        for parent in parents.take_while(|_| geteuid().is_root()) {
            let metadata = std::fs::metadata(parent)?;
            let others_write = metadata.mode() & 0o022 != 0 && metadata.mode() & 0o1000 == 0;
            if (metadata.uid() != 0 && metadata.uid() != geteuid().as_raw()) || others_write {
                let what = format!("{} can be changed by users other than root", parent.display());
                return Err(Error::new(ErrorKind::PermissionDenied, what));
            }
        }
        Self::open_own(path)
    }

    /// Opens the folder at `path`, even if other users can write the folders above it. Its last
    /// component must not be a link.
    ///
    /// # Errors
    /// The file system's error.
    pub fn open_own(path: &Path) -> std::io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let handle = nix::fcntl::open(path, flags, Mode::empty())?;
        Ok(Self { handle, path: path.to_owned() })
    }

    /// Creates a folder beside `path` that only the user of this process can enter. Its name is
    /// random and contains `purpose`.
    ///
    /// # Errors
    /// The file system's error, or that of the kernel's random source.
    pub fn private_beside(path: &Path, purpose: &str) -> std::io::Result<Private> {
        let random: [u8; 8] =
            totp_core::random::bytes(&mut crate::os_random::Kernel).map_err(Error::other)?;
        let name = format!(".totpd-{purpose}-{:016x}", u64::from_be_bytes(random));
        let path = path.parent().unwrap_or(Path::new("/")).join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Private(path))
    }

    /// Returns the path by which the folder was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the owner of the folder.
    ///
    /// # Errors
    /// The file system's error.
    pub fn owner(&self) -> std::io::Result<Owner> {
        let stat = fstat(&self.handle)?;
        Ok(Owner { uid: Uid::from_raw(stat.st_uid), gid: Gid::from_raw(stat.st_gid) })
    }

    /// Changes the owner of the folder itself.
    ///
    /// # Errors
    /// The file system's error.
    pub fn give_to(&self, owner: Owner) -> std::io::Result<()> {
        Ok(fchown(&self.handle, Some(owner.uid), Some(owner.gid))?)
    }

    /// Returns whether the folder has an entry of this name. A link is not followed.
    ///
    /// # Errors
    /// The file system's error.
    pub fn holds(&self, name: &str) -> std::io::Result<bool> {
        match fstatat(&self.handle, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Creates a file with this content, mode and owner, syncs it to disk, and returns its length
    /// in bytes. If that fails, no file is left.
    ///
    /// # Errors
    /// `AlreadyExists`, or another error of the file system.
    pub fn write_new(
        &self,
        name: &str,
        content: &mut impl Read,
        mode: u32,
        owner: Owner,
    ) -> std::io::Result<u64> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&self.handle, name, flags, Mode::from_bits_truncate(0o600))?;
        let mut file = File::from(file);
        let mut write = |file: &mut File| -> std::io::Result<u64> {
            let length = std::io::copy(content, file)?;
            // The mode first: after the change of owner, only root can set it.
            nix::sys::stat::fchmod(file.as_fd(), Mode::from_bits_truncate(mode))?;
            change_owner(file, owner)?;
            file.sync_all()?;
            Ok(length)
        };
        let written = write(&mut file);
        if written.is_err() {
            let _ = self.remove(name);
        }
        written
    }

    /// Opens a file for reading. It must be a regular file of the folder's owner or of root, with
    /// one hard link.
    ///
    /// # Errors
    /// The file system's error, or `InvalidInput` for any other file.
    pub fn read(&self, name: &str) -> std::io::Result<File> {
        self.open_file(name, OFlag::O_RDONLY)
    }

    /// Opens a file for reading and appending, under the conditions of [`Self::read`].
    ///
    /// # Errors
    /// The file system's error, or `InvalidInput` for any other file.
    pub fn append(&self, name: &str) -> std::io::Result<File> {
        self.open_file(name, OFlag::O_RDWR | OFlag::O_APPEND)
    }

    fn open_file(&self, name: &str, access: OFlag) -> std::io::Result<File> {
        let flags = access | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.handle, name, flags, Mode::empty())?);
        let stat: FileStat = fstat(&file)?;
        let regular = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
        let owner = self.owner()?.uid.as_raw();
        if !regular || stat.st_nlink > 1 || (stat.st_uid != owner && stat.st_uid != 0) {
            return Err(Error::new(ErrorKind::InvalidInput, "it is not a file of the folder's owner alone"));
        }
        Ok(file)
    }

    /// Sets owner and mode of a file or folder in this folder, by descriptor; `None` leaves them. A
    /// link is not followed, and a file with several hard links is not changed.
    ///
    /// # Errors
    /// The file system's error, or `InvalidInput` for a file with several hard links.
    pub fn set_access(&self, name: &str, owner: Option<Owner>, mode: Option<u32>) -> std::io::Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.handle, name, flags, Mode::empty())?);
        let stat: FileStat = fstat(&file)?;
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        if kind != SFlag::S_IFDIR && (kind != SFlag::S_IFREG || stat.st_nlink > 1) {
            return Err(Error::new(ErrorKind::InvalidInput, "it is not a file or folder with one name"));
        }
        // The mode first: it usually takes rights away, so that nobody gains any in between.
        if let Some(mode) = mode {
            nix::sys::stat::fchmod(file.as_fd(), Mode::from_bits_truncate(mode))?;
        }
        owner.map_or(Ok(()), |owner| change_owner(&file, owner))
    }

    /// Renames a file within the folder. `existing` says what happens if `to` exists already.
    ///
    /// # Errors
    /// `AlreadyExists` with [`Existing::Keep`], or another error of the file system.
    pub fn rename(&self, from: &str, to: &str, existing: Existing) -> std::io::Result<()> {
        let flags = match existing {
            Existing::Keep => RenameFlags::RENAME_NOREPLACE,
            Existing::Replace => RenameFlags::empty(),
        };
        Ok(renameat2(&self.handle, from, &self.handle, to, flags)?)
    }

    /// Removes a file if it exists. Of a link, the link itself is removed.
    ///
    /// # Errors
    /// The file system's error.
    pub fn remove(&self, name: &str) -> std::io::Result<()> {
        match unlinkat(&self.handle, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Syncs the folder to disk, which makes created, renamed and removed entries durable.
    ///
    /// # Errors
    /// The file system's error.
    pub fn sync(&self) -> std::io::Result<()> {
        let handle = Dir::openat(&self.handle, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
        Ok(nix::unistd::fsync(&handle)?)
    }
}

/// Copies a file and keeps its holes (lseek(2), `SEEK_HOLE`). A copy without holes could fill the
/// disk, while a sparse file costs the user who created it nothing.
///
/// # Errors
/// The file system's error.
pub fn copy_written(from: &mut File, to: &mut File) -> std::io::Result<()> {
    let length = from.metadata()?.len();
    to.set_len(length)?;
    let offset = |at: u64| i64::try_from(at).map_err(Error::other);
    let mut at = 0;
    while at < length {
        let start = match lseek(&*from, offset(at)?, Whence::SeekData) {
            Err(Errno::ENXIO) => return Ok(()),
            start => start?,
        };
        let end = lseek(&*from, start, Whence::SeekHole)?;
        let (start, end) = (start.unsigned_abs(), end.unsigned_abs());
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        std::io::copy(&mut from.take(end.saturating_sub(start)), to)?;
        at = end.max(at + 1);
    }
    Ok(())
}

/// A folder with mode 0700, which is removed with everything in it when this value is dropped.
#[derive(Debug)]
pub struct Private(PathBuf);

impl Private {
    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Changes the owner of a file if this process is root. The daemon must not even try: the
/// `SystemCallFilter=` of its unit does not allow `fchown`, so the call would end the process.
fn change_owner(file: &File, owner: Owner) -> std::io::Result<()> {
    if geteuid().is_root() {
        return Ok(fchown(file.as_fd(), Some(owner.uid), Some(owner.gid))?);
    }
    if owner.uid == geteuid() { Ok(()) } else { Err(Errno::EPERM.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_not_followed_and_nothing_is_overwritten() {
        let scratch = tempfile::tempdir().unwrap();
        let (inside, outside) = (scratch.path().join("state"), scratch.path().join("secret"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(&outside, "root's").unwrap();
        let folder = Folder::open(&inside).unwrap();
        for name in ["link", "fifo", "hard"] {
            let path = inside.join(name);
            match name {
                "link" => std::os::unix::fs::symlink(&outside, path).unwrap(),
                "fifo" => nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap(),
                _ => std::fs::hard_link(&outside, path).unwrap(),
            }
            assert!(folder.holds(name).unwrap());
            assert!(folder.read(name).is_err() && folder.append(name).is_err(), "{name}");
            let made = folder.write_new(name, &mut &b"x"[..], 0o600, Owner::me());
            assert_eq!(made.unwrap_err().kind(), ErrorKind::AlreadyExists);
        }
        folder.remove("link").unwrap();
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "root's");
        assert_eq!(folder.write_new("file", &mut &b"ours"[..], 0o400, Owner::me()).unwrap(), 4);
        assert!(folder.rename("file", "fifo", Existing::Keep).is_err());
        folder.rename("file", "fifo", Existing::Replace).unwrap();
        assert_eq!(std::io::read_to_string(folder.read("fifo").unwrap()).unwrap(), "ours");
        std::os::unix::fs::symlink(&inside, scratch.path().join("way")).unwrap();
        assert!(Folder::open(&scratch.path().join("way")).is_err(), "a link to a folder");
    }
}
