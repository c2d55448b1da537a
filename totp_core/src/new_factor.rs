//! New factors and new recovery codes.

use crate::account::{Account, new_id};
use crate::authenticator::{PlaceRefused, Placement};
use crate::factor::{Factor, FactorState};
use crate::otp::Params;
use crate::random::{Random, RandomFailed};
use crate::recovery::{RecoveryCode, RecoverySet, RecoveryStorage};
use crate::secret::{Secret, Secrets};
use crate::time::{DAY, Time};

/// How long a pending factor waits for its first code by default, in seconds.
pub const DEFAULT_PENDING_LIFETIME: u64 = DAY;
/// The longest time that a pending factor may wait for its first code, in seconds.
pub const MAX_PENDING_LIFETIME: u64 = 30 * DAY;

/// The parameters of a new factor.
#[derive(Debug)]
pub struct NewFactor {
    /// The parameters for the authenticator app.
    pub params: Params,
    /// Seconds until it expires, unless it is confirmed.
    pub lifetime: u64,
    /// How its recovery codes are stored.
    pub recovery_storage: RecoveryStorage,
    /// What it is to the authenticators that the user has.
    pub placement: Placement,
}

impl Default for NewFactor {
    fn default() -> Self {
        Self {
            params: Params::default(),
            lifetime: DEFAULT_PENDING_LIFETIME,
            recovery_storage: RecoveryStorage::default(),
            placement: Placement::default(),
        }
    }
}

/// Why a factor is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrollRefused {
    /// It finds no place among the authenticators of the user.
    Place(PlaceRefused),
    /// The random source failed.
    Random,
}

impl core::fmt::Display for EnrollRefused {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Place(refused) => refused.fmt(f),
            Self::Random => RandomFailed.fmt(f),
        }
    }
}

impl core::error::Error for EnrollRefused {}

impl From<PlaceRefused> for EnrollRefused {
    fn from(refused: PlaceRefused) -> Self {
        Self::Place(refused)
    }
}

impl From<RandomFailed> for EnrollRefused {
    fn from(_: RandomFailed) -> Self {
        Self::Random
    }
}

impl Account {
    /// Makes a pending factor, and replaces one that was pending before. An active factor works
    /// until the first code of the new one is accepted. Returns the new recovery codes, which are
    /// not stored in clear unless [`RecoveryStorage::Sealed`] says so. There are none for a further
    /// authenticator: the codes of the first one stay.
    ///
    /// # Errors
    /// [`EnrollRefused`]; the account is unchanged then.
    pub fn enroll(
        &mut self,
        new: &NewFactor,
        now: Time,
        random: &mut impl Random,
    ) -> Result<Vec<RecoveryCode>, EnrollRefused> {
        let name = self.place(&new.placement, new.params.digits.get())?;
        let secret = Secret::generate(random)?;
        let (mut recovery, mut codes) = RecoverySet::generate(new.recovery_storage, random)?;
        if !self.becomes_first(name.as_ref()) {
            recovery.clear();
            codes.clear();
        }
        // The ticket is used: no other copy of it can replace this factor.
        self.ticket = None;
        self.lapsed = false;
        self.pending = Some(Factor {
            id: new_id("totp", random)?,
            name,
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

    /// Replaces the recovery codes of the active factor, and returns the new ones. `None` when
    /// there is no active factor.
    ///
    /// # Errors
    /// When the random source fails; the account is unchanged then.
    pub fn replace_recovery_codes(
        &mut self,
        storage: RecoveryStorage,
        random: &mut impl Random,
    ) -> Result<Option<Vec<RecoveryCode>>, RandomFailed> {
        let Some(active) = &mut self.active else { return Ok(None) };
        let (set, codes) = RecoverySet::generate(storage, random)?;
        active.secrets.recovery = set;
        Ok(Some(codes))
    }
}
