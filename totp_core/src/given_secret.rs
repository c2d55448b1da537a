//! A secret that was made elsewhere: on a hardware token, or by another tool that verified its
//! codes until now.

use crate::account::Account;
use crate::authenticator::PlaceRefused;
use crate::factor::USED_STEPS;
use crate::factor::{Factor, FactorState};
use crate::new_factor::{EnrollRefused, NewFactor};
use crate::otp::{Params, hotp};
use crate::random::{Random, RandomFailed};
use crate::recovery::RecoveryCode;
use crate::secret::Secret;
use crate::time::{DAY, Time};
use core::fmt;

/// The least length of a shared secret in bytes: 128 bits (RFC 4226 section 4, R6).
pub const MIN_GIVEN_BYTES: usize = 16;
/// How far ahead of the clock a used time step may lie, in seconds. Another tool that followed a
/// wrong clock of a phone by half a day (`TIME_SKEW` of pam_google_authenticator) stays below.
const MAX_USED_AHEAD: u64 = DAY;

/// Whether a secret of fewer than 128 bits is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShortSecret {
    /// It is refused.
    #[default]
    Refuse,
    /// It is accepted from 80 bits on, as google-authenticator made them until 2017.
    Accept,
}

/// Why a given secret is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenRefused {
    /// It has fewer than 128 bits: this many.
    Short {
        /// The number of bits.
        bits: usize,
    },
    /// One of its used time steps lies more than a day ahead of the clock.
    UsedInFuture,
    /// It is the secret of the factor in use: each code would work twice.
    InUse,
    /// The factor finds no place among the authenticators of the user.
    Place(PlaceRefused),
    /// The random source failed.
    Random,
}

impl From<EnrollRefused> for GivenRefused {
    fn from(refused: EnrollRefused) -> Self {
        match refused {
            EnrollRefused::Place(refused) => Self::Place(refused),
            EnrollRefused::Random => Self::Random,
        }
    }
}

impl fmt::Display for GivenRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { bits } => write!(
                f,
                "the secret has {bits} bits, and RFC 4226 section 4 requires 128. To accept it all the same, add \
                 --allow-short"
            ),
            Self::UsedInFuture => f.write_str(
                "a code that counts as used is more than a day ahead of this host's clock. Check the clock: timedatectl",
            ),
            Self::InUse => f.write_str("the secret is that of the factor in use, and nothing was changed"),
            Self::Place(refused) => refused.fmt(f),
            Self::Random => RandomFailed.fmt(f),
        }
    }
}

impl core::error::Error for GivenRefused {}

/// A secret that was made elsewhere, with the time steps whose codes were used there.
///
/// ```
/// use totp_core::Secret;
/// use totp_core::given_secret::{GivenRefused, GivenSecret, ShortSecret};
/// let short = Secret::from_bytes(b"1234567890").unwrap();
/// let refused = GivenSecret::new(short.clone(), ShortSecret::Refuse);
/// assert_eq!(refused.unwrap_err(), GivenRefused::Short { bits: 80 });
/// assert!(GivenSecret::new(short, ShortSecret::Accept).is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct GivenSecret {
    secret: Secret,
    /// In ascending order.
    used_steps: Vec<u64>,
}

impl GivenSecret {
    /// Returns the secret, without used time steps.
    ///
    /// # Errors
    /// [`GivenRefused::Short`].
    pub fn new(secret: Secret, short: ShortSecret) -> Result<Self, GivenRefused> {
        let bytes = secret.as_bytes().len();
        if bytes < MIN_GIVEN_BYTES && short == ShortSecret::Refuse {
            return Err(GivenRefused::Short { bits: bytes * 8 });
        }
        Ok(Self { secret, used_steps: Vec::new() })
    }

    /// Returns the secret with the time steps whose codes were used elsewhere, in any order.
    #[must_use]
    pub fn with_used_steps(mut self, steps: &[u64]) -> Self {
        self.used_steps = steps.to_vec();
        self.used_steps.sort_unstable();
        self.used_steps.dedup();
        let excess = self.used_steps.len().saturating_sub(USED_STEPS);
        self.used_steps.drain(..excess);
        self
    }

    /// Returns the latest time step that counts as used when the secret is accepted at `now`: the
    /// latest that the window of `skew` steps accepts then, because its code may have been used
    /// elsewhere, or a later one that was.
    fn last_step(&self, params: Params, skew: u8, now: Time) -> Result<u64, GivenRefused> {
        let used = self.used_steps.last().copied().unwrap_or_default();
        if used > params.period.step_at(now.plus(MAX_USED_AHEAD)) {
            return Err(GivenRefused::UsedInFuture);
        }
        Ok(used.max(params.period.step_at(now).saturating_add(u64::from(skew))))
    }
}

impl Account {
    /// Makes a pending factor of a secret that was made elsewhere, as [`Account::enroll`] does of a
    /// new one. No code that the window of `skew` steps accepts at `now`, and no earlier one,
    /// works: it may have been used elsewhere.
    ///
    /// # Errors
    /// [`GivenRefused`]; the account is unchanged then.
    pub fn enroll_given(
        &mut self,
        new: &NewFactor,
        given: &GivenSecret,
        skew: u8,
        now: Time,
        random: &mut impl Random,
    ) -> Result<Vec<RecoveryCode>, GivenRefused> {
        let params = new.params;
        let is_same = |active: &Factor| {
            let secret = &active.secrets.secret;
            *secret == given.secret
                || (active.params.algorithm == params.algorithm && same_codes(secret, &given.secret, params))
        };
        if self.authenticators().any(is_same) {
            return Err(GivenRefused::InUse);
        }
        let last_step = given.last_step(new.params, skew, now)?;
        let codes = self.enroll(new, now, random)?;
        if let Some(pending) = &mut self.pending {
            pending.secrets.secret = given.secret.clone();
            pending.last_step = Some(last_step);
            pending.used_steps.clone_from(&given.used_steps);
        }
        Ok(codes)
    }

    /// Makes the pending factor the active one without a code of it, for a factor that another tool
    /// has verified until now. Returns whether it did: an account that has an active factor is
    /// unchanged, because its old factor works until a code proves the new one.
    pub fn activate_imported(&mut self, now: Time) -> bool {
        if self.active.is_some() {
            return false;
        }
        self.active = self.pending.take();
        if let Some(active) = &mut self.active {
            active.state = FactorState::Active { since: now };
        }
        self.active.is_some()
    }
}

/// Returns whether two secrets make the same codes. They may differ in their bytes: HMAC fills a
/// short key up with zeros, and hashes a long one (RFC 2104 section 2).
fn same_codes(one: &Secret, other: &Secret, params: Params) -> bool {
    let code = |secret, counter| hotp(secret, counter, params.algorithm, params.digits);
    (0..8).all(|counter| code(one, counter) == code(other, counter))
}

/// Returns when the first code that is accepted is shown: the start of the step after the latest
/// used one.
pub fn accepted_from(params: Params, last_step: u64) -> Time {
    Time::from_unix(last_step.saturating_add(1).saturating_mul(params.period.seconds()))
}

#[cfg(test)]
mod tests;
