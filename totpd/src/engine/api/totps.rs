//! Enrollments that applications make, look at and take away.

use super::{ApiRefusal, Caller, Engine, is_id};
use crate::clock;
use crate::engine::EngineError;
use crate::engine::admin::{Enrolled, stage};
use crate::store::{AccountKey, Stored};
use totp_core::account::NewFactor;
use totp_core::recovery::RecoveryCode;
use totp_core::{Account, FactorState, UserName};

/// A staged enrollment, with what is shown once.
#[derive(Debug)]
pub struct CreatedTotp {
    /// What is shown.
    pub enrolled: Enrolled,
    /// The user as he is now.
    pub user: Stored,
}

/// The recovery codes of one enrollment that are unspent.
#[derive(Debug)]
pub struct ShownCodes {
    /// The enrollment.
    pub totp_id: String,
    /// Whether it is confirmed.
    pub verified: bool,
    /// The codes.
    pub codes: Vec<RecoveryCode>,
}

impl Engine {
    /// Stages a factor that is gone after `lifetime` seconds unless confirmed. One that was pending before is
    /// replaced.
    ///
    /// # Errors
    /// [`ApiRefusal::ActiveTotp`] when there is one that is confirmed; nothing is ever changed with an error.
    pub async fn create_totp(
        &self,
        caller: &Caller,
        user: &str,
        lifetime: u64,
    ) -> Result<CreatedTotp, ApiRefusal> {
        let id = self.user(user).await?.account.id;
        let totp = &self.config.totp;
        let new = NewFactor { params: totp.params, lifetime, keeping: totp.keeping };
        let issuer = self.config.issuer();
        for _ in 0..2 {
            let stored = self.load(AccountKey::Id(id.clone())).await.map_err(EngineError::from)?;
            let found = stored.ok_or(ApiRefusal::UserNotFound)?.account;
            let name = found.name.clone();
            let uid = match name.clone() {
                Some(name) => self.resolve(name).await?.1,
                None => None,
            };
            let staged = self
                .change_of(caller, &found, true, |slot, now| {
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
                    enrolled.otpauth.account = shown_name(account);
                    let mut event = caller.event("enroll", account.display_name(), Some(&account.id), now);
                    event.totp_id = Some(totp_id);
                    Ok((enrolled, event, Vec::new()))
                })
                .await;
            let enrolled = match staged {
                // Given another name meanwhile: whose uid that is has to be looked up.
                Err(ApiRefusal::Busy) => continue,
                staged => staged?,
            };
            let user = self.load(AccountKey::Id(id)).await.map_err(EngineError::from)?;
            return Ok(CreatedTotp { enrolled, user: user.ok_or(ApiRefusal::UserNotFound)? });
        }
        Err(ApiRefusal::Busy)
    }

    /// Takes an enrollment away; its user as he is then. Sessions go on: they are the application's to end.
    ///
    /// # Errors
    /// [`ApiRefusal`]; nothing was changed then.
    pub async fn delete_totp(&self, caller: &Caller, totp_id: &str) -> Result<Stored, ApiRefusal> {
        if !is_id("totp", totp_id) {
            return Err(ApiRefusal::InvalidTotpId);
        }
        let stored = self.load(AccountKey::Totp(totp_id.to_owned())).await.map_err(EngineError::from)?;
        let found = stored.ok_or(ApiRefusal::TotpNotFound)?.account;
        self.change_of(caller, &found, false, |slot, now| {
            let account = slot.as_mut().ok_or(ApiRefusal::TotpNotFound)?;
            account.expire_pending(now);
            let mine = |factor: &totp_core::Factor| factor.id == totp_id;
            if account.active.as_ref().is_some_and(mine) {
                account.active = None;
                // What its user had staged in its place does not outlive it.
                account.pending.take_if(|pending| pending.staged.is_some());
            } else if account.pending.as_ref().is_some_and(mine) {
                account.pending = None;
            } else {
                return Err(ApiRefusal::TotpNotFound);
            }
            let mut event = caller.event("revoke", account.display_name(), Some(&account.id), now);
            event.totp_id = Some(totp_id.to_owned());
            Ok(((), event, Vec::new()))
        })
        .await?;
        let user = self.load(AccountKey::Id(found.id)).await.map_err(EngineError::from)?;
        user.ok_or(ApiRefusal::TotpNotFound)
    }

    /// The recovery codes that are unspent, where they are kept readable. That they were shown is recorded first.
    ///
    /// # Errors
    /// [`ApiRefusal::CodesHashed`] where they are not.
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
        for factor in account.active.iter().chain(&account.pending) {
            let codes = factor.secrets.recovery_codes().ok_or(ApiRefusal::CodesHashed)?.to_vec();
            let verified = matches!(factor.state, FactorState::Active { .. });
            shown.push(ShownCodes { totp_id: factor.id.clone(), verified, codes });
        }
        if shown.is_empty() {
            return Err(ApiRefusal::NoTotp);
        }
        let mut event = caller.event("show-recovery-codes", account.display_name(), Some(&id), now);
        event.outcome = "done";
        event.totp_id = shown.first().map(|codes| codes.totp_id.clone());
        self.commit_apart(Vec::new(), Some(&event), now).await.map_err(EngineError::from)?;
        Ok((id, shown))
    }
}

/// Binds an account to the uid that its name has now. One that was bound to another uid is somebody else's.
pub(super) fn bind(account: &mut Account, uid: Option<u32>) -> Result<(), ApiRefusal> {
    match (account.uid, uid) {
        (Some(old), Some(new)) if old != new => Err(ApiRefusal::UidChanged),
        (None, Some(new)) => {
            account.uid = Some(new);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What the authenticator app shows under the issuer.
fn shown_name(account: &Account) -> String {
    let email = account.profile.email.as_ref().map(|email| email.address.clone());
    let phone = account.profile.phone.as_ref().map(|phone| phone.address.clone());
    let name = account.name.as_ref().map(UserName::to_string);
    // A colon would end the issuer in the label; no name, address or number holds one.
    name.or(email).or(phone).unwrap_or_else(|| account.id.clone())
}
