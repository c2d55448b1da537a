//! The records that this daemon wrote last, so that the next login of a user need not wait for the
//! store.
//!
//! A record is taken out for one attempt, and only a grant may rest on it: its commit names the
//! version, which the store compares. A refusal is decided on a record that was read. So a record
//! that another daemon changed costs a second look, and how long a refusal takes does not tell who
//! has logged in here.

use crate::store::{AccountKey, AccountWrite, StoredAccount};
use crate::sync::ignore_poison;
use std::collections::HashMap;
use std::sync::Mutex;
use totp_core::UserName;

/// Records in each half: up to twice as many are kept. A record has about 2 KiB.
const HALF: usize = 512;

/// The records in two halves: when the newer one is full, the older one is dropped.
#[derive(Debug, Default)]
pub(super) struct RecordCache(Mutex<Halves>);

#[derive(Debug, Default)]
struct Halves {
    newer: Half,
    older: Half,
}

/// Records by the ids of their accounts, and these ids by the names of the users who have one.
#[derive(Debug, Default)]
struct Half {
    records: HashMap<String, StoredAccount>,
    ids: HashMap<UserName, String>,
}

impl Half {
    fn take(&mut self, key: &AccountKey) -> Option<StoredAccount> {
        let stored = match key {
            AccountKey::Name(name) => self.records.remove(self.ids.get(name)?),
            AccountKey::Id(id) => self.records.remove(id),
            AccountKey::Totp(_) | AccountKey::Email(_) | AccountKey::Phone(_) => None,
        }?;
        if let Some(name) = &stored.account.name {
            self.ids.remove(name);
        }
        Some(stored)
    }
}

impl RecordCache {
    /// Takes out the record with this key, if the key is a name or an account's id.
    pub(super) fn take(&self, key: &AccountKey) -> Option<StoredAccount> {
        let mut halves = ignore_poison(self.0.lock());
        halves.newer.take(key).or_else(|| halves.older.take(key))
    }

    /// Keeps a record that was written, and none of the same account that is older.
    pub(super) fn keep(&self, written: StoredAccount) {
        let id = written.account.id.clone();
        let mut halves = ignore_poison(self.0.lock());
        halves.older.take(&AccountKey::Id(id.clone()));
        if halves.newer.records.len() >= HALF {
            halves.older = std::mem::take(&mut halves.newer);
        }
        if let Some(name) = &written.account.name {
            halves.newer.ids.insert(name.clone(), id.clone());
        }
        halves.newer.records.insert(id, written);
    }
}

/// The record that `write` will have written.
pub(super) fn written(write: &AccountWrite) -> Option<StoredAccount> {
    let AccountWrite::Update(account, version) = write else { return None };
    Some(StoredAccount { account: account.clone(), version: version + 1, damaged: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use totp_core::{Account, Time};

    fn write(n: usize) -> AccountWrite {
        let name = UserName::parse(&format!("u{n}")).ok();
        AccountWrite::Update(Box::new(Account::blank(format!("user-{n}"), name, None, Time::default())), 6)
    }

    #[test]
    fn a_record_is_taken_once_and_their_number_is_bounded() {
        let cache = RecordCache::default();
        for n in 0..3 * HALF {
            cache.keep(written(&write(n)).unwrap());
            let halves = cache.0.lock().unwrap();
            assert!(halves.newer.records.len() <= HALF && halves.older.records.len() <= HALF);
        }
        let name = |n| AccountKey::Name(UserName::parse(&format!("u{n}")).unwrap());
        let id = |n| AccountKey::Id(format!("user-{n}"));
        for (key, other) in [(name(HALF), id(HALF)), (id(3 * HALF - 1), name(3 * HALF - 1))] {
            assert_eq!(cache.take(&key).map(|stored| stored.version), Some(7));
            assert!(cache.take(&key).is_none() && cache.take(&other).is_none());
        }
        assert!(cache.take(&name(HALF - 1)).is_none());
        // One of the older half that is written again is there once.
        cache.keep(written(&write(HALF + 1)).unwrap());
        assert!(cache.take(&id(HALF + 1)).is_some() && cache.take(&name(HALF + 1)).is_none());
        let halves = cache.0.lock().unwrap();
        assert_eq!(halves.older.ids.len(), halves.older.records.len());
        assert_eq!(halves.newer.ids.len(), halves.newer.records.len());
        assert!(written(&AccountWrite::Nothing).is_none());
    }
}
