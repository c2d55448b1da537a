//! What a user is told at the next login: that a recovery code was used, that somebody tried often.

use crate::self_service::StagedChange;
use crate::time::Time;
use serde::{Deserialize, Serialize};

/// Refusals since the last login from which on the user is told.
pub const MIN_REFUSED_SHOWN: u32 = 5;
/// Uses of recovery codes that are told one by one.
const MOST_USES: usize = 3;
/// Changes that are told one by one.
const MOST_CHANGES: usize = 8;

/// A use of a recovery code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    /// When.
    pub at: Time,
    /// From where, in words.
    pub from: String,
}

/// A change of the factor that its user made, or somebody who had a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FactorChange {
    /// A new factor was staged with a ticket.
    Ticket,
    /// A staged factor has replaced the one before.
    Replaced,
    /// The recovery codes were replaced.
    RecoveryCodes,
    /// What was staged was cancelled.
    Cancelled,
}

/// What has happened since the user was last told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notices {
    /// Wrong codes, and tries while the class was locked.
    #[serde(default, skip_serializing_if = "is_zero")]
    refused: u32,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_refused: Option<Occurrence>,
    /// Recovery codes that were used, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recovery: Vec<Occurrence>,
    /// Changes of the factor, the latest last. They are kept until a login showed them that counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changes: Vec<(FactorChange, Occurrence)>,
    /// What is staged. It stands in the factor, and is told for as long as it does.
    #[serde(skip)]
    pub(crate) staged: Option<Box<StagedChange>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Notices {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A try was refused.
    pub(crate) fn record_refusal(&mut self, at: Time, from: &str) {
        self.refused = self.refused.saturating_add(1);
        self.last_refused = Some(Occurrence { at, from: from.to_owned() });
    }

    /// A recovery code was used: to be told at the login after this one.
    pub(crate) fn record_recovery_use(&mut self, at: Time, from: &str) {
        self.recovery.push(Occurrence { at, from: from.to_owned() });
        let excess = self.recovery.len().saturating_sub(MOST_USES);
        self.recovery.drain(..excess);
    }

    /// The tries that were refused, and the last of them, if they are worth telling.
    pub fn refused_attempts(&self) -> Option<(u32, &Occurrence)> {
        let last = self.last_refused.as_ref()?;
        (self.refused >= MIN_REFUSED_SHOWN).then_some((self.refused, last))
    }

    /// The factor was changed.
    pub fn record_change(&mut self, what: FactorChange, at: Time, from: &str) {
        self.changes.push((what, Occurrence { at, from: from.to_owned() }));
        let excess = self.changes.len().saturating_sub(MOST_CHANGES);
        self.changes.drain(..excess);
    }

    /// What was staged was cancelled.
    pub(crate) fn record_cancel(&mut self, at: Time, from: &str) {
        self.record_change(FactorChange::Cancelled, at, from);
    }

    /// What a login shows, and keeps no longer: changes are kept until they count as `read`.
    pub(crate) fn take_shown(&mut self, read: bool) -> Self {
        let shown = std::mem::take(self);
        if !read {
            self.changes.clone_from(&shown.changes);
        }
        shown
    }

    /// Forgets the changes that were `shown`.
    pub(crate) fn forget_changes(&mut self, shown: &Self) {
        self.changes.retain(|change| !shown.changes.contains(change));
    }

    /// The changes of the factor.
    pub fn changes(&self) -> &[(FactorChange, Occurrence)] {
        &self.changes
    }

    /// The change that is staged.
    pub fn staged(&self) -> Option<&StagedChange> {
        self.staged.as_deref()
    }

    /// The recovery codes that were used.
    pub fn recovery_uses(&self) -> &[Occurrence] {
        &self.recovery
    }
}
