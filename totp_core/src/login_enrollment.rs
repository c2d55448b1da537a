//! Enrollment during a login. Until the last answer it exists only in memory: an enrollment that
//! ends earlier leaves nothing in the store. [`AwaitingRecoveryCode::start_again`] returns to the
//! first state, for a login that was interrupted: the code that was accepted stays used.
//!
//! ```text
//! AwaitingFirstCode ─ right ─▶ AwaitingRecoveryCode ─ right ─▶ ReadyToActivate ─▶ factor
//!  ▲ └─ wrong ─┐                ▲ └─ wrong ─┐                    └─ another factor: refused
//!  └───────────┘                └───────────┘
//! ```

use crate::account::{Account, new_id};
use crate::code::Input;
use crate::code::Typed;
use crate::factor::{Factor, FactorState};
use crate::judge::{Reason, steps_ahead};
use crate::judge_settings::JudgeSettings;
use crate::otp::Params;
use crate::policy::FirstFactor;
use crate::random::{Random, RandomFailed};
use crate::recovery::{RecoveryCode, RecoverySet, RecoveryStorage};
use crate::remember::remember;
use crate::remembered::RememberKey;
use crate::secret::{Secret, Secrets};
use crate::source::Origin;
use crate::time::Time;
use crate::verified::Verified;
use crate::window::matching_step;

/// The first state: the factor is made, and its first code is awaited.
#[derive(Clone, Debug)]
pub struct AwaitingFirstCode {
    factor: Box<Factor>,
    codes: Vec<RecoveryCode>,
}

/// The second state: the first code was right, the recovery codes are shown, and one of them is
/// awaited.
#[derive(Debug)]
pub struct AwaitingRecoveryCode {
    factor: Box<Factor>,
    codes: Vec<RecoveryCode>,
    offset: i64,
}

/// The last state: all answers were right.
#[derive(Debug)]
pub struct ReadyToActivate {
    factor: Box<Factor>,
    offset: i64,
}

impl AwaitingFirstCode {
    /// Makes a factor for a user whose first factor is proved.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn new(
        _proof: &FirstFactor,
        params: Params,
        storage: RecoveryStorage,
        now: Time,
        random: &mut impl Random,
    ) -> Result<Self, RandomFailed> {
        let secret = Secret::generate(random)?;
        let (recovery, codes) = RecoverySet::generate(storage, random)?;
        let factor = Factor {
            name: None,
            id: new_id("totp", random)?,
            params,
            created: now,
            state: FactorState::Pending { expires: now },
            last_step: None,
            used_steps: Vec::new(),
            staged: None,
            cancels: Vec::new(),
            remembered: Vec::new(),
            secrets: Secrets { secret, recovery },
        };
        Ok(Self { factor: Box::new(factor), codes })
    }

    /// Returns the permanent id that the factor will have.
    pub fn totp_id(&self) -> &str {
        &self.factor.id
    }

    /// Returns the secret for the authenticator app.
    pub const fn secret(&self) -> &Secret {
        self.factor.secrets.secret()
    }

    /// Returns the parameters for the authenticator app.
    pub const fn params(&self) -> Params {
        self.factor.params
    }

    /// Checks the first code, and marks its time step as used. A wrong one does not count as a
    /// guess: the user sees the secret.
    ///
    /// # Errors
    /// This state again, and the reason.
    pub fn first_code(
        self,
        input: &Input,
        now: Time,
        settings: &JudgeSettings,
    ) -> Result<AwaitingRecoveryCode, (Self, Reason)> {
        let code = match input {
            Ok(Typed::Code(code)) => code,
            Ok(Typed::Recovery(_)) => return Err((self, Reason::Wrong)),
            Err(rejected) => return Err((self, Reason::Rejected(*rejected))),
        };
        if !settings.trusts(now, self.params()) {
            return Err((self, Reason::Clock));
        }
        let Some(step) = matching_step(self.secret(), self.params(), code, now, settings.skew) else {
            return Err((self, Reason::Wrong));
        };
        if self.factor.last_step.is_some_and(|last| step <= last) {
            return Err((self, Reason::Replayed));
        }
        let offset = steps_ahead(self.params(), step, now);
        let Self { mut factor, codes } = self;
        factor.mark_used(step);
        Ok(AwaitingRecoveryCode { factor, codes, offset })
    }
}

impl AwaitingRecoveryCode {
    /// Returns the recovery codes, to be shown once.
    pub fn recovery_codes(&self) -> &[RecoveryCode] {
        &self.codes
    }

    /// Returns the first state again for another login: with the same secret, and with new recovery
    /// codes, since nobody has proved to have noted these. It takes the code of a later time step.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn start_again(
        &self,
        storage: RecoveryStorage,
        random: &mut impl Random,
    ) -> Result<AwaitingFirstCode, RandomFailed> {
        let (recovery, codes) = RecoverySet::generate(storage, random)?;
        let mut factor = self.factor.clone();
        factor.secrets.recovery = recovery;
        Ok(AwaitingFirstCode { factor, codes })
    }

    /// Checks one of the recovery codes, as proof that the user has written them down. It is not
    /// spent.
    ///
    /// # Errors
    /// This state again, when the input is not one of the codes.
    pub fn finish(self, input: &Input, now: Time) -> Result<ReadyToActivate, Self> {
        let is_known =
            matches!(input, Ok(Typed::Recovery(code)) if self.factor.secrets.recovery.find(code).is_some());
        if !is_known {
            return Err(self);
        }
        let Self { mut factor, offset, .. } = self;
        factor.state = FactorState::Active { since: now };
        Ok(ReadyToActivate { factor, offset })
    }
}

impl ReadyToActivate {
    /// Makes the factor the account's active one, unless the account got another factor meanwhile,
    /// and returns the proof for this login.
    ///
    /// # Errors
    /// [`Reason::Raced`]; the account is unchanged then, except for an expired pending factor.
    pub fn activate(
        &self,
        account: &mut Account,
        origin: &Origin,
        remember_as: Option<&(RememberKey, u64)>,
        now: Time,
    ) -> Result<Verified, Reason> {
        account.expire_pending(now);
        if account.active.is_some() || account.pending.is_some() {
            return Err(Reason::Raced);
        }
        account.active = Some(Factor::clone(&self.factor));
        account.ticket = None;
        account.lapsed = false;
        let origin = origin.resolved(account.uid);
        let class = account.lock_state.class(&origin, now);
        account.lock_state.succeed(&class, &origin, now);
        let verified = Verified::first_code(&self.factor.id, self.offset);
        if let Some((key, length)) = remember_as {
            remember(account, &verified, key, *length, now);
        }
        Ok(verified)
    }
}
