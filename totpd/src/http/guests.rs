//! Places: so many connections at once, a quarter of them from one source; and who gives way when none is left.
//!
//! Whoever has shown no good credentials gives way to whoever comes, so that strangers keep no place from anybody. When
//! there are only clients, the one with the most connections gives the longest idle of them away.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use totp_core::Source;

/// Who is connected.
#[derive(Clone, Debug)]
pub(super) struct Guests {
    most: usize,
    here: Arc<Mutex<Here>>,
}

#[derive(Debug, Default)]
struct Here {
    guests: BTreeMap<u64, Guest>,
    /// Counts arrivals and ends of requests: their order in time.
    ticks: u64,
}

#[derive(Debug)]
struct Guest {
    source: Option<Source>,
    /// The client that has shown its credentials.
    client: Option<String>,
    /// Requests of the client that are being answered.
    busy: usize,
    /// When it came, or its last request was answered.
    since: u64,
    leave: Arc<Notify>,
}

/// A place of a connection; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    guests: Guests,
    number: u64,
    address: Option<IpAddr>,
    leave: Arc<Notify>,
}

/// A request that is being answered; over when dropped.
#[derive(Debug)]
pub(super) struct Visit(Arc<Place>);

impl Guests {
    pub(super) fn new(most: usize) -> Self {
        Self { most, here: Arc::default() }
    }

    /// A place, unless there is none and nobody gives way. This host itself, where a proxy may stand for many, may
    /// take them all.
    pub(super) fn enter(&self, address: Option<IpAddr>) -> Option<Place> {
        let source = address.filter(|a| !a.is_loopback()).map(Source::of);
        let mut here = self.here();
        let of_mine = |guest: &Guest| source.is_some() && guest.source == source;
        let over_share =
            source.is_some() && here.guests.values().filter(|g| of_mine(g)).count() >= self.most / 4;
        if over_share || here.guests.len() >= self.most {
            let number = here.gives_way(|guest| !over_share || of_mine(guest))?;
            if let Some(guest) = here.guests.remove(&number) {
                guest.leave.notify_one();
            }
        }
        let (number, leave) = (here.tick(), Arc::new(Notify::new()));
        let guest = Guest { source, client: None, busy: 0, since: number, leave: Arc::clone(&leave) };
        here.guests.insert(number, guest);
        Some(Place { guests: self.clone(), number, address, leave })
    }

    fn here(&self) -> MutexGuard<'_, Here> {
        // Nothing panics while it is held.
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Here {
    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    /// The number of the one among these who gives way.
    fn gives_way(&self, among: impl Fn(&Guest) -> bool) -> Option<u64> {
        let these = || self.guests.iter().filter(|(_, guest)| among(guest));
        let longest = |wanted: &dyn Fn(&Guest) -> bool| {
            these().filter(|(_, g)| wanted(g)).min_by_key(|(_, g)| g.since).map(|(number, _)| *number)
        };
        if let Some(stranger) = longest(&|guest| guest.client.is_none()) {
            return Some(stranger);
        }
        let mut of_client: HashMap<&Option<String>, usize> = HashMap::new();
        for (_, guest) in these() {
            *of_client.entry(&guest.client).or_default() += 1;
        }
        let (most, _) = of_client.into_iter().max_by_key(|(_, count)| *count)?;
        longest(&|guest| guest.client == *most && guest.busy == 0)
    }
}

impl Place {
    /// Where the connection comes from; nowhere over a Unix socket.
    pub(super) const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Ends when somebody else has the place.
    pub(super) async fn given_away(&self) {
        self.leave.notified().await;
    }

    /// A request came with this client's credentials.
    pub(super) fn visit(self: Arc<Self>, client: &str) -> Visit {
        self.change(|guest, _| {
            guest.client = Some(client.to_owned());
            guest.busy += 1;
        });
        Visit(self)
    }

    /// A request came with credentials that are not good, or not any more.
    pub(super) fn is_strange(&self) {
        self.change(|guest, _| guest.client = None);
    }

    fn change(&self, change: impl FnOnce(&mut Guest, u64)) {
        let mut here = self.guests.here();
        let tick = here.tick();
        if let Some(guest) = here.guests.get_mut(&self.number) {
            change(guest, tick);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.change(|guest, tick| {
            guest.busy = guest.busy.saturating_sub(1);
            guest.since = tick;
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.guests.here().guests.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(guests: &Guests, address: &str) -> Option<Place> {
        guests.enter(Some(address.parse().unwrap()))
    }

    fn gone(place: &Place) -> bool {
        !place.guests.here().guests.contains_key(&place.number)
    }

    #[tokio::test]
    async fn strangers_give_way_to_whoever_comes_the_first_of_them_first() {
        let guests = Guests::new(3);
        let [a, b, c] = [1, 2, 3].map(|_| Arc::new(guests.enter(None).unwrap()));
        drop(Arc::clone(&a).visit("shop"));
        let d = guests.enter(None).unwrap();
        assert_eq!([gone(&a), gone(&b), gone(&c), gone(&d)], [false, true, false, false]);
        b.given_away().await;
        drop(b);
        // Credentials that are revoked make a stranger.
        a.is_strange();
        let _e = guests.enter(None).unwrap();
        assert_eq!([gone(&a), gone(&c), gone(&d)], [false, true, false], "since its last request");
        let _f = guests.enter(None).unwrap();
        assert_eq!([gone(&a), gone(&d)], [true, false]);
    }

    #[test]
    fn one_source_takes_no_more_than_its_share_and_gives_it_back() {
        let guests = Guests::new(8);
        let first = Arc::new(from(&guests, "192.0.2.1").unwrap());
        let second = Arc::new(from(&guests, "192.0.2.1").unwrap());
        let other = from(&guests, "192.0.2.2").unwrap();
        // Of its own places one is given away, while others are free.
        let third = from(&guests, "192.0.2.1").unwrap();
        assert_eq!([gone(&first), gone(&second), gone(&other)], [true, false, false]);
        let visits = [Arc::clone(&second).visit("shop"), Arc::new(third).visit("shop")];
        assert!(from(&guests, "192.0.2.1").is_none(), "both are busy");
        drop(visits);
        let local: Vec<_> = (0..10).filter_map(|_| from(&guests, "127.0.0.1")).collect();
        assert!(gone(&other) && !gone(&second));
        assert_eq!(local.iter().filter(|place| !gone(place)).count(), 7, "all that are left");
    }

    #[test]
    fn among_clients_the_one_with_the_most_gives_its_longest_idle_away() {
        let guests = Guests::new(4);
        let enter = || Arc::new(guests.enter(None).unwrap());
        let (small, big) = (enter(), [enter(), enter(), enter()]);
        drop(Arc::clone(&small).visit("small"));
        let busy = Arc::clone(&big[0]).visit("big");
        drop(Arc::clone(&big[2]).visit("big"));
        drop(Arc::clone(&big[1]).visit("big"));
        let new = enter();
        assert_eq!(big.each_ref().map(|place| gone(place)), [false, false, true]);
        let all = Arc::clone(&big[1]).visit("big");
        let visit = new.visit("big");
        assert!(guests.enter(None).is_none(), "nobody who is being answered is cut off");
        drop((visit, all, busy));
        assert!(!gone(&small));
        assert!(guests.enter(None).is_some());
    }
}
