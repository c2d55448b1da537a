//! TOTPs of applications' users: created, deleted, and their recovery codes shown.

use super::{ApiRefusal, Caller, Engine, UserView, is_id};
use crate::audit::EventKind;
use crate::clock;
use crate::engine::EngineError;
use crate::engine::admin::{Enrolled, stage};
use crate::store::{AccountKey, SpaceUse};
use totp_core::authenticator::Placement;
use totp_core::new_factor::NewFactor;
use totp_core::recovery::RecoveryCode;
use totp_core::{Account, FactorState, UserName};

/// A new TOTP that is not confirmed yet.
#[derive(Debug)]
pub struct CreatedTotp {
    /// Its secret and recovery codes, which are shown once.
    pub enrolled: Enrolled,
    /// The user with the new TOTP.
    pub user: UserView,
}

/// The unused recovery codes of one TOTP.
#[derive(Debug)]
pub struct ShownCodes {
    /// The id of the TOTP.
    pub totp_id: String,
    /// Whether the TOTP is confirmed.
    pub verified: bool,
    /// The unused recovery codes.
    pub codes: Vec<RecoveryCode>,
}

impl Engine {
    /// Creates a TOTP that expires after `lifetime` seconds unless it is confirmed. It replaces an
    /// unconfirmed one.
    ///
    /// # Errors
    /// [`ApiRefusal::ActiveTotp`] when the user has a confirmed TOTP. Nothing was changed after any
    /// error.
    pub async fn create_totp(
        &self,
        caller: &Caller,
        user: &str,
        lifetime: u64,
    ) -> Result<CreatedTotp, ApiRefusal> {
        let id = self.user(user).await?.account.id;
        let totp = &self.config.totp;
        let new = NewFactor {
            params: totp.params,
            lifetime,
            recovery_storage: totp.recovery_storage,
            placement: Placement::default(),
        };
        let issuer = self.config.issuer();
        for _ in 0..2 {
            let stored = self.load(AccountKey::Id(id.clone())).await.map_err(EngineError::from)?;
            let found = stored.ok_or(ApiRefusal::UserNotFound)?.account;
            let name = found.name.clone();
            let uid = match name.clone() {
                Some(name) => self.resolve_name(name).await?.1,
                None => None,
            };
            let staged = self
                .change_user(caller, &found, SpaceUse::Growing, |slot, now| {
                    let account = slot.as_mut().ok_or(ApiRefusal::UserNotFound)?;
                    if account.name != name {
                        return Err(ApiRefusal::Busy);
                    }
                    account.expire_pending(now);
                    if account.active.is_some() {
                        return Err(ApiRefusal::ActiveTotp);
                    }
                    bind(account, uid)?;
                    let (mut enrolled, totp_id) = stage(account, &new, &issuer, now)?;
                    enrolled.otpauth.account = label(account);
                    let mut event =
                        caller.event(EventKind::Enroll, account.display_name(), Some(&account.id), now);
                    event.totp_id = Some(totp_id);
                    Ok((enrolled, event, Vec::new()))
                })
                .await;
            let enrolled = match staged {
                // The user was renamed meanwhile: the uid of the new name has to be looked up.
                Err(ApiRefusal::Busy) => continue,
                staged => staged?,
            };
            let user = self.load(AccountKey::Id(id)).await.map_err(EngineError::from)?;
            let user = UserView::new(caller, user.ok_or(ApiRefusal::UserNotFound)?);
            return Ok(CreatedTotp { enrolled, user });
        }
        Err(ApiRefusal::Busy)
    }

    /// Deletes a TOTP and returns its user. Sessions stay open: the application decides when they
    /// end.
    ///
    /// # Errors
    /// [`ApiRefusal`]; nothing was changed then.
    pub async fn delete_totp(&self, caller: &Caller, totp_id: &str) -> Result<UserView, ApiRefusal> {
        if !is_id("totp", totp_id) {
            return Err(ApiRefusal::InvalidTotpId);
        }
        let stored = self.load(AccountKey::Totp(totp_id.to_owned())).await.map_err(EngineError::from)?;
        let found = stored.ok_or(ApiRefusal::TotpNotFound)?.account;
        self.change_user(caller, &found, SpaceUse::Essential, |slot, now| {
            let account = slot.as_mut().ok_or(ApiRefusal::TotpNotFound)?;
            account.expire_pending(now);
            let is_requested = |factor: &totp_core::Factor| factor.id == totp_id;
            if account.remove_authenticator(totp_id) {
                // A change that the user has staged for it has gone with it.
            } else if account.pending.as_ref().is_some_and(is_requested) {
                account.pending = None;
            } else {
                return Err(ApiRefusal::TotpNotFound);
            }
            let mut event = caller.event(EventKind::Revoke, account.display_name(), Some(&account.id), now);
            event.totp_id = Some(totp_id.to_owned());
            Ok(((), event, Vec::new()))
        })
        .await?;
        let user = self.load(AccountKey::Id(found.id)).await.map_err(EngineError::from)?;
        Ok(UserView::new(caller, user.ok_or(ApiRefusal::TotpNotFound)?))
    }

    /// Returns the user's id and the unused recovery codes of each TOTP, if the store keeps them
    /// encrypted and not as hashes. The event is committed first.
    ///
    /// # Errors
    /// [`ApiRefusal::CodesHashed`] if it keeps hashes; [`ApiRefusal::NoTotp`] if the user has no
    /// TOTP.
    pub async fn show_recovery_codes(
        &self,
        caller: &Caller,
        user: &str,
    ) -> Result<(String, Vec<ShownCodes>), ApiRefusal> {
        let stored = self.user(user).await?;
        let id = stored.account.id.clone();
        let damaged = || ApiRefusal::Unavailable("the user's record is damaged".to_owned());
        let (mut account, _) = self.open(stored).ok_or_else(damaged)?;
        let now = clock::now();
        account.expire_pending(now);
        let mut shown = Vec::new();
        for factor in account.factors() {
            // Further authenticators have none of their own, however the store keeps codes.
            let is_further = account.added.iter().any(|added| added.id == factor.id);
            let codes = match factor.secrets.recovery_codes() {
                Some(codes) => codes.to_vec(),
                None if is_further => Vec::new(),
                None => return Err(ApiRefusal::CodesHashed),
            };
            let verified = matches!(factor.state, FactorState::Active { .. });
            shown.push(ShownCodes { totp_id: factor.id.clone(), verified, codes });
        }
        if shown.is_empty() {
            return Err(ApiRefusal::NoTotp);
        }
        let mut event = caller.event(EventKind::ShowRecoveryCodes, account.display_name(), Some(&id), now);
        event.totp_id = shown.first().map(|codes| codes.totp_id.clone());
        self.commit_side_writes(Vec::new(), Some(&event), now).await.map_err(EngineError::from)?;
        Ok((id, shown))
    }
}

/// Binds an account to the uid that its name has now. An account that is bound to another uid
/// belongs to another person.
fn bind(account: &mut Account, uid: Option<u32>) -> Result<(), ApiRefusal> {
    match (account.uid, uid) {
        (Some(old), Some(new)) if old != new => Err(ApiRefusal::UidChanged),
        (None, Some(new)) => {
            account.uid = Some(new);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The account name that the authenticator app shows below the issuer.
fn label(account: &Account) -> String {
    let email = account.profile.email.as_ref().map(|email| email.address.clone());
    let phone = account.profile.phone.as_ref().map(|phone| phone.address.clone());
    let name = account.name.as_ref().map(UserName::to_string);
    // A colon would end the issuer in an otpauth label. No name, address or number contains one.
    name.or(email).or(phone).unwrap_or_else(|| account.id.clone())
}
