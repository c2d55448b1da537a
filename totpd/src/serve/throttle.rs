//! How often an unprivileged uid may cause events: every one of them is a row of the history and a sync of the
//! disk, and nobody shall push the others' events out of it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Events at once.
const BURST: f64 = 60.0;
/// Events a second in the long run.
const RATE: f64 = 0.5;

/// What is left to one uid.
#[derive(Debug)]
struct Bucket {
    left: f64,
    seen: Instant,
    refused: u64,
}

/// The buckets of the uids that asked lately.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    buckets: Mutex<HashMap<u32, Bucket>>,
}

impl Throttle {
    /// Whether `uid` may cause an event now.
    pub(crate) fn allows(&self, uid: u32) -> bool {
        self.allows_at(uid, Instant::now())
    }

    fn allows_at(&self, uid: u32, now: Instant) -> bool {
        // Nothing panics while it is held; the map is whole either way.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.retain(|other, bucket| *other == uid || bucket.filled(now) < BURST);
        let bucket = buckets.entry(uid).or_insert(Bucket { left: BURST, seen: now, refused: 0 });
        bucket.left = bucket.filled(now);
        bucket.seen = now;
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
    }
}

impl Bucket {
    fn filled(&self, now: Instant) -> f64 {
        (self.left + now.saturating_duration_since(self.seen).as_secs_f64() * RATE).min(BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn one_uid_is_slowed_and_no_other() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let allowed = (0..1_000).filter(|_| throttle.allows_at(1000, start)).count();
        assert_eq!(allowed, 60);
        assert!(throttle.allows_at(1001, start));
        let later = start + Duration::from_mins(10);
        assert_eq!((0..1_000).filter(|_| throttle.allows_at(1000, later)).count(), 60);
        assert!(throttle.allows_at(1002, later + Duration::from_hours(1)));
        assert_eq!(throttle.buckets.lock().unwrap().len(), 1, "idle uids are forgotten");
    }
}
