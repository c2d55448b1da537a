//! What is stored of one user, and the life cycle of an enrollment.
//!
//! ```text
//! enroll ─▶ pending ── first accepted code ─▶ active ── revoke, or a newer one confirmed ─▶ gone
//!              └────── expires ─▶ gone (with its secret)
//! ```
//!
//! An account has at most one active and one pending factor: the old one works until the new one is proved.

use crate::lock::LockState;
use crate::name::UserName;
use crate::notices::Notices;
use crate::otp::Params;
use crate::profile::Profile;
use crate::random::{self, Random, RandomFailed};
use crate::recovery::{RecoveryCode, RecoverySet, RecoveryStorage};
use crate::remembered::Remembered;
use crate::secret::{Secret, Secrets};
use crate::self_service::StagedChange;
use crate::time::{DAY, Time};
use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

/// How long an enrollment waits for its first code unless told otherwise, in seconds.
pub const DEFAULT_PENDING_LIFETIME: u64 = DAY;
/// The longest an enrollment may wait for its first code, in seconds.
pub const MAX_PENDING_LIFETIME: u64 = 30 * DAY;

/// Where an enrollment is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FactorState {
    /// Nobody has shown a code of it yet; gone at this moment.
    Pending {
        /// The first moment at which it is gone.
        expires: Time,
    },
    /// Confirmed at this moment by a first code.
    Active {
        /// When that was.
        since: Time,
    },
}

/// One enrollment. `S` is the sealed half: [`Secrets`] in memory, ciphertext in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factor<S = Secrets> {
    /// `totp-` and 26 characters: names this enrollment for ever.
    pub id: String,
    /// What the phone was told.
    pub params: Params,
    /// When it was made.
    pub created: Time,
    /// Pending or active.
    pub state: FactorState,
    /// The latest time step that was used up. A step is accepted when it is later than this one.
    pub last_step: Option<u64>,
    /// The latest steps that were used up, the last one last: their codes are no guesses when they come again.
    /// The seal does not cover them, since they decide about no grant: `last_step` does.
    #[serde(default, rename = "used", skip_serializing_if = "Vec::is_empty")]
    pub used_steps: Vec<u64>,
    /// What the user has staged: the replacement by this factor, or a change of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<StagedChange>,
    /// When the user cancelled a staged change, the latest ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cancels: Vec<Time>,
    /// Grants that let in again without a code for a while, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remembered: Vec<Remembered>,
    /// Secret and recovery codes.
    pub secrets: S,
}

/// Leave for a user to enroll once without an administrator, or to change the factor in use without a delay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollmentTicket {
    /// The first moment at which it is worth nothing.
    pub expires: Time,
    /// The factor in use that it is bound to; none: it is for a first factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp_id: Option<String>,
    /// The phone is lost: no code of the factor is asked for beside the ticket.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
    /// The ticket's text, sealed by whoever has the key.
    pub sealed: String,
}

/// Everything that is stored of one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account<S = Secrets> {
    /// `user-` and 26 characters: names this account for ever, whatever the login name becomes.
    pub id: String,
    /// The login name; a user of applications alone may have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<UserName>,
    /// The uid the name had when it was enrolled: a name that has changed its uid is somebody else. None: the host
    /// knew nobody of this name then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// When the account was made.
    pub created: Time,
    /// The factor that lets in.
    pub active: Option<Factor<S>>,
    /// The factor that waits for its first code.
    pub pending: Option<Factor<S>>,
    /// The last enrollment expired before its first code, and there was none since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lapsed: bool,
    /// Failures and locks.
    #[serde(default, rename = "guard")]
    pub lock_state: LockState,
    /// What the user is told at the next login.
    #[serde(default, rename = "news", skip_serializing_if = "Notices::is_empty")]
    pub notices: Notices,
    /// Leave to enroll by oneself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<EnrollmentTicket>,
    /// What applications know of the user.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub profile: Box<Profile>,
}

impl<S> Factor<S> {
    /// The half that stands in the open, and the sealed one.
    fn split(self) -> (Factor<()>, S) {
        let Self {
            id,
            params,
            created,
            state,
            last_step,
            used_steps: used,
            staged,
            cancels,
            remembered,
            secrets,
        } = self;
        let open = Factor {
            id,
            params,
            created,
            state,
            last_step,
            used_steps: used,
            staged,
            cancels,
            remembered,
            secrets: (),
        };
        (open, secrets)
    }

    /// The same factor with another sealed half.
    fn join<T>(self, secrets: T) -> Factor<T> {
        let Self {
            id, params, created, state, last_step, used_steps: used, staged, cancels, remembered, ..
        } = self;
        Factor {
            id,
            params,
            created,
            state,
            last_step,
            used_steps: used,
            staged,
            cancels,
            remembered,
            secrets,
        }
    }
}

impl<S> Account<S> {
    /// Whether the account is that of the user whom the system knows by this uid. Nobody knows an account
    /// without one, and no account is that of a user whom the system does not know.
    pub fn belongs_to_uid(&self, uid: Option<u32>) -> bool {
        uid.is_some() && self.uid == uid
    }

    /// What the account is called in logs: its login name, or its id.
    pub fn display_name(&self) -> &str {
        self.name.as_ref().map_or(&self.id, UserName::as_str)
    }

    /// Whether there is any factor, confirmed or not.
    pub const fn has_factor(&self) -> bool {
        self.active.is_some() || self.pending.is_some()
    }

    /// The same account with the sealed halves converted, or the first error. The conversion sees the open
    /// half of each factor.
    ///
    /// # Errors
    /// What `convert` returns.
    pub fn try_map<T, E>(
        self,
        mut convert: impl FnMut(&Factor<()>, S) -> Result<T, E>,
    ) -> Result<Account<T>, E> {
        let mut factor = |f: Option<Factor<S>>| -> Result<Option<Factor<T>>, E> {
            let Some(factor) = f else { return Ok(None) };
            let (open, secrets) = factor.split();
            let secrets = convert(&open, secrets)?;
            Ok(Some(open.join(secrets)))
        };
        Ok(Account {
            active: factor(self.active)?,
            pending: factor(self.pending)?,
            id: self.id,
            name: self.name,
            uid: self.uid,
            created: self.created,
            lock_state: self.lock_state,
            notices: self.notices,
            ticket: self.ticket,
            lapsed: self.lapsed,
            profile: self.profile,
        })
    }

    /// An account about which nothing is known but its name; it has no factor.
    pub fn blank(id: String, name: Option<UserName>, uid: Option<u32>, created: Time) -> Self {
        Self {
            id,
            name,
            uid,
            created,
            active: None,
            pending: None,
            lock_state: LockState::default(),
            notices: Notices::default(),
            ticket: None,
            lapsed: false,
            profile: Box::default(),
        }
    }

    /// Forgets every factor, ticket and remembered login; says whether there was anything. Failures stay
    /// counted.
    pub fn revoke(&mut self) -> bool {
        let factor = self.active.take().is_some() | self.pending.take().is_some();
        self.lapsed = false;
        self.ticket.take().is_some() | factor
    }

    /// Forgets the remembered logins; says how many.
    pub fn forget_remembered(&mut self) -> usize {
        self.active.as_mut().map_or(0, |factor| std::mem::take(&mut factor.remembered).len())
    }

    /// Drops a pending factor whose time has come, and says whether there was one; and a staged change of the
    /// active one.
    pub fn expire_pending(&mut self, now: Time) -> bool {
        if let Some(active) = &mut self.active {
            active.staged.take_if(|staged| now >= staged.expires);
        }
        let expired = self.pending_expires().is_some_and(|expires| now >= expires);
        if expired {
            self.pending = None;
            self.lapsed = self.active.is_none();
        }
        expired
    }

    /// When the pending factor is gone, if there is one.
    pub fn pending_expires(&self) -> Option<Time> {
        match self.pending.as_ref()?.state {
            FactorState::Pending { expires } => Some(expires),
            FactorState::Active { .. } => None,
        }
    }
}

/// serde hands over the box that it looks at.
#[expect(clippy::borrowed_box, reason = "the signature is serde's")]
fn is_empty(profile: &Box<Profile>) -> bool {
    profile.is_empty()
}

/// What a new enrollment is made with.
#[derive(Debug)]
pub struct NewFactor {
    /// What the phone is told.
    pub params: Params,
    /// Seconds until it is gone unless confirmed.
    pub lifetime: u64,
    /// How its recovery codes are kept.
    pub recovery_storage: RecoveryStorage,
}

impl Account {
    /// A new account without a factor.
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

    /// Stages a factor. One that was pending before is replaced; an active one works on until the new one
    /// has shown its first code. Returns the new recovery codes, which exist nowhere else.
    ///
    /// # Errors
    /// When the random source fails; the account is unchanged then.
    pub fn enroll(
        &mut self,
        new: &NewFactor,
        now: Time,
        random: &mut impl Random,
    ) -> Result<Vec<RecoveryCode>, RandomFailed> {
        let secret = Secret::generate(random)?;
        let (recovery, codes) = RecoverySet::generate(new.recovery_storage, random)?;
        // What was given leave for is done: no ticket lies about that could replace it.
        self.ticket = None;
        self.lapsed = false;
        self.pending = Some(Factor {
            id: new_id("totp", random)?,
            params: new.params,
            created: now,
            state: FactorState::Pending { expires: now.plus(new.lifetime.min(MAX_PENDING_LIFETIME)) },
            last_step: None,
            used_steps: Vec::new(),
            staged: None,
            cancels: Vec::new(),
            remembered: Vec::new(),
            secrets: Secrets { secret, recovery },
        });
        Ok(codes)
    }

    /// Replaces the recovery codes of the active factor. `None` when there is none.
    ///
    /// # Errors
    /// When the random source fails; the account is unchanged then.
    pub fn replace_recovery_codes(
        &mut self,
        keeping: RecoveryStorage,
        random: &mut impl Random,
    ) -> Result<Option<Vec<RecoveryCode>>, RandomFailed> {
        let Some(active) = &mut self.active else { return Ok(None) };
        let (set, codes) = RecoverySet::generate(keeping, random)?;
        active.secrets.recovery = set;
        Ok(Some(codes))
    }
}

/// A fresh id: `kind-` and 26 characters of base32, 128 random bits.
///
/// # Errors
/// When the random source fails.
pub fn new_id(kind: &str, random: &mut impl Random) -> Result<String, RandomFailed> {
    let bytes = random::bytes::<16>(random)?;
    Ok(format!("{kind}-{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::testing::Counting;

    fn account() -> Account {
        let name = UserName::parse("alice").ok();
        Account::new(name, Some(1000), Time::default(), &mut Counting(9)).unwrap()
    }

    fn minute() -> NewFactor {
        NewFactor { params: Params::default(), lifetime: 60, recovery_storage: RecoveryStorage::Hashed }
    }

    #[test]
    fn a_pending_factor_is_gone_at_its_time() {
        let mut account = account();
        account.enroll(&minute(), Time::from_unix(100), &mut Counting(1)).unwrap();
        assert!(!account.expire_pending(Time::from_unix(159)));
        assert!(account.expire_pending(Time::from_unix(160)));
        assert_eq!((account.pending.is_some(), account.lapsed), (false, true));
        account.enroll(&minute(), Time::from_unix(160), &mut Counting(1)).unwrap();
        assert!(!account.lapsed);
    }

    #[test]
    fn no_enrollment_waits_longer_than_thirty_days() {
        let mut account = account();
        let new = NewFactor { params: Params::default(), lifetime: u64::MAX, ..minute() };
        account.enroll(&new, Time::from_unix(100), &mut Counting(1)).unwrap();
        assert_eq!(account.pending_expires(), Some(Time::from_unix(100 + MAX_PENDING_LIFETIME)));
    }

    #[test]
    fn revoking_leaves_no_secret() {
        let mut account = account();
        assert!(!account.revoke());
        account.enroll(&minute(), Time::default(), &mut Counting(1)).unwrap();
        assert!(account.revoke());
        assert_eq!((account.active, account.pending), (None, None));
    }

    #[test]
    fn an_account_without_a_uid_is_nobodys_and_nobody_has_none() {
        let mut account = account();
        assert!(
            account.belongs_to_uid(Some(1000))
                && !account.belongs_to_uid(Some(1001))
                && !account.belongs_to_uid(None)
        );
        account.uid = None;
        assert!(!account.belongs_to_uid(None) && !account.belongs_to_uid(Some(1000)));
    }

    #[test]
    fn the_stored_form_of_an_account_without_its_secrets_reads_back() {
        let mut account = account();
        account.enroll(&minute(), Time::default(), &mut Counting(1)).unwrap();
        let sealed = account.try_map(|f, _| Ok::<_, ()>(format!("sealed {}", f.id))).unwrap();
        let text = serde_json::to_string(&sealed).unwrap();
        assert_eq!(serde_json::from_str::<Account<String>>(&text).unwrap(), sealed);
    }
}
