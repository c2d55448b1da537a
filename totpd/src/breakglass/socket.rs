//! Taking the login socket and giving it back, each by one rename: whoever listens on it goes on listening and
//! is found again. A responder that was killed leaves its lock free, and the daemon gives the socket back.

use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{Mode, umask};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// The socket, as long as it is taken.
#[derive(Debug)]
pub(super) struct Taken {
    path: PathBuf,
    ours: Option<(u64, u64)>,
    _lock: Flock<File>,
}

impl Taken {
    /// Listens in the place of whoever did.
    pub(super) fn take(path: &Path) -> Result<(UnixListener, Self), String> {
        let failed = |what: &str, error: std::io::Error| format!("{}: {what}: {error}", path.display());
        if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
            let old = umask(Mode::from_bits_truncate(0o022));
            let made = std::fs::create_dir_all(folder);
            umask(old);
            made.map_err(|e| failed("its folder cannot be made", e))?;
        }
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(0o644).open(beside(path, "lock"));
        let lock = lock.map_err(|e| failed("its lock cannot be made", e))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
            .map_err(|_| format!("{}: break-glass is open already", path.display()))?;
        put_back(path);
        let (saved, new) = (beside(path, "saved"), beside(path, "new"));
        match std::fs::hard_link(path, &saved) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed("it cannot be put aside", error));
            }
            // Where there was none, none is given back.
            _ => {}
        }
        let _ = std::fs::remove_file(&new);
        // 0666 from its first moment: modules of unprivileged programs are answered too, with a refusal.
        let old = umask(Mode::from_bits_truncate(0o111));
        let bound = UnixListener::bind(&new);
        umask(old);
        let listener = bound.map_err(|e| failed("cannot be bound", e))?;
        let taken = Self { path: path.to_owned(), ours: identity(&new), _lock: lock };
        std::fs::rename(&new, path).map_err(|e| failed("cannot be taken", e))?;
        Ok((listener, taken))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // Unless somebody has put his own there.
        if self.ours.is_some() && identity(&self.path) == self.ours {
            let _ = std::fs::remove_file(beside(&self.path, "new"));
            if !put_back(&self.path) {
                let _ = std::fs::remove_file(&self.path);
            }
        } else {
            let _ = std::fs::remove_file(beside(&self.path, "saved"));
        }
    }
}

/// Gives the socket back that a responder left behind when it was killed. Does nothing while one lives.
pub fn give_back_left_over(path: &Path) {
    if !beside(path, "saved").exists() {
        return;
    }
    let Ok(lock) = File::open(beside(path, "lock")) else { return };
    if let Ok(_lock) = Flock::lock(lock, FlockArg::LockSharedNonblock)
        && put_back(path)
    {
        tracing::warn!("break-glass was killed; {} is given back", path.display());
    }
}

/// Puts what was saved back; says whether there was anything.
fn put_back(path: &Path) -> bool {
    std::fs::rename(beside(path, "saved"), path).is_ok()
}

/// `login.sock.breakglass-…`
fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".breakglass-{what}"));
    name.into()
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    /// Who answers at the path: the byte that the listener sends.
    fn answers(path: &Path, listener: &UnixListener) -> bool {
        listener.set_nonblocking(true).unwrap();
        let Ok(mut client) = UnixStream::connect(path) else { return false };
        let Ok((mut server, _)) = listener.accept() else { return false };
        server.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).is_ok()
    }

    #[test]
    fn whoever_listened_is_found_again_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login.sock");
        let daemon = UnixListener::bind(&path).unwrap();
        let (responder, taken) = Taken::take(&path).unwrap();
        assert!(answers(&path, &responder) && !answers(&path, &daemon));
        assert!(Taken::take(&path).unwrap_err().contains("open already"));
        drop((responder, taken));
        assert!(answers(&path, &daemon));
        assert!(!beside(&path, "saved").exists() && !beside(&path, "new").exists());
    }

    #[test]
    fn where_nobody_listened_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/login.sock");
        let (responder, taken) = Taken::take(&path).unwrap();
        assert!(answers(&path, &responder));
        drop(taken);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_responder_left_is_given_back_and_a_living_one_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login.sock");
        let daemon = UnixListener::bind(&path).unwrap();
        let (responder, taken) = Taken::take(&path).unwrap();
        give_back_left_over(&path);
        assert!(answers(&path, &responder));
        // Killed: neither its destructor ran, nor does anybody hold its lock.
        let Taken { _lock: lock, .. } = &taken;
        Flock::unlock(Flock::lock(lock.try_clone().unwrap(), FlockArg::LockExclusiveNonblock).unwrap())
            .unwrap();
        std::mem::forget(taken);
        drop(responder);
        give_back_left_over(&path);
        assert!(answers(&path, &daemon));
    }

    #[test]
    fn a_take_that_failed_does_not_stop_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login.sock");
        let daemon = UnixListener::bind(&path).unwrap();
        // As when /run is full: the new socket cannot be bound.
        std::fs::create_dir(beside(&path, "new")).unwrap();
        assert!(Taken::take(&path).is_err());
        std::fs::remove_dir(beside(&path, "new")).unwrap();
        give_back_left_over(&path);
        let (responder, taken) = Taken::take(&path).unwrap();
        assert!(answers(&path, &responder));
        drop(taken);
        assert!(answers(&path, &daemon));
    }

    #[test]
    fn roots_lock_is_made_through_no_link_of_the_folders_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login.sock");
        let nologin = folder.path().join("etc-nologin");
        std::os::unix::fs::symlink(&nologin, beside(&path, "lock")).unwrap();
        let _ = Taken::take(&path);
        assert!(!nologin.exists(), "root made a file where the daemon's user wanted one");
    }

    #[test]
    fn a_pipe_in_the_locks_place_stops_no_break_glass() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login.sock");
        nix::unistd::mkfifo(&beside(&path, "lock"), Mode::from_bits_truncate(0o644)).unwrap();
        let (done, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let _ = Taken::take(&path);
            let _ = done.send(());
        });
        assert!(ended.recv_timeout(std::time::Duration::from_secs(2)).is_ok(), "it hangs");
    }
}
