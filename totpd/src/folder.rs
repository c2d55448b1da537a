//! A folder held by descriptor. Root uses it where the folder belongs to the daemon's user: names
//! are looked up without following links, and owner and mode of a file are changed by descriptor
//! only.

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

/// Who owns what is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: Uid,
    /// The group.
    pub gid: Gid,
}

impl Owner {
    /// This process.
    pub fn me() -> Self {
        Self { uid: geteuid(), gid: nix::unistd::getegid() }
    }
}

/// An open folder.
#[derive(Debug)]
pub struct Folder {
    handle: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens the folder at `path`. Its last component must not be a link, and only root and this
    /// process may be able to rename it or what lies above it.
    ///
    /// # Errors
    /// What the file system said, or `PermissionDenied` with a sentence.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let above = path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
        // Anybody else has no rights that a link could lend.
        for above in above.take_while(|_| geteuid().is_root()) {
            let metadata = std::fs::metadata(above)?;
            let others_write = metadata.mode() & 0o022 != 0 && metadata.mode() & 0o1000 == 0;
            if (metadata.uid() != 0 && metadata.uid() != geteuid().as_raw()) || others_write {
                let what = format!("{} can be changed by users other than root", above.display());
                return Err(Error::new(ErrorKind::PermissionDenied, what));
            }
        }
        Self::open_own(path)
    }

    /// Opens the folder at `path`, also below folders that others may write. Its last
    /// component must not be a link.
    ///
    /// # Errors
    /// What the file system said.
    pub fn open_own(path: &Path) -> std::io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let handle = nix::fcntl::open(path, flags, Mode::empty())?;
        Ok(Self { handle, path: path.to_owned() })
    }

    /// Makes a folder that nobody but this process's user can enter, under a fresh name beside
    /// `path`.
    ///
    /// # Errors
    /// What the file system said.
    pub fn private_beside(path: &Path, word: &str) -> std::io::Result<Private> {
        let random: [u8; 8] =
            totp_core::random::bytes(&mut crate::os_random::Kernel).map_err(Error::other)?;
        let name = format!(".totpd-{word}-{:016x}", u64::from_be_bytes(random));
        let path = path.parent().unwrap_or(Path::new("/")).join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Private(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who owns it.
    ///
    /// # Errors
    /// What the file system said.
    pub fn owner(&self) -> std::io::Result<Owner> {
        let stat = fstat(&self.handle)?;
        Ok(Owner { uid: Uid::from_raw(stat.st_uid), gid: Gid::from_raw(stat.st_gid) })
    }

    /// Gives the folder itself to `owner`.
    ///
    /// # Errors
    /// What the file system said.
    pub fn give_to(&self, owner: Owner) -> std::io::Result<()> {
        Ok(fchown(&self.handle, Some(owner.uid), Some(owner.gid))?)
    }

    /// Whether anything has this name; a link counts as itself.
    ///
    /// # Errors
    /// What the file system said.
    pub fn holds(&self, name: &str) -> std::io::Result<bool> {
        match fstatat(&self.handle, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a new file and gives it to `owner`; its content is read from `content` and synced.
    ///
    /// # Errors
    /// `AlreadyExists`, or what the file system said.
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
            // The mode first: after the change of owner only root could set it.
            nix::sys::stat::fchmod(file.as_fd(), Mode::from_bits_truncate(mode))?;
            give_away(file, owner)?;
            file.sync_all()?;
            Ok(length)
        };
        let written = write(&mut file);
        if written.is_err() {
            let _ = self.remove(name);
        }
        written
    }

    /// Opens a regular file for reading that belongs to the folder's owner and has no second name.
    ///
    /// # Errors
    /// What the file system said, or `InvalidInput` when it is another kind of file.
    pub fn read(&self, name: &str) -> std::io::Result<File> {
        self.open_file(name, OFlag::O_RDONLY)
    }

    /// Opens such a file for appending.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn append(&self, name: &str) -> std::io::Result<File> {
        self.open_file(name, OFlag::O_RDWR | OFlag::O_APPEND)
    }

    fn open_file(&self, name: &str, how: OFlag) -> std::io::Result<File> {
        let flags = how | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.handle, name, flags, Mode::empty())?);
        let stat: FileStat = fstat(&file)?;
        let regular = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
        let owner = self.owner()?.uid.as_raw();
        if !regular || stat.st_nlink > 1 || (stat.st_uid != owner && stat.st_uid != 0) {
            return Err(Error::new(ErrorKind::InvalidInput, "it is not a file of the folder's owner alone"));
        }
        Ok(file)
    }

    /// Sets owner and mode of a file or folder in it, by descriptor. A link is not followed, and a
    /// file that has a second name elsewhere is left as it is.
    ///
    /// # Errors
    /// What the file system said, or `InvalidInput` for such a file.
    pub fn set_access(&self, name: &str, owner: Option<Owner>, mode: Option<u32>) -> std::io::Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.handle, name, flags, Mode::empty())?);
        let stat: FileStat = fstat(&file)?;
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        if kind != SFlag::S_IFDIR && (kind != SFlag::S_IFREG || stat.st_nlink > 1) {
            return Err(Error::new(ErrorKind::InvalidInput, "it is not a file or folder with one name"));
        }
        // A mode that shuts others out first: in between nobody reads more than before.
        if let Some(mode) = mode {
            nix::sys::stat::fchmod(file.as_fd(), Mode::from_bits_truncate(mode))?;
        }
        owner.map_or(Ok(()), |owner| give_away(&file, owner))
    }

    /// Gives a file another name in the folder. What has that name is replaced if `replace` is set.
    ///
    /// # Errors
    /// `AlreadyExists`, or what the file system said.
    pub fn rename(&self, from: &str, to: &str, replace: bool) -> std::io::Result<()> {
        let flags = if replace { RenameFlags::empty() } else { RenameFlags::RENAME_NOREPLACE };
        Ok(renameat2(&self.handle, from, &self.handle, to, flags)?)
    }

    /// Removes a name, if it is there. A link is removed, not what it names.
    ///
    /// # Errors
    /// What the file system said.
    pub fn remove(&self, name: &str) -> std::io::Result<()> {
        match unlinkat(&self.handle, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes what was made, renamed and removed durable.
    ///
    /// # Errors
    /// What the file system said.
    pub fn sync(&self) -> std::io::Result<()> {
        let handle = Dir::openat(&self.handle, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
        Ok(nix::unistd::fsync(&handle)?)
    }
}

/// Copies what is written in a file, and leaves its holes as they are: they cost who made them
/// nothing, and could fill a disk.
///
/// # Errors
/// What the file system said.
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

/// A folder of this process alone; it is removed with everything in it when dropped.
#[derive(Debug)]
pub struct Private(PathBuf);

impl Private {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Only root gives a file away. The daemon must not even ask: its unit's `SystemCallFilter=` has no
/// `fchown`, and the call ends it.
fn give_away(file: &File, owner: Owner) -> std::io::Result<()> {
    if geteuid().is_root() {
        return Ok(fchown(file.as_fd(), Some(owner.uid), Some(owner.gid))?);
    }
    if owner.uid == geteuid() { Ok(()) } else { Err(Errno::EPERM.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_is_followed_and_nothing_is_overwritten() {
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
        assert!(folder.rename("file", "fifo", false).is_err());
        folder.rename("file", "fifo", true).unwrap();
        assert_eq!(std::io::read_to_string(folder.read("fifo").unwrap()).unwrap(), "ours");
        std::os::unix::fs::symlink(&inside, scratch.path().join("way")).unwrap();
        assert!(Folder::open(&scratch.path().join("way")).is_err(), "a link to a folder");
    }
}
