//! Reads what a user typed at the prompt: a TOTP code, a recovery code, or neither.
//!
//! The text becomes a number with a fixed count of digits before anything else reads it, so that a
//! used code has no second spelling (CVE-2025-6014: used codes were remembered by the raw string).

use crate::code_symbols::{Symbol, is_separator};
use crate::recovery::RecoveryCode;
use core::fmt;
use zeroize::{Zeroize, Zeroizing};

/// The longest input that is read, in bytes. The digits of some scripts have four bytes, and phones
/// copy invisible marks along.
pub const MAX_BYTES: usize = 256;

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
/// assert_eq!(Typed::parse("١٢٣ ٤٥٦"), Typed::parse("12-34-56"));
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
    /// Returns the recovery code, or passcode, if that is what was typed.
    pub(crate) const fn recovery(&self) -> Option<&RecoveryCode> {
        match self {
            Self::Recovery(code) => Some(code),
            Self::Code(_) => None,
        }
    }

    /// Reads what was typed. Digits may be of any script, and any blanks, dashes and invisible
    /// marks of Unicode may stand around and between them. In a recovery code, letters may have any
    /// case, and there may be points, commas, colons and underscores too.
    ///
    /// # Errors
    /// Why it is not a code. The error holds nothing of the text.
    pub fn parse(text: &str) -> Result<Self, RejectedInput> {
        let text = text.trim_matches(is_separator);
        if text.is_empty() {
            return Err(RejectedInput::Empty);
        }
        if text.ends_with("\u{7f}INCORRECT") {
            return Err(RejectedInput::HostJunk);
        }
        if text.len() > MAX_BYTES {
            return Err(RejectedInput::Shape);
        }
        let mut symbols = Zeroizing::new(Vec::with_capacity(MAX_BYTES));
        let mut is_punctuated = false;
        for c in text.chars() {
            match Symbol::of(c).ok_or(RejectedInput::Shape)? {
                Symbol::Text(symbol) => symbols.push(symbol),
                Symbol::Separator => {}
                Symbol::Punctuation => is_punctuated = true,
            }
        }
        if (6..=8).contains(&symbols.len()) && !is_punctuated && symbols.iter().all(u8::is_ascii_digit) {
            let (value, digits) = symbols
                .iter()
                .fold((0, 0), |(value, digits), digit| (value * 10 + u32::from(digit - b'0'), digits + 1));
            return Ok(Self::Code(Code { value, digits }));
        }
        RecoveryCode::from_symbols(&symbols).map(Self::Recovery).ok_or(RejectedInput::Shape)
    }
}

/// A code or recovery code as it was typed, or why the input is neither.
pub type Input = Result<Typed, RejectedInput>;

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
    fn codes_are_read_as_phones_show_them() {
        for text in [
            "012345",
            " 012345 ",
            "012 345",
            "012-345",
            "\t012345\r\n",
            "01 23 45",
            "0-1-2 3 4 5",
            "-012345-",
            "\u{feff}012\u{a0}345",
            "012\u{202f}345",
            "\u{2066}012\u{2011}345\u{2069}",
            "0\u{ad}1\u{200b}2\u{2060}3\u{200d}4\u{200f}5",
            "٠١٢٣٤٥",
            "۰۱۲ ۳۴۵",
            "०१२३४५",
            "０１２－３４５",
            "𝟘𝟙𝟚𝟛𝟜𝟝",
            "0١۲३４𝟝",
        ] {
            assert_eq!(code(text), Some((12345, 6)), "{text:?}");
        }
        assert_eq!(code("01234567"), Some((1_234_567, 8)));
        assert_eq!(code("١٢٣ ٤٥٦ ٧٨"), Some((12_345_678, 8)));
    }

    #[test]
    fn everything_else_is_rejected() {
        for text in [
            "12345",
            "123456789",
            "12345a",
            "+12345",
            "12345²",
            "1234½",
            "12.34.56",
            "01.02.1990",
            "123/456",
            "一二三四五六",
            "12345\u{8}6",
            "12345\u{0}6",
            "123456é",
            "Ⅵ12345",
        ] {
            assert_eq!(Typed::parse(text), Err(RejectedInput::Shape), "{text:?}");
        }
        let long = format!("1{}23456", "\u{200b}".repeat(MAX_BYTES / 3));
        assert_eq!(Typed::parse(&long), Err(RejectedInput::Shape));
        for text in ["  \n", "\u{feff}", "\u{200b} \u{a0}"] {
            assert_eq!(Typed::parse(text), Err(RejectedInput::Empty), "{text:?}");
        }
        assert_eq!(Typed::parse("\u{8}\n\r\u{7f}INCORRECT"), Err(RejectedInput::HostJunk));
    }

    #[test]
    fn recovery_codes_are_read_with_any_separators() {
        let plain = Typed::parse("0123456789abcdef").unwrap();
        assert!(matches!(plain, Typed::Recovery(_)));
        for text in [
            "0123-4567-89AB-CDEF",
            " O123 4567 89ab cdef ",
            "0123.4567.89AB.CDEF",
            "0123_4567:89AB, CDEF",
            "0123–4567—89AB‑CDEF",
            "٠١٢٣-٤٥٦٧-۸۹AB-CDEF",
            "０１２３－４５６７－８９ａｂ－ＣＤＥＦ",
            "\u{2068}0123 4567\u{ad}89AB CDEF\u{2069}",
        ] {
            assert_eq!(Typed::parse(text).as_ref(), Ok(&plain), "{text:?}");
        }
        for text in ["0123/4567/89AB/CDEF", "0123-4567-89AB-CDE", "0123-4567-89AB-CDEFG", "АBCD456789abcdef"]
        {
            assert_eq!(Typed::parse(text), Err(RejectedInput::Shape), "{text:?}");
        }
    }

    /// Some blanks, dashes and invisible marks.
    fn separators() -> impl Strategy<Value = String> {
        let any = prop::sample::select(
            " -\u{a0}\u{2009}\u{202f}\u{3000}‐‑–—−\u{200b}\u{200e}\u{2067}\u{2069}\u{feff}"
                .chars()
                .collect::<Vec<_>>(),
        );
        prop::collection::vec(any, 0..4).prop_map(String::from_iter)
    }

    /// Zeros of some scripts, whose digits follow them.
    fn scripts() -> impl Strategy<Value = char> {
        prop::sample::select("0٠۰०০๐０𝟎𝟶".chars().collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn no_text_panics_or_shows_in_an_error(text in "\\PC{0,80}") {
            let shown = format!("{:?}", Typed::parse(&text));
            let known = ["Ok(Code(Code(…)))", "Ok(Recovery(RecoveryCode(…)))", "Err(Empty)", "Err(Shape)", "Err(HostJunk)"];
            prop_assert!(known.contains(&shown.as_str()), "{}", shown);
        }

        #[test]
        fn every_spelling_of_a_code_is_one_number(
            value in 0u32..100_000_000,
            digits in 6u8..=8,
            gaps in prop::collection::vec((scripts(), separators()), 8),
            before in separators(),
        ) {
            let value = value % 10_u32.pow(digits.into());
            let plain = format!("{value:0width$}", width = usize::from(digits));
            let mut spelled = before;
            for (digit, (zero, separators)) in plain.bytes().zip(gaps) {
                spelled.extend(char::from_u32(u32::from(zero) + u32::from(digit - b'0')));
                spelled.push_str(&separators);
            }
            prop_assert_eq!(Typed::parse(&spelled), Typed::parse(&plain));
            prop_assert_eq!(code(&spelled), Some((value, digits)));
        }
    }
}
