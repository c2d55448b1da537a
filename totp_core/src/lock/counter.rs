//! The failures of one source class: the count, the locks that grow, and the budget of a day.

use crate::authenticator::MAX_AUTHENTICATORS;
use crate::time::{DAY, HOUR, Time};
use serde::{Deserialize, Serialize};

/// Consecutive failures that lock a class.
pub const FAILURES_TO_LOCK: u32 = 10;
/// The length of a class's first lock, in seconds.
pub const FIRST_LOCK: u64 = HOUR;
/// The length of the longest lock of a user with one authenticator, in seconds.
pub const MAX_LOCK: u64 = DAY;
/// The length of the longest lock: that of a user with the most authenticators, in seconds.
pub const LONGEST_LOCK: u64 = MAX_LOCK * MAX_GUESSES as u64;
/// How many factors one code can be a guess at: every authenticator, and one that is pending.
const MAX_GUESSES: usize = MAX_AUTHENTICATORS + 1;
/// How many failures of one class are judged within [`BUDGET_WINDOW`].
pub const BUDGET: usize = 30;
/// How many failures of one other local user, by uid, are judged within [`BUDGET_WINDOW`].
pub const STRANGER_BUDGET: usize = 10;
/// The window of [`BUDGET`], in seconds.
pub const BUDGET_WINDOW: u64 = DAY;

/// The escalation level at which a lock has reached [`MAX_LOCK`].
const MAX_LEVEL: u32 = 6;

/// A lock as it is stored: by start and length, so that setting the clock back cannot lengthen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Lock {
    start: Time,
    /// In seconds.
    length: u64,
}

/// The failures of one source class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureCounter {
    /// Consecutive failures since the last success or lock.
    #[serde(default)]
    pub(super) failures: u32,
    /// The escalation level: each level doubles the next lock.
    #[serde(default)]
    level: u32,
    #[serde(default)]
    pub(super) last_failure: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lock: Option<Lock>,
    /// When failures were judged, oldest first: at most [`BUDGET`], and [`STRANGER_BUDGET`] for one
    /// other local user. A success does not clear them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    judged: Vec<Time>,
}

impl FailureCounter {
    /// Returns for how many seconds the class stays locked; 0 when it is not. A lock that starts in
    /// the future, because the clock was set back, is moved to now: after the last jump of the
    /// clock nobody waits longer than one lock.
    pub(super) fn remaining(&mut self, budget: usize, now: Time) -> u64 {
        let budget_wait = self.budget_wait(budget, now);
        let Some(lock) = &mut self.lock else { return budget_wait };
        lock.start = lock.start.min(now);
        let left = lock.length.min(LONGEST_LOCK).saturating_sub(now.since(lock.start));
        if left == 0 {
            self.lock = None;
        }
        left.max(budget_wait)
    }

    /// Returns for how many seconds the budget stays exhausted; 0 when it is not.
    pub(super) fn budget_wait(&mut self, budget: usize, now: Time) -> u64 {
        for judged in &mut self.judged {
            *judged = (*judged).min(now);
        }
        self.judged.retain(|judged| now.since(*judged) < BUDGET_WINDOW);
        let excess = self.judged.len().saturating_sub(budget);
        self.judged.drain(..excess);
        match self.judged.first() {
            Some(oldest) if self.judged.len() == budget => BUDGET_WINDOW - now.since(*oldest),
            _ => 0,
        }
    }

    /// Returns when the lock ends or the budget is no longer exhausted, whichever is later.
    pub(super) fn locked_until(&self, budget: usize) -> Option<Time> {
        let lock = self.lock.map(|lock| lock.start.plus(lock.length.min(LONGEST_LOCK)));
        let oldest = self.judged.len().checked_sub(budget).and_then(|excess| self.judged.get(excess));
        lock.max(oldest.map(|judged| judged.plus(BUDGET_WINDOW)))
    }

    /// Returns whether a counter of one other local user no longer has any effect.
    pub(super) fn is_expired(&self, now: Time) -> bool {
        self.clone().remaining(STRANGER_BUDGET, now) == 0 && now.since(self.last_failure) >= BUDGET_WINDOW
    }

    /// Clears the failures after a success. The budget is not restored.
    pub(super) fn clear(&mut self) {
        *self = Self { judged: std::mem::take(&mut self.judged), ..Self::default() };
    }

    /// Counts a judged failure that was a guess at so many authenticators. Returns whether the
    /// class is locked from now on.
    ///
    /// It costs as much as so many failures of a user with one authenticator: in the count, in the
    /// budget, and in the length of the lock. So the chance of guessing is the same.
    pub(super) fn fail(&mut self, guesses: u32, budget: usize, now: Time) -> bool {
        let guesses = guesses.max(1);
        let quiet_days = now.since(self.last_failure) / (DAY * u64::from(guesses));
        self.level = self.level.saturating_sub(u32::try_from(quiet_days).unwrap_or(u32::MAX));
        self.last_failure = now;
        self.spend_budget(guesses, budget, now);
        self.failures = self.failures.saturating_add(guesses);
        let escalated = self.level > 0;
        // One more guess would be more than a user with one authenticator gets.
        if !escalated && self.failures.saturating_add(guesses) <= FAILURES_TO_LOCK {
            return self.budget_wait(budget, now) > 0;
        }
        self.failures = 0;
        let mut length: u64 = 0;
        for _ in 0..if escalated { guesses } else { 1 } {
            // The stored level may be any number.
            self.level = self.level.saturating_add(1).min(MAX_LEVEL);
            length += FIRST_LOCK.saturating_mul(1 << (self.level - 1)).min(MAX_LOCK);
        }
        self.lock = Some(Lock { start: now, length });
        true
    }

    /// Counts guesses in the budget. What is left and too little for as many again is used up with
    /// them.
    pub(super) fn spend_budget(&mut self, guesses: u32, budget: usize, now: Time) {
        let guesses = usize::try_from(guesses).unwrap_or(budget).min(budget);
        self.judged.extend(std::iter::repeat_n(now, guesses));
        if self.judged.len() + guesses > budget {
            self.judged.resize(self.judged.len().max(budget), now);
        }
    }
}
