//! What this daemon wrote in the last minutes: used steps and versions of records. A row that is
//! put back under the running daemon makes no used code fresh, and is not believed.

use crate::store::{AccountWrite, StoredAccount};
use crate::sync::ignore_poison;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use totp_core::Account;

/// How long a write is remembered: longer than the widest window (21 steps of 120 s).
const MEMORY: Duration = Duration::from_hours(1);
/// Writes that are remembered at most; the oldest go first. About 4 MiB.
const MAX_WRITES: usize = 65_536;

/// The writes, by hashes of ids under a key of this process.
#[derive(Debug, Default)]
pub(super) struct Recent {
    hasher: RandomState,
    values: Mutex<HashMap<u64, Value>>,
}

#[derive(Clone, Copy, Debug)]
struct Value {
    /// A version, or a step.
    number: u64,
    at: Instant,
}

/// What a change writes, taken before it is committed.
#[derive(Debug, Default)]
pub(super) struct Noted(Vec<(u64, u64)>);

impl Recent {
    /// What `write` will have written.
    pub(super) fn of(&self, write: &AccountWrite) -> Noted {
        let (account, version) = match write {
            AccountWrite::Insert(account) => (account, 1),
            AccountWrite::Update(account, version) => (account, version + 1),
            AccountWrite::Nothing | AccountWrite::ExpectVersion(..) | AccountWrite::Delete(..) => {
                return Noted::default();
            }
        };
        let steps = account.factors().filter_map(|f| Some((self.hasher.hash_one(&f.id), f.last_step?)));
        Noted(std::iter::once((self.hasher.hash_one(&account.id), version)).chain(steps).collect())
    }

    /// It was committed.
    pub(super) fn note(&self, noted: &Noted, at: Instant) {
        let mut values = ignore_poison(self.values.lock());
        for (key, number) in &noted.0 {
            values.insert(*key, Value { number: *number, at });
        }
        if values.len() > MAX_WRITES {
            values.retain(|_, value| at.duration_since(value.at) < MEMORY);
        }
        if values.len() > MAX_WRITES {
            let mut ages: Vec<Instant> = values.values().map(|value| value.at).collect();
            let (_, middle, _) = ages.select_nth_unstable(MAX_WRITES / 2);
            let middle = *middle;
            values.retain(|_, value| value.at > middle);
        }
    }

    fn number(&self, id: &str) -> Option<u64> {
        let values = ignore_poison(self.values.lock());
        let value = values.get(&self.hasher.hash_one(id)).filter(|value| value.at.elapsed() < MEMORY);
        value.map(|value| value.number)
    }

    /// Whether the record is older than one that this daemon wrote.
    pub(super) fn is_older(&self, stored: &StoredAccount) -> bool {
        self.number(&stored.account.id).is_some_and(|version| stored.version < version)
    }

    /// Raises used steps to those that this daemon has seen used.
    pub(super) fn raise(&self, account: &mut Account) {
        for factor in account.factors_mut() {
            factor.last_step = factor.last_step.max(self.number(&factor.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::SealedAccount;
    use totp_core::Time;

    fn account(n: usize) -> SealedAccount {
        Account::blank(format!("user-{n}"), None, None, Time::default())
    }

    #[test]
    fn an_older_version_is_known_and_the_memory_is_bounded() {
        let recent = Recent::default();
        let start = Instant::now();
        for n in 0..2 * MAX_WRITES {
            let write = AccountWrite::Update(Box::new(account(n)), 6);
            recent.note(&recent.of(&write), start + Duration::from_millis(n as u64));
            assert!(recent.values.lock().unwrap().len() <= MAX_WRITES);
        }
        let stored = |n, version| StoredAccount { account: Box::new(account(n)), version, damaged: false };
        assert!(recent.is_older(&stored(2 * MAX_WRITES - 1, 6)));
        assert!(!recent.is_older(&stored(2 * MAX_WRITES - 1, 7)));
        assert!(!recent.is_older(&stored(2 * MAX_WRITES - 1, 8)));
        assert!(!recent.is_older(&stored(0, 1)), "it was long ago");
    }
}
