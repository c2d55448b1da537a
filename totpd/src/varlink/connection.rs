//! The bytes of one connection: messages in, replies out, each bounded in size and time.

use crate::varlink::connection_limits::ConnectionSlot;
use crate::varlink::peer::Peer;
use crate::varlink::reply::Bytes;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use totp_wire::frame::{Framer, MESSAGE_TIMEOUT};
use zeroize::Zeroize;

/// How long a connection may be silent before its first call.
const FIRST_CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may wait for a person between two calls.
const PROMPT_TIMEOUT: Duration = Duration::from_mins(10);
/// How long a peer may take to read a reply.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of one read.
const CHUNK: usize = 1024;

/// The connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// A peer, its bytes, and its slot.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The process on the other end.
    pub(crate) peer: Peer,
    /// The connection's slot among those of its socket.
    pub(crate) slot: ConnectionSlot,
    stream: UnixStream,
    /// Where each read goes first. Not in the futures of the reads: they are moved about.
    chunk: Box<[u8; CHUNK]>,
    framer: Framer,
    timeout: Duration,
    stopped: watch::Receiver<bool>,
}

impl Connection {
    /// A connection that has a slot. It is closed when `stopped` becomes true.
    pub(crate) fn new(
        stream: UnixStream,
        peer: Peer,
        slot: ConnectionSlot,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let (chunk, framer) = (Box::new([0; CHUNK]), Framer::default());
        Self { peer, slot, stream, chunk, framer, timeout: FIRST_CALL_TIMEOUT, stopped }
    }

    /// Reads the next message. The peer has 10 s for the first byte of its first message, 10 min
    /// for that of a later one, and [`MESSAGE_TIMEOUT`] for the rest.
    ///
    /// # Errors
    /// [`Closed`]: by the peer, by a timeout, by a message that is too long, or by an eviction.
    pub(crate) async fn next_message(&mut self) -> Result<Bytes, Closed> {
        let mut limit = std::mem::replace(&mut self.timeout, PROMPT_TIMEOUT);
        let mut until = tokio::time::Instant::now() + limit;
        loop {
            if let Some(message) = self.framer.next_message().map_err(|_| Closed)? {
                return Ok(message);
            }
            if limit != MESSAGE_TIMEOUT && !self.framer.is_empty() {
                limit = MESSAGE_TIMEOUT;
                until = tokio::time::Instant::now() + limit;
            }
            let count = tokio::select! {
                read = self.stream.read(&mut *self.chunk) => read.map_err(|_| Closed)?,
                () = tokio::time::sleep_until(until) => return Err(Closed),
                () = self.slot.evicted() => return Err(Closed),
                _ = self.stopped.wait_for(|stopped| *stopped) => return Err(Closed),
            };
            if count == 0 {
                return Err(Closed);
            }
            self.keep(count);
        }
    }

    /// Moves the bytes of a read to those of the next message.
    fn keep(&mut self, count: usize) {
        let read = &mut self.chunk[..count];
        self.framer.push(read);
        read.zeroize();
    }

    /// Writes a reply. The peer has 5 s to read it.
    ///
    /// # Errors
    /// [`Closed`].
    pub(crate) async fn write(&mut self, reply: &[u8]) -> Result<(), Closed> {
        let written = tokio::time::timeout(WRITE_TIMEOUT, self.stream.write_all(reply)).await;
        written.map_err(|_| Closed)?.map_err(|_| Closed)
    }

    /// Returns when the peer has hung up. What it sends meanwhile is kept for the next read.
    pub(crate) async fn hung_up(&mut self) {
        loop {
            match self.stream.read(&mut *self.chunk).await {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    self.keep(count);
                    // It talks on without listening. The next read will find it too long.
                    if self.framer.len() > totp_wire::frame::MAX_MESSAGE {
                        return;
                    }
                }
            }
        }
    }
}
