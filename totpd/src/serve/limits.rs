//! How many conversations there may be, and which one gives way: over a limit the oldest that waits for a
//! person is closed. Attempts without a remote host keep room of their own, so that a flood over the network
//! never stops a local sudo.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Per uid that is neither root nor trusted.
const PER_UID: usize = 64;
/// Per remote host.
const PER_RHOST: usize = 32;
/// Per user and remote host.
const PER_USER_AND_RHOST: usize = 16;
/// In all.
const IN_ALL: usize = 8192;
/// Of these kept for attempts without a remote host.
const KEPT_LOCAL: usize = 256;

/// What a conversation is counted as.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Tag {
    /// Everything but local attempts of trusted peers.
    Foreign,
    /// Conversations of an unprivileged uid.
    Uid(u32),
    /// A remote host, as the peer named it.
    Rhost(String),
    /// A user from a remote host.
    UserAndRhost(String, String),
}

#[derive(Debug)]
struct Entry {
    tags: Vec<Tag>,
    waiting: bool,
    close: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// In the order of arrival.
    entries: BTreeMap<u64, Entry>,
    counts: HashMap<Tag, usize>,
}

/// All conversations.
#[derive(Debug)]
pub(crate) struct Limits {
    state: Arc<Mutex<State>>,
    in_all: usize,
}

/// A conversation's place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    state: Arc<Mutex<State>>,
    number: u64,
    in_all: usize,
    close: Arc<Notify>,
}

/// There is no room, and nobody who waits could give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Limits {
    /// As many as the design says, or as the process has descriptors for.
    pub(crate) fn new(descriptors: u64) -> Self {
        let descriptors = usize::try_from(descriptors).unwrap_or(IN_ALL);
        Self { state: Arc::default(), in_all: IN_ALL.min(descriptors) }
    }

    /// A place for a connection of which only the uid is known. `uid` is `None` for peers that may speak for
    /// others: what they ask for is counted when it is known.
    pub(crate) fn enter(&self, uid: Option<u32>) -> Result<Place, NoRoom> {
        let mut state = lock(&self.state);
        let tags = uid.map_or_else(Vec::new, |uid| vec![Tag::Foreign, Tag::Uid(uid)]);
        state.make_room(&tags, self.in_all)?;
        let close = Arc::new(Notify::new());
        let number = state.add(Entry { tags, waiting: true, close: Arc::clone(&close) });
        Ok(Place { state: Arc::clone(&self.state), number, in_all: self.in_all, close })
    }
}

impl Place {
    /// The attempt is for `user` from `rhost`.
    pub(crate) fn remote(&self, user: &str, rhost: &str) -> Result<(), NoRoom> {
        let mut state = lock(&self.state);
        let Some(entry) = state.remove(self.number) else { return Err(NoRoom) };
        let tags = vec![
            Tag::Foreign,
            Tag::Rhost(rhost.to_owned()),
            Tag::UserAndRhost(user.to_owned(), rhost.to_owned()),
        ];
        state.make_room(&tags, self.in_all)?;
        state.insert(self.number, Entry { tags, ..entry });
        Ok(())
    }

    /// Whether it waits for a person, and may be closed for somebody else.
    pub(crate) fn waits(&self, waiting: bool) {
        if let Some(entry) = lock(&self.state).entries.get_mut(&self.number) {
            entry.waiting = waiting;
        }
    }

    /// Ends when the place was given to somebody else.
    pub(crate) async fn closed(&self) {
        self.close.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.state).remove(self.number);
    }
}

impl State {
    /// Closes the oldest waiting conversation of each class that is full.
    fn make_room(&mut self, tags: &[Tag], in_all: usize) -> Result<(), NoRoom> {
        for tag in tags {
            let most = match tag {
                Tag::Foreign => in_all.saturating_sub(KEPT_LOCAL.min(in_all / 2)),
                Tag::Uid(_) => PER_UID,
                Tag::Rhost(_) => PER_RHOST,
                Tag::UserAndRhost(..) => PER_USER_AND_RHOST,
            };
            if self.counts.get(tag).copied().unwrap_or(0) >= most {
                self.close_oldest(Some(tag))?;
            }
        }
        if self.entries.len() >= in_all {
            self.close_oldest(Some(&Tag::Foreign)).or_else(|_| self.close_oldest(None))?;
        }
        Ok(())
    }

    fn close_oldest(&mut self, tag: Option<&Tag>) -> Result<(), NoRoom> {
        let oldest = self
            .entries
            .iter()
            .find(|(_, e)| e.waiting && tag.is_none_or(|tag| e.tags.contains(tag)))
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
        for tag in &entry.tags {
            *self.counts.entry(tag.clone()).or_default() += 1;
        }
        self.entries.insert(number, entry);
    }

    fn remove(&mut self, number: u64) -> Option<Entry> {
        let entry = self.entries.remove(&number)?;
        for tag in &entry.tags {
            if let Some(count) = self.counts.get_mut(tag) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(tag);
                }
            }
        }
        Some(entry)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Nothing panics while it is held; the state is whole either way.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_closed(place: &Place) -> bool {
        !lock(&place.state).entries.contains_key(&place.number)
    }

    #[test]
    fn over_a_limit_the_oldest_that_waits_gives_way() {
        let limits = Limits::new(10_000);
        let places: Vec<_> = (0..PER_UID).map(|_| limits.enter(Some(1000)).unwrap()).collect();
        places[0].waits(false);
        let _other = limits.enter(Some(1001)).unwrap();
        assert!(!places.iter().any(is_closed));
        let newest = limits.enter(Some(1000)).unwrap();
        assert!(is_closed(&places[1]) && !is_closed(&places[0]));
        for place in &places {
            place.waits(false);
        }
        newest.waits(false);
        assert_eq!(limits.enter(Some(1000)).map(drop), Err(NoRoom));
    }

    #[test]
    fn users_and_hosts_have_their_own_limits() {
        let limits = Limits::new(10_000);
        let enter = |user: &str, rhost: &str| {
            let place = limits.enter(None).unwrap();
            place.remote(user, rhost).unwrap();
            place
        };
        let alice: Vec<_> = (0..=PER_USER_AND_RHOST).map(|_| enter("alice", "192.0.2.1")).collect();
        assert_eq!(alice.iter().filter(|p| is_closed(p)).count(), 1);
        let bob: Vec<_> = (0..=PER_RHOST).map(|i| enter(&format!("u{i}"), "192.0.2.2")).collect();
        assert_eq!(bob.iter().filter(|p| is_closed(p)).count(), 1);
    }

    #[test]
    fn a_flood_from_the_network_leaves_room_for_local_attempts() {
        let limits = Limits::new(1_000);
        let flood: Vec<_> = (0..2_000)
            .map(|i| {
                let place = limits.enter(None).unwrap();
                place.remote("alice", &format!("host{i}")).unwrap();
                place.waits(true);
                place
            })
            .collect();
        assert!(lock(&limits.state).entries.len() <= 1_000 - KEPT_LOCAL);
        let local: Vec<_> = (0..KEPT_LOCAL).map(|_| limits.enter(None).unwrap()).collect();
        assert!(!local.iter().any(is_closed));
        drop((flood, local));
        let state = lock(&limits.state);
        assert!(state.entries.is_empty() && state.counts.is_empty());
    }
}
