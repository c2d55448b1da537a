//! What a change withdraws, for the witness, and what is refused since the store is an older copy.

use super::{Engine, record_cache};
use crate::audit::{EventReason, UnjudgedReason};
use crate::store::{ChangeSet, CommitError, CommitGuard, Committed, SideWrite};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use totp_core::code::Input;
use totp_core::withdrawal::{Withdrawal, withdrawn};
use totp_core::{Account, Reason, Time};

/// The rows that count what a change withdraws. `after` is `None` when the account is deleted.
pub(super) fn withdrawals(before: Option<&Account>, after: Option<&Account>, now: Time) -> Vec<SideWrite> {
    counted(before.map(|before| withdrawn(before, after, now)).unwrap_or_default())
}

/// The same for what is known already.
pub(super) fn counted(withdrawn: BTreeSet<Withdrawal>) -> Vec<SideWrite> {
    withdrawn.into_iter().map(SideWrite::Withdraw).collect()
}

impl Engine {
    /// Commits a change, and remembers what it wrote.
    pub(super) async fn commit(
        &self,
        change: ChangeSet,
        guard: &Arc<CommitGuard>,
    ) -> Result<Committed, CommitError> {
        let noted = self.recent.of(&change.write);
        // Of a shared store only what is read is believed: a version does not name its contents.
        let written = if self.store.is_shared() { None } else { record_cache::written(&change.write) };
        let committed = self.store.commit(change, Arc::clone(guard)).await?;
        self.recent.note(&noted, Instant::now());
        if let Some(written) = written {
            self.record_cache.keep(written);
        }
        Ok(committed)
    }

    /// [`UnjudgedReason::Withdrawn`] when `input` was refused for `reason` only because the store
    /// is an older copy, and what it matches was withdrawn after that copy was made.
    pub(super) fn withdrawn<S>(
        &self,
        account: &Account<S>,
        input: &Input,
        reason: Reason,
    ) -> Option<EventReason> {
        let withdrawn = self.store.refusals().explains(account, input, reason);
        withdrawn.then_some(UnjudgedReason::Withdrawn.into())
    }
}
