//! The proof that a factor was shown.

/// How the factor was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By a code of the phone, which ran this many steps ahead of our clock (negative: behind).
    Totp {
        /// Steps ahead.
        offset: i64,
    },
    /// By a recovery code.
    Recovery {
        /// How many are left now.
        left: usize,
    },
    /// By an earlier grant that is remembered.
    Remembered {
        /// Its age in seconds.
        age: u64,
    },
    /// By the one code of a break-glass responder.
    BreakGlass,
}

/// Proof that a factor was shown: made by this crate's verifiers alone, given away once. Whoever grants takes
/// it by value.
///
/// ```compile_fail
/// let proof = totp_core::Verified { totp_id: String::new(), how: totp_core::How::Totp { offset: 0 }, confirmed: false };
/// ```
/// ```compile_fail
/// let proof = totp_core::Verified::new("", totp_core::How::Totp { offset: 0 }, false);
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
    /// Only for a verifier that has just compared something, or recalled that one did.
    pub(crate) fn new(totp_id: &str, how: How, confirmed: bool) -> Self {
        Self { totp_id: totp_id.to_owned(), how, confirmed }
    }

    /// The enrollment that was proved.
    pub fn totp_id(&self) -> &str {
        &self.totp_id
    }

    /// By what.
    pub const fn how(&self) -> How {
        self.how
    }

    /// Whether this was the enrollment's first code, which made it active.
    pub const fn confirmed(&self) -> bool {
        self.confirmed
    }
}
