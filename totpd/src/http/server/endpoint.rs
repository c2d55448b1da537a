//! The accept loop: a listener with its certificate and its connection limits.

use crate::config::http::{Http, Listen};
use crate::http::server::connection::{self, Service};
use crate::http::server::connection_limits::ConnectionTable;
use crate::http::server::listener::Listener;
use crate::http::server::tls::Certificate;
use crate::state::DaemonState;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often the files of the certificate and the clients that read slowly are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// How long to wait after a failed accept, which usually lacks file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Tasks of evicted connections, beyond the connection limit, that may be ending at the same time.
const CLOSING_HEADROOM: usize = 64;
/// How long requests in flight may take after the daemon was told to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(8);

/// Where the API listens.
#[derive(Debug)]
pub(crate) struct Endpoint {
    listener: Listener,
    certificate: Option<Arc<Certificate>>,
    max_connections: usize,
}

impl Endpoint {
    /// Loads the certificate and opens the listener. The error says what an administrator has to
    /// change.
    pub(crate) fn open(http: &Http, inherited: &mut Option<Listener>) -> Result<Self, String> {
        let certificate = match &http.listen {
            Listen::Tls(_, files) => Some(Arc::new(Certificate::load(files)?)),
            Listen::Unix(_) | Listen::Plain(_) => None,
        };
        let listener = Listener::open(&http.listen, inherited)?;
        Ok(Self { listener, certificate, max_connections: http.connections })
    }

    /// The address or path that it listens on, for messages.
    pub(crate) fn name(&self) -> String {
        self.listener.name()
    }

    /// Accepts and serves connections until the daemon stops, then waits for the requests in
    /// flight.
    pub(crate) async fn serve(
        self,
        state: &DaemonState,
        service: Service,
        stopped: &mut watch::Receiver<bool>,
    ) {
        let stop_signal = stopped.clone();
        let table = ConnectionTable::new(self.max_connections);
        let mut connections = JoinSet::new();
        let mut check = tokio::time::interval(CHECK_INTERVAL);
        loop {
            // An evicted connection keeps its socket until its task has ended, so tasks are limited
            // as well.
            while connections.try_join_next().is_some() {}
            let has_room = connections.len() < self.max_connections + CLOSING_HEADROOM;
            tokio::select! {
                accepted = self.listener.accept(), if has_room => match accepted {
                    Ok((stream, peer)) => {
                        if let Some(slot) = table.admit(peer) {
                            let certificate = self.certificate.clone();
                            let (service, stopped) = (service.clone(), stop_signal.clone());
                            connections.spawn(connection::serve(stream, slot, certificate, service, stopped));
                        }
                    }
                    Err(error) => {
                        tracing::warn!("the HTTP API cannot accept a connection: {error}");
                        tokio::time::sleep(ACCEPT_RETRY).await;
                    }
                },
                _ = connections.join_next(), if !connections.is_empty() => {}
                _ = check.tick() => {
                    table.evict_slow_readers();
                    if let Some(note) = self.certificate.as_ref().and_then(|c| c.refresh()) {
                        state.set_http(format!("answers on {}{note}", self.name()));
                    }
                }
                _ = stopped.wait_for(|stop| *stop) => break,
            }
        }
        drop(self.listener);
        let finish = async { while connections.join_next().await.is_some() {} };
        // Requests that are not done in time end with the runtime.
        let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, finish).await;
    }
}
