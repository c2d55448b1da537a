//! How much one client may ask for: so many requests in each minute, counted from its first.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_mins(1);
/// Refused credentials that are logged in a minute; more is noise.
const LOGGED: u32 = 60;

/// What each client has asked for in its minute.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    windows: Mutex<HashMap<String, Count>>,
}

#[derive(Debug)]
struct Count {
    since: Instant,
    requests: u32,
}

impl Rates {
    /// Whether `client` may make one more of `most` requests a minute.
    pub(crate) fn allows(&self, client: &str, most: u32) -> bool {
        self.allows_at(client, most, Instant::now())
    }

    /// Whether one more refusal of credentials is worth a line.
    pub(crate) fn may_log(&self) -> bool {
        // No client's name is empty.
        self.allows("", LOGGED)
    }

    fn allows_at(&self, client: &str, most: u32, now: Instant) -> bool {
        // Nothing panics while it is held. There are as many entries as clients were ever named.
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let count = windows.entry(client.to_owned()).or_insert(Count { since: now, requests: 0 });
        if now.saturating_duration_since(count.since) >= WINDOW {
            *count = Count { since: now, requests: 0 };
        }
        count.requests = count.requests.saturating_add(1);
        count.requests <= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_minute() {
        let (rates, start) = (Rates::default(), Instant::now());
        assert_eq!((0..10).filter(|_| rates.allows_at("a", 3, start)).count(), 3);
        assert!(rates.allows_at("b", 3, start));
        assert!(!rates.allows_at("a", 3, start + Duration::from_millis(59_999)));
        assert_eq!((0..10).filter(|_| rates.allows_at("a", 3, start + WINDOW)).count(), 3);
    }
}
