//! Passcodes, which administrators make for users without their phone.

use super::Engine;
use super::acted_on::ActedOn;
use super::change::default_commit_deadline;
use super::error::AccountError;
use crate::audit::{Event, EventKind, EventOutcome, EventSource};
use crate::os_random::Kernel;
use crate::store::SpaceUse;
use totp_core::passcode::Passcode;
use totp_core::withdrawal::{Kind, Withdrawal};
use totp_core::{Account, Time};
use zeroize::Zeroizing;

/// A passcode, with its text, which is shown once.
#[derive(Debug)]
pub struct NewPasscode {
    /// The text.
    pub text: Zeroizing<String>,
    /// When it expires.
    pub expires_at: Time,
}

impl Engine {
    /// Makes a passcode with which the user logs in once within `lifetime` seconds. It replaces an
    /// earlier one.
    ///
    /// # Errors
    /// [`AccountError`]; nothing was changed then. [`AccountError::NotEnrolled`]: the user has no
    /// active factor, so a code would not help.
    pub async fn passcode(
        &self,
        target: &ActedOn,
        lifetime: u64,
        from: EventSource,
    ) -> Result<NewPasscode, AccountError> {
        let (user, uid) = (&target.name, self.uid_of(target).await?);
        self.change(user, SpaceUse::Growing, &default_commit_deadline(), |slot, now| {
            let account = enrolled(slot, now)?;
            if !account.belongs_to_uid(Some(uid)) {
                return Err(AccountError::of_another(account, uid));
            }
            self.refuse_withdrawn_kind(account)?;
            let (passcode, code) =
                Passcode::generate(lifetime, now, &mut Kernel).map_err(AccountError::no_randomness)?;
            let made = NewPasscode { text: code.reveal(), expires_at: passcode.expires };
            account.set_passcode(passcode);
            Ok((made, Event::new(EventKind::Passcode, user.as_str(), now, from.clone())))
        })
        .await
    }

    /// Cancels the passcode of a user. Returns whether there was one that could still be used.
    ///
    /// # Errors
    /// [`AccountError`]; nothing was changed then.
    pub async fn cancel_passcode(&self, target: &ActedOn, from: EventSource) -> Result<bool, AccountError> {
        let user = &target.name;
        self.change(user, SpaceUse::Essential, &default_commit_deadline(), |slot, now| {
            let account = enrolled(slot, now)?;
            target.require(account)?;
            let cancelled = account.cancel_passcode(now);
            let event = Event::new(EventKind::Passcode, user.as_str(), now, from.clone());
            Ok((cancelled, Event { outcome: EventOutcome::Ended, ..event }))
        })
        .await
    }

    /// In an older copy of the store, no passcode of a user is accepted who had one withdrawn
    /// later: which one is not known.
    fn refuse_withdrawn_kind(&self, account: &Account) -> Result<(), AccountError> {
        let withdrawn = Withdrawal::new(Kind::Passcode, &account.id);
        if self.store.refusals().withdrawn.contains(&withdrawn) {
            return Err(AccountError::Unavailable(self.notice().unwrap_or_default()));
        }
        Ok(())
    }
}

/// The account of a user with an active factor.
fn enrolled(slot: &mut Option<Account>, now: Time) -> Result<&mut Account, AccountError> {
    let account = slot.as_mut().ok_or(AccountError::NotEnrolled)?;
    account.expire_pending(now);
    if account.active.is_none() {
        return Err(AccountError::NotEnrolled);
    }
    Ok(account)
}
