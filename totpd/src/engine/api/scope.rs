//! What an application may do.

use serde::{Deserialize, Serialize};

/// What a client may do. Each scope includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Verify codes and sessions, and read one user.
    Verify,
    /// Create and search users, and create TOTPs.
    Enroll,
    /// Delete TOTPs and users, change external ids, and read recovery codes.
    Admin,
}

impl Scope {
    /// The name of the scope.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Enroll => "enroll",
            Self::Admin => "admin",
        }
    }

    /// The scope with this name.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Verify, Self::Enroll, Self::Admin].into_iter().find(|scope| scope.as_str() == name)
    }
}
