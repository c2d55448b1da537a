//! A secret as hardware tokens, other tools and QR codes give it: base32, hex or an otpauth link.

use data_encoding::{BASE32_NOPAD, DecodeKind, HEXUPPER};
use std::fmt;
use totp_core::otpauth::{InvalidUri, OtpAuth};
use totp_core::{Params, Secret};
use zeroize::Zeroizing;

/// The most bytes of the text.
pub const MAX_TEXT: usize = 4096;

/// The form that a text has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// RFC 4648 section 6.
    Base32,
    /// Two digits a byte.
    Hex,
    /// `otpauth://totp/…`.
    Otpauth,
    /// RFC 4648 section 4, in PSKC alone.
    Base64,
}

/// A secret, and what else its text says.
#[derive(Debug, PartialEq, Eq)]
pub struct ReadSecret {
    /// The form that the text has.
    pub form: Form,
    /// The secret.
    pub secret: Secret,
    /// The parameters that an otpauth link names, or its defaults.
    pub params: Option<Params>,
    /// The account that an otpauth link names.
    pub account: Option<String>,
}

/// Why a text is not a secret. It holds nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidText {
    /// There is nothing.
    Empty,
    /// It has more than [`MAX_TEXT`] bytes.
    TooLong,
    /// It has more than one line.
    Lines,
    /// It is a link, and not an otpauth one.
    OtherLink,
    /// A character belongs to neither base32 nor hex; its position from 1.
    Character(usize),
    /// It can be read as base32 and as hex.
    Ambiguous,
    /// A character is not of this form; its position from 1, counted without blanks and dashes.
    Foreign(Form, usize),
    /// The number of characters is not one that whole bytes have.
    Length(Form, usize),
    /// The last character of base32 has bits that belong to no byte.
    Trailing(usize),
    /// It has fewer than 10 or more than 128 bytes.
    Size(Form, usize),
    /// The otpauth link is malformed.
    Link(InvalidUri),
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base32 => "base32",
            Self::Hex => "hex",
            Self::Otpauth => "an otpauth link",
            Self::Base64 => "base64",
        })
    }
}

impl fmt::Display for InvalidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is no secret"),
            Self::TooLong => write!(f, "a secret has at most {MAX_TEXT} bytes"),
            Self::Lines => f.write_str("a secret is one line"),
            Self::OtherLink => f.write_str("the link does not start with otpauth://"),
            Self::Character(at) => write!(
                f,
                "character {at} belongs to neither base32 (A-Z, 2-7) nor hex (0-9, A-F) nor an otpauth:// link"
            ),
            Self::Ambiguous => {
                f.write_str("this can be read as base32 and as hex. Write base32: or hex: in front of it")
            }
            Self::Foreign(Form::Hex, at) => {
                write!(f, "it looks like hex, and character {at} is not one of 0-9 and A-F")
            }
            Self::Foreign(Form::Base64, at) => write!(f, "its base64 is malformed at character {at}"),
            Self::Foreign(form, at) => {
                write!(f, "it looks like {form}, and character {at} is not one of A-Z and 2-7")
            }
            Self::Length(form, length) => write!(
                f,
                "it looks like {form}, and {length} characters are not whole bytes: one is missing or too many"
            ),
            Self::Trailing(length) => write!(
                f,
                "it looks like base32, and its {length} characters do not end at a whole byte: one is missing or wrong"
            ),
            Self::Size(form, bytes) => {
                write!(f, "it looks like {form}, and a secret has 16 to 128 bytes, not {bytes}")
            }
            Self::Link(error) => write!(f, "it is an otpauth link, and {error}"),
        }
    }
}

impl std::error::Error for InvalidText {}

/// Reads a secret. `base32:` and `hex:` in front of it say which it is; otherwise its characters
/// do. Blanks, dashes, and colons between the digits of hex, are ignored, and so is the case.
///
/// # Errors
/// [`InvalidText`].
pub fn parse(text: &str) -> Result<ReadSecret, InvalidText> {
    let text = text.trim();
    if text.is_empty() {
        return Err(InvalidText::Empty);
    }
    if text.len() > MAX_TEXT {
        return Err(InvalidText::TooLong);
    }
    if text.contains(['\n', '\r']) {
        return Err(InvalidText::Lines);
    }
    if text.contains("://") {
        return link(text);
    }
    if let Some(text) = after(text, "base32:") {
        return base32(text);
    }
    if let Some(text) = after(text, "hex:") {
        return hex(text);
    }
    match form(text)? {
        Form::Hex => hex(text),
        _ => base32(text),
    }
}

fn after<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    text.get(..prefix.len()).filter(|start| start.eq_ignore_ascii_case(prefix))?;
    Some(&text[prefix.len()..])
}

/// The form that the characters of a text are of. `0`, `1`, `8` and `9` are hex alone, and the
/// letters from G on base32 alone.
fn form(text: &str) -> Result<Form, InvalidText> {
    let (mut only_hex, mut only_base32) = (false, false);
    for (at, character) in text.chars().enumerate() {
        match character.to_ascii_uppercase() {
            '0' | '1' | '8' | '9' | ':' => only_hex = true,
            'G'..='Z' | '=' => only_base32 = true,
            'A'..='F' | '2'..='7' | ' ' | '\t' | '-' => {}
            _ => return Err(InvalidText::Character(at + 1)),
        }
    }
    match (only_hex, only_base32) {
        // Where both are, one is a slip: 0 for O, 1 for I. Base32 has the more letters.
        (_, true) => Ok(Form::Base32),
        (true, false) => Ok(Form::Hex),
        (false, false) => Err(InvalidText::Ambiguous),
    }
}

/// The characters that count, as capitals.
fn symbols(text: &str, ignored: &[char]) -> Zeroizing<Vec<u8>> {
    let mut symbols = Zeroizing::new(Vec::with_capacity(text.len()));
    let counted = text.chars().filter(|c| !ignored.contains(c));
    symbols.extend(counted.map(|c| u8::try_from(c.to_ascii_uppercase()).unwrap_or(b'?')));
    symbols
}

fn base32(text: &str) -> Result<ReadSecret, InvalidText> {
    let symbols = symbols(text.trim_end_matches(['=', ' ']), &[' ', '\t', '-']);
    let decoded = BASE32_NOPAD.decode(&symbols).map(Zeroizing::new);
    let bytes = decoded.map_err(|error| match error.kind {
        DecodeKind::Length => InvalidText::Length(Form::Base32, symbols.len()),
        DecodeKind::Trailing => InvalidText::Trailing(symbols.len()),
        DecodeKind::Symbol | DecodeKind::Padding => InvalidText::Foreign(Form::Base32, error.position + 1),
    })?;
    of_bytes(Form::Base32, &bytes)
}

fn hex(text: &str) -> Result<ReadSecret, InvalidText> {
    let symbols = symbols(text, &[' ', '\t', '-', ':']);
    let decoded = HEXUPPER.decode(&symbols).map(Zeroizing::new);
    let bytes = decoded.map_err(|error| match error.kind {
        DecodeKind::Length => InvalidText::Length(Form::Hex, symbols.len()),
        _ => InvalidText::Foreign(Form::Hex, error.position + 1),
    })?;
    of_bytes(Form::Hex, &bytes)
}

fn of_bytes(form: Form, bytes: &[u8]) -> Result<ReadSecret, InvalidText> {
    let secret = Secret::from_bytes(bytes).map_err(|_| InvalidText::Size(form, bytes.len()))?;
    Ok(ReadSecret { form, secret, params: None, account: None })
}

fn link(text: &str) -> Result<ReadSecret, InvalidText> {
    after(text, "otpauth://").ok_or(InvalidText::OtherLink)?;
    let OtpAuth { account, secret, params, .. } = OtpAuth::parse(text).map_err(InvalidText::Link)?;
    Ok(ReadSecret { form: Form::Otpauth, secret, params: Some(params), account: Some(account) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &[u8] = b"12345678901234567890";

    fn secret(text: &str) -> Result<(Form, Vec<u8>), InvalidText> {
        parse(text).map(|read| (read.form, read.secret.as_bytes().to_vec()))
    }

    #[test]
    fn the_three_forms_of_one_secret_are_read() {
        let base32 = [
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
            " gezd gnbv gy3t-qojq gezd gnbv gy3t qojq\r\n",
            "base32:GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ====",
        ];
        for text in base32 {
            assert_eq!(secret(text), Ok((Form::Base32, KEY.to_vec())), "{text}");
        }
        let hex = [
            "3132333435363738393031323334353637383930",
            "31:32:33:34:35 36 37 38 39 30-31323334353637383930",
            "hex:3132333435363738393031323334353637383930",
        ];
        for text in hex {
            assert_eq!(secret(text), Ok((Form::Hex, KEY.to_vec())), "{text}");
        }
        let link = "otpauth://totp/ACME:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&digits=8&period=60";
        let read = parse(link).unwrap();
        assert_eq!((read.form, read.account.as_deref()), (Form::Otpauth, Some("alice")));
        let params = read.params.unwrap();
        assert_eq!((params.digits.get(), params.period.seconds()), (8, 60));
    }

    #[test]
    fn each_mistake_is_named_with_the_form_that_was_seen() {
        let cases = [
            ("", InvalidText::Empty),
            ("GEZD\nGNBV", InvalidText::Lines),
            ("https://example.org/?secret=GEZDGNBV", InvalidText::OtherLink),
            ("passwörd", InvalidText::Character(6)),
            ("2345672345672345", InvalidText::Ambiguous),
            ("GEZDGNBVGY3TQOJ0GEZDGNBVGY3TQOJQ", InvalidText::Foreign(Form::Base32, 16)),
            ("hex:31 3x", InvalidText::Foreign(Form::Hex, 4)),
            ("base32:é", InvalidText::Length(Form::Base32, 1)),
            ("313233343536373839303132333435363738393", InvalidText::Length(Form::Hex, 39)),
            ("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ", InvalidText::Trailing(31)),
            ("GEZDGNBVGY3TQOJQG", InvalidText::Length(Form::Base32, 17)),
            ("hex:313233", InvalidText::Size(Form::Hex, 3)),
            ("otpauth://hotp/a?secret=GEZDGNBVGY3TQOJQ&counter=1", InvalidText::Link(InvalidUri::Hotp)),
            ("otpauth://totp/a", InvalidText::Link(InvalidUri::NoSecret)),
        ];
        for (text, error) in cases {
            assert_eq!(secret(text), Err(error), "{text}");
            assert!(!error.to_string().contains("GEZD"));
        }
        assert_eq!(secret(&"A".repeat(MAX_TEXT + 1)), Err(InvalidText::TooLong));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            let _ = parse(&text).map_err(|error| error.to_string());
        }

        #[test]
        fn every_secret_is_read_back_from_both_forms(bytes in prop::collection::vec(any::<u8>(), 16..64)) {
            let base32 = format!("base32:{}", BASE32_NOPAD.encode(&bytes));
            let hex = format!("hex:{}", HEXUPPER.encode(&bytes).to_lowercase());
            prop_assert_eq!(secret(&base32), Ok((Form::Base32, bytes.clone())));
            prop_assert_eq!(secret(&hex), Ok((Form::Hex, bytes)));
        }
    }
}
