//! The sockets of the daemon: inherited from systemd (socket activation), or bound here.
//! `http::server::listener` binds that of the HTTP API, unless it is inherited with the others.

use super::listener::{Access, BACKLOG, BoundSocket, Listener, SocketError, bind};
use crate::config::SocketPaths;
use nix::sys::socket::{Backlog, listen};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// A listening socket of the HTTP API that was inherited from a supervisor.
#[derive(Debug)]
pub(crate) enum InheritedSocket {
    /// A Unix socket.
    Unix(UnixListener),
    /// TCP.
    Tcp(std::net::TcpListener),
}

/// The sockets of the daemon. Those of root and of administrators may be missing if a supervisor
/// handed over the one for everybody and they cannot be bound: everybody can be answered on that
/// one.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) root: Option<Listener>,
    pub(crate) login: Listener,
    pub(crate) admin: Option<Listener>,
    /// A supervisor handed over some of them, and will hand them to the next process.
    pub(crate) adopted: bool,
    /// The files of the sockets that were bound here.
    pub(crate) files: Vec<BoundSocket>,
    /// An inherited socket for the HTTP API.
    pub(crate) http: Option<InheritedSocket>,
}

/// The inherited sockets.
#[derive(Debug, Default)]
struct Adopted {
    root: Option<Listener>,
    login: Option<Listener>,
    admin: Option<Listener>,
    http: Option<InheritedSocket>,
}

impl Sockets {
    /// Adopts the inherited sockets, and binds those that are missing.
    pub(crate) fn take(paths: &SocketPaths) -> Result<Self, SocketError> {
        Self::complete(adopt(Some(paths))?, paths)
    }

    /// Adopts and binds sockets for a broken configuration, which tells inherited ones apart by
    /// their names. `named`: the paths that the broken file still names. `None` if there is no
    /// socket to refuse on.
    pub(crate) fn take_for_broken(named: Option<SocketPaths>) -> Option<Result<Self, SocketError>> {
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

    fn complete(handed: Adopted, paths: &SocketPaths) -> Result<Self, SocketError> {
        let adopted = handed.root.is_some() || handed.login.is_some() || handed.admin.is_some();
        let mut files = Vec::new();
        let mut bound = |path: &Path, access| -> Result<Listener, SocketError> {
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

/// Adopts the sockets of sd_listen_fds(3), recognised by the path that they are bound to.
fn adopt(expected: Option<&SocketPaths>) -> Result<Adopted, SocketError> {
    let mut handed = listenfd::ListenFd::from_env();
    let mut adopted = Adopted::default();
    for index in 0..handed.len() {
        let listener = match handed.take_unix_listener(index) {
            Ok(Some(listener)) => listener,
            Ok(None) => continue,
            // The HTTP API's is the only one over TCP.
            Err(error) => {
                if let Ok(Some(listener)) = handed.take_tcp_listener(index) {
                    if adopted.http.is_some() {
                        tracing::warn!("totpd-http.socket hands over more than one socket; one is served");
                    }
                    adopted.http.get_or_insert(InheritedSocket::Tcp(listener));
                    continue;
                }
                let what = format!("a socket that was handed over is of no use: {error}");
                return Err(SocketError(what));
            }
        };
        let path = listener.local_addr().ok().and_then(|a| a.as_pathname().map(Path::to_owned));
        let named = |word: &str| {
            path.as_ref().and_then(|p| p.file_name()).is_some_and(|n| n.to_string_lossy().contains(word))
        };
        let exact = [expected.map(|e| &e.root), expected.map(|e| &e.login), expected.map(|e| &e.admin)];
        let kind = exact.iter().position(|expected| expected.is_some() && *expected == path.as_ref());
        // A unit that listens elsewhere than the configuration says is served all the same:
        // programs ask there, and the unit's sandbox lets the daemon bind no other path.
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
            // `http::server::listener` checks whether it is the one that the configuration names.
            adopted.http = Some(InheritedSocket::Unix(listener));
            continue;
        } else {
            tracing::warn!(
                "a socket that was handed over is not one that totpd knows: {}",
                path.as_deref().unwrap_or(Path::new("(no path)")).display()
            );
            continue;
        };
        renew_credentials(&listener)?;
        *slot = Some(Listener::of(listener));
    }
    Ok(adopted)
}

/// Calls listen(2) again, so that SO_PEERCRED names this process and clients can tell it from the
/// supervisor. Clients believe a server of root's, or of the owner of the socket's folder. A daemon
/// that is neither leaves the supervisor's credentials, since its own would lock everybody out.
fn renew_credentials(listener: &UnixListener) -> Result<(), SocketError> {
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
    listen(listener, backlog).map_err(|e| SocketError(format!("cannot listen on an adopted socket: {e}")))
}
