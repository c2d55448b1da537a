//! Reads a file in a user's home as that user, in a child process.
//!
//! The user owns the folder and may put a link, a FIFO, another user's file or a file without end
//! in place of the file, also while it is read. So root opens nothing there: the child has the
//! user's uid and no groups of root's, opens the last component without following a link, and
//! reads a bounded regular file that belongs to the user. The parent waits for a bounded time.

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid, setsid};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// The longest file, in bytes: that of pam_google_authenticator.
pub const MAX_BYTES: usize = 64 * 1024;
/// How long a file may take: a home on a file server that hangs must not stop the others.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileOwner {
    /// The user's uid.
    pub uid: u32,
    /// The user's primary group.
    pub gid: u32,
}

/// Declares the errors, each with the exit status by which the child reports it.
macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $status:literal: $text:literal,)*) => {
        /// Why a file was not read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum HomeFileError {
            $($(#[$doc])* #[error($text)] $name,)*
        }

        impl HomeFileError {
            const fn status(self) -> u8 {
                match self { $(Self::$name => $status,)* }
            }

            const fn of_status(status: i32) -> Self {
                match status {
                    $($status => Self::$name,)*
                    _ => Self::Failed,
                }
            }
        }
    };
}

errors! {
    /// There is no such file.
    Missing = 10: "there is no such file",
    /// The user may not read it.
    Denied = 11: "the user may not read it. If it belongs to root, give it on standard input: USER=- < FILE",
    /// It is a link, a FIFO, a folder or a device.
    NotRegular = 12: "it is not a regular file",
    /// It belongs to another user.
    NotOwned = 13: "it does not belong to the user",
    /// Other users can read or write it.
    Exposed = 19: "other users can read or write it. If nobody did, run: chmod 600 FILE",
    /// It has more than 64 KiB.
    TooLong = 14: "it has more than 64 KiB",
    /// It cannot be read for another reason.
    Unreadable = 15: "it cannot be read",
    /// The child could not become the user.
    Privileges = 16: "no process could be started as the user",
    /// The child did not answer in time.
    TimedOut = 17: "it was not read within 5 s, as on a file server that hangs",
    /// The child ended in another way.
    Failed = 18: "the process that reads it ended without an answer",
}

/// Reads `path` as its owner. Only root can do so for others.
///
/// # Errors
/// [`HomeFileError`].
pub fn read(path: &Path, owner: FileOwner) -> Result<Zeroizing<Vec<u8>>, HomeFileError> {
    let mut child = Command::new("/proc/self/exe")
        .args(["read-home-file", &owner.uid.to_string(), &owner.gid.to_string()])
        .arg(path)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|_| HomeFileError::Privileges)?;
    let until = Instant::now() + TIMEOUT;
    let content = receive(&mut child, until);
    let status = wait(&mut child, until);
    match (status, content) {
        (Some(0), Some(content)) if content.len() <= MAX_BYTES => Ok(content),
        (Some(0), Some(_)) => Err(HomeFileError::TooLong),
        (Some(status), _) => Err(HomeFileError::of_status(status)),
        (None, _) => {
            // One that hangs in the kernel outlives this, and is not waited for.
            let _ = child.kill();
            let _ = child.try_wait();
            Err(HomeFileError::TimedOut)
        }
    }
}

/// Reads what the child writes, up to its end or to one byte too much. `None` when it takes too
/// long.
fn receive(child: &mut Child, until: Instant) -> Option<Zeroizing<Vec<u8>>> {
    let mut stdout = child.stdout.take()?;
    // Sized so that no reallocation leaves a copy behind.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 4096));
    let mut buffer = Zeroizing::new([0; 4096]);
    while content.len() <= MAX_BYTES {
        let left = until.saturating_duration_since(Instant::now());
        let mut polled = [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(_) => return None,
        }
        match stdout.read(&mut *buffer) {
            Ok(0) => return Some(content),
            Ok(length) => content.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(content)
}

/// The exit status of the child, or `None` if it does not end in time. One that a signal ended has
/// none of [`HomeFileError`].
fn wait(child: &mut Child, until: Instant) -> Option<i32> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.code().unwrap_or(-1)),
            Ok(None) if Instant::now() >= until => return None,
            Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            Err(_) => return Some(-1),
        }
    }
}

/// Becomes the user, and writes the file to standard output: `totpd read-home-file UID GID PATH`.
/// Returns the exit status.
pub fn serve(path: &Path, owner: FileOwner) -> u8 {
    let written = become_user(owner).and_then(|()| copy(path, owner.uid));
    written.map_or_else(HomeFileError::status, |()| 0)
}

/// Leaves root's terminal, which the user could type into, then root's groups, then root. The user
/// cannot trace this process: the kernel makes it undumpable when its uid changes.
fn become_user(owner: FileOwner) -> Result<(), HomeFileError> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    let become_it = || -> nix::Result<()> {
        let _ = setsid();
        if Uid::effective().is_root() {
            setgroups(&[])?;
            setresgid(gid, gid, gid)?;
            setresuid(uid, uid, uid)?;
        }
        nix::sys::prctl::set_dumpable(false)?;
        nix::sys::prctl::set_no_new_privs()
    };
    become_it().map_err(|_| HomeFileError::Privileges)?;
    let is_user = Uid::current() == uid && Uid::effective() == uid;
    is_user.then_some(()).ok_or(HomeFileError::Privileges)
}

fn copy(path: &Path, uid: u32) -> Result<(), HomeFileError> {
    // Without O_NONBLOCK a FIFO would wait for a writer; without O_NOCTTY a terminal would become
    // this session's.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = nix::fcntl::open(path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::ENOENT | Errno::ENOTDIR => HomeFileError::Missing,
        Errno::EACCES | Errno::EPERM => HomeFileError::Denied,
        Errno::ELOOP | Errno::ENXIO | Errno::ENODEV => HomeFileError::NotRegular,
        _ => HomeFileError::Unreadable,
    })?;
    let file = File::from(file);
    let metadata = file.metadata().map_err(|_| HomeFileError::Unreadable)?;
    if !metadata.is_file() {
        return Err(HomeFileError::NotRegular);
    }
    if metadata.uid() != uid {
        return Err(HomeFileError::NotOwned);
    }
    // As pam_google_authenticator: what others can write is their secret, and not the user's.
    if metadata.mode() & 0o077 != 0 {
        return Err(HomeFileError::Exposed);
    }
    let limit = u64::try_from(MAX_BYTES + 1).unwrap_or(u64::MAX);
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    file.take(limit).read_to_end(&mut content).map_err(|_| HomeFileError::Unreadable)?;
    if content.len() > MAX_BYTES {
        return Err(HomeFileError::TooLong);
    }
    std::io::stdout().lock().write_all(&content).map_err(|_| HomeFileError::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_comes_back_from_its_exit_status() {
        for status in 10..=19 {
            assert_eq!(i32::from(HomeFileError::of_status(status).status()), status);
        }
        for status in [-1, 1, 2, 101] {
            assert_eq!(HomeFileError::of_status(status), HomeFileError::Failed);
        }
    }

    #[test]
    fn a_process_without_root_becomes_nobody_else() {
        let other = FileOwner { uid: Uid::effective().as_raw() + 1, gid: 0 };
        if !Uid::effective().is_root() {
            assert_eq!(become_user(other), Err(HomeFileError::Privileges));
        }
    }
}
