//! The sockets: handed over by systemd, or made here. That of the HTTP API is made by itself (`http::listen`) unless
//! it is handed over with the others.

use super::ServeError;
use crate::http::Handed;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::socket::{Backlog, listen};
use nix::sys::stat::{Mode, umask};
use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Both sockets, and how we came by them.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) login: Listener,
    pub(super) admin: Listener,
    /// A supervisor handed them over and will hand them to the next process.
    pub(super) adopted: bool,
    /// The files of sockets that were made here.
    pub(super) files: Vec<Bound>,
    /// A socket for the HTTP API that was handed over.
    pub(super) http: Option<Handed>,
}

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener(UnixListener);

/// The file of a socket that we bound, and the lock that says so. Dropped, it is removed, if it is still ours.
#[derive(Debug)]
pub(crate) struct Bound {
    path: PathBuf,
    identity: Option<(u64, u64)>,
    _lock: Flock<File>,
}

impl Drop for Bound {
    fn drop(&mut self) {
        // A successor may have put its own there.
        if self.identity.is_some() && self.identity == identity(&self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

impl Listener {
    /// The path it is bound to.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.0.local_addr().ok()?.as_pathname().map(Path::to_owned)
    }

    pub(crate) fn into_tokio(self) -> std::io::Result<tokio::net::UnixListener> {
        self.0.set_nonblocking(true)?;
        tokio::net::UnixListener::from_std(self.0)
    }
}

impl Sockets {
    /// Adopts what was handed over, or binds the paths.
    pub(super) fn take(login: &Path, admin: &Path) -> Result<Self, ServeError> {
        if let Some(adopted) = adopt(Some((login, admin)))? {
            return Ok(adopted);
        }
        let ((login, first), (admin, second)) = (bind(login)?, bind(admin)?);
        Ok(Self { login, admin, adopted: false, files: vec![first, second], http: None })
    }

    /// The same for a configuration that is broken: adopted sockets are told apart by their names. `None`
    /// when there is nothing to refuse on.
    pub(super) fn take_for_broken(named: Option<(PathBuf, PathBuf)>) -> Option<Result<Self, ServeError>> {
        match (adopt(None), named) {
            (Ok(Some(adopted)), _) => Some(Ok(adopted)),
            (Err(error), _) => Some(Err(error)),
            (Ok(None), Some((login, admin))) => Some(Self::take(&login, &admin)),
            (Ok(None), None) => None,
        }
    }
}

/// Sockets of sd_listen_fds(3), recognised by the path they are bound to.
fn adopt(expected: Option<(&Path, &Path)>) -> Result<Option<Sockets>, ServeError> {
    let mut handed = listenfd::ListenFd::from_env();
    let (mut login, mut admin, mut http) = (None, None, None);
    for index in 0..handed.len() {
        let listener = match handed.take_unix_listener(index) {
            Ok(Some(listener)) => listener,
            Ok(None) => continue,
            // Not of this host: the HTTP API's, which is the only one over TCP.
            Err(error) => {
                if let Ok(Some(listener)) = handed.take_tcp_listener(index) {
                    if http.is_some() {
                        tracing::warn!("totpd-http.socket hands over more than one socket; one is served");
                    }
                    http.get_or_insert(Handed::Tcp(listener));
                    continue;
                }
                let what = format!("a socket that was handed over is of no use: {error}");
                return Err(ServeError::Socket(what));
            }
        };
        let path = listener.local_addr().ok().and_then(|a| a.as_pathname().map(Path::to_owned));
        let named = |word: &str| {
            path.as_ref().and_then(|p| p.file_name()).is_some_and(|n| n.to_string_lossy().contains(word))
        };
        let is = |expected: Option<&Path>, word| {
            expected.map_or_else(|| named(word), |e| path.as_deref() == Some(e))
        };
        if is(expected.map(|e| e.0), "login") {
            login = Some(listener);
        } else if is(expected.map(|e| e.1), "admin") {
            admin = Some(listener);
        } else if http.is_none() {
            // `http::listen` looks whether it is the one that the configuration names.
            http = Some(Handed::Unix(listener));
        } else {
            tracing::warn!("a socket that was handed over is none that totpd knows: {path:?}");
        }
    }
    match (login, admin) {
        (None, None) => Ok(None),
        (Some(login), Some(admin)) => {
            for listener in [&login, &admin] {
                take_over(listener)?;
            }
            let (login, admin) = (Listener(login), Listener(admin));
            Ok(Some(Sockets { login, admin, adopted: true, files: Vec::new(), http }))
        }
        _ => Err(ServeError::Socket(
            "only one of login_socket and admin_socket was handed over; mend the socket units".to_owned(),
        )),
    }
}

/// Peer credentials name whoever called listen() last: now that is us, and clients can tell us from the
/// supervisor. They believe us as root, or as the owner of the socket's folder; where we are neither, the
/// supervisor's credentials stay, since ours would lock everybody out.
fn take_over(listener: &UnixListener) -> Result<(), ServeError> {
    let me = nix::unistd::geteuid().as_raw();
    let path = listener.local_addr().ok().and_then(|a| a.as_pathname().map(Path::to_owned));
    let owner = path.as_ref().and_then(|p| std::fs::metadata(p.parent()?).ok()).map(|m| m.uid());
    if me != 0 && owner != Some(me) {
        tracing::warn!(
            "the folder of {path:?} is not this user's (uid {me}): `systemd-tmpfiles --create` mends it. Clients \
             see the supervisor's uid meanwhile"
        );
        return Ok(());
    }
    let backlog = Backlog::new(BACKLOG).unwrap_or(Backlog::MAXCONN);
    listen(listener, backlog)
        .map_err(|e| ServeError::Socket(format!("cannot listen on an adopted socket: {e}")))
}

/// Opens the lock file. Its folder may belong to another user: no link is followed, nothing is truncated, and a FIFO does
/// not block.
fn open_lock(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()).open(path)
}

/// Binds a socket that everybody may connect to, and takes nobody's away.
pub(crate) fn bind(path: &Path) -> Result<(Listener, Bound), ServeError> {
    let failed = |what: String| ServeError::Socket(format!("{}: {what}", path.display()));
    if let Some(folder) = path.parent()
        && !folder.is_dir()
    {
        // 0755: users reach the socket through it, root and we alone may write it.
        let old = umask(Mode::from_bits_truncate(0o022));
        let made = std::fs::create_dir_all(folder);
        umask(old);
        made.map_err(|e| failed(format!("its folder cannot be made: {e}")))?;
    }
    // Held for as long as the socket is ours: two that start together cannot take it from each other.
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    let lock = open_lock(Path::new(&lock)).map_err(|e| failed(format!("its lock cannot be made: {e}")))?;
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
    // 0666 from its first moment (each call is authorised), without a bind-then-chmod.
    let old = umask(Mode::from_bits_truncate(0o111));
    let bound = UnixListener::bind(path);
    umask(old);
    let listener = bound.map_err(|e| failed(format!("cannot be bound: {e}")))?;
    let backlog = Backlog::new(BACKLOG).unwrap_or(Backlog::MAXCONN);
    listen(&listener, backlog).map_err(|e| failed(format!("cannot listen: {e}")))?;
    Ok((Listener(listener), Bound { path: path.to_owned(), identity: identity(path), _lock: lock }))
}
