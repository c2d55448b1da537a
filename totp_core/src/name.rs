//! Login names of the operating system.

use core::fmt;
use serde::{Deserialize, Serialize};

/// The longest login name in bytes: `LOGIN_NAME_MAX` of Linux without its NUL (limits.h).
pub const MAX_BYTES: usize = 255;

/// A login name: 1 to 255 bytes of UTF-8 without control characters, `:` or `/`, which a passwd(5)
/// entry cannot hold. Names are compared byte by byte: names that differ in case are different
/// users.
///
/// ```
/// use totp_core::UserName;
/// assert!(UserName::parse("alice").is_ok());
/// assert!(UserName::parse("root:x:0").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

/// The text cannot be a login name on this system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUserName;

impl fmt::Display for InvalidUserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a user name has 1 to {MAX_BYTES} bytes and no control character, ':' or '/'")
    }
}

impl core::error::Error for InvalidUserName {}

impl UserName {
    /// Reads a name as it is: nothing is trimmed or case-folded, so each record has one spelling.
    ///
    /// # Errors
    /// [`InvalidUserName`] when a passwd(5) entry cannot hold the text.
    pub fn parse(text: &str) -> Result<Self, InvalidUserName> {
        let fits = (1..=MAX_BYTES).contains(&text.len());
        if !fits || text.chars().any(|c| c.is_control() || c == ':' || c == '/') {
            return Err(InvalidUserName);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for UserName {
    type Error = InvalidUserName;

    fn try_from(text: String) -> Result<Self, InvalidUserName> {
        Self::parse(&text)
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_passwd_cannot_hold_are_refused() {
        for bad in ["", "a:b", "a/b", "a\nb", "a\u{7f}", &"x".repeat(256)] {
            assert_eq!(UserName::parse(bad), Err(InvalidUserName), "{bad:?}");
        }
        for good in ["alice", "DOMAIN\\bob", "carol@corp.example", "josé", &"x".repeat(255)] {
            assert_eq!(UserName::parse(good).map(String::from).as_deref(), Ok(good));
        }
    }
}
