//! Where connections come from: a socket of this host, or TCP; made here or handed over by systemd.

use crate::config::http::Listen;
use crate::http::server::connection_limits::PeerAddr;
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

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    /// With the file that was made for it; that goes when the listener does.
    Unix(UnixListener, #[expect(dead_code, reason = "held for its end")] Option<BoundSocket>),
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    /// What was handed over.
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

    /// Takes what was handed over, if it is what the configuration says: in the clear nothing but this host is
    /// served. Binds where nothing was.
    pub(crate) fn open(listen: &Listen, handed: &mut Option<Self>) -> Result<Self, String> {
        let fits = |socket: &Self| match (listen, socket) {
            (Listen::Unix(path), Self::Unix(socket, _)) => {
                socket.local_addr().is_ok_and(|a| a.as_pathname() == Some(path))
            }
            (Listen::Plain(address) | Listen::Tls(address, _), Self::Tcp(socket)) => {
                socket.local_addr().is_ok_and(|a| a == *address)
            }
            _ => false,
        };
        match (handed.take_if(|socket| fits(socket)), &handed) {
            (Some(socket), _) => Ok(socket),
            (None, Some(other)) => Err(format!(
                "http.listen names {listen}, and totpd-http.socket listens on {}. Mend one of them, and say \
                 `systemctl stop totpd-http.socket` and `systemctl restart totpd`",
                other.name()
            )),
            (None, None) => match listen {
                Listen::Unix(path) => bind_unix(path),
                Listen::Plain(address) | Listen::Tls(address, _) => bind_tcp(*address),
            },
        }
    }

    /// Closes every connection at once, so that nobody waits for an answer that does not come.
    pub(crate) async fn turn_away(&self) {
        loop {
            if self.accept().await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// What it is called in the log.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or_else(|_| String::new(), |a| a.to_string()),
            Self::Unix(listener, _) => {
                let path = listener.local_addr().ok().and_then(|a| a.as_pathname().map(PathBuf::from));
                path.map_or_else(String::new, |path| path.display().to_string())
            }
        }
    }

    /// The next connection, and where it comes from.
    pub(crate) async fn accept(&self) -> std::io::Result<(Stream, PeerAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), PeerAddr::Address(address.ip().to_canonical())))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let from = PeerAddr::Uid(stream.peer_cred()?.uid());
                Ok((Stream::Unix(stream), from))
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
            std::io::ErrorKind::AddrInUse => ". Another program answers there",
            std::io::ErrorKind::PermissionDenied => ". Ports under 1024 are root's: let systemd hand it over",
            // The unit of totpd has no network.
            _ if error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) => {
                ". totpd.service is kept from the network, and totpd-http.socket has handed no port over: say `systemctl \
                 enable totpd-http.socket` and `systemctl restart totpd`; if that is done, `systemctl status \
                 totpd-http.socket` says why it does not listen"
            }
            _ => "",
        };
        format!("{address} cannot be listened on: {error}{advice}")
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

    /// So that an answer is written from where it stands.
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
