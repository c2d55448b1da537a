//! The limit on open connections, the limit for one source, and which connection is evicted when a
//! limit is reached.
//!
//! A quarter of the connections may come from one network. When a limit is reached, a new
//! connection evicts the oldest unauthenticated connection of the source that holds the most, so
//! that a flood evicts its own connections. If every connection is authenticated, it evicts the
//! longest-idle connection of the client that holds the most. A connection with a request in flight
//! is never evicted for another one.

use crate::http::server::peer_addr::{PeerAddr, SourceGroup};
use crate::sync::ignore_poison;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a client may take to read a response: this long, and a second more for every
/// [`MIN_BYTES_PER_SECOND`].
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
const MIN_BYTES_PER_SECOND: usize = 4 * 1024;

/// The open connections of the API.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionTable {
    max_connections: usize,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    connections: BTreeMap<u64, HttpConnection>,
    /// Counts connections and requests. The numbers are their ids and their order in time.
    ticks: u64,
}

#[derive(Debug)]
struct HttpConnection {
    group: SourceGroup,
    /// The client that authenticated last on this connection.
    client: Option<String>,
    /// Requests of the client in flight; for those with a response, when the client must have read
    /// it.
    requests: HashMap<u64, Option<Instant>>,
    /// The tick at which the connection opened or its last request ended.
    idle_since: u64,
    evict: Arc<Notify>,
}

/// The entry of one connection in the table, which is removed on drop.
#[derive(Debug)]
pub(crate) struct HttpConnectionSlot {
    table: ConnectionTable,
    number: u64,
    peer: PeerAddr,
    evict: Arc<Notify>,
}

/// An authenticated request in flight, which ends on drop.
#[derive(Debug)]
pub(crate) struct RequestGuard {
    slot: Arc<HttpConnectionSlot>,
    number: u64,
}

impl ConnectionTable {
    /// An empty table for at most `max_connections` connections.
    pub(crate) fn new(max_connections: usize) -> Self {
        Self { max_connections, inner: Arc::default() }
    }

    /// Adds a connection, and evicts another one if a limit is reached. `None` if none may be
    /// evicted. The limit for one source does not hold for this host.
    pub(crate) fn admit(&self, peer: PeerAddr) -> Option<HttpConnectionSlot> {
        let group = peer.group();
        let mut inner = self.lock();
        let of_group = |connection: &HttpConnection| connection.group == group;
        let source_is_full = matches!(group, SourceGroup::Network(_))
            && inner.connections.values().filter(|connection| of_group(connection)).count()
                >= self.max_connections / 4;
        if source_is_full || inner.connections.len() >= self.max_connections {
            let victim = inner.pick_victim(|connection| !source_is_full || of_group(connection))?;
            inner.evict(victim);
        }
        let (number, evict) = (inner.next_tick(), Arc::new(Notify::new()));
        let connection = HttpConnection {
            group,
            client: None,
            requests: HashMap::new(),
            idle_since: number,
            evict: Arc::clone(&evict),
        };
        inner.connections.insert(number, connection);
        Some(HttpConnectionSlot { table: self.clone(), number, peer, evict })
    }

    /// Evicts connections whose client has not read a response in time.
    pub(crate) fn evict_slow_readers(&self) {
        let (mut inner, now) = (self.lock(), Instant::now());
        let is_late = |connection: &HttpConnection| {
            connection.requests.values().flatten().any(|deadline| *deadline <= now)
        };
        let late: Vec<u64> = inner
            .connections
            .iter()
            .filter(|(_, connection)| is_late(connection))
            .map(|(number, _)| *number)
            .collect();
        for number in late {
            inner.evict(number);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code panics while it holds this lock.
        ignore_poison(self.inner.lock())
    }
}

impl Inner {
    fn next_tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    fn evict(&mut self, number: u64) {
        if let Some(connection) = self.connections.remove(&number) {
            connection.evict.notify_one();
        }
    }

    /// The number of the connection to evict among the candidates.
    fn pick_victim(&self, is_candidate: impl Fn(&HttpConnection) -> bool) -> Option<u64> {
        let candidates = || self.connections.iter().filter(|(_, connection)| is_candidate(connection));
        let longest_idle = |matches: &dyn Fn(&HttpConnection) -> bool| {
            candidates()
                .filter(|(_, connection)| matches(connection))
                .min_by_key(|(_, connection)| connection.idle_since)
                .map(|(number, _)| *number)
        };
        let unauthenticated =
            candidates().map(|(_, connection)| connection).filter(|connection| connection.client.is_none());
        if let Some(group) = most_frequent_first(unauthenticated.map(|connection| connection.group)).next() {
            return longest_idle(&|connection| connection.client.is_none() && connection.group == group);
        }
        let clients = candidates().map(|(_, connection)| connection.client.as_deref());
        most_frequent_first(clients).find_map(|client| {
            longest_idle(&|connection| {
                connection.client.as_deref() == client && connection.requests.is_empty()
            })
        })
    }
}

/// The distinct items, the most frequent first.
fn most_frequent_first<T: Copy + Eq + std::hash::Hash>(
    items: impl Iterator<Item = T>,
) -> impl Iterator<Item = T> {
    let mut counts: HashMap<T, usize> = HashMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.into_iter().map(|(item, _)| item)
}

impl HttpConnectionSlot {
    /// Where the connection comes from.
    pub(crate) const fn peer(&self) -> PeerAddr {
        self.peer
    }

    /// Waits until the connection is evicted.
    pub(crate) async fn evicted(&self) {
        self.evict.notified().await;
    }

    /// Records that a request of this client is in flight.
    pub(crate) fn begin_request(self: Arc<Self>, client: &str) -> RequestGuard {
        let mut number = 0;
        self.update(|connection, tick| {
            connection.client = Some(client.to_owned());
            connection.requests.insert(tick, None);
            number = tick;
        });
        RequestGuard { slot: self, number }
    }

    /// Records a request with wrong or revoked credentials: the connection counts as
    /// unauthenticated, unless requests are in flight on it. A proxy may send the requests of many
    /// clients over one connection.
    pub(crate) fn mark_unauthenticated(&self) {
        self.update(|connection, _| {
            if connection.requests.is_empty() {
                connection.client = None;
            }
        });
    }

    fn update(&self, update: impl FnOnce(&mut HttpConnection, u64)) {
        let mut inner = self.table.lock();
        let tick = inner.next_tick();
        if let Some(connection) = inner.connections.get_mut(&self.number) {
            update(connection, tick);
        }
    }
}

impl RequestGuard {
    /// Starts the time in which the client must read the response, which has `bytes` bytes.
    pub(crate) fn response_started(&self, bytes: usize) {
        let seconds = u32::try_from(bytes / MIN_BYTES_PER_SECOND).unwrap_or(u32::MAX);
        let deadline = Instant::now() + RESPONSE_TIMEOUT + Duration::from_secs(seconds.into());
        self.slot.update(|connection, _| {
            connection.requests.insert(self.number, Some(deadline));
        });
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.slot.update(|connection, tick| {
            connection.requests.remove(&self.number);
            connection.idle_since = tick;
        });
    }
}

impl Drop for HttpConnectionSlot {
    fn drop(&mut self) {
        self.table.lock().connections.remove(&self.number);
    }
}

#[cfg(test)]
#[path = "connection_limits_tests.rs"]
mod tests;
