//! The shared secret, and the sealed half of an enrollment: types that are wiped and never printed.

use crate::random::{self, Random, RandomFailed};
use crate::recovery::{RecoveryCode, RecoverySet, RecoveryStorage};
use core::fmt;
use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

/// Bytes in a secret that totpd makes: 160 bits, what RFC 4226 section 4 R6 recommends.
pub const NEW_SECRET_BYTES: usize = 20;

/// The shared secret of one enrollment: 10 to 128 bytes, wiped when dropped, redacted when printed.
/// Equality exists for tests of parsers; the verifier compares codes, never secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// The bytes cannot be a shared secret. Says nothing about what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSecret;

impl fmt::Display for InvalidSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret is base32 (A-Z, 2-7) of 10 to 128 bytes")
    }
}

impl core::error::Error for InvalidSecret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// Takes a copy of the bytes.
    ///
    /// # Errors
    /// [`BadSecret`] outside 10 to 128 bytes: RFC 4226 asks for 16, some older generators made 10.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidSecret> {
        (10..=128).contains(&bytes.len()).then(|| Self(Zeroizing::new(bytes.to_vec()))).ok_or(InvalidSecret)
    }

    /// Reads base32 (RFC 4648 section 6) as people copy it: any case, with blanks, dashes and padding.
    ///
    /// # Errors
    /// [`BadSecret`] for another alphabet or length.
    pub fn from_base32(text: &str) -> Result<Self, InvalidSecret> {
        let mut clean = Zeroizing::new(Vec::with_capacity(text.len()));
        clean.extend(
            text.bytes().filter(|b| !matches!(b, b' ' | b'-' | b'=')).map(|b| b.to_ascii_uppercase()),
        );
        let bytes = Zeroizing::new(BASE32_NOPAD.decode(&clean).map_err(|_| InvalidSecret)?);
        Self::from_bytes(&bytes)
    }

    /// A fresh secret of 160 bits.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn generate(random: &mut impl Random) -> Result<Self, RandomFailed> {
        let bytes = Zeroizing::new(random::bytes::<NEW_SECRET_BYTES>(random)?);
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }

    /// The key of the HMAC.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Base32 without padding, for the one moment of enrollment.
    pub fn to_base32(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE32_NOPAD.encode(&self.0))
    }
}

/// The half of an enrollment that is sealed at rest: the secret and the recovery codes' hashes.
/// It has a byte form and no `Serialize`, so that it cannot slip into a record by a derive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    pub(crate) secret: Secret,
    pub(crate) recovery: RecoverySet,
}

/// Version bytes of [`Secrets::to_bytes`]: recovery codes as hashes, and readable.
const HASHED: u8 = 1;
const READABLE: u8 = 2;

impl Secrets {
    /// The shared secret.
    pub const fn secret(&self) -> &Secret {
        &self.secret
    }

    /// How many recovery codes are unspent.
    pub fn recovery_left(&self) -> usize {
        self.recovery.left()
    }

    /// The recovery codes that are unspent, when they are kept readable.
    pub fn recovery_codes(&self) -> Option<&[RecoveryCode]> {
        self.recovery.readable()
    }

    /// `1 ‖ length of secret ‖ secret ‖ key of the set (32) ‖ hashes (32 each)`, or
    /// `2 ‖ length of secret ‖ secret ‖ recovery codes (10 each)`, to be sealed.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let secret = self.secret.as_bytes();
        let mut out = Zeroizing::new(Vec::with_capacity(2 + secret.len() + self.recovery.byte_len()));
        out.push(if self.recovery.readable().is_some() { READABLE } else { HASHED });
        out.push(u8::try_from(secret.len()).unwrap_or(0)); // at most 128 by construction
        out.extend_from_slice(secret);
        self.recovery.append_to(&mut out);
        out
    }

    /// Reads [`Secrets::to_bytes`]; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[version, length], rest) = bytes.split_first_chunk::<2>()?;
        let keeping = match version {
            HASHED => RecoveryStorage::Hashed,
            READABLE => RecoveryStorage::Sealed,
            _ => return None,
        };
        let (secret, recovery) = rest.split_at_checked(usize::from(length))?;
        let recovery = RecoverySet::from_bytes(keeping, recovery)?;
        Some(Self { secret: Secret::from_bytes(secret).ok()?, recovery })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::testing::Counting;

    #[test]
    fn base32_is_read_as_people_copy_it() {
        let secret = Secret::from_base32("gezd gnbv-gy3tqojq GEZDGNBVGY3TQOJQ==").unwrap();
        assert_eq!(secret.as_bytes(), b"12345678901234567890");
        assert_eq!(*secret.to_base32(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        for bad in ["", "GEZDGNBV", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ0", "é"] {
            assert_eq!(Secret::from_base32(bad), Err(InvalidSecret), "{bad}");
        }
    }

    #[test]
    fn the_debug_form_holds_no_secret() {
        let secret = Secret::from_bytes(b"12345678901234567890").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn secrets_survive_their_byte_form_and_nothing_else_is_read() {
        let mut random = Counting(1);
        let (recovery, _) = RecoverySet::generate(RecoveryStorage::Hashed, &mut random).unwrap();
        let secrets = Secrets { secret: Secret::generate(&mut random).unwrap(), recovery };
        let bytes = secrets.to_bytes();
        assert_eq!(Secrets::from_bytes(&bytes), Some(secrets));
        for cut in 0..bytes.len() {
            // Whole hashes may be missing (codes are spent); anything else is refused.
            if !(bytes.len() - cut).is_multiple_of(32) || cut < 2 + 20 + 32 {
                assert_eq!(Secrets::from_bytes(&bytes[..cut]), None, "cut at {cut}");
            }
        }
        let mut other = bytes.to_vec();
        other[0] = 3;
        assert_eq!(Secrets::from_bytes(&other), None);
    }

    #[test]
    fn readable_recovery_codes_survive_their_byte_form() {
        let mut random = Counting(1);
        let (recovery, codes) = RecoverySet::generate(RecoveryStorage::Sealed, &mut random).unwrap();
        let secrets = Secrets { secret: Secret::generate(&mut random).unwrap(), recovery };
        let mut read = Secrets::from_bytes(&secrets.to_bytes()).unwrap();
        assert_eq!(read.recovery_codes(), Some(&codes[..]));
        let place = read.recovery.find(&codes[3]).unwrap();
        read.recovery.spend(place);
        assert_eq!((read.recovery.find(&codes[3]), read.recovery_left()), (None, 9));
        assert!(!read.recovery_codes().unwrap().contains(&codes[3]));
        let bytes = secrets.to_bytes();
        assert_eq!(Secrets::from_bytes(&bytes[..bytes.len() - 1]), None);
    }
}
