//! A change of the active factor that its user has staged, and that waits until it is ripe.

use crate::time::Time;
use serde::{Deserialize, Serialize};

/// The kind of change that a user makes to the active factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// A new authenticator app replaces the one in use.
    Replace,
    /// A further authenticator app works beside those in use.
    Add,
    /// The factor is removed.
    Remove,
    /// New recovery codes replace the old ones.
    RecoveryCodes,
}

impl ChangeKind {
    /// Returns whether the change makes a factor, whose first code carries it out.
    pub const fn makes_factor(self) -> bool {
        matches!(self, Self::Replace | Self::Add)
    }

    /// Returns the word for the seal and for answers to users.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Add => "add",
            Self::Remove => "remove",
            Self::RecoveryCodes => "recovery-codes",
        }
    }
}

/// A staged change. It is ripe, and can be carried out, when its delay is over and a login has
/// shown the notice of it to the user.
///
/// ```
/// use totp_core::Time;
/// use totp_core::self_service::{ChangeKind, StagedChange};
/// use totp_core::time::DAY;
/// let now = Time::from_unix(1_800_000_000);
/// let mut change = StagedChange::new(ChangeKind::Remove, now, DAY, DAY, "192.0.2.7");
/// assert!(!change.is_ripe(now.plus(DAY)), "no login has shown it");
/// change.shown_at = Some(now.plus(60));
/// assert!(!change.is_ripe(now.plus(120)), "the delay is not over");
/// assert!(change.is_ripe(now.plus(DAY)));
/// assert!(!change.is_ripe(now.plus(2 * DAY)), "it has expired");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedChange {
    /// The kind of change.
    pub kind: ChangeKind,
    /// When it was staged.
    pub at: Time,
    /// The delay in seconds.
    pub delay: u64,
    /// When it expires: it is dropped from this time on.
    pub expires: Time,
    /// Where it was staged, in words.
    pub from: String,
    /// When a login first showed the notice of it, if the login counts (see
    /// [`crate::self_service`]).
    #[serde(default, rename = "told", skip_serializing_if = "Option::is_none")]
    pub shown_at: Option<Time>,
}

impl StagedChange {
    /// Returns a change that is staged at `now`, waits for `delay` seconds, and expires `lifetime`
    /// seconds after that. `from` says in words where it was staged.
    pub fn new(kind: ChangeKind, now: Time, delay: u64, lifetime: u64, from: &str) -> Self {
        let expires = now.plus(delay).plus(lifetime);
        Self { kind, at: now, delay, expires, from: from.to_owned(), shown_at: None }
    }

    /// Returns when the delay is over.
    pub const fn ripens_at(&self) -> Time {
        self.at.plus(self.delay)
    }

    /// Returns whether the change can be carried out: the delay is over, a login has shown the
    /// notice, and the change has not expired.
    pub fn is_ripe(&self, now: Time) -> bool {
        self.shown_at.is_some() && now >= self.ripens_at() && now < self.expires
    }

    /// Returns whether both are the same change, whether or not it was shown.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.kind, self.at, self.expires) == (other.kind, other.at, other.expires)
    }

    /// Returns whether codes of the factor that holds this change are accepted. Codes of a staged
    /// factor are accepted only when it is ripe.
    pub(crate) fn allows_codes(&self, now: Time) -> bool {
        !self.kind.makes_factor() || self.is_ripe(now)
    }
}
