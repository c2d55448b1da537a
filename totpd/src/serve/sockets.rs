//! The sockets: handed over by systemd, or made here. That of the HTTP API is made by itself (`http::listen`) unless
//! it is handed over with the others.

use super::ServeError;
use crate::config::SocketPaths;
use crate::http::Handed;
use crate::permission::{self, Want, Who};
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::socket::{Backlog, listen};
use nix::sys::stat::{Mode, umask};
use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// The sockets, and how we came by them. Those of root and of administrators may be missing, where a supervisor handed
/// the one for everybody over and they cannot be made: everybody can be answered on that one.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) root: Option<Listener>,
    pub(super) login: Listener,
    pub(super) admin: Option<Listener>,
    /// A supervisor handed some of them over and will hand them to the next process.
    pub(super) adopted: bool,
    /// The files of sockets that were made here.
    pub(super) files: Vec<Bound>,
    /// A socket for the HTTP API that was handed over.
    pub(super) http: Option<Handed>,
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

/// What a supervisor handed over.
#[derive(Debug, Default)]
struct Adopted {
    root: Option<Listener>,
    login: Option<Listener>,
    admin: Option<Listener>,
    http: Option<Handed>,
}

/// Who may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Root alone: mode 0600.
    Root,
    /// Everybody: mode 0666. Each call is authorised.
    Everybody,
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
    /// Adopts what was handed over, and binds what is missing.
    pub(super) fn take(paths: &SocketPaths) -> Result<Self, ServeError> {
        Self::complete(adopt(Some(paths))?, paths)
    }

    /// The same for a configuration that is broken: adopted sockets are told apart by their names. `None`
    /// when there is nothing to refuse on.
    pub(super) fn take_for_broken(named: Option<SocketPaths>) -> Option<Result<Self, ServeError>> {
        let adopted = match adopt(None) {
            Ok(adopted) => adopted,
            Err(error) => return Some(Err(error)),
        };
        match (named, adopted) {
            (Some(paths), adopted) => Some(Self::complete(adopted, &paths)),
            (None, Adopted { root, login: Some(login), admin, http }) => {
                Some(Ok(Self { root, login, admin, adopted: true, files: Vec::new(), http }))
            }
            (None, _) => None,
        }
    }

    fn complete(handed: Adopted, paths: &SocketPaths) -> Result<Self, ServeError> {
        let adopted = handed.root.is_some() || handed.login.is_some() || handed.admin.is_some();
        let mut files = Vec::new();
        let mut bound = |path: &Path, access| -> Result<Listener, ServeError> {
            let (listener, file) = bind(path, access)?;
            files.push(file);
            Ok(listener)
        };
        let login = match handed.login {
            Some(login) => login,
            None => bound(&paths.login, Access::Everybody)?,
        };
        let mut restricted = |handed: Option<Listener>, path: &Path| match handed {
            Some(listener) => Ok(Some(listener)),
            None => match bound(path, Access::Root) {
                Ok(listener) => Ok(Some(listener)),
                Err(error) if adopted => {
                    tracing::warn!("{error}. Enable its socket unit; until then everybody shares one queue");
                    Ok(None)
                }
                Err(error) => Err(error),
            },
        };
        let (root, admin) = (restricted(handed.root, &paths.root)?, restricted(handed.admin, &paths.admin)?);
        Ok(Self { root, login, admin, adopted, files, http: handed.http })
    }
}

/// Sockets of sd_listen_fds(3), recognised by the path they are bound to.
fn adopt(expected: Option<&SocketPaths>) -> Result<Adopted, ServeError> {
    let mut handed = listenfd::ListenFd::from_env();
    let mut adopted = Adopted::default();
    for index in 0..handed.len() {
        let listener = match handed.take_unix_listener(index) {
            Ok(Some(listener)) => listener,
            Ok(None) => continue,
            // Not of this host: the HTTP API's, which is the only one over TCP.
            Err(error) => {
                if let Ok(Some(listener)) = handed.take_tcp_listener(index) {
                    if adopted.http.is_some() {
                        tracing::warn!("totpd-http.socket hands over more than one socket; one is served");
                    }
                    adopted.http.get_or_insert(Handed::Tcp(listener));
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
        let exact = [expected.map(|e| &e.root), expected.map(|e| &e.login), expected.map(|e| &e.admin)];
        let kind = exact.iter().position(|expected| expected.is_some() && *expected == path.as_ref());
        // A unit that listens elsewhere than the configuration says is served all the same: it is where programs ask,
        // and a path of one's own could not be bound in the unit's sandbox.
        let kind = kind.or_else(|| ["root", "login", "admin"].into_iter().position(named));
        if let Some(Some(expected)) = kind.and_then(|kind| exact.get(kind))
            && path.as_ref() != Some(*expected)
        {
            tracing::error!(
                "the socket unit listens at {}, and the configuration says {}: the unit's is served. Make both the same",
                path.as_deref().unwrap_or(Path::new("")).display(),
                expected.display()
            );
        }
        let slot = if kind == Some(0) {
            &mut adopted.root
        } else if kind == Some(1) {
            &mut adopted.login
        } else if kind == Some(2) {
            &mut adopted.admin
        } else if adopted.http.is_none() {
            // `http::listen` looks whether it is the one that the configuration names.
            adopted.http = Some(Handed::Unix(listener));
            continue;
        } else {
            tracing::warn!(
                "a socket that was handed over is not one that totpd knows: {}",
                path.as_deref().unwrap_or(Path::new("(no path)")).display()
            );
            continue;
        };
        take_over(&listener)?;
        *slot = Some(Listener(listener));
    }
    Ok(adopted)
}

/// Peer credentials name whoever called listen() last: now that is us, and clients can tell us from the
/// supervisor. They believe us as root, or as the owner of the socket's folder; where we are neither, the
/// supervisor's credentials stay, since ours would lock everybody out.
fn take_over(listener: &UnixListener) -> Result<(), ServeError> {
    let me = nix::unistd::geteuid().as_raw();
    let path = listener.local_addr().ok().and_then(|a| a.as_pathname().map(Path::to_owned));
    let owner = path.as_ref().and_then(|p| std::fs::metadata(p.parent()?).ok()).map(|m| m.uid());
    if me != 0 && owner != Some(me) {
        let path = path.as_deref().unwrap_or(Path::new("the sockets"));
        tracing::warn!(
            "the folder of {} is not this user's (uid {me}). Run: systemd-tmpfiles --create. Clients see the \
             supervisor's uid meanwhile",
            path.display()
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

/// Why the lock cannot be made: above all a folder that is another user's.
fn lock_failure(path: &Path, error: &std::io::Error) -> String {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let why = permission::explain(folder, error, &Who::me(), Want::Write);
    let made_by_package =
        if folder == Path::new("/run/totpd") { " (or: systemd-tmpfiles --create)" } else { "" };
    format!("its lock cannot be made: {why}{made_by_package}")
}

/// Binds a socket, and takes nobody's away.
pub(crate) fn bind(path: &Path, access: Access) -> Result<(Listener, Bound), ServeError> {
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
    // Held for as long as the socket is ours: two that start together cannot take it from each other. The folder may
    // be another user's: through no link of theirs is a file made or emptied.
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
    Ok((Listener(listener), Bound { path: path.to_owned(), identity: identity(path), _lock: lock }))
}
