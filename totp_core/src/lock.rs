//! Failures, counted by class of source, and the locks they lead to.
//!
//! ```text
//!            10 in a row              the lock has passed
//! counting ──────────────▶ locked 1 h ──────────────────▶ wary ── one failure ──▶ locked 2 h, 4 h … 24 h
//!    ▲  ▲                                                  │
//!    │  └────────────── success in this class ─────────────┤
//!    └──── each 24 h without a failure halves the next lock ┘
//! ```
//!
//! A stranger lands in the class "others" and can lock nobody's own sources; a user's success clears the
//! class it came from only. And no class gets more than 30 judged failures a day, whatever succeeds in it: who
//! shares the user's address must not guess on through the user's own logins.
//!
//! Other local users, who run su or polkit's helper against this user, are a pool of their own: 30 judged
//! failures a day together, of which one uid has 10 at most, so that none of them uses up what the
//! others, the network or the user have.

use crate::source::{Origin, Source};
use crate::time::{DAY, HOUR, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Consecutive failures that lock a class.
pub const FAILURES_TO_LOCK: u32 = 10;
/// Length of a class's first lock, in seconds.
pub const FIRST_LOCK: u64 = HOUR;
/// Length no lock exceeds, in seconds.
pub const MAX_LOCK: u64 = DAY;
/// Failures of one class (all strangers together are one) that are judged within [`BUDGET_WINDOW`].
pub const BUDGET: usize = 30;
/// Failures of one other local user, by uid, that are judged within [`BUDGET_WINDOW`].
pub const STRANGER_BUDGET: usize = 10;
/// The window of [`BUDGET`], in seconds.
pub const BUDGET_WINDOW: u64 = DAY;
/// How many sources a user is known from at most: the latest.
pub const MAX_KNOWN_SOURCES: usize = 16;
/// How long a source stays known after a success, in seconds.
pub const KNOWN_SOURCE_LIFETIME: u64 = 30 * DAY;

/// Escalation at which the lock has reached [`LONGEST_LOCK`]; it grows no further.
const TOP_LEVEL: u32 = 6;

/// A lock as it is stored: start and length, so that a clock that was set back cannot make it longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    start: Time,
    length: u64,
}

/// The failures of one class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureCounter {
    /// Consecutive failures since the last success or lock.
    #[serde(default)]
    failures: u32,
    /// How many locks the next one is longer by (each doubles).
    #[serde(default)]
    level: u32,
    #[serde(default)]
    last_failure: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lock: Option<Lock>,
    /// When failures were judged, oldest first; at most [`BUDGET`]. No success gives them back.
    // A counter of one local stranger is full with STRANGER_BUDGET of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    judged: Vec<Time>,
}

impl FailureCounter {
    /// Seconds this class stays locked, 0 when it is not. A start in the future (the clock was set back) is
    /// moved to now: after the last jump nobody waits longer than one lock.
    fn remaining(&mut self, now: Time) -> u64 {
        self.remaining_of(BUDGET, now)
    }

    /// The same for a class with another budget.
    fn remaining_of(&mut self, budget: usize, now: Time) -> u64 {
        let budget = self.wait_of(budget, now);
        let Some(lock) = &mut self.lock else { return budget };
        lock.start = lock.start.min(now);
        let left = lock.length.min(MAX_LOCK).saturating_sub(now.since(lock.start));
        if left == 0 {
            self.lock = None;
        }
        left.max(budget)
    }

    /// Seconds until this class may fail again within its budget.
    fn budget_wait(&mut self, now: Time) -> u64 {
        self.wait_of(BUDGET, now)
    }

    fn wait_of(&mut self, budget: usize, now: Time) -> u64 {
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

    /// When its lock ends, or its budget is there again.
    fn locked_until(&self, budget: usize) -> Option<Time> {
        let lock = self.lock.map(|lock| lock.start.plus(lock.length.min(MAX_LOCK)));
        let oldest = self.judged.len().checked_sub(budget).and_then(|excess| self.judged.get(excess));
        lock.max(oldest.map(|judged| judged.plus(BUDGET_WINDOW)))
    }

    /// Whether nothing is left of it: it may be forgotten.
    fn is_spent(&self, now: Time) -> bool {
        self.clone().remaining_of(STRANGER_BUDGET, now) == 0 && now.since(self.last_failure) >= BUDGET_WINDOW
    }

    /// A success: the failures are forgotten, the budget is not given back.
    fn clear(&mut self) {
        *self = Self { judged: std::mem::take(&mut self.judged), ..Self::default() };
    }

    /// Counts a judged failure; says whether the class is locked from now on.
    fn fail(&mut self, now: Time) -> bool {
        let quiet_days = u32::try_from(now.since(self.last_failure) / DAY).unwrap_or(u32::MAX);
        self.level = self.level.saturating_sub(quiet_days);
        self.last_failure = now;
        self.judged.push(now);
        self.failures = self.failures.saturating_add(1);
        if self.level == 0 && self.failures < FAILURES_TO_LOCK {
            return self.budget_wait(now) > 0;
        }
        self.failures = 0;
        // A stored level may be any number.
        self.level = self.level.saturating_add(1).min(TOP_LEVEL);
        let length = FIRST_LOCK.saturating_mul(1 << (self.level - 1)).min(MAX_LOCK);
        self.lock = Some(Lock { start: now, length });
        true
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KnownSource {
    source: Source,
    seen: Time,
    #[serde(default)]
    counter: FailureCounter,
}

/// Every counter of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockState {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    known: Vec<KnownSource>,
    #[serde(default)]
    local: FailureCounter,
    #[serde(default)]
    own: FailureCounter,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    clients: BTreeMap<String, FailureCounter>,
    #[serde(default)]
    others: FailureCounter,
    #[serde(default)]
    console: FailureCounter,
    /// Other local users, by uid, and the budget that they share.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    strangers: BTreeMap<u32, FailureCounter>,
    #[serde(default)]
    strangers_together: FailureCounter,
}

/// The class that an attempt is counted in, resolved against one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceClass {
    /// A source this user succeeded from lately.
    Known(Source),
    /// The user's own sudo and other setuid programs.
    Local,
    /// The user's own processes.
    OwnProcess,
    /// One API client.
    Client(String),
    /// The services at the machine's own console.
    Console,
    /// Another local user, by uid: by su, polkit's helper and their like.
    LocalStranger(u32),
    /// Everybody else.
    Others,
}

impl SourceClass {
    /// The application, if it is one's.
    pub fn client(&self) -> Option<&str> {
        match self {
            Self::Client(name) => Some(name),
            _ => None,
        }
    }

    /// The word for the audit.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Known(_) => "known",
            Self::Local => "local",
            Self::OwnProcess => "own",
            Self::Client(_) => "client",
            Self::Console => "console",
            Self::LocalStranger(_) => "local-stranger",
            Self::Others => "others",
        }
    }
}

/// A class that is locked now, for `status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// Which class.
    pub class: SourceClass,
    /// When it began.
    pub since: Time,
    /// When it ends, if the clock is not set.
    pub until: Time,
}

impl LockState {
    /// The class of an attempt from `origin`.
    pub fn class(&self, origin: &Origin, now: Time) -> SourceClass {
        match origin {
            Origin::Local => SourceClass::Local,
            Origin::OwnProcess => SourceClass::OwnProcess,
            Origin::Client(id) => SourceClass::Client(id.clone()),
            Origin::Console => SourceClass::Console,
            // One of whom nobody knows yet that they are the user is somebody else.
            Origin::LocalStranger(uid) | Origin::Caller(uid) => SourceClass::LocalStranger(*uid),
            Origin::Unproven | Origin::ThisHost => SourceClass::Others,
            Origin::Remote(address) => {
                let source = Source::of(*address);
                let known = self
                    .known
                    .iter()
                    .any(|k| k.source == source && now.since(k.seen) <= KNOWN_SOURCE_LIFETIME);
                if known { SourceClass::Known(source) } else { SourceClass::Others }
            }
        }
    }

    /// Seconds that `class` stays locked; 0 when it is not. May move a lock that the clock ran away from, so
    /// the account has to be stored when it was locked.
    pub fn remaining(&mut self, class: &SourceClass, now: Time) -> u64 {
        if let SourceClass::LocalStranger(uid) = class {
            let own = self.strangers.get_mut(uid).map_or(0, |c| c.remaining_of(STRANGER_BUDGET, now));
            return own.max(self.strangers_together.budget_wait(now));
        }
        self.counter(class).map_or(0, |counter| counter.remaining(now))
    }

    /// Counts a judged failure of `class`; says whether it is locked from now on.
    pub fn fail(&mut self, class: &SourceClass, now: Time) -> bool {
        if let SourceClass::Client(id) = class {
            self.clients.entry(id.clone()).or_default();
        }
        if let SourceClass::LocalStranger(uid) = class {
            self.strangers.retain(|_, counter| !counter.is_spent(now));
            self.strangers_together.judged.push(now);
            let counter = self.strangers.entry(*uid).or_default();
            return counter.fail(now) || self.remaining(class, now) > 0;
        }
        self.counter(class).is_some_and(|counter| counter.fail(now))
    }

    /// A success of `class`: its failures are forgotten, and its source is known from now on. The budget is not
    /// given back, or others could guess on through the user's own successes.
    pub fn succeed(&mut self, class: &SourceClass, origin: &Origin, now: Time) {
        if let Some(counter) = self.counter(class) {
            counter.clear();
        }
        if let Origin::Remote(address) = origin {
            let source = Source::of(*address);
            let known =
                self.known.iter().position(|k| k.source == source).map(|place| self.known.remove(place));
            let counter = known.map_or_else(FailureCounter::default, |known| known.counter);
            self.known.retain(|k| now.since(k.seen) <= KNOWN_SOURCE_LIFETIME);
            self.known.push(KnownSource { source, seen: now, counter });
            let excess = self.known.len().saturating_sub(MAX_KNOWN_SOURCES);
            self.known.drain(..excess);
        }
    }

    /// `totpd unlock`: every failure is forgotten, what is known of sources stays.
    pub fn unlock(&mut self) {
        let known = core::mem::take(&mut self.known);
        *self = Self {
            known: known
                .into_iter()
                .map(|k| KnownSource { counter: FailureCounter::default(), ..k })
                .collect(),
            ..Self::default()
        };
    }

    /// Consecutive failures in all classes together.
    pub fn failures(&self) -> u32 {
        self.counters().fold(0, |sum: u32, (_, counter)| sum.saturating_add(counter.failures))
    }

    /// Whether the user succeeded lately from another machine.
    pub fn has_known_remote_source(&self, now: Time) -> bool {
        self.known.iter().any(|k| now.since(k.seen) <= KNOWN_SOURCE_LIFETIME)
    }

    /// The classes that are locked now.
    pub fn locked(&self, now: Time) -> Vec<Locked> {
        let mut view = self.clone();
        let classes: Vec<SourceClass> = self.counters().map(|(class, _)| class).collect();
        classes
            .into_iter()
            .filter_map(|class| {
                let left = view.remaining(&class, now);
                let since = view.counter(&class).map_or(now, |counter| counter.last_failure.min(now));
                (left > 0).then(|| Locked { class, since, until: now.plus(left) })
            })
            .collect()
    }

    /// When the last lock ends, by the clock that it was set by; it may be over. None: no class has one.
    pub fn locked_until(&self) -> Option<Time> {
        let budgets = [&self.strangers_together].into_iter().map(|counter| (BUDGET, counter));
        let budget = |class: &SourceClass| {
            if matches!(class, SourceClass::LocalStranger(_)) { STRANGER_BUDGET } else { BUDGET }
        };
        let classes = self.counters().map(|(class, counter)| (budget(&class), counter));
        classes.chain(budgets).filter_map(|(budget, counter)| counter.locked_until(budget)).max()
    }

    fn counters(&self) -> impl Iterator<Item = (SourceClass, &FailureCounter)> {
        let fixed = [
            (SourceClass::Local, &self.local),
            (SourceClass::OwnProcess, &self.own),
            (SourceClass::Console, &self.console),
            (SourceClass::Others, &self.others),
        ];
        let known = self.known.iter().map(|k| (SourceClass::Known(k.source), &k.counter));
        let clients = self.clients.iter().map(|(id, counter)| (SourceClass::Client(id.clone()), counter));
        let strangers =
            self.strangers.iter().map(|(uid, counter)| (SourceClass::LocalStranger(*uid), counter));
        fixed.into_iter().chain(known).chain(clients).chain(strangers)
    }

    fn counter(&mut self, class: &SourceClass) -> Option<&mut FailureCounter> {
        match class {
            SourceClass::Known(source) => {
                self.known.iter_mut().find(|k| k.source == *source).map(|k| &mut k.counter)
            }
            SourceClass::Local => Some(&mut self.local),
            SourceClass::OwnProcess => Some(&mut self.own),
            SourceClass::Client(id) => self.clients.get_mut(id),
            SourceClass::Console => Some(&mut self.console),
            SourceClass::LocalStranger(uid) => self.strangers.get_mut(uid),
            SourceClass::Others => Some(&mut self.others),
        }
    }
}

#[cfg(test)]
mod tests;
