//! Withdrawals: what stopped being accepted. The witness, a record outside the store, lists them,
//! so that an older copy of the store is detected and does not accept them again.
//!
//! ```text
//! store:   counter 7, generation 1 ─┐
//!                                   ├─ compare ─▶ current | behind | behind by more | replaced
//! witness: 5 recovery totp-…        │
//!          6 factor   totp-…        │
//!          8 ticket   user-…       ─┘
//! ```

use crate::account::{Account, EnrollmentTicket};
use crate::code::Input;
use crate::code::Typed;
use crate::factor::FactorState;
use crate::judge::Reason;
use crate::passcode::Passcode;
use crate::secret::Secrets;
use crate::time::Time;
use core::fmt;
use std::collections::BTreeSet;

/// How many entries a witness holds at most: older ones are dropped.
pub const MAX_ENTRIES: usize = 4096;

/// The kind of a withdrawal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The factor with this id was revoked, replaced, or cancelled before its first code.
    Factor,
    /// A recovery code of the factor with this id was spent, or all were replaced.
    Recovery,
    /// The enrollment ticket of the account with this id was used or replaced.
    Ticket,
    /// The passcode of the account with this id was used, replaced or cancelled.
    Passcode,
    /// The staged change of the factor with this id was cancelled or carried out.
    Staged,
    /// The remembered logins of the factor with this id were deleted.
    Remembered,
    /// The API secret with this id was revoked.
    Client,
    /// The store was restored; the id is its new generation.
    Generation,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Factor,
        Self::Recovery,
        Self::Ticket,
        Self::Passcode,
        Self::Staged,
        Self::Remembered,
        Self::Client,
        Self::Generation,
    ];

    /// Returns the word in the witness.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Factor => "factor",
            Self::Recovery => "recovery",
            Self::Ticket => "ticket",
            Self::Passcode => "passcode",
            Self::Staged => "staged",
            Self::Remembered => "remembered",
            Self::Client => "client",
            Self::Generation => "generation",
        }
    }
}

/// A withdrawal: one thing that stopped being accepted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Withdrawal {
    /// The kind.
    pub kind: Kind,
    /// The id of the factor, the account or the API secret, or the generation.
    pub id: String,
}

impl Withdrawal {
    /// Returns the withdrawal of this kind and id.
    pub fn new(kind: Kind, id: &str) -> Self {
        Self { kind, id: id.to_owned() }
    }
}

/// Identifies a restore of the store, also among several restores of the same backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generation {
    /// How often the store was restored.
    pub number: u64,
    /// A random token, which differs between two restores of the same backup.
    pub token: String,
}

impl Generation {
    /// Returns the generation that follows both, with this token.
    #[must_use]
    pub fn after(&self, other: &Self, token: String) -> Self {
        Self { number: self.number.max(other.number).saturating_add(1), token }
    }

    /// Reads the form `3-abcd`. Returns `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, token) = text.split_once('-')?;
        Some(Self { number: number.parse().ok()?, token: token.to_owned() })
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.token)
    }
}

/// One line of the witness: `counter kind id seconds`.
///
/// ```
/// use totp_core::withdrawal::{Entry, Kind};
/// let entry = Entry::parse("7 recovery totp-abc 1800000000").unwrap();
/// assert_eq!((entry.counter, entry.what.kind), (7, Kind::Recovery));
/// assert_eq!(Entry::parse("7 recovery tot"), None, "a crash cut it off");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number of the withdrawal, in the order of this store.
    pub counter: u64,
    /// What was withdrawn.
    pub what: Withdrawal,
    /// When it was withdrawn.
    pub at: Time,
}

impl Entry {
    /// Reads a line. Returns `None` for anything else, such as a line that a crash cut off.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let counter = words.next()?.parse().ok()?;
        let kind = words.next()?;
        let kind = Kind::ALL.into_iter().find(|k| k.as_str() == kind)?;
        let id = words.next().filter(|id| !id.is_empty())?;
        let at = words.next()?.parse().ok()?;
        let is_whole = words.next().is_none() && line.is_ascii();
        is_whole.then(|| Self { counter, what: Withdrawal::new(kind, id), at: Time::from_unix(at) })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { counter, what, at } = self;
        write!(f, "{counter} {} {} {}", what.kind.as_str(), what.id, at.unix())
    }
}

/// How far a store has come, to be compared with its witness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorePosition {
    /// The number of its latest withdrawal.
    pub counter: u64,
    /// The generation.
    pub generation: Generation,
}

impl StorePosition {
    /// Returns the position of the store that wrote these entries. Its generation is the latest one
    /// that can be read, and 0 if the store was never restored.
    pub fn of(witness: &[Entry]) -> Self {
        let generations = witness.iter().filter(|entry| entry.what.kind == Kind::Generation);
        let readable = generations.filter_map(|e| Some((e.counter, Generation::parse(&e.what.id)?)));
        let latest = readable.max_by_key(|(counter, _)| *counter);
        Self {
            counter: witness.iter().map(|entry| entry.counter).max().unwrap_or(0),
            generation: latest.map_or_else(Generation::default, |(_, generation)| generation),
        }
    }
}

/// The result of comparing a store with its witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// There is no witness, or it is empty.
    NoWitness,
    /// The store has made every withdrawal in the witness.
    Current,
    /// The store is older: it lacks these withdrawals, and no others.
    Behind(Vec<Entry>),
    /// The store is older: it lacks these withdrawals, and this many that the witness no longer
    /// lists.
    BehindByMore(Vec<Entry>, u64),
    /// The store was restored, and this is another copy of it. It lacks these withdrawals, if any.
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

/// Returns what a change of an account withdraws, except for recovery codes: this works on sealed
/// records. `after` is `None` when the account is deleted. What has expired is left out, since an
/// older store does not accept it either.
pub fn withdrawn_factors<S>(
    before: &Account<S>,
    after: Option<&Account<S>>,
    now: Time,
) -> BTreeSet<Withdrawal> {
    let mut withdrawn = BTreeSet::new();
    for factor in before.factors() {
        let expired = matches!(factor.state, FactorState::Pending { expires } if now >= expires);
        let Some(kept) = after.and_then(|account| account.factors().find(|kept| kept.id == factor.id)) else {
            if !expired {
                withdrawn.insert(Withdrawal::new(Kind::Factor, &factor.id));
            }
            continue;
        };
        if !factor.remembered.is_empty() && kept.remembered.is_empty() {
            withdrawn.insert(Withdrawal::new(Kind::Remembered, &factor.id));
        }
        // A change that a login has shown is still the same change.
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
    let passcode = |passcode: &Passcode| {
        passcode.is_open(now) && after.and_then(|account| account.passcode.as_ref()) != Some(passcode)
    };
    if before.passcode.as_ref().is_some_and(passcode) {
        withdrawn.insert(Withdrawal::new(Kind::Passcode, &before.id));
    }
    withdrawn
}

/// Returns everything that a change of an account withdraws.
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

/// What a store that is older than its witness must not accept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// The withdrawals that were made after this copy of the store.
    pub withdrawn: BTreeSet<Withdrawal>,
    /// Codes up to the end of the acceptance window at this time may have been used.
    pub floor: Option<Time>,
}

impl Refusals {
    /// Returns whether nothing is refused.
    pub fn is_empty(&self) -> bool {
        self.withdrawn.is_empty() && self.floor.is_none()
    }

    fn has(&self, kind: Kind, id: &str) -> bool {
        // On almost every host the set is empty: this saves making the key.
        !self.withdrawn.is_empty() && self.withdrawn.contains(&Withdrawal::new(kind, id))
    }

    /// Removes from an account what was withdrawn, and marks all time steps up to the floor as
    /// used, for factors that were made before it. `skew` is that of the acceptance window, in
    /// steps.
    pub fn apply(&self, account: &mut Account, skew: u8) {
        if self.is_empty() {
            return;
        }
        self.strip(account);
        for factor in account.factors_mut() {
            if self.has(Kind::Recovery, &factor.id) {
                factor.secrets.drop_recovery();
            }
            // A factor that was made later has no used codes from before.
            if let Some(at) = self.floor.filter(|at| factor.created <= *at) {
                let used = factor.params.period.step_at(at).saturating_add(u64::from(skew));
                factor.last_step = factor.last_step.max(Some(used));
            }
        }
    }

    /// Removes from a record, which may be sealed, what was withdrawn, except for recovery codes.
    /// For display only: a sealed record that was changed cannot be opened.
    pub fn strip<S>(&self, account: &mut Account<S>) {
        account.drop_factors(|factor| self.has(Kind::Factor, &factor.id));
        for factor in account.factors_mut() {
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
        if self.has(Kind::Passcode, &account.id) {
            account.passcode = None;
        }
    }

    /// Returns whether `input` was refused for this reason because of a withdrawal. `account` is
    /// the account as it is stored.
    pub fn explains<S>(&self, account: &Account<S>, input: &Input, reason: Reason) -> bool {
        let has = |kind| account.authenticators().any(|active| self.has(kind, &active.id));
        match (input, reason) {
            // Of several authenticators the others are judged.
            (_, Reason::NotEnrolled) | (Ok(Typed::Code(_)), Reason::Wrong) => has(Kind::Factor),
            (Ok(Typed::Recovery(_)), Reason::Wrong) => {
                has(Kind::Recovery) || has(Kind::Factor) || self.has(Kind::Passcode, &account.id)
            }
            _ => false,
        }
    }
}

impl Secrets {
    /// Returns whether both have the same unspent recovery codes.
    fn same_recovery(&self, other: &Self) -> bool {
        self.recovery == other.recovery
    }

    /// Removes all recovery codes.
    fn drop_recovery(&mut self) {
        self.recovery.clear();
    }
}

#[cfg(test)]
mod tests;
