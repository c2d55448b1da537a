//! Refusals that change nothing. One in a class that is locked already, of a code that is used up, or of no code at
//! all changes nothing that has to be kept: each is a line of the log, and one of its kind a minute is a row of the
//! history, which says how many there were. So nobody makes the disk work, or pushes others' events out of the
//! history, by asking again and again.

use crate::sync::ignore_poison;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long a row stands for those that follow.
const WINDOW: Duration = Duration::from_mins(1);
/// Kinds that are remembered at most. Beyond them no row is written: who makes up so many wants just that.
const MOST_KINDS: usize = 4_096;

/// What makes two events alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    user: String,
    /// The application, remote host, caller or service that they come from.
    source: String,
    reason: &'static str,
}

impl Kind {
    pub(super) fn new(user: &str, source: &str, reason: &'static str) -> Self {
        Self { user: user.to_owned(), source: source.to_owned(), reason }
    }
}

#[derive(Debug)]
struct Recorded {
    at: Instant,
    left_out: u64,
}

/// What was recorded within the last minute.
#[derive(Debug, Default)]
pub(super) struct AuditDedup(Mutex<HashMap<Kind, Recorded>>);

impl AuditDedup {
    /// Whether a row of this kind was written within the last minute; this one is counted then.
    pub(super) fn is_duplicate(&self, kind: &Kind) -> bool {
        self.is_duplicate_at(kind, Instant::now())
    }

    /// How many of this kind were left out since the last row.
    pub(super) fn left_out(&self, kind: &Kind) -> Option<u64> {
        self.recorded().get(kind).map(|recorded| recorded.left_out).filter(|left_out| *left_out > 0)
    }

    /// A row of this kind was written.
    pub(super) fn record(&self, kind: Kind) {
        self.record_at(kind, Instant::now());
    }

    fn is_duplicate_at(&self, kind: &Kind, now: Instant) -> bool {
        let mut recorded = self.recorded();
        let full = recorded.len() >= MOST_KINDS;
        match recorded.get_mut(kind) {
            Some(recorded) if now.saturating_duration_since(recorded.at) < WINDOW => {
                recorded.left_out += 1;
                true
            }
            None if full => {
                recorded.retain(|_, recorded| now.saturating_duration_since(recorded.at) < WINDOW);
                recorded.len() >= MOST_KINDS
            }
            _ => false,
        }
    }

    fn record_at(&self, kind: Kind, now: Instant) {
        self.recorded().insert(kind, Recorded { at: now, left_out: 0 });
    }

    fn recorded(&self) -> MutexGuard<'_, HashMap<Kind, Recorded>> {
        // Nothing panics while it is held.
        ignore_poison(self.0.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_a_minute_says_how_many_were_left_out() {
        let (dedup, now) = (AuditDedup::default(), Instant::now());
        let kind = Kind::new("alice", "uid 7102", "locked");
        assert!(!dedup.is_duplicate_at(&kind, now));
        dedup.record_at(kind.clone(), now);
        for _ in 0..5 {
            assert!(dedup.is_duplicate_at(&kind, now + WINDOW / 2));
        }
        for other in [
            Kind::new("alice", "uid 7102", "replayed"),
            Kind::new("alice", "uid 7103", "locked"),
            Kind::new("bob", "uid 7102", "locked"),
        ] {
            assert!(!dedup.is_duplicate_at(&other, now));
        }
        assert!(!dedup.is_duplicate_at(&kind, now + WINDOW));
        assert_eq!(dedup.left_out(&kind), Some(5));
        dedup.record_at(kind.clone(), now + WINDOW);
        assert_eq!(dedup.left_out(&kind), None);
    }

    #[test]
    fn kinds_without_number_take_bounded_memory_and_no_rows() {
        let (dedup, now) = (AuditDedup::default(), Instant::now());
        let kind = |n: usize| Kind::new(&format!("user {n}"), "192.0.2.1", "not-enrolled");
        let written = (0..10_000)
            .filter(|n| !dedup.is_duplicate_at(&kind(*n), now))
            .inspect(|n| dedup.record_at(kind(*n), now))
            .count();
        assert_eq!(written, MOST_KINDS);
        assert!(!dedup.is_duplicate_at(&kind(20_000), now + WINDOW), "a minute later there is room");
        assert!(dedup.recorded().len() < MOST_KINDS);
    }
}
