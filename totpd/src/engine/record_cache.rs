//! The records that this daemon wrote last, so that the next login of a user need not wait for the
//! store.
//!
//! A record is taken out for one attempt, and only a grant may rest on it: its commit names the
//! version, which the store compares. A refusal is decided on a record that was read. So a record
//! that another daemon changed costs a second look, and how long a refusal takes does not tell who
//! has logged in here.

use crate::store::{AccountWrite, StoredAccount};
use crate::sync::ignore_poison;
use std::collections::HashMap;
use std::sync::Mutex;
use totp_core::UserName;

/// Records in each half: up to twice as many are kept. A record has about 2 KiB.
const HALF: usize = 512;

/// The records, by the user's name, in two halves: when the newer one is full, the older one is
/// dropped.
#[derive(Debug, Default)]
pub(super) struct RecordCache(Mutex<Halves>);

#[derive(Debug, Default)]
struct Halves {
    newer: HashMap<UserName, StoredAccount>,
    older: HashMap<UserName, StoredAccount>,
}

impl RecordCache {
    /// Takes out the record of this user.
    pub(super) fn take(&self, name: &UserName) -> Option<StoredAccount> {
        let mut halves = ignore_poison(self.0.lock());
        halves.newer.remove(name).or_else(|| halves.older.remove(name))
    }

    /// Keeps a record of a user that was written.
    pub(super) fn keep(&self, written: StoredAccount) {
        let Some(name) = written.account.name.clone() else { return };
        let mut halves = ignore_poison(self.0.lock());
        if halves.newer.len() >= HALF {
            halves.older = std::mem::take(&mut halves.newer);
        }
        halves.newer.insert(name, written);
    }
}

/// The record that `write` will have written.
pub(super) fn written(write: &AccountWrite) -> Option<StoredAccount> {
    let AccountWrite::Update(account, version) = write else { return None };
    let (account, version) = ((**account).clone(), version + 1);
    Some(StoredAccount { account, version, damaged: false })
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
            assert!(halves.newer.len() <= HALF && halves.older.len() <= HALF);
        }
        let take = |n| cache.take(&UserName::parse(&format!("u{n}")).unwrap());
        for n in [HALF, 3 * HALF - 1] {
            assert_eq!(take(n).map(|stored| stored.version), Some(7));
            assert!(take(n).is_none());
        }
        assert!(take(HALF - 1).is_none());
        assert!(written(&AccountWrite::Nothing).is_none());
    }
}
