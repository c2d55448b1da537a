//! Reads what a user typed at the prompt: a TOTP code, a recovery code, or neither.
//!
//! The text becomes a number with a fixed count of digits before anything else reads it, so that a
//! used code has no second spelling (CVE-2025-6014: used codes were remembered by the raw string).

use crate::recovery::RecoveryCode;
use core::fmt;
use zeroize::{Zeroize, Zeroizing};

/// The longest input that is read, in bytes.
pub const MAX_BYTES: usize = 64;

/// A code of 6 to 8 digits, as a number. It is wiped when dropped, and redacted in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    pub(crate) value: u32,
    pub(crate) digits: u8,
}

impl Code {
    /// Returns the number of digits.
    pub const fn digits(&self) -> u8 {
        self.digits
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(…)")
    }
}

/// Typed text in a known form. The form decides which verifier runs.
///
/// ```
/// use totp_core::{RejectedInput, Typed};
/// assert!(matches!(Typed::parse(" 123 456\n"), Ok(Typed::Code(code)) if code.digits() == 6));
/// assert!(matches!(Typed::parse("0123-4567-89AB-CDEF"), Ok(Typed::Recovery(_))));
/// assert_eq!(Typed::parse("correct horse"), Err(RejectedInput::Shape));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// A TOTP code: 6 to 8 digits.
    Code(Code),
    /// A recovery code: 16 symbols of Crockford's base32.
    Recovery(RecoveryCode),
}

/// Why an input cannot be a code. Such an input is refused and written to the audit log, but it
/// does not count as a failure, since it is not a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectedInput {
    /// Nothing was typed, or the program that asks passed nothing.
    Empty,
    /// The text has another form: a password, for example.
    Shape,
    /// sshd's substitute for the input of users that it refuses anyway: `\b\n\r\177INCORRECT`
    /// (`fake_password` in auth-pam.c).
    HostJunk,
}

impl Typed {
    /// Reads what was typed. White space around it is removed; a TOTP code may have one space or
    /// dash inside, a recovery code any number.
    ///
    /// # Errors
    /// Why it is not a code. The error holds nothing of the text.
    pub fn parse(text: &str) -> Result<Self, RejectedInput> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        if text.is_empty() {
            return Err(RejectedInput::Empty);
        }
        if text.ends_with("\u{7f}INCORRECT") {
            return Err(RejectedInput::HostJunk);
        }
        if text.len() > MAX_BYTES || !text.is_ascii() {
            return Err(RejectedInput::Shape);
        }
        let separators = text.bytes().filter(|b| matches!(b, b' ' | b'-')).count();
        let mut symbols = Zeroizing::new(Vec::with_capacity(MAX_BYTES));
        symbols.extend(text.bytes().filter(|b| !matches!(b, b' ' | b'-')));
        let has_outer_dash = text.starts_with('-') || text.ends_with('-');
        if (6..=8).contains(&symbols.len())
            && separators <= 1
            && !has_outer_dash
            && symbols.iter().all(u8::is_ascii_digit)
        {
            let (value, digits) = symbols
                .iter()
                .fold((0, 0), |(value, digits), digit| (value * 10 + u32::from(digit - b'0'), digits + 1));
            return Ok(Self::Code(Code { value, digits }));
        }
        RecoveryCode::from_symbols(&symbols).map(Self::Recovery).ok_or(RejectedInput::Shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(text: &str) -> Option<(u32, u8)> {
        match Typed::parse(text) {
            Ok(Typed::Code(code)) => Some((code.value, code.digits)),
            _ => None,
        }
    }

    #[test]
    fn codes_are_read_as_people_type_them() {
        for text in ["012345", " 012345 ", "012 345", "012-345", "\t012345\r\n"] {
            assert_eq!(code(text), Some((12345, 6)), "{text:?}");
        }
        assert_eq!(code("01234567"), Some((1_234_567, 8)));
    }

    #[test]
    fn everything_else_is_rejected() {
        for text in
            ["12345", "123456789", "12 34 56", "-123456", "123456-", "12345a", "１２３４５６", "+12345"]
        {
            assert_eq!(Typed::parse(text), Err(RejectedInput::Shape), "{text:?}");
        }
        assert_eq!(Typed::parse("  \n"), Err(RejectedInput::Empty));
        assert_eq!(Typed::parse("\u{8}\n\r\u{7f}INCORRECT"), Err(RejectedInput::HostJunk));
    }

    #[test]
    fn recovery_codes_are_read_with_or_without_dashes() {
        let plain = Typed::parse("0123456789abcdef").unwrap();
        assert!(matches!(plain, Typed::Recovery(_)));
        assert_eq!(Typed::parse("0123-4567-89AB-CDEF"), Ok(plain.clone()));
        assert_eq!(Typed::parse(" O123 4567 89ab cdef "), Ok(plain));
    }

    proptest! {
        #[test]
        fn no_text_panics_or_shows_in_an_error(text in "\\PC{0,80}") {
            let shown = format!("{:?}", Typed::parse(&text));
            let known = ["Ok(Code(Code(…)))", "Ok(Recovery(RecoveryCode(…)))", "Err(Empty)", "Err(Shape)", "Err(HostJunk)"];
            prop_assert!(known.contains(&shown.as_str()), "{}", shown);
        }

        #[test]
        fn every_spelling_of_a_code_is_one_number(value in 0u32..1_000_000, gap in 1usize..6, sep in prop::sample::select(vec![' ', '-'])) {
            let plain = format!("{value:06}");
            let mut spaced = plain.clone();
            spaced.insert(gap, sep);
            prop_assert_eq!(Typed::parse(&plain), Typed::parse(&spaced));
        }
    }
}
