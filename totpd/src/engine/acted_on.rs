//! The user whom an administrator acts on.

use super::Engine;
use super::error::AccountError;
use totp_core::{Account, UserName};

/// The user whom an administrator acts on, by the one look-up that decided whether they may. A name
/// that has another uid by the time of the act is another user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActedOn {
    /// The name, as the system spells it.
    pub name: UserName,
    /// The uid that the name had when the administrator was allowed to act. `None` for
    /// administrators who may act on anybody.
    pub checked_uid: Option<u32>,
}

impl ActedOn {
    /// Refuses an account of another uid than the one that was checked.
    pub(super) fn require<S>(&self, account: &Account<S>) -> Result<(), AccountError> {
        match self.checked_uid {
            Some(uid) if !account.belongs_to_uid(Some(uid)) => Err(AccountError::of_another(account, uid)),
            _ => Ok(()),
        }
    }
}

impl Engine {
    /// The uid of the user: the one that was checked, or else the one that the name has now.
    pub(super) async fn uid_of(&self, target: &ActedOn) -> Result<u32, AccountError> {
        match target.checked_uid {
            Some(uid) => Ok(uid),
            None => self.uid(&target.name).await?.ok_or(AccountError::NoSuchUser),
        }
    }
}
