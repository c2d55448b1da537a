//! Unix sockets that the daemon binds itself. Each has its mode from its first moment and a lock
//! file beside it, and no socket of another program is replaced.

use crate::file_identity::FileIdentity;
use crate::permission::{self, Credentials};
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::socket::{Backlog, listen};
use nix::sys::stat::{Mode, umask};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Connections that may wait to be accepted, the argument of listen(2).
pub(super) const BACKLOG: i32 = 4096;

/// A socket cannot be used. The text names it, and says why and what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct SocketError(pub(super) String);

/// Who may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Root alone: mode 0600.
    Root,
    /// Everybody: mode 0666. Each call is authorised.
    Everybody,
}

impl Access {
    /// The umask under which a socket gets its mode.
    pub(crate) fn mask(self) -> Mode {
        Mode::from_bits_truncate(match self {
            Self::Root => 0o177,
            Self::Everybody => 0o111,
        })
    }
}

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener(UnixListener);

/// The file of a socket that this process bound, and its lock. When dropped it removes the file,
/// unless another process has put its own there.
#[derive(Debug)]
pub(crate) struct BoundSocket {
    path: PathBuf,
    identity: Option<FileIdentity>,
    _lock: Flock<File>,
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        // A successor may have put its own there.
        if self.identity.is_some() && self.identity == FileIdentity::of_link(&self.path).ok() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Listener {
    /// Takes a socket that listens already.
    pub(super) fn of(socket: UnixListener) -> Self {
        Self(socket)
    }

    /// The path that the socket is bound to.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        self.0.local_addr().ok()?.as_pathname().map(Path::to_owned)
    }

    /// The socket for the runtime of this thread.
    pub(crate) fn into_tokio(self) -> std::io::Result<tokio::net::UnixListener> {
        self.0.set_nonblocking(true)?;
        tokio::net::UnixListener::from_std(self.0)
    }
}

/// Opens the lock file. Its folder may belong to another user, so this follows no link, truncates
/// nothing, and does not block on a FIFO.
fn open_lock(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()).open(path)
}

/// Says why the lock file cannot be made. Most often its folder belongs to another user.
fn lock_failure(path: &Path, error: &std::io::Error) -> String {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let why = permission::explain(folder, error, &Credentials::of_process(), permission::Access::Write);
    let made_by_package =
        if folder == Path::new("/run/totpd") { " (or: systemd-tmpfiles --create)" } else { "" };
    format!("its lock cannot be made: {why}{made_by_package}")
}

/// Binds a socket at `path`, unless another program answers there.
///
/// # Errors
/// [`SocketError`].
pub(crate) fn bind(path: &Path, access: Access) -> Result<(Listener, BoundSocket), SocketError> {
    let failed = |what: String| SocketError(format!("{}: {what}", path.display()));
    if let Some(folder) = path.parent()
        && !folder.is_dir()
    {
        // 0755: users reach the socket through it, and only root and this user may write it.
        let old = umask(Mode::from_bits_truncate(0o022));
        let made = std::fs::create_dir_all(folder);
        umask(old);
        made.map_err(|e| failed(format!("its folder cannot be made: {e}")))?;
    }
    // Held for as long as the socket is ours, so that two daemons that start together cannot take
    // it from each other.
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    let lock = open_lock(Path::new(&lock)).map_err(|e| failed(lock_failure(path, &e)))?;
    let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
        .map_err(|_| failed("another totpd answers there already".to_owned()))?;
    if UnixStream::connect(path).is_ok() {
        return Err(failed("another program answers there already".to_owned()));
    }
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(failed(format!("the old socket cannot be removed: {error}")));
    }
    // Its mode from its first moment, without a bind-then-chmod.
    let old = umask(access.mask());
    let bound = UnixListener::bind(path);
    umask(old);
    let listener = bound.map_err(|e| failed(format!("cannot be bound: {e}")))?;
    let backlog = Backlog::new(BACKLOG).unwrap_or(Backlog::MAXCONN);
    listen(&listener, backlog).map_err(|e| failed(format!("cannot listen: {e}")))?;
    Ok((
        Listener(listener),
        BoundSocket { path: path.to_owned(), identity: FileIdentity::of_link(path).ok(), _lock: lock },
    ))
}
