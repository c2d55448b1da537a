//! How many connections one socket may have, and which one gives way: over a limit the oldest that waits for a
//! person is closed. Attempts without a remote host keep room of their own, so that a flood over the network
//! never stops a local sudo; and each limit is about whoever caused it, so that nobody fills another's room.

use crate::sync::ignore_poison;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// Per uid that is neither root nor trusted, by its own processes.
const PER_PEER_UID: usize = 64;
/// Per real uid, by setuid programs that it started.
const PER_CALLER: usize = 64;
/// Per service that names neither caller nor remote host.
const PER_SERVICE: usize = 64;
/// Per remote host.
const PER_RHOST: usize = 32;
/// Per user and remote host.
const PER_USER_AND_RHOST: usize = 16;
/// In all.
pub(crate) const IN_ALL: usize = 8192;
/// Of these kept for attempts without a remote host.
const KEPT_LOCAL: usize = 256;

/// Who causes a conversation, once an attempt has begun.
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
    /// A service that named neither.
    Service(String),
}

/// What a connection is counted as.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum LimitKey {
    /// Everything but local attempts of root's programs.
    Foreign,
    /// Root's and trusted programs that have not said yet what they want.
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

/// All connections of one socket.
#[derive(Debug)]
pub(crate) struct Limits {
    state: Arc<Mutex<State>>,
    in_all: usize,
}

/// A connection's slot; free again when dropped.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    state: Arc<Mutex<State>>,
    number: u64,
    in_all: usize,
    close: Arc<Notify>,
}

/// There is no room, and nobody who waits could give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Limits {
    /// As many as `in_all`.
    pub(crate) fn new(in_all: usize) -> Self {
        Self { state: Arc::default(), in_all }
    }

    /// How many there may be.
    pub(crate) const fn in_all(&self) -> usize {
        self.in_all
    }

    /// A slot for a connection of which only the uid is known. `uid` is `None` for peers that may speak for
    /// others: what they ask for is counted when it is known.
    pub(crate) fn enter(&self, uid: Option<u32>) -> Result<ConnectionSlot, NoRoom> {
        let mut state = lock(&self.state);
        let keys = match uid {
            Some(uid) => vec![LimitKey::Foreign, LimitKey::PeerUid(uid)],
            None => vec![LimitKey::BeforeBegin],
        };
        state.make_room(&keys, self.in_all)?;
        let close = Arc::new(Notify::new());
        let number = state.add(Entry { keys, waiting: true, close: Arc::clone(&close) });
        Ok(ConnectionSlot { state: Arc::clone(&self.state), number, in_all: self.in_all, close })
    }
}

impl ConnectionSlot {
    /// An attempt has begun, caused by `cause`.
    pub(crate) fn begin(&self, cause: &Cause) -> Result<(), NoRoom> {
        let mut state = lock(&self.state);
        let Some(entry) = state.remove(self.number) else { return Err(NoRoom) };
        let keys = match cause {
            Cause::Remote { user, rhost } => vec![
                LimitKey::Foreign,
                LimitKey::Rhost(rhost.clone()),
                LimitKey::UserAndRhost(user.clone(), rhost.clone()),
            ],
            Cause::Caller(uid) => vec![LimitKey::Caller(*uid)],
            Cause::Service(service) => vec![LimitKey::Service(service.clone())],
        };
        state.make_room(&keys, self.in_all)?;
        state.insert(self.number, Entry { keys, ..entry });
        Ok(())
    }

    /// Whether it waits for a person, and may be closed for somebody else.
    pub(crate) fn waits(&self, waiting: bool) {
        if let Some(entry) = lock(&self.state).entries.get_mut(&self.number) {
            entry.waiting = waiting;
        }
    }

    /// Ends when the slot was given to somebody else.
    pub(crate) async fn closed(&self) {
        self.close.notified().await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        lock(&self.state).remove(self.number);
    }
}

impl State {
    /// Closes the oldest waiting connection of each class that is full.
    fn make_room(&mut self, keys: &[LimitKey], in_all: usize) -> Result<(), NoRoom> {
        for key in keys {
            let most = match key {
                LimitKey::Foreign => in_all.saturating_sub(KEPT_LOCAL.min(in_all / 2)),
                LimitKey::BeforeBegin => in_all / 4,
                LimitKey::PeerUid(_) => PER_PEER_UID,
                LimitKey::Caller(_) => PER_CALLER,
                LimitKey::Service(_) => PER_SERVICE,
                LimitKey::Rhost(_) => PER_RHOST,
                LimitKey::UserAndRhost(..) => PER_USER_AND_RHOST,
            };
            if self.counts.get(key).copied().unwrap_or(0) >= most {
                self.close_oldest(Some(key))?;
            }
        }
        if self.entries.len() >= in_all {
            self.close_oldest(Some(&LimitKey::Foreign)).or_else(|_| self.close_oldest(None))?;
        }
        Ok(())
    }

    fn close_oldest(&mut self, key: Option<&LimitKey>) -> Result<(), NoRoom> {
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

    fn is_closed(slot: &ConnectionSlot) -> bool {
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
    fn over_a_limit_the_oldest_that_waits_gives_way() {
        let limits = Limits::new(8_192);
        let slots: Vec<_> = (0..PER_PEER_UID).map(|_| limits.enter(Some(1000)).unwrap()).collect();
        slots[0].waits(false);
        let _other = limits.enter(Some(1001)).unwrap();
        assert!(!slots.iter().any(is_closed));
        let newest = limits.enter(Some(1000)).unwrap();
        assert!(is_closed(&slots[1]) && !is_closed(&slots[0]));
        for slot in &slots {
            slot.waits(false);
        }
        newest.waits(false);
        assert_eq!(limits.enter(Some(1000)).map(drop), Err(NoRoom));
    }

    #[test]
    fn users_and_hosts_have_their_own_limits() {
        let limits = Limits::new(8_192);
        let alice: Vec<_> =
            (0..=PER_USER_AND_RHOST).map(|_| begun(&limits, &remote("alice", "192.0.2.1"))).collect();
        assert_eq!(alice.iter().filter(|p| is_closed(p)).count(), 1);
        let bob: Vec<_> =
            (0..=PER_RHOST).map(|i| begun(&limits, &remote(&format!("u{i}"), "192.0.2.2"))).collect();
        assert_eq!(bob.iter().filter(|p| is_closed(p)).count(), 1);
    }

    #[test]
    fn a_caller_or_service_fills_its_own_room_alone() {
        let limits = Limits::new(8_192);
        let console = begun(&limits, &Cause::Service("login".into()));
        let bob = begun(&limits, &Cause::Caller(5002));
        let eve: Vec<_> = (0..300).map(|_| begun(&limits, &Cause::Caller(7102))).collect();
        let xrdp: Vec<_> = (0..300).map(|_| begun(&limits, &Cause::Service("xrdp-sesman".into()))).collect();
        assert!(!is_closed(&console) && !is_closed(&bob));
        for flood in [&eve, &xrdp] {
            assert_eq!(flood.iter().filter(|p| !is_closed(p)).count(), 64);
        }
    }

    #[test]
    fn who_says_nothing_leaves_room_for_who_does() {
        let limits = Limits::new(1_000);
        let silent: Vec<_> = (0..2_000).map(|_| limits.enter(None).unwrap()).collect();
        assert_eq!(silent.iter().filter(|slot| !is_closed(slot)).count(), 250);
        assert!(!is_closed(&begun(&limits, &Cause::Caller(5001))));
    }

    #[test]
    fn a_flood_from_the_network_leaves_room_for_local_attempts() {
        let limits = Limits::new(1_000);
        let flood: Vec<_> =
            (0..2_000).map(|i| begun(&limits, &remote("alice", &format!("host{i}")))).collect();
        assert!(lock(&limits.state).entries.len() <= 1_000 - KEPT_LOCAL);
        let local: Vec<_> =
            (0..u32::try_from(KEPT_LOCAL).unwrap()).map(|uid| begun(&limits, &Cause::Caller(uid))).collect();
        assert!(!local.iter().any(is_closed));
        drop((flood, local));
        let state = lock(&limits.state);
        assert!(state.entries.is_empty() && state.counts.is_empty());
    }
}
