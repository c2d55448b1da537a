//! The stored record of one user, and the life cycle of a factor.
//!
//! ```text
//! enroll ─▶ pending ── first code ─▶ active ── revoke, or a newer one confirmed ─▶ deleted
//!              └────── expires ─▶ deleted (with its secret)
//! ```
//!
//! An account has up to three active factors, its authenticators, and at most one pending factor:
//! what that one replaces works until it is confirmed.

use crate::factor::{Factor, FactorState};
use crate::lock::LockState;
use crate::name::UserName;
use crate::notices::{Notices, PendingReplacement};
use crate::passcode::Passcode;
use crate::profile::Profile;
use crate::random::{self, Random, RandomFailed};
use crate::secret::Secrets;
use crate::time::Time;
use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

/// Permission for a user to enroll once without an administrator, or to change the active factor
/// without a delay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollmentTicket {
    /// When it expires: it is not accepted from this time on.
    pub expires: Time,
    /// The id of the active factor that it is bound to; `None` when it is for a first factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp_id: Option<String>,
    /// Whether the phone is lost: then no code of the active factor is needed with the ticket.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
    /// The ticket's text, encrypted with the store's key.
    pub sealed: String,
}

/// Everything that is stored about one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account<S = Secrets> {
    /// The permanent id: `user-` and 26 characters. It stays when the login name changes.
    pub id: String,
    /// The login name; `None` for a user that only applications know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<UserName>,
    /// The uid that the name had at enrollment: a name with another uid is another user. `None`:
    /// the host had no such user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// When the account was made.
    pub created: Time,
    /// The first active factor, whose codes and recovery codes are accepted.
    pub active: Option<Factor<S>>,
    /// The further active factors, whose codes are accepted too. The list is empty without a first
    /// one.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<Factor<S>>,
    /// The pending factor, which waits for its first code.
    pub pending: Option<Factor<S>>,
    /// Whether the last enrollment expired before its first code.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lapsed: bool,
    /// Failures and locks.
    #[serde(default, rename = "guard")]
    pub lock_state: LockState,
    /// The notices to show at the next login.
    #[serde(default, rename = "news", skip_serializing_if = "Notices::is_empty")]
    pub notices: Notices,
    /// The ticket that an administrator made for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<EnrollmentTicket>,
    /// The passcode that an administrator made for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passcode: Option<Passcode>,
    /// What applications store about the user.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub profile: Box<Profile>,
}

impl<S> Account<S> {
    /// Returns whether the account belongs to the local user with this uid. An account without a
    /// uid belongs to no local user, and a user without a uid has no account.
    pub fn belongs_to_uid(&self, uid: Option<u32>) -> bool {
        uid.is_some() && self.uid == uid
    }

    /// Returns the account's name for logs: the login name, or the id if there is none.
    pub fn display_name(&self) -> &str {
        self.name.as_ref().map_or(&self.id, UserName::as_str)
    }

    /// Returns whether there is a factor, active or pending.
    pub const fn has_factor(&self) -> bool {
        self.active.is_some() || self.pending.is_some()
    }

    /// Returns the account with the sealed half of each factor converted. `convert` gets the clear
    /// half of the factor, which the seal is bound to, and the sealed half.
    ///
    /// # Errors
    /// The first error that `convert` returns.
    pub fn try_map<T, E>(
        self,
        mut convert: impl FnMut(&Factor<()>, S) -> Result<T, E>,
    ) -> Result<Account<T>, E> {
        let mut factor = |factor: Factor<S>| -> Result<Factor<T>, E> {
            let (open, secrets) = factor.with_secrets(());
            let secrets = convert(&open, secrets)?;
            Ok(open.with_secrets(secrets).0)
        };
        Ok(Account {
            active: self.active.map(&mut factor).transpose()?,
            added: self.added.into_iter().map(&mut factor).collect::<Result<_, E>>()?,
            pending: self.pending.map(&mut factor).transpose()?,
            id: self.id,
            name: self.name,
            uid: self.uid,
            created: self.created,
            lock_state: self.lock_state,
            notices: self.notices,
            ticket: self.ticket,
            passcode: self.passcode,
            lapsed: self.lapsed,
            profile: self.profile,
        })
    }

    /// Returns a new account without a factor.
    pub fn blank(id: String, name: Option<UserName>, uid: Option<u32>, created: Time) -> Self {
        Self {
            id,
            name,
            uid,
            created,
            active: None,
            added: Vec::new(),
            pending: None,
            lock_state: LockState::default(),
            notices: Notices::default(),
            ticket: None,
            passcode: None,
            lapsed: false,
            profile: Box::default(),
        }
    }

    /// Deletes all factors, with their remembered logins, the ticket and the passcode. Returns
    /// whether there was a factor or a ticket. Failures and locks stay.
    pub fn revoke(&mut self) -> bool {
        let factor = self.has_factor();
        self.drop_factors(|_| true);
        self.lapsed = false;
        self.passcode = None;
        self.ticket.take().is_some() | factor
    }

    /// Deletes the remembered logins. Returns how many there were.
    pub fn forget_remembered(&mut self) -> usize {
        self.authenticators_mut().map(|factor| std::mem::take(&mut factor.remembered).len()).sum()
    }

    /// Deletes an expired pending factor, an expired staged change of an active factor, and an
    /// expired passcode. Returns whether a pending factor was deleted.
    pub fn expire_pending(&mut self, now: Time) -> bool {
        self.passcode.take_if(|passcode| !passcode.is_open(now));
        for active in self.authenticators_mut() {
            active.staged.take_if(|staged| now >= staged.expires);
        }
        self.drop_expired_pending(now)
    }

    /// Deletes an expired pending factor, and nothing that the seal of another factor covers: a
    /// stored account can be written back. Returns whether a pending factor was deleted.
    pub fn drop_expired_pending(&mut self, now: Time) -> bool {
        let expired = self.pending_expires().is_some_and(|expires| now >= expires);
        if expired {
            self.lapsed = self.active.is_none();
            let pending = self.pending.take();
            if !self.lapsed {
                self.notices.expired_replacement = pending.as_ref().map(|pending| pending.created);
                self.notices.expired_name = pending.and_then(|pending| pending.name).map(Box::new);
            }
        }
        expired
    }

    /// Returns the replacement that waits for its first code, unless it is a staged change, which
    /// has a notice of its own.
    pub fn pending_replacement(&self) -> Option<PendingReplacement> {
        let pending = self.pending.as_ref().filter(|pending| pending.staged.is_none())?;
        let expires = self.pending_expires()?;
        let adds = self.authenticators().all(|active| active.name != pending.name);
        let (created, name) = (pending.created, pending.name.clone());
        self.active.as_ref().map(|_| PendingReplacement { created, expires, name, adds })
    }

    /// Returns when the pending factor expires, if there is one.
    pub fn pending_expires(&self) -> Option<Time> {
        match self.pending.as_ref()?.state {
            FactorState::Pending { expires } => Some(expires),
            FactorState::Active { .. } => None,
        }
    }
}

/// Returns whether the profile can be left out of the record. serde passes the boxed field.
#[expect(clippy::borrowed_box, reason = "the signature is serde's")]
fn is_empty(profile: &Box<Profile>) -> bool {
    profile.is_empty()
}

impl Account {
    /// Makes an account with a new id and without a factor.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn new(
        name: Option<UserName>,
        uid: Option<u32>,
        now: Time,
        random: &mut impl Random,
    ) -> Result<Self, RandomFailed> {
        let id = new_id("user", random)?;
        Ok(Self::blank(id, name, uid, now))
    }
}

/// Makes an id: `kind`, a dash, and 26 characters of base32 that hold 128 random bits.
///
/// # Errors
/// When the random source fails.
pub fn new_id(kind: &str, random: &mut impl Random) -> Result<String, RandomFailed> {
    let bytes = random::bytes::<16>(random)?;
    Ok(format!("{kind}-{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()))
}

#[cfg(test)]
mod tests;
