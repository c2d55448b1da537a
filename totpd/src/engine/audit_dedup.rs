//! Refusals that change no lock are rows of the history once a minute.
//!
//! A refusal in a class that is locked already, of a code that is used up, or of input that is not
//! a code changes nothing that has to be kept. Each is a line of the log; of those with one key the
//! first of a minute is a row, and the next row says how many were left out. So nobody can fill the
//! disk, or push other users' events out of the history, by asking again and again.

use crate::audit::EventReason;
use crate::sync::ignore_poison;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long one row stands for the refusals that follow it.
const WINDOW: Duration = Duration::from_mins(1);
/// Keys that are remembered at most, about 1 MiB. Beyond them no row is written: only a flood has
/// so many.
const MAX_KEYS: usize = 4_096;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Cause {
    /// It was refused.
    Refused(EventReason),
    /// A `local` rule let pass, and the caller is not the user.
    Passed,
}

/// Two events with one key are alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RowKey {
    user: String,
    /// The application, remote host, caller or service that the event comes from.
    source: String,
    cause: Cause,
}

impl RowKey {
    /// A refusal of `user`, asked for by `source`.
    pub(super) fn refused(user: &str, source: &str, reason: impl Into<EventReason>) -> Self {
        Self { user: user.to_owned(), source: source.to_owned(), cause: Cause::Refused(reason.into()) }
    }

    /// A pass of `user` for `source`, who proved nothing.
    pub(super) fn passed(user: &str, source: &str) -> Self {
        Self { user: user.to_owned(), source: source.to_owned(), cause: Cause::Passed }
    }
}

#[derive(Debug)]
struct Recorded {
    at: Instant,
    left_out: u64,
}

/// The rows of the last minute.
#[derive(Debug, Default)]
pub(super) struct AuditDedup(Mutex<HashMap<RowKey, Recorded>>);

impl AuditDedup {
    /// Whether a row with this key was written within the last minute. Counts this event as left
    /// out then.
    pub(super) fn is_duplicate(&self, key: &RowKey) -> bool {
        self.is_duplicate_at(key, Instant::now())
    }

    /// How many events with this key were left out since its last row.
    pub(super) fn left_out(&self, key: &RowKey) -> Option<u64> {
        self.recorded().get(key).map(|recorded| recorded.left_out).filter(|left_out| *left_out > 0)
    }

    /// Notes that a row with this key was written.
    pub(super) fn record(&self, key: RowKey) {
        self.record_at(key, Instant::now());
    }

    fn is_duplicate_at(&self, key: &RowKey, now: Instant) -> bool {
        let mut recorded = self.recorded();
        let full = recorded.len() >= MAX_KEYS;
        match recorded.get_mut(key) {
            Some(recorded) if now.saturating_duration_since(recorded.at) < WINDOW => {
                recorded.left_out += 1;
                true
            }
            None if full => {
                recorded.retain(|_, recorded| now.saturating_duration_since(recorded.at) < WINDOW);
                recorded.len() >= MAX_KEYS
            }
            _ => false,
        }
    }

    fn record_at(&self, key: RowKey, now: Instant) {
        self.recorded().insert(key, Recorded { at: now, left_out: 0 });
    }

    fn recorded(&self) -> MutexGuard<'_, HashMap<RowKey, Recorded>> {
        // Nothing panics while it is held.
        ignore_poison(self.0.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use totp_core::Reason;

    #[test]
    fn one_row_a_minute_says_how_many_were_left_out() {
        let (dedup, now) = (AuditDedup::default(), Instant::now());
        let key = RowKey::refused("alice", "uid 7102", Reason::Locked);
        assert!(!dedup.is_duplicate_at(&key, now));
        dedup.record_at(key.clone(), now);
        for _ in 0..5 {
            assert!(dedup.is_duplicate_at(&key, now + WINDOW / 2));
        }
        for other in [
            RowKey::refused("alice", "uid 7102", Reason::Replayed),
            RowKey::refused("alice", "uid 7103", Reason::Locked),
            RowKey::refused("bob", "uid 7102", Reason::Locked),
        ] {
            assert!(!dedup.is_duplicate_at(&other, now));
        }
        assert!(!dedup.is_duplicate_at(&key, now + WINDOW));
        assert_eq!(dedup.left_out(&key), Some(5));
        dedup.record_at(key.clone(), now + WINDOW);
        assert_eq!(dedup.left_out(&key), None);
    }

    #[test]
    fn a_flood_of_keys_takes_bounded_memory_and_writes_no_rows() {
        let (dedup, now) = (AuditDedup::default(), Instant::now());
        let key = |n: usize| RowKey::refused(&format!("user {n}"), "192.0.2.1", Reason::NotEnrolled);
        let written = (0..10_000)
            .filter(|n| !dedup.is_duplicate_at(&key(*n), now))
            .inspect(|n| dedup.record_at(key(*n), now))
            .count();
        assert_eq!(written, MAX_KEYS);
        assert!(!dedup.is_duplicate_at(&key(20_000), now + WINDOW), "a minute later there is room");
        assert!(dedup.recorded().len() < MAX_KEYS);
    }
}
