//! The `otpauth://` URI in an enrollment QR code, in the form that every authenticator app reads:
//! the [Key Uri Format](https://github.com/google/google-authenticator/wiki/Key-Uri-Format) of
//! Google Authenticator.

use crate::otp::{Algorithm, Digits, OutOfRange, Params, Period};
use crate::secret::{InvalidSecret, Secret};
use core::fmt;
use std::fmt::Write as _;
use zeroize::Zeroizing;

/// The content of an `otpauth://totp/` URI.
///
/// ```
/// use totp_core::otpauth::OtpAuth;
/// use totp_core::{Params, Secret};
/// let enrollment = OtpAuth {
///     issuer: "Example".into(),
///     account: "alice".into(),
///     secret: Secret::from_bytes(b"12345678901234567890").unwrap(),
///     params: Params::default(),
/// };
/// let uri = enrollment.to_uri();
/// assert!(uri.starts_with("otpauth://totp/Example:alice?secret=GEZDGNBVGY3TQOJQ"));
/// assert_eq!(OtpAuth::parse(&uri), Ok(enrollment));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtpAuth {
    /// The name of the service, which the app shows above the code. May be empty.
    pub issuer: String,
    /// The name of the user's account.
    pub account: String,
    /// The shared secret.
    pub secret: Secret,
    /// Hash, digits and period.
    pub params: Params,
}

/// Why a text is not an otpauth URI that totpd supports. Holds nothing of the text, which may
/// contain a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidUri {
    /// It does not start with `otpauth://totp/`.
    NotTotp,
    /// It is for counter-based codes (`otpauth://hotp/`, RFC 4226).
    Hotp,
    /// A percent-encoding is malformed, or what it encodes is not UTF-8 (RFC 3986 section 2.1).
    Escape,
    /// The label has no account name, or has a control character.
    Label,
    /// The URI has no secret.
    NoSecret,
    /// The secret is not base32 of 10 to 128 bytes.
    Secret,
    /// A parameter appears twice.
    Twice,
    /// The algorithm, digits or period are not supported; the text says what is.
    Param(OutOfRange),
}

impl fmt::Display for InvalidUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTotp => f.write_str("an otpauth URI starts with otpauth://totp/"),
            Self::Hotp => f.write_str("counter-based codes (otpauth://hotp/) are not supported"),
            Self::Escape => f.write_str("a percent-encoding in the URI is malformed"),
            Self::Label => f.write_str("the URI has no account name"),
            Self::NoSecret => f.write_str("the URI has no secret"),
            Self::Secret => fmt::Display::fmt(&InvalidSecret, f),
            Self::Twice => f.write_str("a parameter appears twice in the URI"),
            Self::Param(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl core::error::Error for InvalidUri {}

impl OtpAuth {
    /// Returns the URI:
    /// `otpauth://totp/Issuer:account?secret=…&issuer=Issuer&algorithm=…&digits=…&period=…`,
    /// without the parameters that are the defaults of the Key Uri Format: SHA1, 6 digits, 30 s.
    pub fn to_uri(&self) -> Zeroizing<String> {
        // Sized so that no reallocation leaves a copy of the secret behind.
        let mut uri = Zeroizing::new(String::with_capacity(
            512 + 6 * self.issuer.len() + 3 * self.account.len() + 2 * self.secret.as_bytes().len(),
        ));
        uri.push_str("otpauth://totp/");
        // A colon separates issuer and account, also when it is percent-encoded, so an issuer with
        // a colon goes into its parameter only.
        if !self.issuer.is_empty() && !self.issuer.contains(':') {
            escape(&self.issuer, &mut uri);
            uri.push(':');
        }
        // A colon here would be read as the end of an issuer.
        escape(&self.account.replace(':', "-"), &mut uri);
        uri.push_str("?secret=");
        uri.push_str(&self.secret.to_base32());
        if !self.issuer.is_empty() {
            uri.push_str("&issuer=");
            escape(&self.issuer, &mut uri);
        }
        // Every app takes these defaults of the Key Uri Format for what is left out, and the QR
        // code is smaller by a version or two. Writing to a String cannot fail.
        let Params { algorithm, digits, period } = self.params;
        if algorithm != Algorithm::default() {
            let _ = write!(uri, "&algorithm={}", algorithm.as_str());
        }
        if digits != Digits::default() {
            let _ = write!(uri, "&digits={}", digits.get());
        }
        if period != Period::default() {
            let _ = write!(uri, "&period={}", period.seconds());
        }
        uri
    }

    /// Reads a URI. Unknown parameters (`image`, …) are ignored; the `issuer` parameter takes
    /// precedence over the issuer in the label. Parameters that are missing get their defaults.
    ///
    /// # Errors
    /// [`InvalidUri`], which holds nothing of the text.
    pub fn parse(uri: &str) -> Result<Self, InvalidUri> {
        let after = |prefix: &str| {
            uri.get(..prefix.len()).filter(|s| s.eq_ignore_ascii_case(prefix)).map(|s| &uri[s.len()..])
        };
        if after("otpauth://hotp/").is_some() {
            return Err(InvalidUri::Hotp);
        }
        let rest = after("otpauth://totp/").ok_or(InvalidUri::NotTotp)?;
        let rest = rest.split('#').next().unwrap_or(rest);
        let (label, query) = rest.split_once('?').unwrap_or((rest, ""));
        let label = unescape(label)?;
        let (prefix, account) = match label.split_once(':') {
            Some((issuer, account)) => (issuer, account),
            None => ("", label.as_str()),
        };
        let account = account.trim_start_matches(' ');
        let fields = Fields::read(query)?;
        let issuer = fields.issuer.unwrap_or_else(|| prefix.to_owned());
        if account.is_empty() || account.chars().chain(issuer.chars()).any(char::is_control) {
            return Err(InvalidUri::Label);
        }
        Ok(Self {
            issuer,
            account: account.to_owned(),
            secret: fields.secret.ok_or(InvalidUri::NoSecret)?,
            params: Params {
                algorithm: fields.algorithm.unwrap_or_default(),
                digits: fields.digits.unwrap_or_default(),
                period: fields.period.unwrap_or_default(),
            },
        })
    }
}

/// The parameters of a URI, as far as they were read.
#[derive(Default)]
struct Fields {
    secret: Option<Secret>,
    issuer: Option<String>,
    algorithm: Option<Algorithm>,
    digits: Option<Digits>,
    period: Option<Period>,
}

impl Fields {
    fn read(query: &str) -> Result<Self, InvalidUri> {
        let mut fields = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = Zeroizing::new(unescape(value)?);
            match key.to_ascii_lowercase().as_str() {
                "secret" => {
                    set(&mut fields.secret, Secret::from_base32(&value).map_err(|_| InvalidUri::Secret)?)?;
                }
                "issuer" => set(&mut fields.issuer, value.to_string())?,
                "algorithm" => set(&mut fields.algorithm, value.parse().map_err(InvalidUri::Param)?)?,
                "digits" => set(&mut fields.digits, number::<u8, _>(&value)?)?,
                "period" => set(&mut fields.period, number::<u64, _>(&value)?)?,
                _ => {}
            }
        }
        Ok(fields)
    }
}

/// Sets a parameter that must appear once.
fn set<T>(field: &mut Option<T>, value: T) -> Result<(), InvalidUri> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(InvalidUri::Twice),
    }
}

/// Reads a number within its bounds. A text that is not a number counts as 0, which is out of range
/// for every parameter.
fn number<N: core::str::FromStr + Default, T: TryFrom<N, Error = OutOfRange>>(
    text: &str,
) -> Result<T, InvalidUri> {
    T::try_from(text.parse().unwrap_or_default()).map_err(InvalidUri::Param)
}

/// Appends `text` with all but the unreserved characters percent-encoded (RFC 3986 section 2.3).
fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// Decodes percent-encodings (RFC 3986 section 2.1).
fn unescape(text: &str) -> Result<String, InvalidUri> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let (hex, tail) = tail.split_at_checked(2).ok_or(InvalidUri::Escape)?;
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let (Some(high), Some(low)) = (digit(hex[0]), digit(hex[1])) else { return Err(InvalidUri::Escape) };
        out.push(high * 16 + low);
        rest = tail;
    }
    String::from_utf8(out).map_err(|_| InvalidUri::Escape)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn a_colon_in_an_account_does_not_end_the_issuer() {
        for issuer in ["", "a:b", "Example"] {
            let uri = format!("otpauth://totp/:x:y:?secret=GEZDGNBVGY3TQOJQ&issuer={issuer}");
            let read = OtpAuth::parse(&uri).unwrap();
            let again = OtpAuth::parse(&read.to_uri()).unwrap();
            assert_eq!((again.issuer.as_str(), again.account.as_str()), (issuer, "x-y-"), "{issuer}");
        }
    }

    #[test]
    fn the_example_of_the_key_uri_format_is_read() {
        let uri = "otpauth://totp/ACME%20Co:john.doe@email.com?secret=HXDMVJECJJWSRB3HWIZR4IFUGFTMXBOZ\
                   &issuer=ACME%20Co&algorithm=SHA1&digits=6&period=30";
        let read = OtpAuth::parse(uri).unwrap();
        assert_eq!((read.issuer.as_str(), read.account.as_str()), ("ACME Co", "john.doe@email.com"));
        assert_eq!(read.params, Params::default());
        assert_eq!(OtpAuth::parse(&read.to_uri()), Ok(read));
    }

    #[test]
    fn parameters_that_are_defaults_are_left_out() {
        let secret = Secret::from_base32(KEY).unwrap();
        let mut otpauth =
            OtpAuth { issuer: "web".into(), account: "alice".into(), secret, params: Params::default() };
        assert_eq!(*otpauth.to_uri(), format!("otpauth://totp/web:alice?secret={KEY}&issuer=web"));
        otpauth.params.digits = Digits::try_from(8).unwrap();
        assert!(otpauth.to_uri().ends_with("&issuer=web&digits=8"));
        otpauth.params = Params {
            algorithm: Algorithm::Sha256,
            period: Period::try_from(60).unwrap(),
            ..Params::default()
        };
        assert!(otpauth.to_uri().ends_with("&issuer=web&algorithm=SHA256&period=60"));
    }

    #[test]
    fn missing_parameters_take_their_defaults() {
        let read = OtpAuth::parse(&format!("otpauth://totp/alice?secret={KEY}&image=x")).unwrap();
        assert_eq!((read.issuer.as_str(), read.params), ("", Params::default()));
    }

    #[test]
    fn each_invalid_uri_is_refused_with_its_reason() {
        let cases = [
            ("https://example.org", InvalidUri::NotTotp),
            ("otpauth://hotp/a?secret=GEZDGNBVGY3TQOJQ&counter=1", InvalidUri::Hotp),
            ("otpauth://totp/a", InvalidUri::NoSecret),
            ("otpauth://totp/?secret=GEZDGNBVGY3TQOJQ", InvalidUri::Label),
            ("otpauth://totp/%20?secret=GEZDGNBVGY3TQOJQ&issuer=Example", InvalidUri::Label),
            ("otpauth://totp/a%0Ab?secret=GEZDGNBVGY3TQOJQ", InvalidUri::Label),
            ("otpauth://totp/a?secret=GEZD", InvalidUri::Secret),
            ("otpauth://totp/a?secret=GEZDGNBVGY3TQOJQ&secret=GEZDGNBVGY3TQOJQ", InvalidUri::Twice),
            ("otpauth://totp/a%4?secret=GEZDGNBVGY3TQOJQ", InvalidUri::Escape),
            ("otpauth://totp/a%FF?secret=GEZDGNBVGY3TQOJQ", InvalidUri::Escape),
        ];
        for (uri, error) in cases {
            assert_eq!(OtpAuth::parse(uri), Err(error), "{uri}");
        }
        for param in ["digits=9", "digits=x", "period=1", "algorithm=MD5", "period=99999999999999999999"] {
            let uri = format!("otpauth://totp/a?secret={KEY}&{param}");
            assert!(matches!(OtpAuth::parse(&uri), Err(InvalidUri::Param(_))), "{param}");
        }
    }
}
