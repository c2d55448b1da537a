//! The kinds of addresses that a user may have: a mail address and a phone number.

use crate::os_random::Kernel;
use totp_core::account::new_id;
use totp_core::profile::{Contact, Profile};
use totp_core::random::RandomFailed;

/// The kinds of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContactKind {
    /// A mail address.
    Email,
    /// A phone number.
    Phone,
}

impl ContactKind {
    /// What its ids begin with.
    pub(super) const fn id_prefix(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone-number",
        }
    }

    /// Where a profile has it.
    pub(super) fn slot(self, profile: &mut Profile) -> &mut Option<Contact> {
        match self {
            Self::Email => &mut profile.email,
            Self::Phone => &mut profile.phone,
        }
    }
}

/// An address with a new id.
pub(super) fn contact(kind: ContactKind, address: String) -> Result<Contact, RandomFailed> {
    Ok(Contact { id: new_id(kind.id_prefix(), &mut Kernel)?, address })
}
