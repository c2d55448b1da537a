//! Takes the login sockets and gives them back, each by one rename: a daemon that listens on one
//! goes on listening, and clients find it again. Of two sockets the one that answers is put at the
//! path, so that what a killed responder left behind never replaces the socket of a running daemon.

use crate::file_identity::FileIdentity;
use crate::sockets::listener::Access;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::sys::stat::{Mode, umask};
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// The login sockets, for as long as they are taken.
#[derive(Debug)]
pub(super) struct SocketTakeover {
    sockets: Vec<TakenSocket>,
    _lock: Flock<File>,
}

/// One taken socket.
#[derive(Debug)]
struct TakenSocket {
    path: PathBuf,
    ours: Option<FileIdentity>,
}

impl SocketTakeover {
    /// Listens at each path of `sockets`, instead of the program that does now. `lock` is a file in
    /// a folder that only root writes: in the sockets' folder the daemon's user could replace it.
    ///
    /// # Errors
    /// The text says which socket cannot be taken and why. The others are given back.
    pub(super) fn take(
        sockets: &[(&Path, Access)],
        lock: &Path,
    ) -> Result<(Vec<UnixListener>, Self), String> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
        let file = options.open(lock).map_err(|e| format!("{}: cannot be made: {e}", lock.display()))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|_| format!("{}: break-glass is open already", lock.display()))?;
        // If the second cannot be taken, the first is dropped, and so given back.
        let taken: Vec<_> = sockets
            .iter()
            .map(|(path, access)| TakenSocket::take(path, *access))
            .collect::<Result<_, _>>()?;
        let (listeners, sockets) = taken.into_iter().unzip();
        Ok((listeners, Self { sockets, _lock: lock }))
    }

    /// Whether clients still find these sockets. A restart of a socket unit replaces them.
    pub(super) fn is_still_ours(&self) -> bool {
        self.sockets.iter().all(TakenSocket::is_still_ours)
    }
}

impl TakenSocket {
    fn take(path: &Path, access: Access) -> Result<(UnixListener, Self), String> {
        let failed = |what: &str, error: Error| format!("{}: {what}: {error}", path.display());
        if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
            let old = umask(Mode::from_bits_truncate(0o022));
            let made = std::fs::create_dir_all(folder);
            umask(old);
            made.map_err(|e| failed("its folder cannot be made", e))?;
        }
        give_back_left_over(path);
        let (saved, new) = (beside(path, "saved"), beside(path, "new"));
        for old in [&saved, &new] {
            remove(old).map_err(|e| failed("an old socket beside it cannot be removed", e))?;
        }
        // Its mode from its first moment. Unprivileged programs are answered too, with a refusal.
        let old = umask(access.mask());
        let bound = UnixListener::bind(&new);
        umask(old);
        let listener = bound.map_err(|e| failed("cannot be bound", e))?;
        let placed = put_aside(path, &saved).and_then(|()| std::fs::rename(&new, path));
        if let Err(error) = placed {
            let _ = (remove(&new), remove(&saved));
            return Err(failed("cannot be taken", error));
        }
        let ours = FileIdentity::of_link(path).ok();
        Ok((listener, Self { path: path.to_owned(), ours }))
    }

    fn is_still_ours(&self) -> bool {
        self.ours.is_some() && FileIdentity::of_link(&self.path).ok() == self.ours
    }
}

impl Drop for TakenSocket {
    fn drop(&mut self) {
        let saved = beside(&self.path, "saved");
        // Unless another program has put its own there meanwhile.
        let _ = match (self.is_still_ours(), FileIdentity::of_link(&saved).ok()) {
            (true, Some(_)) => std::fs::rename(&saved, &self.path),
            (true, None) => remove(&self.path),
            (false, _) => remove(&saved),
        };
    }
}

/// Gives back the socket that a killed responder left behind: if nobody answers at `path`, and
/// somebody does on the socket that was put aside. Returns whether it did.
pub fn give_back_left_over(path: &Path) -> bool {
    let saved = beside(path, "saved");
    if FileIdentity::of_link(&saved).is_err() || is_answered(path) {
        return false;
    }
    if is_answered(&saved) {
        return std::fs::rename(&saved, path).is_ok();
    }
    let _ = remove(&saved);
    false
}

/// Gives the socket at `path` a second name, by which it is given back. Without a socket there
/// nothing is given back.
fn put_aside(path: &Path, saved: &Path) -> std::io::Result<()> {
    match std::fs::hard_link(path, saved) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a program listens there. Never waits: a full backlog means that one does.
fn is_answered(path: &Path) -> bool {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (Ok(socket), Ok(address)) =
        (socket(AddressFamily::Unix, SockType::Stream, flags, None), UnixAddr::new(path))
    else {
        return true;
    };
    let absent = [nix::errno::Errno::ECONNREFUSED, nix::errno::Errno::ENOENT];
    !connect(socket.as_raw_fd(), &address).is_err_and(|errno| absent.contains(&errno))
}

/// `login.sock.breakglass-…`
fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".breakglass-{what}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    struct Scratch {
        folder: tempfile::TempDir,
    }

    impl Scratch {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap() }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("login.sock")
        }

        fn lock(&self) -> PathBuf {
            self.folder.path().join("lock")
        }

        fn take(&self) -> Result<(UnixListener, SocketTakeover), String> {
            let (mut listeners, taken) =
                SocketTakeover::take(&[(&self.path(), Access::Everybody)], &self.lock())?;
            Ok((listeners.remove(0), taken))
        }
    }

    /// Whether a byte that `listener` sends arrives at the path.
    fn answers(path: &Path, listener: &UnixListener) -> bool {
        listener.set_nonblocking(true).unwrap();
        // The probes of `is_answered` have hung up, and wait in the queue.
        while listener.accept().is_ok() {}
        let Ok(mut client) = UnixStream::connect(path) else { return false };
        let Ok((mut server, _)) = listener.accept() else { return false };
        server.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).is_ok()
    }

    /// Ends a responder as SIGKILL does: its destructor does not run, and its lock is released.
    fn kill(responder: UnixListener, taken: SocketTakeover) {
        let SocketTakeover { _lock: lock, .. } = &taken;
        let lock = Flock::lock(lock.try_clone().unwrap(), FlockArg::LockExclusiveNonblock).unwrap();
        Flock::unlock(lock).unwrap();
        std::mem::forget(taken);
        drop(responder);
    }

    #[test]
    fn the_daemon_that_listened_is_found_again_afterwards() {
        let scratch = Scratch::new();
        let daemon = UnixListener::bind(scratch.path()).unwrap();
        let (responder, taken) = scratch.take().unwrap();
        assert!(answers(&scratch.path(), &responder) && !answers(&scratch.path(), &daemon));
        assert!(scratch.take().unwrap_err().contains("open already"));
        drop((responder, taken));
        assert!(answers(&scratch.path(), &daemon));
        assert_eq!(std::fs::read_dir(scratch.folder.path()).unwrap().count(), 2, "the socket and the lock");
    }

    #[test]
    fn both_sockets_are_taken_or_neither_is() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new();
        let root = scratch.folder.path().join("root.sock");
        let sockets = [(scratch.path(), Access::Everybody), (root.clone(), Access::Root)];
        let sockets = sockets.each_ref().map(|(path, access)| (path.as_path(), *access));
        let daemon = UnixListener::bind(scratch.path()).unwrap();
        let (responders, taken) = SocketTakeover::take(&sockets, &scratch.lock()).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&scratch.path()), mode(&root)), (0o666, 0o600));
        assert!(answers(&root, &responders[1]) && taken.is_still_ours());
        drop((responders, taken));
        assert!(!root.exists() && answers(&scratch.path(), &daemon));
        std::fs::create_dir(beside(&root, "new")).unwrap();
        assert!(SocketTakeover::take(&sockets, &scratch.lock()).is_err());
        assert!(answers(&scratch.path(), &daemon), "the first was not given back");
    }

    #[test]
    fn where_nobody_listened_nothing_is_left() {
        let scratch = Scratch::new();
        let (responder, taken) = scratch.take().unwrap();
        assert!(answers(&scratch.path(), &responder));
        drop(taken);
        assert!(!scratch.path().exists());
    }

    #[test]
    fn only_a_killed_responder_has_its_socket_given_back() {
        let scratch = Scratch::new();
        let daemon = UnixListener::bind(scratch.path()).unwrap();
        let (responder, taken) = scratch.take().unwrap();
        assert!(!give_back_left_over(&scratch.path()));
        assert!(answers(&scratch.path(), &responder));
        kill(responder, taken);
        assert!(give_back_left_over(&scratch.path()));
        assert!(answers(&scratch.path(), &daemon));
    }

    #[test]
    fn a_left_over_socket_never_replaces_a_running_daemons() {
        let scratch = Scratch::new();
        let daemon = UnixListener::bind(scratch.path()).unwrap();
        let (responder, taken) = scratch.take().unwrap();
        kill(responder, taken);
        drop(daemon);
        assert!(!give_back_left_over(&scratch.path()), "nobody answers on the socket that was put aside");
        std::fs::remove_file(scratch.path()).unwrap();
        let fresh = UnixListener::bind(scratch.path()).unwrap();
        assert!(!give_back_left_over(&scratch.path()));
        let (responder, taken) = scratch.take().unwrap();
        drop((responder, taken));
        assert!(answers(&scratch.path(), &fresh));
    }

    #[test]
    fn a_failed_takeover_does_not_stop_the_next_one() {
        let scratch = Scratch::new();
        let daemon = UnixListener::bind(scratch.path()).unwrap();
        // As when the file system is full: the new socket cannot be bound.
        let new = beside(&scratch.path(), "new");
        std::fs::create_dir(&new).unwrap();
        assert!(scratch.take().is_err());
        assert!(answers(&scratch.path(), &daemon));
        std::fs::remove_dir(&new).unwrap();
        let (responder, taken) = scratch.take().unwrap();
        assert!(answers(&scratch.path(), &responder));
        drop((responder, taken));
        assert!(answers(&scratch.path(), &daemon));
    }

    #[test]
    fn the_lock_follows_no_link_and_a_fifo_does_not_block_it() {
        let scratch = Scratch::new();
        let elsewhere = scratch.folder.path().join("nologin");
        std::os::unix::fs::symlink(&elsewhere, scratch.lock()).unwrap();
        assert!(scratch.take().is_err());
        assert!(!elsewhere.exists(), "a file was made where a link led");
        std::fs::remove_file(scratch.lock()).unwrap();
        nix::unistd::mkfifo(&scratch.lock(), Mode::from_bits_truncate(0o644)).unwrap();
        assert!(scratch.take().is_err());
    }
}
