//! Connections without TLS, whose server has not proven who it is: another program may listen there
//! while PostgreSQL is down. One that asks for the password in clear, or as MD5, gets none. SCRAM
//! (RFC 5802) shows nothing of it, and proves that the server knows it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

/// What the error about such a server says.
pub(super) const IN_CLEAR: &str = "asks for the password in clear or as MD5";
/// Its first message, if it asks for anything: tag, length, and which authentication (PostgreSQL's
/// documentation, "Message Formats").
const HEAD: usize = 9;
/// The tag of such a message, and the kinds that are answered: none, and SASL.
const TAG: u8 = b'R';
const ANSWERED: [[u8; 4]; 2] = [[0, 0, 0, 0], [0, 0, 0, 10]];

/// A connection whose first message is looked at before the client sees it.
pub(super) struct Guarded<S> {
    socket: S,
    head: Vec<u8>,
}

impl<S> Guarded<S> {
    /// Guards this connection, over which nothing was sent yet.
    pub(super) fn new(socket: S) -> Self {
        Self { socket, head: Vec::with_capacity(HEAD) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.socket).poll_read(context, buffer);
        let missing = HEAD.saturating_sub(this.head.len());
        if missing > 0 {
            this.head.extend(buffer.filled().iter().skip(before).take(missing));
            if asks_in_clear(&this.head) {
                buffer.set_filled(before);
                return Poll::Ready(Err(io::Error::other(IN_CLEAR)));
            }
        }
        polled
    }
}

fn asks_in_clear(head: &[u8]) -> bool {
    head.len() == HEAD && head[0] == TAG && !ANSWERED.iter().any(|kind| head.ends_with(kind))
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

/// Stands where the library wants a TLS handshake (`SslNegotiation::Direct`, so that it asks the
/// server for none), and guards the connection instead.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl MakeTlsConnect<Socket> for Plain {
    type Stream = Guarded<Socket>;
    type TlsConnect = Self;
    type Error = Infallible;

    fn make_tls_connect(&mut self, _: &str) -> Result<Self, Infallible> {
        Ok(Self)
    }
}

impl TlsConnect<Socket> for Plain {
    type Stream = Guarded<Socket>;
    type Error = Infallible;
    type Future = Ready<Result<Guarded<Socket>, Infallible>>;

    fn connect(self, socket: Socket) -> Self::Future {
        ready(Ok(Guarded::new(socket)))
    }
}

impl TlsStream for Guarded<Socket> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scram_and_no_question_at_all_are_answered() {
        let message = |kind: u8| [b'R', 0, 0, 0, 8, 0, 0, 0, kind];
        for (kind, refused) in [(0, false), (10, false), (3, true), (5, true), (7, true), (11, true)] {
            assert_eq!(asks_in_clear(&message(kind)), refused, "{kind}");
        }
        assert!(!asks_in_clear(b"E\0\0\0\x08ERRO") && !asks_in_clear(b"R\0\0\0\x08\0\0\0"));
    }
}
