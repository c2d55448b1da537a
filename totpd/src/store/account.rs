//! Accounts as a store returns them and finds them.

use crate::seal::SealedAccount;
use totp_core::UserName;

/// An account and the version that a change of it has to name.
#[derive(Clone, Debug)]
pub struct StoredAccount {
    /// The account, with its secrets sealed. Boxed, because it is moved from future to future.
    pub account: Box<SealedAccount>,
    /// Its version: 1 when it is inserted, and one more with each update.
    pub version: u64,
    /// The record cannot be read; `account` has its id and name, and nothing else.
    pub damaged: bool,
}

/// The key by which an account is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AccountKey {
    /// The login name.
    Name(UserName),
    /// The id of the account.
    Id(String),
    /// The id of its active or pending enrollment.
    Totp(String),
    /// The id of its mail address.
    Email(String),
    /// The id of its phone number.
    Phone(String),
}

impl From<&UserName> for AccountKey {
    /// A name in the form of an account's id is an id: no host gives such names to its users.
    fn from(name: &UserName) -> Self {
        if is_id("user", name.as_str()) { Self::Id(name.to_string()) } else { Self::Name(name.clone()) }
    }
}

/// Whether a text has the form of our ids: `kind-` and 26 characters of base32.
pub fn is_id(kind: &str, text: &str) -> bool {
    let rest = text.strip_prefix(kind).and_then(|rest| rest.strip_prefix('-'));
    rest.is_some_and(|r| r.len() == 26 && r.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7')))
}
