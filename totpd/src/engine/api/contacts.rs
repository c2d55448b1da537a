//! Mail addresses and phone numbers of applications' users: removed, and exchanged for others.

use super::contact_kind::{ContactKind, contact};
use super::{ApiRefusal, Caller, Engine, UserView, is_id};
use crate::audit::EventKind;
use crate::engine::EngineError;
use crate::store::{AccountKey, SpaceUse};
use totp_core::Account;
use totp_core::contact::{MailAddress, PhoneNumber};

/// A new address of a user.
#[derive(Clone, Debug)]
pub enum NewContact {
    /// A mail address.
    Email(MailAddress),
    /// A phone number.
    Phone(PhoneNumber),
}

impl Engine {
    /// Removes a user's mail address or phone number by its id, and returns the user.
    ///
    /// # Errors
    /// [`ApiRefusal::InvalidContactId`], [`ApiRefusal::ContactNotFound`], or
    /// [`ApiRefusal::LastContact`] when the user would have neither address, number nor login name.
    /// Nothing was changed after any error.
    pub async fn remove_contact(
        &self,
        caller: &Caller,
        kind: ContactKind,
        id: &str,
    ) -> Result<UserView, ApiRefusal> {
        if !is_id(kind.id_prefix(), id) {
            return Err(ApiRefusal::InvalidContactId(kind));
        }
        let key = match kind {
            ContactKind::Email => AccountKey::Email(id.to_owned()),
            ContactKind::Phone => AccountKey::Phone(id.to_owned()),
        };
        let stored = self.load(key).await.map_err(EngineError::from)?;
        let found = stored.ok_or(ApiRefusal::ContactNotFound(kind))?.account;
        self.change_user(caller, &found, SpaceUse::Essential, |slot, now| {
            let account = slot.as_mut().ok_or(ApiRefusal::ContactNotFound(kind))?;
            let removed = kind.slot(&mut account.profile).take_if(|contact| contact.id == id);
            if removed.is_none() {
                return Err(ApiRefusal::ContactNotFound(kind));
            }
            if account.name.is_none() && contacts(account) == 0 {
                return Err(ApiRefusal::LastContact);
            }
            let event = caller.event(EventKind::UserUpdate, account.display_name(), Some(&account.id), now);
            Ok(((), event, Vec::new()))
        })
        .await?;
        Ok(UserView::new(caller, self.user(&found.id).await?))
    }

    /// Replaces the only address of a user, by one of either kind.
    ///
    /// # Errors
    /// [`ApiRefusal::NotOneContact`] when the user has both kinds or none; [`ApiRefusal::Taken`]
    /// when another user has the new one. Nothing was changed after any error.
    pub async fn exchange_contact(
        &self,
        caller: &Caller,
        user: &str,
        new: NewContact,
    ) -> Result<UserView, ApiRefusal> {
        let found = self.user(user).await?.account;
        let (kind, address) = match new {
            NewContact::Email(address) => (ContactKind::Email, address.into()),
            NewContact::Phone(number) => (ContactKind::Phone, number.into()),
        };
        let contact = contact(kind, address)?;
        self.change_user(caller, &found, SpaceUse::Growing, |slot, now| {
            let account = slot.as_mut().ok_or(ApiRefusal::UserNotFound)?;
            if contacts(account) != 1 {
                return Err(ApiRefusal::NotOneContact);
            }
            (account.profile.email, account.profile.phone) = (None, None);
            *kind.slot(&mut account.profile) = Some(contact.clone());
            let event = caller.event(EventKind::UserUpdate, account.display_name(), Some(&account.id), now);
            Ok(((), event, Vec::new()))
        })
        .await?;
        Ok(UserView::new(caller, self.user(&found.id).await?))
    }
}

/// The number of a user's addresses.
fn contacts(account: &Account) -> usize {
    usize::from(account.profile.email.is_some()) + usize::from(account.profile.phone.is_some())
}
