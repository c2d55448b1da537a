//! Accepting: one loop for each socket. A connection counts until its task has ended, not until it was told to end:
//! however fast peers come and go, no more sockets are open than there are slots.

use crate::state::DaemonState;
use crate::state::ServiceState;
use crate::varlink::connection::Connection;
use crate::varlink::connection_limits::Limits;
use crate::varlink::introspection::SocketKind;
use crate::varlink::peer;
use crate::varlink::peer::Peer;
use crate::varlink::rate_limit::RateLimit;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use totp_wire::{login, message};

/// Sockets beyond the slots: those that were told to close and have not ended yet.
const CLOSING_HEADROOM: usize = 64;
/// Connections that are accepted before everything else that is ready has its turn.
const IN_A_ROW: usize = 16;
/// After an accept without descriptors, before the next.
const BACK_OFF: Duration = Duration::from_millis(50);

/// One socket and its connections.
#[derive(Debug)]
pub(crate) struct Acceptor {
    pub(crate) kind: SocketKind,
    pub(crate) listener: UnixListener,
    pub(crate) limits: Limits,
    pub(crate) rate_limit: Arc<RateLimit>,
    pub(crate) shared: Arc<DaemonState>,
    pub(crate) stopped: watch::Receiver<bool>,
}

impl Acceptor {
    /// Accepts until the daemon stops, and then waits until every connection has ended.
    pub(crate) async fn run(self) {
        let mut stopped = self.stopped.clone();
        let mut connections = JoinSet::new();
        let mut in_a_row = 0;
        let most = self.limits.in_all() + CLOSING_HEADROOM;
        loop {
            while connections.try_join_next().is_some() {}
            let accepted = tokio::select! {
                accepted = self.listener.accept(), if connections.len() < most => accepted,
                _ = connections.join_next(), if !connections.is_empty() => continue,
                () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    if let Some(connection) = self.admit(stream) {
                        connections.spawn(connection.run(self.kind));
                    }
                }
                Err(error) => {
                    tracing::warn!("a connection cannot be accepted: {error}");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
            in_a_row = (in_a_row + 1) % IN_A_ROW;
            if in_a_row == 0 {
                tokio::task::yield_now().await;
            }
        }
        drop(self.listener);
        while connections.join_next().await.is_some() {}
    }

    /// A slot for an accepted connection, or nothing: then it is closed.
    fn admit(&self, stream: UnixStream) -> Option<Connection> {
        let credentials = stream.peer_cred().ok()?;
        let peer = Peer { uid: credentials.uid(), pid: credentials.pid() };
        let phase = self.shared.service();
        let config = match &phase {
            ServiceState::Serving(engine) => Some(engine.config()),
            ServiceState::Refusing(_) => None,
        };
        let uid = (!peer::speaks_for_others(peer.uid, config)).then_some(peer.uid);
        if uid.is_some_and(|uid| !self.rate_limit.allows_connection(uid)) {
            return None;
        }
        let Ok(slot) = self.limits.enter(uid) else {
            let busy = message::error_bytes(login::BUSY, &serde_json::json!({})).unwrap_or_default();
            let _ = stream.try_write(&busy);
            return None;
        };
        Some(Connection::new(
            stream,
            peer,
            slot,
            Arc::clone(&self.rate_limit),
            Arc::clone(&self.shared),
            self.stopped.clone(),
        ))
    }
}
