//! Limits of the connections of one socket. Over a limit the oldest connection that waits for a
//! person is evicted. Attempts without a remote host have room of their own, so that a flood over
//! the network never stops a local sudo. Each limit is about the user or host that causes the
//! connections, so that nobody fills another's room.

use crate::sync::ignore_poison;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// Connections of a uid that is neither root's nor trusted, by its own processes.
const MAX_PER_PEER_UID: usize = 64;
/// Connections of the setuid programs that a uid started.
const MAX_PER_CALLER: usize = 64;
/// Connections of a service that names neither caller nor remote host.
const MAX_PER_SERVICE: usize = 64;
/// Connections that a remote host causes.
const MAX_PER_RHOST: usize = 32;
/// Connections that a remote host causes for one user.
const MAX_PER_USER_AND_RHOST: usize = 16;
/// Connections of one socket.
pub(crate) const MAX_CONNECTIONS: usize = 8192;
/// Connections of one socket that are reserved for attempts without a remote host.
const RESERVED_LOCAL: usize = 256;

/// Who causes an attempt that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Somebody at a remote host, as the peer named it, for this user.
    Remote {
        /// The user.
        user: String,
        /// The host.
        rhost: String,
    },
    /// A user of this machine, by real uid.
    Caller(u32),
    /// A service that names neither.
    Service(String),
}

/// What a connection is counted as.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum LimitKey {
    /// Everything but local attempts of root's programs.
    NotLocal,
    /// Root's and trusted programs whose attempt has not begun.
    BeforeBegin,
    /// Processes of an unprivileged uid.
    PeerUid(u32),
    /// Setuid programs that a uid started.
    Caller(u32),
    /// A service without caller and remote host.
    Service(String),
    /// A remote host, as the peer named it.
    Rhost(String),
    /// A user from a remote host.
    UserAndRhost(String, String),
}

#[derive(Debug)]
struct Entry {
    keys: Vec<LimitKey>,
    waiting: bool,
    close: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// In the order of arrival.
    entries: BTreeMap<u64, Entry>,
    counts: HashMap<LimitKey, usize>,
}

/// The connections of one socket.
#[derive(Debug)]
pub(crate) struct Limits {
    state: Arc<Mutex<State>>,
    max: usize,
}

/// A connection's slot. Dropping it frees it.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    state: Arc<Mutex<State>>,
    number: u64,
    max: usize,
    close: Arc<Notify>,
}

/// There is no room, and no connection that waits for a person could be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Limits {
    /// Allows `max` connections in all.
    pub(crate) fn new(max: usize) -> Self {
        Self { state: Arc::default(), max }
    }

    /// The number of connections that are allowed in all.
    pub(crate) const fn max(&self) -> usize {
        self.max
    }

    /// Takes a slot for a connection of which only the uid is known. `uid` is `None` for peers that
    /// may speak for others: their attempts are counted when they begin.
    pub(crate) fn enter(&self, uid: Option<u32>) -> Result<ConnectionSlot, NoRoom> {
        let mut state = lock(&self.state);
        let keys = match uid {
            Some(uid) => vec![LimitKey::NotLocal, LimitKey::PeerUid(uid)],
            None => vec![LimitKey::BeforeBegin],
        };
        state.make_room(&keys, self.max)?;
        let close = Arc::new(Notify::new());
        let number = state.add(Entry { keys, waiting: true, close: Arc::clone(&close) });
        Ok(ConnectionSlot { state: Arc::clone(&self.state), number, max: self.max, close })
    }
}

impl ConnectionSlot {
    /// Counts the connection under the cause of its attempt, which has begun.
    pub(crate) fn begin(&self, cause: &Cause) -> Result<(), NoRoom> {
        let mut state = lock(&self.state);
        let Some(entry) = state.remove(self.number) else { return Err(NoRoom) };
        let keys = match cause {
            Cause::Remote { user, rhost } => vec![
                LimitKey::NotLocal,
                LimitKey::Rhost(rhost.clone()),
                LimitKey::UserAndRhost(user.clone(), rhost.clone()),
            ],
            Cause::Caller(uid) => vec![LimitKey::Caller(*uid)],
            Cause::Service(service) => vec![LimitKey::Service(service.clone())],
        };
        state.make_room(&keys, self.max)?;
        state.insert(self.number, Entry { keys, ..entry });
        Ok(())
    }

    /// Sets whether the connection waits for a person, and may be evicted.
    pub(crate) fn set_waiting(&self, waiting: bool) {
        if let Some(entry) = lock(&self.state).entries.get_mut(&self.number) {
            entry.waiting = waiting;
        }
    }

    /// Returns when the connection is evicted.
    pub(crate) async fn evicted(&self) {
        self.close.notified().await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        lock(&self.state).remove(self.number);
    }
}

impl State {
    /// Evicts the oldest waiting connection of each key that is full.
    fn make_room(&mut self, keys: &[LimitKey], max: usize) -> Result<(), NoRoom> {
        for key in keys {
            let limit = match key {
                LimitKey::NotLocal => max.saturating_sub(RESERVED_LOCAL.min(max / 2)),
                LimitKey::BeforeBegin => max / 4,
                LimitKey::PeerUid(_) => MAX_PER_PEER_UID,
                LimitKey::Caller(_) => MAX_PER_CALLER,
                LimitKey::Service(_) => MAX_PER_SERVICE,
                LimitKey::Rhost(_) => MAX_PER_RHOST,
                LimitKey::UserAndRhost(..) => MAX_PER_USER_AND_RHOST,
            };
            if self.counts.get(key).copied().unwrap_or(0) >= limit {
                self.evict_oldest(Some(key))?;
            }
        }
        if self.entries.len() >= max {
            self.evict_oldest(Some(&LimitKey::NotLocal)).or_else(|_| self.evict_oldest(None))?;
        }
        Ok(())
    }

    fn evict_oldest(&mut self, key: Option<&LimitKey>) -> Result<(), NoRoom> {
        let oldest = self
            .entries
            .iter()
            .find(|(_, e)| e.waiting && key.is_none_or(|key| e.keys.contains(key)))
            .map(|(number, _)| *number);
        let entry = oldest.and_then(|number| self.remove(number)).ok_or(NoRoom)?;
        entry.close.notify_one();
        Ok(())
    }

    fn add(&mut self, entry: Entry) -> u64 {
        self.next += 1;
        self.insert(self.next, entry);
        self.next
    }

    fn insert(&mut self, number: u64, entry: Entry) {
        for key in &entry.keys {
            *self.counts.entry(key.clone()).or_default() += 1;
        }
        self.entries.insert(number, entry);
    }

    fn remove(&mut self, number: u64) -> Option<Entry> {
        let entry = self.entries.remove(&number)?;
        for key in &entry.keys {
            if let Some(count) = self.counts.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(key);
                }
            }
        }
        Some(entry)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Nothing panics while it is held; the state is whole either way.
    ignore_poison(state.lock())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_evicted(slot: &ConnectionSlot) -> bool {
        !lock(&slot.state).entries.contains_key(&slot.number)
    }

    fn begun(limits: &Limits, cause: &Cause) -> ConnectionSlot {
        let slot = limits.enter(None).unwrap();
        slot.begin(cause).unwrap();
        slot
    }

    fn remote(user: &str, rhost: &str) -> Cause {
        Cause::Remote { user: user.to_owned(), rhost: rhost.to_owned() }
    }

    #[test]
    fn over_a_limit_the_oldest_waiting_connection_is_evicted() {
        let limits = Limits::new(8_192);
        let slots: Vec<_> = (0..MAX_PER_PEER_UID).map(|_| limits.enter(Some(1000)).unwrap()).collect();
        slots[0].set_waiting(false);
        let _other = limits.enter(Some(1001)).unwrap();
        assert!(!slots.iter().any(is_evicted));
        let newest = limits.enter(Some(1000)).unwrap();
        assert!(is_evicted(&slots[1]) && !is_evicted(&slots[0]));
        for slot in &slots {
            slot.set_waiting(false);
        }
        newest.set_waiting(false);
        assert_eq!(limits.enter(Some(1000)).map(drop), Err(NoRoom));
    }

    #[test]
    fn users_and_hosts_have_their_own_limits() {
        let limits = Limits::new(8_192);
        let alice: Vec<_> =
            (0..=MAX_PER_USER_AND_RHOST).map(|_| begun(&limits, &remote("alice", "192.0.2.1"))).collect();
        assert_eq!(alice.iter().filter(|p| is_evicted(p)).count(), 1);
        let bob: Vec<_> =
            (0..=MAX_PER_RHOST).map(|i| begun(&limits, &remote(&format!("u{i}"), "192.0.2.2"))).collect();
        assert_eq!(bob.iter().filter(|p| is_evicted(p)).count(), 1);
    }

    #[test]
    fn a_caller_or_service_fills_only_its_own_room() {
        let limits = Limits::new(8_192);
        let console = begun(&limits, &Cause::Service("login".into()));
        let bob = begun(&limits, &Cause::Caller(5002));
        let eve: Vec<_> = (0..300).map(|_| begun(&limits, &Cause::Caller(7102))).collect();
        let xrdp: Vec<_> = (0..300).map(|_| begun(&limits, &Cause::Service("xrdp-sesman".into()))).collect();
        assert!(!is_evicted(&console) && !is_evicted(&bob));
        for flood in [&eve, &xrdp] {
            assert_eq!(flood.iter().filter(|p| !is_evicted(p)).count(), 64);
        }
    }

    #[test]
    fn silent_connections_leave_room_for_attempts() {
        let limits = Limits::new(1_000);
        let silent: Vec<_> = (0..2_000).map(|_| limits.enter(None).unwrap()).collect();
        assert_eq!(silent.iter().filter(|slot| !is_evicted(slot)).count(), 250);
        assert!(!is_evicted(&begun(&limits, &Cause::Caller(5001))));
    }

    #[test]
    fn a_flood_from_the_network_leaves_room_for_local_attempts() {
        let limits = Limits::new(1_000);
        let flood: Vec<_> =
            (0..2_000).map(|i| begun(&limits, &remote("alice", &format!("host{i}")))).collect();
        assert!(lock(&limits.state).entries.len() <= 1_000 - RESERVED_LOCAL);
        let local: Vec<_> = (0..u32::try_from(RESERVED_LOCAL).unwrap())
            .map(|uid| begun(&limits, &Cause::Caller(uid)))
            .collect();
        assert!(!local.iter().any(is_evicted));
        drop((flood, local));
        let state = lock(&limits.state);
        assert!(state.entries.is_empty() && state.counts.is_empty());
    }
}
