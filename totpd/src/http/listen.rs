//! Where connections come from: a socket of this host, or TCP; made here or handed over by systemd.

use crate::config::http::Listen;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A listening socket that a supervisor handed over.
#[derive(Debug)]
pub(crate) enum Handed {
    /// A Unix socket.
    Unix(std::os::unix::net::UnixListener),
    /// TCP.
    Tcp(std::net::TcpListener),
}

/// A listening socket.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    /// With the file that was made for it; that goes when the listener does.
    Unix(UnixListener, #[expect(dead_code, reason = "held for its end")] Option<crate::serve::Bound>),
}

/// A connection.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    /// Takes what was handed over, or binds.
    pub(super) fn open(listen: &Listen, handed: &mut Option<Handed>) -> Result<Self, String> {
        match (listen, handed.take()) {
            (Listen::Unix(path), None) => bind_unix(path),
            (Listen::Plain(address) | Listen::Tls(address, _), None) => bind_tcp(*address),
            (_, Some(socket)) => adopt(listen, socket),
        }
    }

    /// What it is called in the log.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or_else(|_| String::new(), |a| a.to_string()),
            Self::Unix(listener, _) => {
                let path = listener.local_addr().ok().and_then(|a| a.as_pathname().map(PathBuf::from));
                path.map_or_else(String::new, |path| path.display().to_string())
            }
        }
    }

    /// The next connection, and the address it comes from.
    pub(super) async fn accept(&self) -> std::io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), Some(address.ip().to_canonical())))
            }
            Self::Unix(listener, _) => Ok((Stream::Unix(listener.accept().await?.0), None)),
        }
    }
}

fn bind_unix(path: &std::path::Path) -> Result<Listener, String> {
    let (listener, bound) = crate::serve::bind(path).map_err(|error| error.to_string())?;
    let listener = listener.into_tokio().map_err(|error| error.to_string())?;
    Ok(Listener::Unix(listener, Some(bound)))
}

fn bind_tcp(address: SocketAddr) -> Result<Listener, String> {
    let failed = |error: std::io::Error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => ". Another program answers there",
            std::io::ErrorKind::PermissionDenied => ". Ports under 1024 are root's: let systemd hand it over",
            // The unit of totpd has no network.
            _ if error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) => {
                ". totpd.service is kept from the network: let totpd-http.socket hand the port over"
            }
            _ => "",
        };
        format!("{address} cannot be listened on: {error}{advice}")
    };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    TcpListener::from_std(listener).map(Listener::Tcp).map_err(failed)
}

/// What is handed over has to be what the configuration says: in the clear nothing but this host is served.
fn adopt(listen: &Listen, socket: Handed) -> Result<Listener, String> {
    let other = || {
        "the socket that was handed over is not the one that http.listen names; mend totpd-http.socket or \
         the configuration, and restart both"
            .to_owned()
    };
    match (listen, socket) {
        (Listen::Unix(path), Handed::Unix(socket)) => {
            let bound = socket.local_addr().ok().and_then(|a| a.as_pathname().map(PathBuf::from));
            if bound.as_deref() != Some(path) {
                return Err(other());
            }
            socket.set_nonblocking(true).map_err(|e| e.to_string())?;
            let listener = UnixListener::from_std(socket).map_err(|e| e.to_string())?;
            Ok(Listener::Unix(listener, None))
        }
        (Listen::Plain(address) | Listen::Tls(address, _), Handed::Tcp(socket)) => {
            if socket.local_addr().ok() != Some(*address) {
                return Err(other());
            }
            socket.set_nonblocking(true).map_err(|e| e.to_string())?;
            TcpListener::from_std(socket).map(Listener::Tcp).map_err(|e| e.to_string())
        }
        _ => Err(other()),
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
