//! Limits how often a local user may connect and cause events. Each event is a line of the log and
//! may be a row of the history, and no user may push those of others out.

use crate::sync::ignore_poison;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

/// A token bucket: how much one uid may do at once, and a second in the long run.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: f64,
    per_second: f64,
}

/// Connections of an unprivileged uid.
const CONNECTIONS: Rate = Rate { burst: 256.0, per_second: 128.0 };
/// Attempts by processes of an unprivileged uid.
const ATTEMPTS: Rate = Rate { burst: 60.0, per_second: 0.5 };
/// Refusals of setuid programs that a uid starts against other users. A day of them is 1,500 rows,
/// of the 100,000 that are kept.
const REFUSALS: Rate = Rate { burst: 60.0, per_second: 1.0 / 60.0 };

const UNLIMITED: Rate = Rate { burst: f64::INFINITY, per_second: 0.0 };

/// The tokens of one uid.
#[derive(Debug)]
struct Bucket {
    left: f64,
    seen: Instant,
    refused: u64,
}

/// The buckets of the uids that were active lately.
#[derive(Debug)]
struct Buckets {
    rate: Rate,
    buckets: Mutex<HashMap<u32, Bucket>>,
}

/// The rates of local users.
#[derive(Debug)]
pub(crate) struct RateLimit {
    connections: Buckets,
    attempts: Buckets,
    refusals: Buckets,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self::of(CONNECTIONS, ATTEMPTS, REFUSALS)
    }
}

impl RateLimit {
    fn of(connections: Rate, attempts: Rate, refusals: Rate) -> Self {
        let buckets = |rate| Buckets { rate, buckets: Mutex::default() };
        Self { connections: buckets(connections), attempts: buckets(attempts), refusals: buckets(refusals) }
    }

    /// Allows everything, for a server that asks no directory whether a caller asks for themselves.
    pub(crate) fn unlimited() -> Self {
        Self::of(UNLIMITED, UNLIMITED, UNLIMITED)
    }

    /// Whether `uid`, which is neither root's nor trusted, may connect now.
    pub(crate) fn allows_connection(&self, uid: u32) -> bool {
        self.connections.take(uid, Instant::now())
    }

    /// Whether a process of `uid` may cause an event now.
    pub(crate) fn allows_attempt(&self, uid: u32) -> bool {
        self.attempts.take(uid, Instant::now())
    }

    /// Whether a process of `uid` might cause an event now. Counts none.
    pub(crate) fn may_attempt(&self, uid: u32) -> bool {
        self.attempts.has(uid, Instant::now())
    }

    /// Whether a setuid program that `uid` started may ask for another user now.
    pub(crate) fn allows_stranger(&self, uid: u32) -> bool {
        self.refusals.has(uid, Instant::now())
    }

    /// Counts a refusal of a setuid program that `uid` started.
    pub(crate) fn refused(&self, uid: u32) {
        self.refusals.take(uid, Instant::now());
    }
}

impl Buckets {
    /// Takes a token, if one is left.
    fn take(&self, uid: u32, now: Instant) -> bool {
        self.with(uid, now, |bucket| {
            if bucket.left < 1.0 {
                bucket.refused += 1;
                return false;
            }
            bucket.left -= 1.0;
            if bucket.refused > 0 {
                let refused = std::mem::take(&mut bucket.refused);
                tracing::warn!("uid {uid} asks too often: {refused} attempts were refused unjudged");
            }
            true
        })
    }

    /// Whether a token is left.
    fn has(&self, uid: u32, now: Instant) -> bool {
        self.with(uid, now, |bucket| {
            let left = bucket.left >= 1.0;
            bucket.refused += u64::from(!left);
            left
        })
    }

    fn with(&self, uid: u32, now: Instant, act: impl FnOnce(&mut Bucket) -> bool) -> bool {
        let Self { rate, buckets } = self;
        // Nothing panics while it is held; the map is whole either way.
        let mut buckets = ignore_poison(buckets.lock());
        // Full buckets take no memory. They are looked for when the map has doubled, not at every
        // call.
        if buckets.len() >= 64 && buckets.len().is_power_of_two() {
            buckets.retain(|other, bucket| *other == uid || bucket.filled(*rate, now) < rate.burst);
        }
        let bucket = buckets.entry(uid).or_insert(Bucket { left: rate.burst, seen: now, refused: 0 });
        bucket.left = bucket.filled(*rate, now);
        bucket.seen = now;
        act(bucket)
    }
}

impl Bucket {
    fn filled(&self, rate: Rate, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.seen).as_secs_f64();
        (self.left + since * rate.per_second).min(rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn one_uid_is_slowed_and_no_other() {
        let (limit, start) = (RateLimit::default(), Instant::now());
        let allowed = (0..1_000).filter(|_| limit.attempts.take(1000, start)).count();
        assert_eq!(allowed, 60);
        assert!(limit.attempts.take(1001, start));
        let later = start + Duration::from_mins(10);
        assert_eq!((0..1_000).filter(|_| limit.attempts.take(1000, later)).count(), 60);
    }

    #[test]
    fn only_refusals_slow_a_stranger() {
        let (limit, start) = (RateLimit::default(), Instant::now());
        assert!((0..1_000).all(|_| limit.refusals.has(7102, start)), "asking costs nothing");
        for _ in 0..60 {
            assert!(limit.refusals.take(7102, start));
        }
        assert!(!limit.refusals.has(7102, start) && limit.refusals.has(7103, start));
        assert!(limit.refusals.has(7102, start + Duration::from_mins(1)));
    }

    #[test]
    fn an_unlimited_rate_refuses_nothing() {
        let limit = RateLimit::unlimited();
        assert!((0..100_000).all(|_| limit.allows_attempt(1000)));
        for _ in 0..1_000 {
            limit.refused(1000);
        }
        assert!(limit.allows_stranger(1000) && limit.allows_connection(1000));
    }

    #[test]
    fn uids_that_are_idle_are_forgotten() {
        let (limit, start) = (RateLimit::default(), Instant::now());
        for uid in 0..10_000 {
            limit.connections.take(uid, start + Duration::from_mins(u64::from(uid)));
        }
        assert!(limit.connections.buckets.lock().unwrap().len() <= 128);
    }
}
