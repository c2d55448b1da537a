//! The name of an authenticator, and what a new factor is to those that a user has.

use core::fmt;
use serde::{Deserialize, Serialize};

/// How many authenticators a user has at most.
pub const MAX_AUTHENTICATORS: usize = 3;
/// The name of an authenticator that was given none.
pub const UNNAMED: &str = "authenticator";
/// The most characters of a name.
const MAX_NAME: usize = 32;

/// The name of an authenticator, such as "work phone". Two names that differ in case alone are the
/// same.
///
/// ```
/// use totp_core::authenticator::AuthenticatorName;
/// let name = AuthenticatorName::parse(" Work phone ").unwrap();
/// assert_eq!(name.as_str(), "Work phone");
/// assert_eq!(name, AuthenticatorName::parse("work phone").unwrap());
/// assert!(AuthenticatorName::parse("two\nlines").is_none());
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AuthenticatorName(String);

impl AuthenticatorName {
    /// Reads a name: 1 to 32 characters, letters and digits, single spaces, and `-_.'()+#/`. Blanks
    /// around it are dropped. Latin letters are not mixed with those of other scripts, some of
    /// which look the same. `None` when it is no such name.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.trim();
        let is_latin = |c: char| c <= '\u{24f}';
        let mut letters = name.chars().filter(|c| c.is_alphabetic());
        let mixed = letters.clone().any(is_latin) && letters.any(|c| !is_latin(c));
        if mixed || name.contains("  ") {
            return None;
        }
        let is_valid = |c: char| c.is_alphanumeric() || " -_.'()+#/".contains(c);
        let length = name.chars().count();
        ((1..=MAX_NAME).contains(&length) && name.chars().all(is_valid)).then(|| Self(name.to_owned()))
    }

    /// Returns the name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for AuthenticatorName {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_lowercase() == other.0.to_lowercase()
    }
}

impl Eq for AuthenticatorName {}

impl fmt::Display for AuthenticatorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for AuthenticatorName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("no name of an authenticator")
    }
}

impl From<AuthenticatorName> for String {
    fn from(name: AuthenticatorName) -> Self {
        name.0
    }
}

/// What a new factor is to the authenticators that the user has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It replaces the authenticator of this name; without a name, the only one there is. Where
    /// there is none, it is the first, and has this name.
    Replace(Option<AuthenticatorName>),
    /// It becomes a further one, with this name.
    Add(AuthenticatorName),
}

impl Default for Placement {
    fn default() -> Self {
        Self::Replace(None)
    }
}

/// Why a new factor finds no place among the authenticators of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceRefused {
    /// There are several, and none is named.
    WhichOne,
    /// None has this name.
    NoSuchName,
    /// The name for a further one is in use.
    NameTaken,
    /// There are [`MAX_AUTHENTICATORS`].
    TooMany,
    /// Its codes have another number of digits than the others': the prompt asks for one length.
    OtherDigits,
}

impl PlaceRefused {
    /// Returns the word for the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WhichOne => "which-one",
            Self::NoSuchName => "no-such-name",
            Self::NameTaken => "name-taken",
            Self::TooMany => "too-many",
            Self::OtherDigits => "other-digits",
        }
    }
}

impl fmt::Display for PlaceRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WhichOne => "there are several authenticators",
            Self::NoSuchName => "no authenticator has this name",
            Self::NameTaken => "an authenticator has this name",
            Self::TooMany => "there are three authenticators",
            Self::OtherDigits => "the codes of the other authenticators have another number of digits",
        })
    }
}

impl core::error::Error for PlaceRefused {}
