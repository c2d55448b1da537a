//! What stopped being accepted: the record of it outlives the store, so that an older copy of the store is noticed.
//!
//! ```text
//! store:   counter 7, generation 1 ─┐
//!                                   ├─ compare ─▶ current | behind, with the gap | behind by more | replaced
//! witness: 5 recovery totp-…        │
//!          6 factor   totp-…        │
//!          8 ticket   user-…       ─┘
//! ```

use crate::account::{Account, EnrollmentTicket, Factor};
use crate::judge::{Input, Reason};
use crate::time::Time;
use crate::{Secrets, Typed};
use core::fmt;
use std::collections::BTreeSet;

/// Lines of a witness that count: older ones are forgotten.
pub const MAX_ENTRIES: usize = 4096;

/// What kind of thing stopped being accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A factor, by its id: revoked, replaced, or cancelled before its first code.
    Factor,
    /// Recovery codes of the factor with this id: one was spent, or all were replaced.
    Recovery,
    /// The enrollment ticket of the account with this id: used or replaced.
    Ticket,
    /// A change that was staged for the factor with this id: cancelled, or made.
    Staged,
    /// Remembered logins of the factor with this id.
    Remembered,
    /// An application's secret, by its id.
    Client,
    /// The store was restored: the id is its new generation.
    Generation,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Factor,
        Self::Recovery,
        Self::Ticket,
        Self::Staged,
        Self::Remembered,
        Self::Client,
        Self::Generation,
    ];

    /// The word in the witness.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Factor => "factor",
            Self::Recovery => "recovery",
            Self::Ticket => "ticket",
            Self::Staged => "staged",
            Self::Remembered => "remembered",
            Self::Client => "client",
            Self::Generation => "generation",
        }
    }
}

/// One thing that stopped being accepted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Withdrawal {
    /// Its kind.
    pub kind: Kind,
    /// Names the factor, the account, the secret or the generation.
    pub id: String,
}

impl Withdrawal {
    /// A withdrawal of this kind.
    pub fn new(kind: Kind, id: &str) -> Self {
        Self { kind, id: id.to_owned() }
    }
}

/// How often a store was restored, and which of several restores of one backup it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generation {
    /// Counts the restores.
    pub number: u64,
    /// Random: two restores of one backup differ.
    pub token: String,
}

impl Generation {
    /// The generation after both, with a token of its own.
    #[must_use]
    pub fn after(&self, other: &Self, token: String) -> Self {
        Self { number: self.number.max(other.number).saturating_add(1), token }
    }

    /// Reads `3-abcd`; anything else is the first generation.
    pub fn parse(text: &str) -> Self {
        let parsed = text.split_once('-').and_then(|(number, token)| Some((number.parse().ok()?, token)));
        parsed.map_or_else(Self::default, |(number, token)| Self { number, token: token.to_owned() })
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.token)
    }
}

/// A line of the witness: `counter kind id seconds`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the order of withdrawals of this store.
    pub counter: u64,
    /// What was withdrawn.
    pub what: Withdrawal,
    /// When.
    pub at: Time,
}

impl Entry {
    /// Reads a line. A line that was cut off by a crash is `None`.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let counter = words.next()?.parse().ok()?;
        let kind = words.next()?;
        let kind = Kind::ALL.into_iter().find(|k| k.as_str() == kind)?;
        let id = words.next().filter(|id| !id.is_empty())?;
        let at = words.next()?.parse().ok()?;
        let whole = words.next().is_none() && line.is_ascii();
        whole.then(|| Self { counter, what: Withdrawal::new(kind, id), at: Time::from_unix(at) })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { counter, what, at } = self;
        write!(f, "{counter} {} {} {}", what.kind.as_str(), what.id, at.unix())
    }
}

/// Where a store stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorePosition {
    /// Withdrawals that it has made.
    pub counter: u64,
    /// Its generation.
    pub generation: Generation,
}

impl StorePosition {
    /// Where the store stood that wrote these lines.
    pub fn of(witness: &[Entry]) -> Self {
        let generations = witness.iter().filter(|entry| entry.what.kind == Kind::Generation);
        let latest = generations.max_by_key(|entry| entry.counter);
        Self {
            counter: witness.iter().map(|entry| entry.counter).max().unwrap_or(0),
            generation: latest.map_or_else(Generation::default, |entry| Generation::parse(&entry.what.id)),
        }
    }
}

/// What a witness says about a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// There is no witness, or an empty one.
    NoWitness,
    /// The store has everything that the witness has.
    Current,
    /// The store is older, and everything that it lacks is listed.
    Behind(Vec<Entry>),
    /// The store is older, and not all of what it lacks is listed: so many are not.
    BehindByMore(Vec<Entry>, u64),
    /// The store was restored, and this is not the copy that was put in its place.
    Replaced(Vec<Entry>),
}

/// Compares a store with its witness.
pub fn compare(store: &StorePosition, witness: &[Entry]) -> Comparison {
    if witness.is_empty() {
        return Comparison::NoWitness;
    }
    let latest = StorePosition::of(witness);
    let gap: Vec<Entry> = witness.iter().filter(|entry| entry.counter > store.counter).cloned().collect();
    let (here, there) = (&store.generation, &latest.generation);
    if there.number > here.number || (there.number == here.number && there.token != here.token) {
        return Comparison::Replaced(gap);
    }
    if latest.counter <= store.counter {
        return Comparison::Current;
    }
    let listed: BTreeSet<u64> = gap.iter().map(|entry| entry.counter).collect();
    let listed = u64::try_from(listed.len()).unwrap_or(u64::MAX);
    match (latest.counter - store.counter).saturating_sub(listed) {
        0 => Comparison::Behind(gap),
        missing => Comparison::BehindByMore(gap, missing),
    }
}

/// What a change of an account withdraws, as far as it can be seen on a sealed record. `after` is `None` when the account
/// is deleted. What has expired was withdrawn by time, which no older store brings back.
pub fn withdrawn_factors<S>(
    before: &Account<S>,
    after: Option<&Account<S>>,
    now: Time,
) -> BTreeSet<Withdrawal> {
    fn factors<S>(account: &Account<S>) -> impl Iterator<Item = &Factor<S>> {
        account.active.iter().chain(&account.pending)
    }
    let mut withdrawn = BTreeSet::new();
    for factor in factors(before) {
        let pending = before.active.as_ref().map(|active| &active.id) != Some(&factor.id);
        let expired = pending && before.pending_expires().is_some_and(|end| now >= end);
        let Some(kept) = after.and_then(|account| factors(account).find(|kept| kept.id == factor.id)) else {
            if !expired {
                withdrawn.insert(Withdrawal::new(Kind::Factor, &factor.id));
            }
            continue;
        };
        if !factor.remembered.is_empty() && kept.remembered.is_empty() {
            withdrawn.insert(Withdrawal::new(Kind::Remembered, &factor.id));
        }
        // A login that told of it is the same change.
        let staged = factor.staged.as_ref().filter(|staged| now < staged.expires).map(|staged| staged.at);
        if staged.is_some() && kept.staged.as_ref().map(|staged| staged.at) != staged {
            withdrawn.insert(Withdrawal::new(Kind::Staged, &factor.id));
        }
    }
    let ticket = |ticket: &EnrollmentTicket| {
        now < ticket.expires && after.and_then(|account| account.ticket.as_ref()) != Some(ticket)
    };
    if before.ticket.as_ref().is_some_and(ticket) {
        withdrawn.insert(Withdrawal::new(Kind::Ticket, &before.id));
    }
    withdrawn
}

/// What a change of an account withdraws.
pub fn withdrawn(before: &Account, after: Option<&Account>, now: Time) -> BTreeSet<Withdrawal> {
    let mut withdrawn = withdrawn_factors(before, after, now);
    let kept = after.and_then(|account| account.active.as_ref()).map(|factor| (&factor.id, &factor.secrets));
    if let (Some(old), Some((id, secrets))) = (&before.active, kept)
        && old.id == *id
        && old.secrets.recovery_left() > 0
        && !old.secrets.same_recovery(secrets)
    {
        withdrawn.insert(Withdrawal::new(Kind::Recovery, id));
    }
    withdrawn
}

/// What an older store must not accept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// What was withdrawn after the copy was made.
    pub withdrawn: BTreeSet<Withdrawal>,
    /// Codes up to the window's end at this moment may have been used.
    pub floor: Option<Time>,
}

impl Refusals {
    /// Whether nothing is refused.
    pub fn is_empty(&self) -> bool {
        self.withdrawn.is_empty() && self.floor.is_none()
    }

    fn has(&self, kind: Kind, id: &str) -> bool {
        // Few accounts are asked about and the set is empty on almost every host.
        !self.withdrawn.is_empty() && self.withdrawn.contains(&Withdrawal::new(kind, id))
    }

    /// Takes from an account what was withdrawn from it, and raises the used steps of what was made before the floor to it.
    pub fn apply(&self, account: &mut Account, skew: u8) {
        if self.is_empty() {
            return;
        }
        self.strip(account);
        for factor in [&mut account.active, &mut account.pending].into_iter().flatten() {
            if self.has(Kind::Recovery, &factor.id) {
                factor.secrets.drop_recovery();
            }
            // Nobody has used a code of a factor that was not there yet.
            if let Some(at) = self.floor.filter(|at| factor.created <= *at) {
                let used = factor.params.period.step_at(at).saturating_add(u64::from(skew));
                factor.last_step = factor.last_step.max(Some(used));
            }
        }
    }

    /// Takes from a record, which may be sealed, what can be taken without its secrets. For looking at it: a sealed record
    /// that is changed so cannot be opened any more.
    pub fn strip<S>(&self, account: &mut Account<S>) {
        for slot in [&mut account.active, &mut account.pending] {
            if slot.as_ref().is_some_and(|factor| self.has(Kind::Factor, &factor.id)) {
                *slot = None;
            }
            let Some(factor) = slot else { continue };
            if self.has(Kind::Staged, &factor.id) {
                factor.staged = None;
            }
            if self.has(Kind::Remembered, &factor.id) {
                factor.remembered.clear();
            }
        }
        if self.has(Kind::Ticket, &account.id) {
            account.ticket = None;
        }
    }

    /// Whether a refusal of `input` for this reason comes from what was withdrawn. `account` is as it is stored.
    pub fn explains<S>(&self, account: &Account<S>, input: &Input, reason: Reason) -> bool {
        let Some(active) = &account.active else { return false };
        match (input, reason) {
            (_, Reason::NotEnrolled) => self.has(Kind::Factor, &active.id),
            (Ok(Typed::Recovery(_)), Reason::Wrong) => self.has(Kind::Recovery, &active.id),
            _ => false,
        }
    }
}

impl Secrets {
    /// Whether both have the same unspent recovery codes.
    fn same_recovery(&self, other: &Self) -> bool {
        self.recovery == other.recovery
    }

    fn drop_recovery(&mut self) {
        self.recovery.clear();
    }
}

#[cfg(test)]
mod tests;
