//! Places: so many connections at once, a quarter of them from one network source; and who gives way when none is left.
//!
//! Whoever has shown no good credentials gives way to whoever comes, so that strangers keep no place from anybody: the
//! longest waiting one of where most of them are from, so that a crowd gives way to others and not they to it. When there
//! are only clients, the one with the most connections that has an idle one gives the longest idle of them away. Who is
//! being answered stays, as long as he reads.

use crate::sync::ignore_poison;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use totp_core::Source;

/// How long an answer may take to leave: so long, and a second for so many bytes.
const ANSWER: Duration = Duration::from_secs(30);
const BYTES_A_SECOND: usize = 4 * 1024;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PeerAddr {
    /// Over TCP, from here.
    Address(IpAddr),
    /// From a process of this host with this uid.
    Uid(u32),
}

/// What counts as one: somebody has many addresses of one network, and this host may be a proxy for many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum SourceGroup {
    Network(Source),
    Loopback,
    Uid(u32),
}

/// Who is connected.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionTable {
    most: usize,
    here: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    guests: BTreeMap<u64, HttpConnection>,
    /// Counts arrivals and requests: their order in time, and their names.
    ticks: u64,
}

#[derive(Debug)]
struct HttpConnection {
    origin: SourceGroup,
    /// The client that has shown its credentials.
    client: Option<String>,
    /// Requests of the client that are under way, and by when the answers to those that have one have to have left.
    requests: HashMap<u64, Option<Instant>>,
    /// When it came, or its last request was over.
    since: u64,
    leave: Arc<Notify>,
}

/// A place of a connection; free again when dropped.
#[derive(Debug)]
pub(crate) struct HttpConnectionSlot {
    guests: ConnectionTable,
    number: u64,
    from: PeerAddr,
    leave: Arc<Notify>,
}

/// A request that is under way; over when dropped.
#[derive(Debug)]
pub(crate) struct RequestGuard {
    place: Arc<HttpConnectionSlot>,
    number: u64,
}

impl PeerAddr {
    /// The address, if there is one.
    pub(crate) const fn address(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address),
            Self::Uid(_) => None,
        }
    }

    fn origin(self) -> SourceGroup {
        match self {
            Self::Address(address) if address.is_loopback() => SourceGroup::Loopback,
            Self::Address(address) => SourceGroup::Network(Source::of(address)),
            Self::Uid(uid) => SourceGroup::Uid(uid),
        }
    }
}

impl ConnectionTable {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, here: Arc::default() }
    }

    /// A place, unless there is none and nobody gives way. This host itself may take them all.
    pub(crate) fn enter(&self, from: PeerAddr) -> Option<HttpConnectionSlot> {
        let origin = from.origin();
        let mut here = self.here();
        let of_mine = |guest: &HttpConnection| guest.origin == origin;
        let over_share = matches!(origin, SourceGroup::Network(_))
            && here.guests.values().filter(|guest| of_mine(guest)).count() >= self.most / 4;
        if over_share || here.guests.len() >= self.most {
            let number = here.pick_victim(|guest| !over_share || of_mine(guest))?;
            here.leaves(number);
        }
        let (number, leave) = (here.tick(), Arc::new(Notify::new()));
        let guest = HttpConnection {
            origin,
            client: None,
            requests: HashMap::new(),
            since: number,
            leave: Arc::clone(&leave),
        };
        here.guests.insert(number, guest);
        Some(HttpConnectionSlot { guests: self.clone(), number, from, leave })
    }

    /// Ends the connections on which an answer did not leave in its time.
    pub(crate) fn sweep(&self) {
        let (mut here, now) = (self.here(), Instant::now());
        let late = |guest: &HttpConnection| guest.requests.values().flatten().any(|end| *end <= now);
        let late: Vec<u64> = here.guests.iter().filter(|(_, guest)| late(guest)).map(|(n, _)| *n).collect();
        for number in late {
            here.leaves(number);
        }
    }

    fn here(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held.
        ignore_poison(self.here.lock())
    }
}

impl Inner {
    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    fn leaves(&mut self, number: u64) {
        if let Some(guest) = self.guests.remove(&number) {
            guest.leave.notify_one();
        }
    }

    /// The number of the one among these who gives way.
    fn pick_victim(&self, among: impl Fn(&HttpConnection) -> bool) -> Option<u64> {
        let these = || self.guests.iter().filter(|(_, guest)| among(guest));
        let longest = |wanted: &dyn Fn(&HttpConnection) -> bool| {
            these().filter(|(_, g)| wanted(g)).min_by_key(|(_, g)| g.since).map(|(number, _)| *number)
        };
        let strangers = these().map(|(_, guest)| guest).filter(|guest| guest.client.is_none());
        if let Some(origin) = most_first(strangers.map(|guest| guest.origin)).next() {
            return longest(&|guest| guest.client.is_none() && guest.origin == origin);
        }
        most_first(these().map(|(_, guest)| guest.client.as_deref())).find_map(|client| {
            longest(&|guest| guest.client.as_deref() == client && guest.requests.is_empty())
        })
    }
}

/// Each of these once, those that are there most often first.
fn most_first<T: Copy + Eq + std::hash::Hash>(all: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    let mut counts: HashMap<T, usize> = HashMap::new();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.into_iter().map(|(one, _)| one)
}

impl HttpConnectionSlot {
    /// Where the connection comes from.
    pub(crate) const fn from(&self) -> PeerAddr {
        self.from
    }

    /// Ends when somebody else has the place.
    pub(crate) async fn evicted(&self) {
        self.leave.notified().await;
    }

    /// A request came with this client's credentials.
    pub(crate) fn begin_request(self: Arc<Self>, client: &str) -> RequestGuard {
        let mut number = 0;
        self.change(|guest, tick| {
            guest.client = Some(client.to_owned());
            guest.requests.insert(tick, None);
            number = tick;
        });
        RequestGuard { place: self, number }
    }

    /// A request came with credentials that are not good, or not any more.
    pub(crate) fn mark_unauthenticated(&self) {
        self.change(|guest, _| {
            // A proxy may bring the requests of many on one connection.
            if guest.requests.is_empty() {
                guest.client = None;
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut HttpConnection, u64)) {
        let mut here = self.guests.here();
        let tick = here.tick();
        if let Some(guest) = here.guests.get_mut(&self.number) {
            change(guest, tick);
        }
    }
}

impl RequestGuard {
    /// There is an answer of so many bytes.
    pub(crate) fn answered(&self, bytes: usize) {
        let seconds = u64::try_from(bytes / BYTES_A_SECOND).unwrap_or(0);
        let end = Instant::now() + ANSWER + Duration::from_secs(seconds);
        self.place.change(|guest, _| {
            guest.requests.insert(self.number, Some(end));
        });
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.place.change(|guest, tick| {
            guest.requests.remove(&self.number);
            guest.since = tick;
        });
    }
}

impl Drop for HttpConnectionSlot {
    fn drop(&mut self) {
        self.guests.here().guests.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: PeerAddr = PeerAddr::Uid(1000);

    fn from(guests: &ConnectionTable, address: &str) -> Option<Arc<HttpConnectionSlot>> {
        guests.enter(PeerAddr::Address(address.parse().unwrap())).map(Arc::new)
    }

    fn gone(place: &Arc<HttpConnectionSlot>) -> bool {
        !place.guests.here().guests.contains_key(&place.number)
    }

    fn visit(place: &Arc<HttpConnectionSlot>, client: &str) -> RequestGuard {
        Arc::clone(place).begin_request(client)
    }

    #[tokio::test]
    async fn strangers_give_way_to_whoever_comes_the_first_of_them_first() {
        let guests = ConnectionTable::new(3);
        let enter = || Arc::new(guests.enter(ME).unwrap());
        let [one, two, three] = [enter(), enter(), enter()];
        drop(visit(&one, "shop"));
        let four = enter();
        assert_eq!([&one, &two, &three, &four].map(gone), [false, true, false, false]);
        two.evicted().await;
        drop(two);
        // Credentials that are revoked make a stranger, but of nobody who is being answered.
        let busy = visit(&four, "shop");
        four.mark_unauthenticated();
        one.mark_unauthenticated();
        let five = enter();
        assert_eq!([&one, &three, &four].map(gone), [false, true, false], "since its last request");
        let _six = enter();
        assert_eq!([&one, &four].map(gone), [true, false]);
        drop(busy);
        four.mark_unauthenticated();
        let _seven = enter();
        assert_eq!([&four, &five].map(gone), [false, true]);
    }

    #[test]
    fn a_crowd_of_strangers_gives_way_to_others_and_not_they_to_it() {
        let guests = ConnectionTable::new(8);
        let honest = from(&guests, "192.0.2.9").unwrap();
        let mine = Arc::new(guests.enter(ME).unwrap());
        let crowd: Vec<_> = (0..100).map(|_| from(&guests, "127.0.0.1").unwrap()).collect();
        assert!(!gone(&honest) && !gone(&mine));
        assert_eq!(crowd.iter().filter(|place| !gone(place)).count(), 6);
        assert!(!gone(crowd.last().unwrap()));
    }

    #[test]
    fn one_source_takes_no_more_than_its_share_and_gives_it_back() {
        let guests = ConnectionTable::new(8);
        let (first, second) = (from(&guests, "192.0.2.1").unwrap(), from(&guests, "192.0.2.1").unwrap());
        let other = from(&guests, "192.0.2.2").unwrap();
        // Of its own places one is given away, while others are free.
        let third = from(&guests, "192.0.2.1").unwrap();
        assert_eq!([&first, &second, &other].map(gone), [true, false, false]);
        let visits = [visit(&second, "shop"), visit(&third, "shop")];
        assert!(from(&guests, "192.0.2.1").is_none(), "both are busy");
        drop(visits);
        let local: Vec<_> = (0..10).filter_map(|_| from(&guests, "127.0.0.1")).collect();
        assert!(!gone(&other) && !gone(&second));
        assert_eq!(local.iter().filter(|place| !gone(place)).count(), 5, "all that are left");
    }

    #[test]
    fn among_clients_the_one_with_the_most_idle_ones_gives_its_longest_idle_away() {
        let guests = ConnectionTable::new(4);
        let enter = || Arc::new(guests.enter(ME).unwrap());
        let (small, big) = (enter(), [enter(), enter(), enter()]);
        drop(visit(&small, "small"));
        let busy = visit(&big[0], "big");
        drop(visit(&big[2], "big"));
        drop(visit(&big[1], "big"));
        let new = enter();
        assert_eq!(big.each_ref().map(gone), [false, false, true]);
        let all = [visit(&big[1], "big"), visit(&new, "big")];
        // All of the biggest are busy: the next has an idle one.
        let next = enter();
        assert!(gone(&small));
        let last = visit(&next, "small");
        assert!(guests.enter(ME).is_none(), "nobody who is being answered is cut off");
        drop((busy, all, last));
        assert!(guests.enter(ME).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_leave_in_its_time_ends_its_connection() {
        let guests = ConnectionTable::new(4);
        let enter = || Arc::new(guests.enter(ME).unwrap());
        let (slow, waiting, read) = (enter(), enter(), enter());
        let visits = [visit(&slow, "shop"), visit(&waiting, "shop")];
        visits[0].answered(1024 * 1024);
        let left = visit(&read, "shop");
        left.answered(2);
        drop(left);
        tokio::time::advance(Duration::from_mins(4)).await;
        guests.sweep();
        assert_eq!([&slow, &waiting, &read].map(gone), [false; 3], "a second for 4 kB");
        tokio::time::advance(Duration::from_mins(1)).await;
        guests.sweep();
        assert_eq!([&slow, &waiting, &read].map(gone), [true, false, false]);
        slow.evicted().await;
    }
}
