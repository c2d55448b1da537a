//! Mail addresses and phone numbers, each in the one spelling that is kept and compared.
//!
//! Whatever has several spellings of one address is refused rather than understood: display names, quoted local parts,
//! comments, address literals, and every character outside of ASCII (zero-width and bidirectional ones among them).
//! The domain of an internationalised address is written as DNS has it: `xn--bcher-kva.example`.

use core::fmt;

/// The longest mail address (RFC 5321 section 4.5.3.1.3, without the angle brackets).
const MAX_ADDRESS: usize = 254;
/// The longest local part (RFC 5321 section 4.5.3.1.1).
const MAX_LOCAL: usize = 64;
/// The longest domain and label (RFC 1035 section 2.3.4), without the root's dot.
const MAX_DOMAIN: usize = 253;
const MAX_LABEL: usize = 63;
/// The digits of a phone number. E.164 allows 15; no country has numbers of less than 7 with its code.
const PHONE_DIGITS: core::ops::RangeInclusive<usize> = 7..=15;

/// A mail address in lower case: `dot-atom@domain` of RFC 5322, section 3.4.1, in ASCII.
///
/// RFC 5321 leaves the case of the local part to the receiver; no receiver of today tells two people apart by it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailAddress(String);

/// A phone number: `+`, and 7 to 15 digits of which the first is not 0 (E.164).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber(String);

/// The text is neither a mail address nor a phone number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidContact;

impl fmt::Display for InvalidContact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mail address is name@domain in ASCII, and a phone number is '+' and 7 to 15 digits")
    }
}

impl core::error::Error for InvalidContact {}

impl MailAddress {
    /// Reads an address. Nothing is trimmed.
    ///
    /// # Errors
    /// [`NotAContact`] for every other form of a mailbox, also for those that RFC 5322 allows.
    pub fn parse(text: &str) -> Result<Self, InvalidContact> {
        let (local, domain) = text.split_once('@').ok_or(InvalidContact)?;
        let good =
            text.len() <= MAX_ADDRESS && local.len() <= MAX_LOCAL && is_dot_atom(local) && is_domain(domain);
        good.then(|| Self(text.to_ascii_lowercase())).ok_or(InvalidContact)
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PhoneNumber {
    /// Reads a number. Nothing is trimmed or guessed: E.164 has one spelling for each number.
    ///
    /// # Errors
    /// [`NotAContact`].
    pub fn parse(text: &str) -> Result<Self, InvalidContact> {
        let digits = text.strip_prefix('+').ok_or(InvalidContact)?;
        let good = PHONE_DIGITS.contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        good.then(|| Self(text.to_owned())).ok_or(InvalidContact)
    }

    /// The number.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<MailAddress> for String {
    fn from(address: MailAddress) -> Self {
        address.0
    }
}

impl From<PhoneNumber> for String {
    fn from(number: PhoneNumber) -> Self {
        number.0
    }
}

/// `dot-atom-text` of RFC 5322, section 3.2.3.
fn is_dot_atom(text: &str) -> bool {
    let is_atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    text.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

/// Labels of letters, digits and inner hyphens. An IP address is not a domain.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= MAX_DOMAIN
        && text.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text holds a character that looks like nothing, turns the text around, or has another spelling: blanks
/// other than the space, default-ignorable and bidirectional characters, marks that combine with the letter before
/// them, and the full-width forms of ASCII.
pub fn is_ambiguous(text: &str) -> bool {
    text.chars().any(|c| {
        c.is_whitespace() && c != ' '
            || matches!(
                c,
                '\u{ad}'
                    | '\u{300}'..='\u{36f}'
                    | '\u{61c}'
                    | '\u{115f}'..='\u{1160}'
                    | '\u{17b4}'..='\u{17b5}'
                    | '\u{180b}'..='\u{180f}'
                    | '\u{200b}'..='\u{200f}'
                    | '\u{202a}'..='\u{202e}'
                    | '\u{2060}'..='\u{206f}'
                    | '\u{3164}'
                    | '\u{fe00}'..='\u{fe0f}'
                    | '\u{feff}'
                    | '\u{ff01}'..='\u{ffa0}'
                    | '\u{ffe0}'..='\u{ffff}'
                    | '\u{1bca0}'..='\u{1bca3}'
                    | '\u{1d173}'..='\u{1d17a}'
                    | '\u{e0000}'..='\u{e0fff}'
            )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_has_one_spelling() {
        for (text, kept) in [
            ("bob@example.com", "bob@example.com"),
            ("Bob.Smith+x@EXAMPLE.com", "bob.smith+x@example.com"),
            ("o'hara_1@mail-1.example", "o'hara_1@mail-1.example"),
            ("root@localhost", "root@localhost"),
            ("a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
        ] {
            assert_eq!(MailAddress::parse(text).map(String::from).as_deref(), Ok(kept));
        }
    }

    #[test]
    fn every_other_form_of_a_mailbox_is_refused() {
        let (long, label) = (format!("{}@example.com", "a".repeat(65)), format!("a@{}.com", "b".repeat(64)));
        let domain = format!("a@{}", ["b".repeat(60).as_str(); 5].join("."));
        for bad in [
            "",
            "@",
            "a",
            "a@",
            "@b",
            "a@b@c",
            "Bob <bob@example.com>",
            "<bob@example.com>",
            "\"bob\"@example.com",
            "\"b b\"@example.com",
            "bob(a comment)@example.com",
            "bob@example.com (Bob)",
            "bob@[192.0.2.1]",
            "bob@192.0.2.1",
            "bob@example.com.",
            "bob@.example.com",
            "bob@-a.example",
            "bob@a-.example",
            "bob@a_b.example",
            ".bob@example.com",
            "bob.@example.com",
            "b..b@example.com",
            "b:b@example.com",
            "b,b@example.com",
            " bob@example.com",
            "bob@example.com\n",
            "bob\u{200b}@example.com",
            "bob@exam\u{ad}ple.com",
            "\u{202e}bob@example.com",
            "b\u{f3}b@example.com",
            "bo\u{301}b@example.com",
            "\u{ff42}ob@example.com",
            "b\u{43e}b@example.com",
            "bob@b\u{fc}cher.example",
            "BOB@\u{212a}elvin.example",
            &long,
            &label,
            &domain,
        ] {
            assert_eq!(MailAddress::parse(bad), Err(InvalidContact), "{bad:?}");
        }
    }

    #[test]
    fn phone_numbers_are_e164() {
        for good in ["+12025550123", "+4915112345678", "+1234567", "+123456789012345"] {
            assert_eq!(PhoneNumber::parse(good).map(String::from).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "+",
            "12025550123",
            "+02025550123",
            "+1202555012a",
            "+1234567890123456",
            "+123456",
            "+1 202 555 0123",
            "+1-202-555-0123",
            "+1202555012\u{663}",
            "\u{ff0b}12025550123",
            "+12025550123\u{200e}",
        ] {
            assert_eq!(PhoneNumber::parse(bad), Err(InvalidContact), "{bad:?}");
        }
    }

    #[test]
    fn what_looks_like_nothing_or_like_something_else_is_ambiguous() {
        for text in [
            "alice\u{200b}",
            "\u{202e}ecila",
            "jose\u{301}",
            "\u{ff41}lice",
            "a\u{a0}b",
            "a\u{feff}",
            "a\u{e0061}",
        ] {
            assert!(is_ambiguous(text), "{text:?}");
        }
        for text in
            ["alice", "jos\u{e9}", "CORP\\John Smith", "\u{430}\u{43d}\u{43d}\u{430}", "\u{7530}\u{4e2d}"]
        {
            assert!(!is_ambiguous(text), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_reads_back_as_itself(text in "\\PC{0,12}@[a-zA-Z0-9.-]{1,12}") {
            if let Ok(address) = MailAddress::parse(&text) {
                prop_assert!(address.as_str().eq_ignore_ascii_case(&text));
                prop_assert_eq!(MailAddress::parse(address.as_str()), Ok(address));
            }
        }
    }
}
