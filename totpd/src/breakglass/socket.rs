//! Taking the sockets of logins and giving them back, each by one rename: whoever listens on it goes on listening and
//! is found again. Of two sockets the one that answers is put in the path, so that what a killed responder left
//! behind never takes the place of a living daemon.

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

/// The sockets of logins, as long as they are taken.
#[derive(Debug)]
pub(super) struct SocketTakeover {
    sockets: Vec<TakenSocket>,
    _lock: Flock<File>,
}

/// One of them.
#[derive(Debug)]
struct TakenSocket {
    path: PathBuf,
    ours: Option<FileIdentity>,
}

impl SocketTakeover {
    /// Listens in the place of whoever did, on each of `sockets`. `lock` is a file in a folder that only root writes:
    /// in the sockets' folder the daemon's user could put what they like in its place.
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
        // Dropped together: when the second cannot be had the first is given back.
        let taken: Vec<_> = sockets
            .iter()
            .map(|(path, access)| TakenSocket::take(path, *access))
            .collect::<Result<_, _>>()?;
        let (listeners, sockets) = taken.into_iter().unzip();
        Ok((listeners, Self { sockets, _lock: lock }))
    }

    /// Whether programs still find us there: a restart of a socket's unit puts its own in our place.
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
        // Its mode from its first moment. Modules of unprivileged programs are answered too, with a refusal.
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
        // Unless somebody has put their own there meanwhile.
        let _ = match (self.is_still_ours(), FileIdentity::of_link(&saved).ok()) {
            (true, Some(_)) => std::fs::rename(&saved, &self.path),
            (true, None) => remove(&self.path),
            (false, _) => remove(&saved),
        };
    }
}

/// Gives the socket back that a responder left behind when it was killed: when nobody answers in its place, and
/// somebody does on what was put aside. Says whether it did.
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

/// A second name for the socket that is there. Where there is none, none is given back.
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

/// Whether somebody listens there. Never waits: a full backlog is somebody.
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

    /// Who answers at the path: the byte that the listener sends.
    fn answers(path: &Path, listener: &UnixListener) -> bool {
        listener.set_nonblocking(true).unwrap();
        // What looked whether anybody answers has hung up, and waits in the queue.
        while listener.accept().is_ok() {}
        let Ok(mut client) = UnixStream::connect(path) else { return false };
        let Ok((mut server, _)) = listener.accept() else { return false };
        server.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).is_ok()
    }

    /// As if the responder had been killed: neither its destructor ran, nor does anybody hold its lock.
    fn kill(responder: UnixListener, taken: SocketTakeover) {
        let SocketTakeover { _lock: lock, .. } = &taken;
        let lock = Flock::lock(lock.try_clone().unwrap(), FlockArg::LockExclusiveNonblock).unwrap();
        Flock::unlock(lock).unwrap();
        std::mem::forget(taken);
        drop(responder);
    }

    #[test]
    fn whoever_listened_is_found_again_afterwards() {
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
    fn of_two_sockets_both_are_taken_or_none() {
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
    fn what_a_killed_responder_left_is_given_back_and_a_living_one_keeps_it() {
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
    fn what_was_left_never_takes_the_place_of_a_daemon_that_lives() {
        let scratch = Scratch::new();
        let daemon = UnixListener::bind(scratch.path()).unwrap();
        let (responder, taken) = scratch.take().unwrap();
        kill(responder, taken);
        drop(daemon);
        assert!(!give_back_left_over(&scratch.path()), "nobody is there to be given anything");
        std::fs::remove_file(scratch.path()).unwrap();
        let fresh = UnixListener::bind(scratch.path()).unwrap();
        assert!(!give_back_left_over(&scratch.path()));
        let (responder, taken) = scratch.take().unwrap();
        drop((responder, taken));
        assert!(answers(&scratch.path(), &fresh));
    }

    #[test]
    fn a_take_that_failed_does_not_stop_the_next_one() {
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
    fn the_lock_is_made_through_no_link_and_no_pipe_stops_it() {
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
