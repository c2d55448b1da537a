//! The shared secret, and the sealed half of a factor: types that are wiped when dropped and never
//! printed.

use crate::random::{self, Random, RandomFailed};
use crate::recovery::{RecoveryCode, RecoverySet, RecoveryStorage};
use core::fmt;
use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

/// The length of a new secret in bytes: 160 bits, as RFC 4226 section 4 (R6) recommends.
pub const NEW_SECRET_BYTES: usize = 20;

/// The shared secret of one factor: 10 to 128 bytes. It is wiped when dropped, and redacted in
/// `Debug`. `Eq` is for tests: the verifier compares codes, never secrets.
///
/// ```
/// use totp_core::Secret;
/// let secret = Secret::from_base32("gezd gnbv gy3t qojq gezd gnbv gy3t qojq").unwrap();
/// assert_eq!(secret.as_bytes(), b"12345678901234567890");
/// assert_eq!(format!("{secret:?}"), "Secret(…)");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// The text or bytes are not a shared secret. Holds nothing of them.
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
    /// Makes a secret from a copy of the bytes.
    ///
    /// # Errors
    /// [`InvalidSecret`] for fewer than 10 or more than 128 bytes. RFC 4226 requires 16, but some
    /// older generators made 10.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidSecret> {
        (10..=128).contains(&bytes.len()).then(|| Self(Zeroizing::new(bytes.to_vec()))).ok_or(InvalidSecret)
    }

    /// Reads base32 (RFC 4648 section 6) as people copy it: in any case, with spaces, dashes and
    /// padding.
    ///
    /// # Errors
    /// [`InvalidSecret`] for another alphabet or length.
    pub fn from_base32(text: &str) -> Result<Self, InvalidSecret> {
        let mut clean = Zeroizing::new(Vec::with_capacity(text.len()));
        clean.extend(
            text.bytes().filter(|b| !matches!(b, b' ' | b'-' | b'=')).map(|b| b.to_ascii_uppercase()),
        );
        let bytes = Zeroizing::new(BASE32_NOPAD.decode(&clean).map_err(|_| InvalidSecret)?);
        Self::from_bytes(&bytes)
    }

    /// Makes a secret of 160 random bits.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn generate(random: &mut impl Random) -> Result<Self, RandomFailed> {
        let bytes = Zeroizing::new(random::bytes::<NEW_SECRET_BYTES>(random)?);
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }

    /// Returns the bytes: the key of the HMAC.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns base32 without padding, to be shown once during enrollment.
    pub fn to_base32(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE32_NOPAD.encode(&self.0))
    }
}

/// The half of a factor that is stored encrypted: the secret and the recovery codes. It has a byte
/// form and no `Serialize`, so that no derive writes it to a record in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    pub(crate) secret: Secret,
    pub(crate) recovery: RecoverySet,
}

/// The first byte of [`Secrets::to_bytes`] when recovery codes are stored as hashes.
const HASHED: u8 = 1;
/// The first byte of [`Secrets::to_bytes`] when recovery codes are stored readable.
const READABLE: u8 = 2;

impl Secrets {
    /// Returns the shared secret.
    pub const fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Returns how many recovery codes are unspent.
    pub fn recovery_left(&self) -> usize {
        self.recovery.left()
    }

    /// Returns the unspent recovery codes, if they are stored readable.
    pub fn recovery_codes(&self) -> Option<&[RecoveryCode]> {
        self.recovery.readable()
    }

    /// Returns the byte form, to be encrypted:
    /// `1 ‖ length of secret ‖ secret ‖ key of the set (32) ‖ hashes (32 each)`, or
    /// `2 ‖ length of secret ‖ secret ‖ recovery codes (10 each)`.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let secret = self.secret.as_bytes();
        let mut out = Zeroizing::new(Vec::with_capacity(2 + secret.len() + self.recovery.byte_len()));
        out.push(if self.recovery.readable().is_some() { READABLE } else { HASHED });
        out.push(u8::try_from(secret.len()).unwrap_or(0)); // at most 128 by construction
        out.extend_from_slice(secret);
        self.recovery.append_to(&mut out);
        out
    }

    /// Reads the form that [`Secrets::to_bytes`] returns; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[version, length], rest) = bytes.split_first_chunk::<2>()?;
        let storage = match version {
            HASHED => RecoveryStorage::Hashed,
            READABLE => RecoveryStorage::Sealed,
            _ => return None,
        };
        let (secret, recovery) = rest.split_at_checked(usize::from(length))?;
        let recovery = RecoverySet::from_bytes(storage, recovery)?;
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
    fn secrets_read_back_and_nothing_else_is_read() {
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
    fn readable_recovery_codes_read_back() {
        let mut random = Counting(1);
        let (recovery, codes) = RecoverySet::generate(RecoveryStorage::Sealed, &mut random).unwrap();
        let secrets = Secrets { secret: Secret::generate(&mut random).unwrap(), recovery };
        let mut read = Secrets::from_bytes(&secrets.to_bytes()).unwrap();
        assert_eq!(read.recovery_codes(), Some(&codes[..]));
        let index = read.recovery.find(&codes[3]).unwrap();
        read.recovery.spend(index);
        assert_eq!((read.recovery.find(&codes[3]), read.recovery_left()), (None, 9));
        assert!(!read.recovery_codes().unwrap().contains(&codes[3]));
        let bytes = secrets.to_bytes();
        assert_eq!(Secrets::from_bytes(&bytes[..bytes.len() - 1]), None);
    }
}
