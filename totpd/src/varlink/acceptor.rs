//! Accepts connections: one loop for each socket. A connection counts until its task has ended, not
//! until it was told to end. However fast peers come and go, no more sockets are open than there
//! are slots.

use crate::state::{DaemonState, ServiceState};
use crate::varlink::connection::Connection;
use crate::varlink::dispatch;
use crate::varlink::introspection::SocketKind;
use crate::varlink::peer::{self, Peer};
use crate::varlink::reply::failed_plainly;
use crate::varlink::server::Server;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use totp_wire::login;

/// Sockets beyond the slots: those that were told to close and have not ended yet.
pub(crate) const CLOSING_HEADROOM: usize = 64;
/// Connections that are accepted before other tasks run.
const ACCEPTS_IN_A_ROW: usize = 16;
/// How long an accept waits that failed, for example for want of descriptors.
const BACK_OFF: Duration = Duration::from_millis(50);

/// One socket of the daemon's and its connections.
#[derive(Debug)]
pub(crate) struct Acceptor {
    pub(crate) kind: SocketKind,
    pub(crate) listener: UnixListener,
    pub(crate) server: Arc<Server<DaemonState>>,
    pub(crate) stopped: watch::Receiver<bool>,
}

impl Acceptor {
    /// Accepts until the daemon stops, and then waits until every connection has ended.
    pub(crate) async fn run(self) {
        let mut stopped = self.stopped.clone();
        let mut connections = JoinSet::new();
        let mut in_a_row = 0;
        let most = self.server.limits.max() + CLOSING_HEADROOM;
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
                        connections.spawn(dispatch::serve(Arc::clone(&self.server), self.kind, connection));
                    }
                }
                Err(error) => {
                    tracing::warn!("a connection cannot be accepted: {error}");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
            in_a_row = (in_a_row + 1) % ACCEPTS_IN_A_ROW;
            if in_a_row == 0 {
                tokio::task::yield_now().await;
            }
        }
        drop(self.listener);
        while connections.join_next().await.is_some() {}
    }

    /// Finds a slot for an accepted connection. Without one it is closed.
    fn admit(&self, stream: UnixStream) -> Option<Connection> {
        let Server { state, limits, rate_limit, prompt_history: _ } = &*self.server;
        let peer = Peer::of(&stream)?;
        let service = state.service();
        let config = match &service {
            ServiceState::Serving(engine) => Some(engine.config()),
            ServiceState::Refusing(_) => None,
        };
        let uid = (!peer::speaks_for_others(peer.uid, config)).then_some(peer.uid);
        if uid.is_some_and(|uid| !rate_limit.allows_connection(uid)) {
            return None;
        }
        let Ok(slot) = limits.enter(uid) else {
            let busy = failed_plainly(login::BUSY);
            let _ = stream.try_write(&busy);
            return None;
        };
        Some(Connection::new(stream, peer, slot, self.stopped.clone()))
    }
}
