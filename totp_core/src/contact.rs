//! Mail addresses and phone numbers, each in one canonical spelling.
//!
//! Forms that allow several spellings of one address are refused: display names, quoted local
//! parts, comments, address literals, and all characters outside ASCII (zero-width and
//! bidirectional ones among them). An internationalised domain is written in its DNS form:
//! `xn--bcher-kva.example`.

use core::fmt;

/// The longest mail address (RFC 5321 section 4.5.3.1.3, without the angle brackets).
const MAX_ADDRESS: usize = 254;
/// The longest local part (RFC 5321 section 4.5.3.1.1).
const MAX_LOCAL: usize = 64;
/// The longest domain (RFC 1035 section 2.3.4), without the final dot.
const MAX_DOMAIN: usize = 253;
/// The longest label of a domain (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;
/// The number of digits of a phone number. E.164 allows 15; with the country code, no number has
/// fewer than 7.
const PHONE_DIGITS: core::ops::RangeInclusive<usize> = 7..=15;

/// A mail address in lower case: `dot-atom@domain` (RFC 5322 section 3.4.1), in ASCII.
///
/// RFC 5321 lets the receiver distinguish the case of the local part, but no receiver in use does.
///
/// ```
/// use totp_core::contact::MailAddress;
/// assert_eq!(MailAddress::parse("Bob@Example.com").unwrap().as_str(), "bob@example.com");
/// assert!(MailAddress::parse("Bob <bob@example.com>").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailAddress(String);

/// A phone number: `+` and 7 to 15 digits, the first of which is not 0 (E.164).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber(String);

/// The text is not a mail address or phone number in the accepted form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidContact;

impl fmt::Display for InvalidContact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mail address is name@domain in ASCII, and a phone number is '+' and 7 to 15 digits")
    }
}

impl core::error::Error for InvalidContact {}

impl MailAddress {
    /// Reads an address and converts it to lower case. Nothing is trimmed.
    ///
    /// # Errors
    /// [`InvalidContact`] for every other form, including other forms that RFC 5322 allows.
    pub fn parse(text: &str) -> Result<Self, InvalidContact> {
        let (local, domain) = text.split_once('@').ok_or(InvalidContact)?;
        let good =
            text.len() <= MAX_ADDRESS && local.len() <= MAX_LOCAL && is_dot_atom(local) && is_domain(domain);
        good.then(|| Self(text.to_ascii_lowercase())).ok_or(InvalidContact)
    }

    /// Returns the address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PhoneNumber {
    /// Reads a number. Nothing is trimmed, and no country code is guessed.
    ///
    /// # Errors
    /// [`InvalidContact`] for every text that is not E.164.
    pub fn parse(text: &str) -> Result<Self, InvalidContact> {
        let digits = text.strip_prefix('+').ok_or(InvalidContact)?;
        let good = PHONE_DIGITS.contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        good.then(|| Self(text.to_owned())).ok_or(InvalidContact)
    }

    /// Returns the number.
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

/// Returns whether the text is a `dot-atom-text` (RFC 5322 section 3.2.3).
fn is_dot_atom(text: &str) -> bool {
    let is_atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    text.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

/// Returns whether the text is a domain: labels of letters, digits and inner hyphens. An IP address
/// is not a domain.
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

/// Returns whether a text has a character that is invisible, that reorders the text, or that has
/// another spelling: white space other than the space, default-ignorable and bidirectional
/// characters, combining marks, and the full-width forms of ASCII (Unicode TR 36).
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
    fn invisible_and_confusable_characters_are_ambiguous() {
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
        fn a_canonical_address_reads_back_as_itself(text in "\\PC{0,12}@[a-zA-Z0-9.-]{1,12}") {
            if let Ok(address) = MailAddress::parse(&text) {
                prop_assert!(address.as_str().eq_ignore_ascii_case(&text));
                prop_assert_eq!(MailAddress::parse(address.as_str()), Ok(address));
            }
        }
    }
}
