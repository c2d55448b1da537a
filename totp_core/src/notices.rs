//! The notices that a user reads at the next login: used recovery codes, refused attempts, changes
//! of the factor.

use crate::authenticator::AuthenticatorName;
use crate::staged_change::StagedChange;
use crate::time::Time;
use crate::verified::How;
use serde::{Deserialize, Serialize};

/// Fewer refused attempts than this since the last login are not shown.
pub const MIN_REFUSED_SHOWN: u32 = 5;
/// How many uses of recovery codes are shown at most: the latest.
const MAX_RECOVERY_USES: usize = 3;
/// How many passcodes of an administrator are shown at most: the latest.
const MAX_PASSCODES: usize = 3;
/// How many changes of the factor are shown at most: the latest.
const MAX_CHANGES: usize = 8;

/// When and where something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    /// When it happened.
    pub at: Time,
    /// Where it came from, in words.
    pub from: String,
}

/// A passcode that an administrator made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasscodeNotice {
    /// When it was made.
    pub made: Time,
    /// When and where it was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Occurrence>,
}

/// A factor that waits for its first code beside an active one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingReplacement {
    /// When it was made.
    pub created: Time,
    /// When it expires.
    pub expires: Time,
    /// The name of the authenticator, where it has one.
    pub name: Option<AuthenticatorName>,
    /// Whether it becomes a further authenticator and replaces none.
    pub adds: bool,
}

/// A change of the factor by its user, or by someone who had a code of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FactorChange {
    /// A new factor was staged with a ticket.
    Ticket,
    /// A staged factor replaced the active one.
    Replaced,
    /// A staged factor became a further authenticator.
    Added,
    /// The recovery codes were replaced.
    RecoveryCodes,
    /// A staged change was cancelled.
    Cancelled,
    /// The setup key was shown to several logins before one of them enrolled it. The last time is
    /// that of the notice.
    KeyShown {
        /// How often.
        count: u32,
        /// The first time.
        first: Time,
        /// The last time but one.
        previous: Time,
    },
}

/// Everything to report at the next login.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notices {
    /// The number of wrong codes, and of attempts while the class was locked.
    #[serde(default, skip_serializing_if = "is_zero")]
    refused: u32,
    /// The last refused attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_refused: Option<Occurrence>,
    /// The uses of recovery codes, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recovery: Vec<Occurrence>,
    /// The changes of the factor, the latest last. They stay until a counting login has shown them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changes: Vec<(FactorChange, Occurrence)>,
    /// The passcodes that were made or used, the latest last. They stay until a counting login has
    /// shown them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    passcodes: Vec<PasscodeNotice>,
    /// A replacement that expired before its first code: when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expired_replacement: Option<Time>,
    /// The name of the authenticator that it was to be, where it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expired_name: Option<Box<AuthenticatorName>>,
    /// The replacement that waits for its first code, and that the user may confirm. It is shown at
    /// every login for as long as it is there.
    #[serde(skip)]
    pub(crate) pending_replacement: Option<Box<PendingReplacement>>,
    /// The staged change. It is stored in the factor, and shown at every login for as long as it is
    /// there.
    #[serde(skip)]
    pub(crate) staged: Option<Box<StagedChange>>,
    /// The name of the authenticator that the staged change concerns.
    #[serde(skip)]
    pub(crate) staged_name: Option<Box<AuthenticatorName>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Notices {
    /// Returns whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Records a refused attempt.
    pub(crate) fn record_refusal(&mut self, at: Time, from: &str) {
        self.refused = self.refused.saturating_add(1);
        self.last_refused = Some(Occurrence { at, from: from.to_owned() });
    }

    /// Records how a user has just logged in, to be shown at the login after this one.
    pub(crate) fn record_use(&mut self, how: How, at: Time, from: &str) {
        match how {
            How::Recovery { .. } => self.record_recovery_use(at, from),
            How::Passcode { made } => self.record_passcode_use(made, at, from),
            How::Totp { .. } | How::Remembered { .. } | How::BreakGlass => {}
        }
    }

    /// Records the use of a recovery code.
    fn record_recovery_use(&mut self, at: Time, from: &str) {
        self.recovery.push(Occurrence { at, from: from.to_owned() });
        let excess = self.recovery.len().saturating_sub(MAX_RECOVERY_USES);
        self.recovery.drain(..excess);
    }

    /// Returns the number of refused attempts and the last of them, if there were
    /// [`MIN_REFUSED_SHOWN`] or more.
    pub fn refused_attempts(&self) -> Option<(u32, &Occurrence)> {
        let last = self.last_refused.as_ref()?;
        (self.refused >= MIN_REFUSED_SHOWN).then_some((self.refused, last))
    }

    /// Records a change of the factor.
    pub fn record_change(&mut self, change: FactorChange, at: Time, from: &str) {
        self.changes.push((change, Occurrence { at, from: from.to_owned() }));
        let excess = self.changes.len().saturating_sub(MAX_CHANGES);
        self.changes.drain(..excess);
    }

    /// Records that an administrator made a passcode.
    pub(crate) fn record_passcode(&mut self, made: Time) {
        self.push_passcode(PasscodeNotice { made, used: None });
    }

    /// Records the use of the passcode that was made at `made`.
    fn record_passcode_use(&mut self, made: Time, at: Time, from: &str) {
        self.passcodes.retain(|passcode| passcode.made != made || passcode.used.is_some());
        self.push_passcode(PasscodeNotice { made, used: Some(Occurrence { at, from: from.to_owned() }) });
    }

    fn push_passcode(&mut self, passcode: PasscodeNotice) {
        self.passcodes.push(passcode);
        let excess = self.passcodes.len().saturating_sub(MAX_PASSCODES);
        self.passcodes.drain(..excess);
    }

    /// Takes all notices, for a login that counts as having shown them.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Takes all notices, but keeps a copy of changes and passcodes for a login that counts.
    pub(crate) fn take_but_keep_changes(&mut self) -> Self {
        let shown = self.take();
        self.changes.clone_from(&shown.changes);
        self.passcodes.clone_from(&shown.passcodes);
        shown
    }

    /// Removes the changes and the passcodes that `shown` holds.
    pub(crate) fn remove_changes(&mut self, shown: &Self) {
        self.changes.retain(|change| !shown.changes.contains(change));
        self.passcodes.retain(|passcode| !shown.passcodes.contains(passcode));
    }

    /// Returns the changes of the factor.
    pub fn changes(&self) -> &[(FactorChange, Occurrence)] {
        &self.changes
    }

    /// Returns the passcodes that were made or used.
    pub fn passcodes(&self) -> &[PasscodeNotice] {
        &self.passcodes
    }

    /// Returns the staged change.
    pub fn staged(&self) -> Option<&StagedChange> {
        self.staged.as_deref()
    }

    /// Returns the name of the authenticator that the staged change concerns, where it has one.
    pub fn staged_name(&self) -> Option<&AuthenticatorName> {
        self.staged_name.as_deref()
    }

    /// Returns when a replacement was made that expired before its first code.
    pub const fn expired_replacement(&self) -> Option<Time> {
        self.expired_replacement
    }

    /// Returns the name of that replacement, where it had one.
    pub fn expired_name(&self) -> Option<&AuthenticatorName> {
        self.expired_name.as_deref()
    }

    /// Returns the replacement that waits for its first code.
    pub fn pending_replacement(&self) -> Option<&PendingReplacement> {
        self.pending_replacement.as_deref()
    }

    /// Returns the uses of recovery codes.
    pub fn recovery_uses(&self) -> &[Occurrence] {
        &self.recovery
    }
}
