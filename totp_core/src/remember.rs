//! Remembers a grant, and recalls it at a later login.

use crate::account::Account;
use crate::remembered::{MAX_REMEMBERED, Remember, RememberKey, Remembered};
use crate::time::Time;
use crate::verified::{How, Verified};

/// Remembers the grant that `proof` stands for under `key`, for `length` seconds. Does nothing when
/// the proof is not of an active factor.
pub(crate) fn remember(account: &mut Account, proof: &Verified, key: &RememberKey, length: u64, now: Time) {
    let Some(factor) = account.authenticators_mut().find(|factor| factor.id == proof.totp_id()) else {
        return;
    };
    factor.remembered.retain(|login| login.key != *key && login.holds(now));
    factor.remembered.push(Remembered { key: key.clone(), since: now, length });
    let excess = factor.remembered.len().saturating_sub(MAX_REMEMBERED);
    factor.remembered.drain(..excess);
}

/// Forgets what a grant under `key` left: it reached nobody, and was no login.
pub fn forget(account: &mut Account, key: &RememberKey) {
    for factor in account.authenticators_mut() {
        factor.remembered.retain(|login| login.key != *key);
    }
}

/// Returns the proof that an earlier grant under `key` left, if it still holds: no longer than the
/// rule said at the grant, and no longer than it says now.
pub fn recall(account: &Account, key: &RememberKey, now: Time, rule: &Remember) -> Option<Verified> {
    account.authenticators().find_map(|factor| {
        let login = factor.remembered.iter().find(|login| login.key == *key)?;
        let age = now.since(login.since);
        let holds = login.holds(now) && age < rule.length;
        holds.then(|| Verified::new(&factor.id, How::Remembered { age }))
    })
}
