//! Secrets that were made elsewhere: on a hardware token, or by another tool.

use super::Engine;
use super::admin::{Enrolled, account_of, shown_once};
use super::change::default_commit_deadline;
use super::error::{AccountError, AdminError, EngineError};
use crate::audit::{Event, EventKind, EventSource};
use crate::clock;
use crate::os_random::Kernel;
use crate::store::SpaceUse;
use totp_core::given_secret::{GivenRefused, GivenSecret, accepted_from};
use totp_core::new_factor::NewFactor;
use totp_core::recovery::RecoveryCode;
use totp_core::{Account, FactorState, Time, UserName};

/// What becomes of a user who has a factor already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// They keep it, and nothing is imported.
    #[default]
    Keep,
    /// The imported one replaces it: an active one once a code proves the new one.
    Replace,
}

/// When an imported factor is active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// At once, because its codes were verified elsewhere until now.
    #[default]
    Imported,
    /// From its first code on.
    FirstCode,
}

/// A factor of another tool.
#[derive(Debug)]
pub struct ForeignFactor {
    /// The secret, and which of its codes were used.
    pub given: GivenSecret,
    /// Its parameters, and how long it waits for its first code if it does.
    pub new: NewFactor,
    /// The uid that the user must have, if the factor was found in that user's file.
    pub uid: Option<u32>,
    /// What becomes of a factor that the user has.
    pub existing: Existing,
    /// A user whose factor was revoked stays without one: the secret may be that of a lost phone.
    pub keep_revoked: bool,
    /// When it is active.
    pub activation: Activation,
}

impl ForeignFactor {
    /// Refuses a user who has a record without a factor, if a revoked one is to stay so.
    fn check_known(&self, account: Option<&Account>) -> Result<(), AdminError> {
        let refused = self.keep_revoked && account.is_some_and(|account| !account.has_factor());
        if refused { Err(AdminError::AlreadyEnrolled) } else { Ok(()) }
    }
}

/// What came of an import, or would.
#[derive(Debug)]
pub struct Imported {
    /// The id of the factor.
    pub totp_id: String,
    /// The new recovery codes.
    pub recovery_codes: Vec<RecoveryCode>,
    /// When it is gone unless confirmed; `None` when it is active.
    pub expires_at: Option<Time>,
    /// From when on its codes are accepted.
    pub codes_from: Time,
}

impl Engine {
    /// Stages a factor for `user` out of a secret that was made elsewhere.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed then.
    pub async fn enroll_given(
        &self,
        user: &UserName,
        new: NewFactor,
        given: &GivenSecret,
        issuer: String,
        from: EventSource,
    ) -> Result<Enrolled, AdminError> {
        let uid = self.uid(user).await?.ok_or(AccountError::NoSuchUser)?;
        let skew = self.config.totp.skew;
        self.change_with(user, SpaceUse::Growing, &default_commit_deadline(), |slot, now| {
            let account = account_of(slot, user, uid, now)?;
            let discards = account.pending.is_some();
            let codes = enroll_given(account, &new, given, skew, now)?;
            let (mut enrolled, totp_id) = shown_once(account, codes, &issuer, now)?;
            enrolled.discards = discards;
            enrolled.codes_from = account
                .pending
                .as_ref()
                .and_then(|pending| Some(accepted_from(pending.params, pending.last_step?)));
            Ok((enrolled, event(EventKind::Enroll, user, totp_id, now, &from), Vec::new()))
        })
        .await
    }

    /// Takes over a factor of another tool for `user`.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed then.
    pub async fn import(
        &self,
        user: &UserName,
        factor: &ForeignFactor,
        from: EventSource,
    ) -> Result<Imported, AdminError> {
        let uid = self.uid_for(user, factor).await?;
        self.change_with(user, SpaceUse::Growing, &default_commit_deadline(), |slot, now| {
            factor.check_known(slot.as_ref())?;
            let imported = self.import_into(account_of(slot, user, uid, now)?, factor, now)?;
            let event = event(EventKind::Import, user, imported.totp_id.clone(), now, &from);
            Ok((imported, event, Vec::new()))
        })
        .await
    }

    /// Says what [`Self::import`] would do, and changes nothing.
    ///
    /// # Errors
    /// [`AdminError`], as the import would have.
    pub async fn import_dry_run(
        &self,
        user: &UserName,
        factor: &ForeignFactor,
    ) -> Result<Imported, AdminError> {
        let uid = self.uid_for(user, factor).await?;
        let stored = self.load(user).await.map_err(EngineError::from).map_err(AccountError::from)?;
        let mut slot = match stored {
            None => None,
            Some(stored) => {
                let damaged = || AccountError::Unavailable(format!("the record of {user} is damaged"));
                Some(self.open(stored).ok_or_else(damaged)?.0)
            }
        };
        factor.check_known(slot.as_ref())?;
        let now = clock::now();
        self.import_into(account_of(&mut slot, user, uid, now)?, factor, now)
    }

    /// The uid of the user, who must be the one in whose file the factor was.
    async fn uid_for(&self, user: &UserName, factor: &ForeignFactor) -> Result<u32, AdminError> {
        let uid = self.uid(user).await?.ok_or(AccountError::NoSuchUser)?;
        match factor.uid {
            Some(expected) if expected != uid => {
                Err(AccountError::UidChanged { enrolled: expected, now: uid }.into())
            }
            _ => Ok(uid),
        }
    }

    fn import_into(
        &self,
        account: &mut Account,
        factor: &ForeignFactor,
        now: Time,
    ) -> Result<Imported, AdminError> {
        if account.has_factor() && factor.existing != Existing::Replace {
            return Err(AdminError::AlreadyEnrolled);
        }
        let skew = self.config.totp.skew;
        let recovery_codes = enroll_given(account, &factor.new, &factor.given, skew, now)?;
        if factor.activation == Activation::Imported {
            account.activate_imported(now);
        }
        // It is active now, or pending beside an active one.
        let made = account.pending.as_ref().or(account.active.as_ref()).ok_or(AccountError::NotEnrolled)?;
        Ok(Imported {
            totp_id: made.id.clone(),
            recovery_codes,
            expires_at: match made.state {
                FactorState::Pending { expires } => Some(expires),
                FactorState::Active { .. } => None,
            },
            codes_from: accepted_from(made.params, made.last_step.unwrap_or_default()),
        })
    }
}

fn event(kind: EventKind, user: &UserName, totp_id: String, now: Time, from: &EventSource) -> Event {
    let mut event = Event::new(kind, user.as_str(), now, from.clone());
    event.totp_id = Some(totp_id);
    event.given = true;
    event
}

/// Stages a factor with a given secret; returns its recovery codes.
fn enroll_given(
    account: &mut Account,
    new: &NewFactor,
    given: &GivenSecret,
    skew: u8,
    now: Time,
) -> Result<Vec<RecoveryCode>, AdminError> {
    account.enroll_given(new, given, skew, now, &mut Kernel).map_err(|refused| match refused {
        GivenRefused::Random => AccountError::no_randomness(()).into(),
        GivenRefused::Place(why) => AccountError::no_place(account, why).into(),
        GivenRefused::Short { .. } | GivenRefused::UsedInFuture | GivenRefused::InUse => {
            AdminError::InvalidSecret(refused)
        }
    })
}
