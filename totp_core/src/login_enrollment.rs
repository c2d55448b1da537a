//! An enrollment inside a login. It lives in memory alone until its last answer: whatever ends it before
//! leaves nothing that could ever let anybody in.
//!
//! ```text
//! new ── first code, right ─▶ Noted ── one of its recovery codes ─▶ Finished ── activate ─▶ the account's factor
//!  ▲ └── wrong ─▶ again        ▲ └── something else ─▶ again              └── a factor meanwhile: refused
//! ```

use crate::account::{Account, Factor, FactorState, new_id};
use crate::code::Typed;
use crate::judge::{Input, JudgeSettings, Reason};
use crate::otp::Params;
use crate::policy::FirstFactor;
use crate::random::{Random, RandomFailed};
use crate::recovery::{RecoveryCode, RecoverySet, RecoveryStorage};
use crate::remembered;
use crate::remembered::RememberKey;
use crate::secret::{Secret, Secrets};
use crate::source::Origin;
use crate::time::Time;
use crate::verified::{How, Verified};
use crate::window::matching_step;

/// The factor is made; nobody has shown a code of it.
#[derive(Debug)]
pub struct AwaitingFirstCode {
    factor: Box<Factor>,
    codes: Vec<RecoveryCode>,
}

/// Its first code was right; the recovery codes are shown, and one of them is to be typed.
#[derive(Debug)]
pub struct AwaitingRecoveryCode {
    factor: Box<Factor>,
    codes: Vec<RecoveryCode>,
    step: u64,
    offset: i64,
}

/// Every answer was right.
#[derive(Debug)]
pub struct ReadyToActivate {
    factor: Box<Factor>,
    offset: i64,
}

impl AwaitingFirstCode {
    /// Makes a factor for somebody whose first factor is proved.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn new(
        _proof: &FirstFactor,
        params: Params,
        keeping: RecoveryStorage,
        now: Time,
        random: &mut impl Random,
    ) -> Result<Self, RandomFailed> {
        let secret = Secret::generate(random)?;
        let (recovery, codes) = RecoverySet::generate(keeping, random)?;
        let factor = Factor {
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

    /// What the phone is told.
    pub const fn secret(&self) -> &Secret {
        self.factor.secrets.secret()
    }

    /// Hash, digits, period.
    pub const fn params(&self) -> Params {
        self.factor.params
    }

    /// Takes the first code. Wrong ones are nobody's guesses: who is here has seen the secret.
    ///
    /// # Errors
    /// Itself again, and why.
    pub fn first_code(
        self,
        input: &Input,
        now: Time,
        rules: &JudgeSettings,
    ) -> Result<AwaitingRecoveryCode, (Self, Reason)> {
        let code = match input {
            Ok(Typed::Code(code)) => code,
            Ok(Typed::Recovery(_)) => return Err((self, Reason::Wrong)),
            Err(unusable) => return Err((self, Reason::Rejected(*unusable))),
        };
        if !rules.trusts(now, self.params()) {
            return Err((self, Reason::Clock));
        }
        let Some(step) = matching_step(self.secret(), self.params(), code, now, rules.skew) else {
            return Err((self, Reason::Wrong));
        };
        let offset = step.cast_signed().wrapping_sub(self.params().period.step_at(now).cast_signed());
        Ok(AwaitingRecoveryCode { factor: self.factor, codes: self.codes, step, offset })
    }
}

impl AwaitingRecoveryCode {
    /// The recovery codes, shown once.
    pub fn recovery_codes(&self) -> &[RecoveryCode] {
        &self.codes
    }

    /// Takes one of the recovery codes, as proof that they were noted. It is not spent.
    ///
    /// # Errors
    /// Itself again, when it is none of them.
    pub fn finish(self, input: &Input, now: Time) -> Result<ReadyToActivate, Self> {
        let known =
            matches!(input, Ok(Typed::Recovery(code)) if self.factor.secrets.recovery.find(code).is_some());
        if !known {
            return Err(self);
        }
        let Self { mut factor, step, offset, .. } = self;
        factor.use_up(step);
        factor.state = FactorState::Active { since: now };
        Ok(ReadyToActivate { factor, offset })
    }
}

impl ReadyToActivate {
    /// Makes it the account's factor, unless the account has come by one meanwhile.
    ///
    /// # Errors
    /// [`Reason::Raced`]; nothing was changed then.
    pub fn activate(
        &self,
        account: &mut Account,
        origin: &Origin,
        remember: Option<&(RememberKey, u64)>,
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
        let verified = Verified::new(&self.factor.id, How::Totp { offset: self.offset }, true);
        if let Some((key, length)) = remember {
            remembered::remember(account, &verified, key, *length, now);
        }
        Ok(verified)
    }
}
