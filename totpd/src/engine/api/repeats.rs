//! Refusals that say nothing new. One that counts nothing, such as in a class that is locked already, changes nothing
//! that has to be kept: each is logged, and one of its kind a minute is a row of the history. So no application makes
//! the disk work, or pushes logins out of the history, by asking again and again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use totp_core::Reason;

const WINDOW: Duration = Duration::from_mins(1);
/// Entries above which those that are over are forgotten.
const TIDY: usize = 1024;

/// A refusal, by what makes two of them alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Refused {
    user_id: String,
    client: String,
    reason: &'static str,
}

impl Refused {
    pub(super) fn new(user_id: &str, client: &str, reason: Reason) -> Self {
        Self { user_id: user_id.to_owned(), client: client.to_owned(), reason: reason.word() }
    }
}

/// What was recorded within the last minute.
#[derive(Debug, Default)]
pub(super) struct Repeats(Mutex<HashMap<Refused, Instant>>);

impl Repeats {
    /// Whether such a refusal was recorded within the last minute.
    pub(super) fn is_one(&self, refusal: &Refused) -> bool {
        let recorded = self.recorded();
        recorded.get(refusal).is_some_and(|at| is_fresh(*at, Instant::now()))
    }

    /// It is recorded now, if it is of such a kind.
    pub(super) fn note(&self, refusal: Option<Refused>) {
        if let Some(refusal) = refusal {
            self.note_at(refusal, Instant::now());
        }
    }

    fn note_at(&self, refusal: Refused, now: Instant) {
        let mut recorded = self.recorded();
        if recorded.len() >= TIDY && recorded.len().is_power_of_two() {
            recorded.retain(|_, at| is_fresh(*at, now));
        }
        recorded.insert(refusal, now);
    }

    fn recorded(&self) -> MutexGuard<'_, HashMap<Refused, Instant>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_kind_is_recorded_each_minute_and_what_is_over_takes_no_memory() {
        let (repeats, now) = (Repeats::default(), Instant::now());
        assert!(!repeats.is_one(&Refused::new("a", "x", Reason::Locked)));
        repeats.note(Some(Refused::new("a", "x", Reason::Locked)));
        assert!(repeats.is_one(&Refused::new("a", "x", Reason::Locked)));
        for other in [
            Refused::new("a", "x", Reason::Replayed),
            Refused::new("a", "y", Reason::Locked),
            Refused::new("b", "x", Reason::Locked),
        ] {
            assert!(!repeats.is_one(&other));
        }
        assert!(is_fresh(now, now + WINDOW / 2) && !is_fresh(now, now + WINDOW));
        for user in 0..10_000 {
            repeats.note_at(Refused::new(&format!("user {user}"), "x", Reason::Locked), now + WINDOW * user);
        }
        assert!(repeats.recorded().len() <= TIDY + 1);
    }
}
