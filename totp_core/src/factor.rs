//! One second factor, in memory and as it is stored.

use crate::authenticator::AuthenticatorName;
use crate::otp::Params;
use crate::remembered::Remembered;
use crate::secret::Secrets;
use crate::staged_change::StagedChange;
use crate::time::{DAY, Time};
use serde::{Deserialize, Serialize};

/// How many used time steps have their codes recognised: the latest.
pub const USED_STEPS: usize = 16;
/// For how long the code of a used time step is recognised, in seconds.
const USED_STEP_LIFETIME: u64 = 7 * DAY;

/// Whether a factor is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FactorState {
    /// No code of it was accepted yet.
    Pending {
        /// When it expires: it is deleted from this time on.
        expires: Time,
    },
    /// Its first code was accepted.
    Active {
        /// When the first code was accepted.
        since: Time,
    },
}

/// One second factor: an authenticator app with its recovery codes. `S` is the sealed half:
/// [`Secrets`] in memory, ciphertext in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factor<S = Secrets> {
    /// The permanent id: `totp-` and 26 characters.
    pub id: String,
    /// The name of the authenticator, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<AuthenticatorName>,
    /// The parameters that the authenticator app was set up with.
    pub params: Params,
    /// When the factor was made.
    pub created: Time,
    /// Pending or active.
    pub state: FactorState,
    /// The latest time step whose code was accepted. Only later steps are accepted (RFC 6238
    /// section 5.2).
    pub last_step: Option<u64>,
    /// The latest used time steps, in the order of use: their codes do not count as guesses when
    /// they are typed again. The seal does not cover them, because `last_step` alone decides about
    /// a grant.
    #[serde(default, rename = "used", skip_serializing_if = "Vec::is_empty")]
    pub used_steps: Vec<u64>,
    /// The change that the user has staged: the replacement by this factor, or a change of this
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<StagedChange>,
    /// When the user cancelled a staged change: the latest times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cancels: Vec<Time>,
    /// The remembered logins, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remembered: Vec<Remembered>,
    /// The secret and the recovery codes.
    pub secrets: S,
}

impl<S> Factor<S> {
    /// Returns the factor with other secrets, and those that it had.
    pub(crate) fn with_secrets<T>(self, secrets: T) -> (Factor<T>, S) {
        let Self {
            id,
            name,
            params,
            created,
            state,
            last_step,
            used_steps,
            staged,
            cancels,
            remembered,
            secrets: had,
        } = self;
        let factor = Factor {
            id,
            name,
            params,
            created,
            state,
            last_step,
            used_steps,
            staged,
            cancels,
            remembered,
            secrets,
        };
        (factor, had)
    }

    /// Marks a time step, and every earlier one, as used.
    pub(crate) fn mark_used(&mut self, step: u64) {
        self.last_step = Some(step);
        self.used_steps.push(step);
        let excess = self.used_steps.len().saturating_sub(USED_STEPS);
        self.used_steps.drain(..excess);
    }

    /// Returns the time steps that were used recently, padded with `None` so that the amount of
    /// work does not depend on their number.
    pub(crate) fn recently_used(&self, now: Time) -> [Option<u64>; USED_STEPS] {
        let oldest =
            self.params.period.step_at(Time::from_unix(now.unix().saturating_sub(USED_STEP_LIFETIME)));
        let mut steps = self.used_steps.iter().rev().copied().filter(|step| *step >= oldest);
        std::array::from_fn(|_| steps.next())
    }
}
