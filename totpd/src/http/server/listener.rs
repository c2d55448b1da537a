//! The listening socket of the API: a Unix socket or a TCP port, bound here or inherited from
//! systemd.

use crate::config::http::Listen;
use crate::http::server::peer_addr::PeerAddr;
use crate::sockets::activation::InheritedSocket;
use crate::sockets::listener::{Access, BoundSocket, bind};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// What a socket without a readable address is called in messages.
const UNKNOWN: &str = "an unknown address";

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Listener {
    /// A TCP port.
    Tcp(TcpListener),
    /// A Unix socket, and its file if it was made here, which is removed with the listener.
    Unix(UnixListener, #[expect(dead_code, reason = "removes the file on drop")] Option<BoundSocket>),
}

/// An accepted connection.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl Listener {
    /// Wraps a socket that systemd passed to the daemon.
    pub(crate) fn adopt(socket: InheritedSocket) -> std::io::Result<Self> {
        match socket {
            InheritedSocket::Unix(socket) => {
                socket.set_nonblocking(true)?;
                Ok(Self::Unix(UnixListener::from_std(socket)?, None))
            }
            InheritedSocket::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                Ok(Self::Tcp(TcpListener::from_std(socket)?))
            }
        }
    }

    /// Takes the inherited socket if it listens where the configuration says, and binds one if none
    /// was inherited. An inherited socket on another address is refused: without TLS only this host
    /// may be served.
    pub(crate) fn open(listen: &Listen, inherited: &mut Option<Self>) -> Result<Self, String> {
        let is_configured = |socket: &Self| match (listen, socket) {
            (Listen::Unix(path), Self::Unix(socket, _)) => {
                socket.local_addr().is_ok_and(|a| a.as_pathname() == Some(path))
            }
            (Listen::Plain(address) | Listen::Tls(address, _), Self::Tcp(socket)) => {
                socket.local_addr().is_ok_and(|a| a == *address)
            }
            _ => false,
        };
        match (inherited.take_if(|socket| is_configured(socket)), &inherited) {
            (Some(socket), _) => Ok(socket),
            (None, Some(other)) => Err(format!(
                "http.listen names {listen}, and totpd-http.socket listens on {}. Change one of them. Then run: \
                 systemctl stop totpd-http.socket && systemctl restart totpd",
                other.name()
            )),
            (None, None) => match listen {
                Listen::Unix(path) => bind_unix(path),
                Listen::Plain(address) | Listen::Tls(address, _) => bind_tcp(*address),
            },
        }
    }

    /// Closes every new connection at once, so that no client waits for a response. Never returns.
    pub(crate) async fn reject_all(&self) {
        loop {
            if self.accept().await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// The address or path, for messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| UNKNOWN.to_owned(), |a| a.to_string())
            }
            Self::Unix(listener, _) => {
                let path = listener.local_addr().ok().and_then(|a| a.as_pathname().map(PathBuf::from));
                path.map_or_else(|| UNKNOWN.to_owned(), |path| path.display().to_string())
            }
        }
    }

    /// Accepts a connection, and says where it comes from.
    pub(crate) async fn accept(&self) -> std::io::Result<(Stream, PeerAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), PeerAddr::Address(address.ip().to_canonical())))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let peer = PeerAddr::Uid(stream.peer_cred()?.uid());
                Ok((Stream::Unix(stream), peer))
            }
        }
    }
}

fn bind_unix(path: &std::path::Path) -> Result<Listener, String> {
    let bound = bind(path, Access::Everybody);
    let (listener, bound) = bound.map_err(|error| error.to_string())?;
    let listener = listener.into_tokio().map_err(|error| error.to_string())?;
    Ok(Listener::Unix(listener, Some(bound)))
}

fn bind_tcp(address: SocketAddr) -> Result<Listener, String> {
    let failed = |error: std::io::Error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => ". Another program listens there. Find it with: ss -tlnp",
            std::io::ErrorKind::PermissionDenied => {
                ". Only root may bind ports below 1024. Let systemd listen: systemctl enable totpd-http.socket"
            }
            // The sandbox of totpd.service has no network.
            _ if error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) => {
                ". totpd.service has no network, and totpd-http.socket passed no port to it. Run: systemctl enable \
                 totpd-http.socket && systemctl restart totpd; if it is enabled, systemctl status totpd-http.socket \
                 says why it does not listen"
            }
            _ => "",
        };
        format!("cannot listen on {address}: {error}{advice}")
    };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    TcpListener::from_std(listener).map(Listener::Tcp).map_err(failed)
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

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    /// Vectored writes need no copy of a response.
    fn is_write_vectored(&self) -> bool {
        true
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
