//! Counts failures by source class, and locks classes that fail too often.
//!
//! ```text
//!            10 in a row              the lock ends
//! counting ──────────────▶ locked 1 h ─────────────▶ escalated ─ a failure ─▶ locked 2 h … 24 h
//!    ▲  ▲                                                │
//!    │  └────────────── success in this class ───────────┤
//!    └── each 24 h without a failure halves the next lock ┘
//! ```
//!
//! A stranger is counted in the class "others" and cannot lock the sources from which the user logs
//! in; a success of the user clears only the class that it came from. No class gets more than 30
//! judged failures in 24 hours, whatever succeeds in it: an attacker who shares the user's address
//! must not go on guessing after each login of the user.
//!
//! Other local users, who run su(1) or polkit's helper against this user, have a budget of their
//! own: 30 judged failures in 24 hours together, and 10 for one uid, so that none of them uses up
//! the budget of the others, of the network or of the user.
//!
//! A code is a guess at each of the user's authenticators, so that a failure counts as often as
//! there are authenticators.

mod counter;

pub use counter::{
    BUDGET, BUDGET_WINDOW, FAILURES_TO_LOCK, FIRST_LOCK, FailureCounter, LONGEST_LOCK, MAX_LOCK,
    STRANGER_BUDGET,
};

use crate::source::{Origin, Source};
use crate::time::{DAY, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many sources of a user are known at most: the latest.
pub const MAX_KNOWN_SOURCES: usize = 16;
/// How long a source stays known after a success, in seconds.
pub const KNOWN_SOURCE_LIFETIME: u64 = 30 * DAY;

/// A source from which the user succeeded recently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KnownSource {
    source: Source,
    /// The latest success from there.
    seen: Time,
    #[serde(default)]
    counter: FailureCounter,
}

impl KnownSource {
    fn is_fresh(&self, now: Time) -> bool {
        now.since(self.seen) <= KNOWN_SOURCE_LIFETIME
    }
}

/// All failure counters and known sources of one account.
///
/// ```
/// use totp_core::lock::{FAILURES_TO_LOCK, FIRST_LOCK, LockState};
/// use totp_core::{Origin, Time};
/// let (mut state, now) = (LockState::default(), Time::from_unix(1_800_000_000));
/// let class = state.class(&Origin::Remote("192.0.2.7".parse().unwrap()), now);
/// for _ in 0..FAILURES_TO_LOCK {
///     state.fail(&class, 1, now);
/// }
/// assert_eq!(state.remaining(&class, now), FIRST_LOCK);
/// // The user's own sudo is another class.
/// let sudo = state.class(&Origin::Local, now);
/// assert_eq!(state.remaining(&sudo, now), 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockState {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    known: Vec<KnownSource>,
    #[serde(default)]
    local: FailureCounter,
    #[serde(default, rename = "own")]
    own_process: FailureCounter,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    clients: BTreeMap<String, FailureCounter>,
    #[serde(default)]
    others: FailureCounter,
    #[serde(default)]
    console: FailureCounter,
    /// Other local users, by uid.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    strangers: BTreeMap<u32, FailureCounter>,
    /// The budget that all other local users share.
    #[serde(default)]
    strangers_together: FailureCounter,
}

/// The class of sources in which the attempts on one account are counted and locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceClass {
    /// A source from which the user succeeded recently.
    Known(Source),
    /// Setuid programs that the user started, such as their sudo.
    Local,
    /// Unprivileged processes of the user.
    OwnProcess,
    /// One application of the API, by name.
    Client(String),
    /// The services at the machine's console.
    Console,
    /// Another local user, by uid, through su(1), polkit's helper or similar programs.
    LocalStranger(u32),
    /// Every other source.
    Others,
}

impl SourceClass {
    /// Returns the application's name, if this is an application's class.
    pub fn client(&self) -> Option<&str> {
        match self {
            Self::Client(name) => Some(name),
            _ => None,
        }
    }

    /// Returns the word for the audit log.
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

/// A source class that is locked, as `totpd status` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// The class.
    pub class: SourceClass,
    /// When the class last failed.
    pub since: Time,
    /// When the lock ends, unless the clock is changed.
    pub until: Time,
}

impl LockState {
    /// Returns the class in which an attempt from `origin` is counted.
    pub fn class(&self, origin: &Origin, now: Time) -> SourceClass {
        match origin {
            Origin::Local => SourceClass::Local,
            Origin::OwnProcess => SourceClass::OwnProcess,
            Origin::Client(id) => SourceClass::Client(id.clone()),
            Origin::Console => SourceClass::Console,
            // A caller that is not known to be the user counts as another user.
            Origin::LocalStranger(uid) | Origin::Caller(uid) => SourceClass::LocalStranger(*uid),
            Origin::Unproven | Origin::ThisHost => SourceClass::Others,
            Origin::Remote(address) => {
                let source = Source::of(*address);
                let is_known = self.known.iter().any(|known| known.source == source && known.is_fresh(now));
                if is_known { SourceClass::Known(source) } else { SourceClass::Others }
            }
        }
    }

    /// Returns for how many seconds `class` stays locked; 0 when it is not. If the clock was set
    /// back, this moves the start of a lock, so the caller stores the account when the class is
    /// locked.
    pub fn remaining(&mut self, class: &SourceClass, now: Time) -> u64 {
        if let SourceClass::LocalStranger(uid) = class {
            let alone = self.strangers.get_mut(uid).map_or(0, |c| c.remaining(STRANGER_BUDGET, now));
            return alone.max(self.strangers_together.budget_wait(BUDGET, now));
        }
        self.counter(class).map_or(0, |counter| counter.remaining(BUDGET, now))
    }

    /// Counts a judged failure of `class` that was a guess at so many authenticators. Returns
    /// whether the class is locked from now on.
    pub fn fail(&mut self, class: &SourceClass, guesses: u32, now: Time) -> bool {
        if let SourceClass::Client(id) = class {
            self.clients.entry(id.clone()).or_default();
        }
        if let SourceClass::LocalStranger(uid) = class {
            self.strangers.retain(|_, counter| !counter.is_expired(now));
            self.strangers_together.spend_budget(guesses, BUDGET, now);
            let counter = self.strangers.entry(*uid).or_default();
            return counter.fail(guesses, STRANGER_BUDGET, now) || self.remaining(class, now) > 0;
        }
        self.counter(class).is_some_and(|counter| counter.fail(guesses, BUDGET, now))
    }

    /// Records a success of `class`: clears its failures, and makes a remote source known. The
    /// budget is not restored: otherwise each success of the user would let an attacker go on
    /// guessing.
    pub fn succeed(&mut self, class: &SourceClass, origin: &Origin, now: Time) {
        if let Some(counter) = self.counter(class) {
            counter.clear();
        }
        if let Origin::Remote(address) = origin {
            let source = Source::of(*address);
            let index = self.known.iter().position(|known| known.source == source);
            let counter = index.map(|index| self.known.remove(index).counter).unwrap_or_default();
            self.known.retain(|known| known.is_fresh(now));
            self.known.push(KnownSource { source, seen: now, counter });
            let excess = self.known.len().saturating_sub(MAX_KNOWN_SOURCES);
            self.known.drain(..excess);
        }
    }

    /// Clears all failures and locks, and keeps the known sources: `totpd unlock`.
    pub fn unlock(&mut self) {
        let mut known = core::mem::take(&mut self.known);
        for source in &mut known {
            source.counter = FailureCounter::default();
        }
        *self = Self { known, ..Self::default() };
    }

    /// Returns the number of consecutive failures in all classes together.
    pub fn failures(&self) -> u32 {
        self.counters().fold(0, |sum: u32, (_, counter)| sum.saturating_add(counter.failures))
    }

    /// Returns whether the user succeeded from another machine recently.
    pub fn has_known_remote_source(&self, now: Time) -> bool {
        self.known.iter().any(|known| known.is_fresh(now))
    }

    /// Returns the classes that are locked now.
    pub fn locked(&self, now: Time) -> Vec<Locked> {
        let mut copy = self.clone();
        let classes: Vec<SourceClass> = self.counters().map(|(class, _)| class).collect();
        classes
            .into_iter()
            .filter_map(|class| {
                let left = copy.remaining(&class, now);
                let since = copy.counter(&class).map_or(now, |counter| counter.last_failure.min(now));
                (left > 0).then(|| Locked { class, since, until: now.plus(left) })
            })
            .collect()
    }

    /// Returns when the last lock ends, by the clock that it was set with; it may be over. `None`
    /// when no class has a lock.
    pub fn locked_until(&self) -> Option<Time> {
        let budgets = [&self.strangers_together].into_iter().map(|counter| (BUDGET, counter));
        let budget = |class: &SourceClass| {
            if matches!(class, SourceClass::LocalStranger(_)) { STRANGER_BUDGET } else { BUDGET }
        };
        let classes = self.counters().map(|(class, counter)| (budget(&class), counter));
        classes.chain(budgets).filter_map(|(budget, counter)| counter.locked_until(budget)).max()
    }

    /// Returns every counter with its class.
    fn counters(&self) -> impl Iterator<Item = (SourceClass, &FailureCounter)> {
        let fixed = [
            (SourceClass::Local, &self.local),
            (SourceClass::OwnProcess, &self.own_process),
            (SourceClass::Console, &self.console),
            (SourceClass::Others, &self.others),
        ];
        let known = self.known.iter().map(|k| (SourceClass::Known(k.source), &k.counter));
        let clients = self.clients.iter().map(|(id, counter)| (SourceClass::Client(id.clone()), counter));
        let strangers =
            self.strangers.iter().map(|(uid, counter)| (SourceClass::LocalStranger(*uid), counter));
        fixed.into_iter().chain(known).chain(clients).chain(strangers)
    }

    /// Returns the counter of a class; `None` when nothing has been counted in it.
    fn counter(&mut self, class: &SourceClass) -> Option<&mut FailureCounter> {
        match class {
            SourceClass::Known(source) => {
                self.known.iter_mut().find(|k| k.source == *source).map(|k| &mut k.counter)
            }
            SourceClass::Local => Some(&mut self.local),
            SourceClass::OwnProcess => Some(&mut self.own_process),
            SourceClass::Client(id) => self.clients.get_mut(id),
            SourceClass::Console => Some(&mut self.console),
            SourceClass::LocalStranger(uid) => self.strangers.get_mut(uid),
            SourceClass::Others => Some(&mut self.others),
        }
    }
}

#[cfg(test)]
mod tests;
