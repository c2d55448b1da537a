//! One connection: messages in, replies out, each bounded in size and time.

use crate::state::DaemonState;
use crate::varlink::connection_limits::ConnectionSlot;
use crate::varlink::introspection::{self, SocketKind};
use crate::varlink::login::Conversation;
use crate::varlink::peer::Peer;
use crate::varlink::rate_limit::RateLimit;
use crate::varlink::reply::failed;
use crate::varlink::{admin, self_service};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use totp_wire::frame::{Framer, MESSAGE_TIMEOUT};
use totp_wire::message::{self, Call};
use totp_wire::{login, service};
use zeroize::{Zeroize, Zeroizing};

/// How long a connection may be silent before its first call.
const FIRST_CALL: Duration = Duration::from_secs(10);
/// How long a conversation may wait for a person.
const PROMPT_TIMEOUT: Duration = Duration::from_mins(10);
/// How long a peer may take to read a reply.
const WRITE_TIME: Duration = Duration::from_secs(5);

/// The connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// The peer, its bytes, and its slot.
pub(crate) struct Connection {
    pub(crate) stream: UnixStream,
    pub(crate) framer: Framer,
    pub(crate) peer: Peer,
    pub(crate) slot: ConnectionSlot,
    pub(crate) rate_limit: Arc<RateLimit>,
    pub(crate) shared: Arc<DaemonState>,
    stopped: watch::Receiver<bool>,
}

impl Connection {
    /// A connection that has a slot.
    pub(crate) fn new(
        stream: UnixStream,
        peer: Peer,
        slot: ConnectionSlot,
        rate_limit: Arc<RateLimit>,
        shared: Arc<DaemonState>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        Self { stream, framer: Framer::default(), peer, slot, rate_limit, shared, stopped }
    }

    /// Answers until its end. Whatever ends it, the peer sees a closed connection.
    pub(crate) async fn run(self, kind: SocketKind) {
        let _ = self.serve(kind).await;
    }

    async fn serve(mut self, kind: SocketKind) -> Result<(), Closed> {
        let mut conversation = Conversation::default();
        let mut patience = FIRST_CALL;
        loop {
            let message = self.next(patience).await?;
            patience = PROMPT_TIMEOUT;
            self.slot.waits(false);
            let Ok(call) = message::read::<Call<'_>>(&message) else {
                tracing::debug!("an unreadable message of uid {}", self.peer.uid);
                return Err(Closed);
            };
            // A reply that nobody wants, several, or another protocol: not offered.
            if call.oneway || call.more || call.upgrade {
                return Err(Closed);
            }
            let (interface, method) = call.method.rsplit_once('.').unwrap_or_default();
            let parameters = call.parameters.map_or("{}", serde_json::value::RawValue::get).as_bytes();
            let reply = match (interface, kind) {
                (service::INTERFACE, _) => introspection::call(kind, method, parameters),
                (login::INTERFACE, SocketKind::Root | SocketKind::Login) => {
                    conversation.call(&mut self, method, parameters).await?
                }
                (totp_wire::self_service::INTERFACE, SocketKind::Login) => {
                    self_service::call(&mut self, method, parameters).await?
                }
                (totp_wire::admin::INTERFACE, SocketKind::Admin | SocketKind::Login) => {
                    admin::call(&self, method, parameters).await
                }
                _ => failed(service::INTERFACE_NOT_FOUND, "interface", interface),
            };
            self.write(&reply).await?;
            conversation.delivered();
            if conversation.over() {
                return Ok(());
            }
            self.slot.waits(true);
        }
    }

    /// The next message: `patience` for its first byte, [`MESSAGE_TIME`] for the rest.
    async fn next(&mut self, patience: Duration) -> Result<Zeroizing<Vec<u8>>, Closed> {
        let mut chunk = Zeroizing::new([0; 1024]);
        let mut limit = patience;
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
                read = self.stream.read(&mut *chunk) => read.map_err(|_| Closed)?,
                () = tokio::time::sleep_until(until) => return Err(Closed),
                () = self.slot.closed() => return Err(Closed),
                _ = self.stopped.wait_for(|stopped| *stopped) => return Err(Closed),
            };
            if count == 0 {
                return Err(Closed);
            }
            self.framer.push(&chunk[..count]);
            chunk[..count].zeroize();
        }
    }

    pub(crate) async fn write(&mut self, reply: &[u8]) -> Result<(), Closed> {
        let written = tokio::time::timeout(WRITE_TIME, self.stream.write_all(reply)).await;
        written.map_err(|_| Closed)?.map_err(|_| Closed)
    }

    /// Ends when the peer has hung up. What it sends meanwhile is kept for later.
    pub(crate) async fn hung_up(&mut self) {
        let mut chunk = Zeroizing::new([0; 1024]);
        loop {
            match self.stream.read(&mut *chunk).await {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    self.framer.push(&chunk[..count]);
                    chunk[..count].zeroize();
                    // It talks on without listening; the next read will find it too long.
                    if self.framer.len() > totp_wire::frame::MAX_MESSAGE {
                        return;
                    }
                }
            }
        }
    }
}
