//! The proof that a second factor was verified.

use crate::time::Time;

/// How a second factor was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By a TOTP code (RFC 6238).
    Totp {
        /// By how many time steps the code is ahead of the host's clock (negative: behind).
        offset: i64,
    },
    /// By a recovery code.
    Recovery {
        /// How many unspent recovery codes are left.
        left: usize,
    },
    /// By a remembered login.
    Remembered {
        /// The age of the earlier grant, in seconds.
        age: u64,
    },
    /// By a passcode of an administrator, which was made at this time.
    Passcode {
        /// When it was made.
        made: Time,
    },
    /// By the single code of a break-glass responder.
    BreakGlass,
}

impl How {
    /// Returns the word for the audit log's `method`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Totp { .. } => "totp",
            Self::Recovery { .. } => "recovery",
            Self::Remembered { .. } => "remembered",
            Self::Passcode { .. } => "passcode",
            Self::BreakGlass => "breakglass",
        }
    }
}

/// Proof that a second factor was verified. Only the verifiers of this crate make it, and a
/// function that grants takes it by value, so that one proof grants once.
///
/// ```compile_fail
/// use totp_core::{How, Verified};
/// let proof = Verified { totp_id: String::new(), how: How::BreakGlass, confirmed: false };
/// ```
/// ```compile_fail
/// use totp_core::{How, Verified};
/// let proof = Verified::new("", How::BreakGlass);
/// ```
/// ```compile_fail
/// fn twice(proof: totp_core::Verified) { let (_a, _b) = (proof.clone(), proof); }
/// ```
#[derive(Debug)]
#[must_use = "a proof that is dropped lets nobody in"]
pub struct Verified {
    totp_id: String,
    how: How,
    confirmed: bool,
}

impl Verified {
    /// Makes the proof for a factor in use. Only for a verifier that has just compared a code, or
    /// that has found a remembered login.
    pub(crate) fn new(totp_id: &str, how: How) -> Self {
        Self { totp_id: totp_id.to_owned(), how, confirmed: false }
    }

    /// Makes the proof for a factor whose first code has just been accepted.
    pub(crate) fn first_code(totp_id: &str, offset: i64) -> Self {
        Self { confirmed: true, ..Self::new(totp_id, How::Totp { offset }) }
    }

    /// Returns the id of the factor that was verified; empty under break-glass and for a passcode.
    pub fn totp_id(&self) -> &str {
        &self.totp_id
    }

    /// Returns how the factor was verified.
    pub const fn how(&self) -> How {
        self.how
    }

    /// Returns whether this was the factor's first code, which made it active.
    pub const fn confirmed(&self) -> bool {
        self.confirmed
    }
}
