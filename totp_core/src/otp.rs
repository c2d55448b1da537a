//! HOTP (RFC 4226) and TOTP (RFC 6238): `HOTP(K, C) = Truncate(HMAC(K, C)) mod 10^Digits` and
//! `TOTP(K, T) = HOTP(K, floor(T / X))`.

use crate::secret::Secret;
use crate::time::Time;
use core::fmt;
use core::str::FromStr;
use hmac::digest::{Digest, Key};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// The hash function of the HMAC (RFC 6238 section 1.2). Only SHA-1 works in every authenticator
/// app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// HMAC-SHA-1, the default of RFC 4226 and of every app.
    #[default]
    #[serde(rename = "SHA1")]
    Sha1,
    /// HMAC-SHA-256.
    #[serde(rename = "SHA256")]
    Sha256,
    /// HMAC-SHA-512.
    #[serde(rename = "SHA512")]
    Sha512,
}

/// The number of decimal digits of a code: 6, 7 or 8 (RFC 4226 section 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Digits(u8);

/// The time step X of RFC 6238, during which an app shows one code: 15 to 120 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Period(u64);

/// The parameters that an authenticator app and the verifier share, beside the secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// The hash function.
    pub algorithm: Algorithm,
    /// The number of digits of a code.
    pub digits: Digits,
    /// The time step.
    pub period: Period,
}

/// A parameter that RFC 4226, RFC 6238 or authenticator apps do not support. `Display` says what is
/// supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange(&'static str);

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for OutOfRange {}

impl Algorithm {
    /// Returns the name in otpauth URIs, in the configuration and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }
}

impl FromStr for Algorithm {
    type Err = OutOfRange;

    fn from_str(text: &str) -> Result<Self, OutOfRange> {
        [Self::Sha1, Self::Sha256, Self::Sha512]
            .into_iter()
            .find(|a| a.as_str().eq_ignore_ascii_case(text))
            .ok_or(OutOfRange("the algorithm is SHA1, SHA256 or SHA512"))
    }
}

impl Digits {
    /// Returns the number of digits.
    pub const fn get(self) -> u8 {
        self.0
    }

    const fn modulus(self) -> u32 {
        10_u32.pow(self.0 as u32)
    }
}

impl Default for Digits {
    fn default() -> Self {
        Self(6)
    }
}

impl TryFrom<u8> for Digits {
    type Error = OutOfRange;

    fn try_from(digits: u8) -> Result<Self, OutOfRange> {
        (6..=8).contains(&digits).then_some(Self(digits)).ok_or(OutOfRange("a code has 6, 7 or 8 digits"))
    }
}

impl From<Digits> for u8 {
    fn from(digits: Digits) -> Self {
        digits.0
    }
}

impl Period {
    /// Returns the period in seconds.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// Returns the number of the time step that contains `now`.
    pub const fn step_at(self, now: Time) -> u64 {
        now.unix() / self.0
    }
}

impl Default for Period {
    fn default() -> Self {
        Self(30)
    }
}

impl TryFrom<u64> for Period {
    type Error = OutOfRange;

    fn try_from(seconds: u64) -> Result<Self, OutOfRange> {
        (15..=120)
            .contains(&seconds)
            .then_some(Self(seconds))
            .ok_or(OutOfRange("the period is 15 to 120 seconds"))
    }
}

impl From<Period> for u64 {
    fn from(period: Period) -> Self {
        period.0
    }
}

/// Returns the code of `counter` as a number below `10^digits` (RFC 4226 section 5.3).
///
/// ```
/// use totp_core::otp::{Algorithm, Digits, hotp};
/// let secret = totp_core::Secret::from_bytes(b"12345678901234567890").unwrap();
/// // RFC 4226 appendix D.
/// assert_eq!(hotp(&secret, 1, Algorithm::Sha1, Digits::default()), 287_082);
/// ```
pub fn hotp(secret: &Secret, counter: u64, algorithm: Algorithm, digits: Digits) -> u32 {
    Hotp::new(secret, algorithm, digits).at(counter)
}

/// The codes of one secret. The HMAC takes its key once for all of them, which is half of the work
/// of a code. The hashes wipe their state when this is dropped.
pub(crate) struct Hotp {
    mac: KeyedMac,
    digits: Digits,
}

/// An HMAC that has its key.
enum KeyedMac {
    Sha1(Hmac<sha1::Sha1>),
    Sha256(Hmac<sha2::Sha256>),
    Sha512(Hmac<sha2::Sha512>),
}

impl Hotp {
    /// The codes of `secret`.
    pub(crate) fn new(secret: &Secret, algorithm: Algorithm, digits: Digits) -> Self {
        let mac = match algorithm {
            Algorithm::Sha1 => KeyedMac::Sha1(keyed::<_, sha1::Sha1>(secret)),
            Algorithm::Sha256 => KeyedMac::Sha256(keyed::<_, sha2::Sha256>(secret)),
            Algorithm::Sha512 => KeyedMac::Sha512(keyed::<_, sha2::Sha512>(secret)),
        };
        Self { mac, digits }
    }

    /// The code of `counter`, as [`hotp`] returns it.
    pub(crate) fn at(&self, counter: u64) -> u32 {
        let binary = match &self.mac {
            KeyedMac::Sha1(mac) => truncated(mac, counter),
            KeyedMac::Sha256(mac) => truncated(mac, counter),
            KeyedMac::Sha512(mac) => truncated(mac, counter),
        };
        binary % self.digits.modulus()
    }
}

/// Returns the code that an authenticator app shows at `now`, with leading zeros. For tests and
/// examples: the daemon never prints a code.
///
/// ```
/// use totp_core::otp::{Params, totp_at};
/// let secret = totp_core::Secret::from_bytes(b"12345678901234567890").unwrap();
/// // RFC 6238 appendix B, whose codes have 8 digits.
/// assert_eq!(totp_at(&secret, Params::default(), totp_core::Time::from_unix(59)), "287082");
/// ```
pub fn totp_at(secret: &Secret, params: Params, now: Time) -> String {
    let value = hotp(secret, params.period.step_at(now), params.algorithm, params.digits);
    format!("{value:0width$}", width = usize::from(params.digits.get()))
}

/// Returns the HMAC with the hash `D`, keyed with the secret.
fn keyed<M: Mac + KeyInit, D: Digest>(secret: &Secret) -> M {
    // RFC 2104 section 2: a key that is longer than the block is hashed, a shorter one is padded
    // with zeros. Made here, so that there is no error that could only fall back to another key.
    let mut block = Key::<M>::default();
    let secret = secret.as_bytes();
    if secret.len() <= block.len() {
        block[..secret.len()].copy_from_slice(secret);
    } else {
        let digest = D::digest(secret);
        block[..digest.len()].copy_from_slice(&digest);
    }
    let mac = M::new(&block);
    block.as_mut_slice().zeroize();
    mac
}

/// Returns the truncated HMAC of the counter.
fn truncated<M: Mac + Clone>(keyed: &M, counter: u64) -> u32 {
    let mut mac = keyed.clone();
    mac.update(&counter.to_be_bytes());
    let mut bytes = mac.finalize().into_bytes();
    let binary = dynamic_truncation(&bytes);
    // The MAC determines the code.
    bytes.as_mut_slice().zeroize();
    binary
}

/// Returns the four bytes at the offset in the low nibble of the last byte, without the sign bit
/// (RFC 4226 section 5.3). A MAC has at least 20 bytes, so the largest offset, 15, leaves four.
fn dynamic_truncation(mac: &[u8]) -> u32 {
    let offset = usize::from(mac[mac.len() - 1] & 0x0f);
    let word = [mac[offset], mac[offset + 1], mac[offset + 2], mac[offset + 3]];
    u32::from_be_bytes(word) & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(bytes: &[u8]) -> Secret {
        Secret::from_bytes(bytes).unwrap()
    }

    #[test]
    fn rfc_4226_appendix_d() {
        let key = secret(b"12345678901234567890");
        let expected =
            [755_224, 287_082, 359_152, 969_429, 338_314, 254_676, 287_922, 162_583, 399_871, 520_489];
        for (counter, code) in expected.into_iter().enumerate() {
            let counter = u64::try_from(counter).unwrap();
            assert_eq!(hotp(&key, counter, Algorithm::Sha1, Digits::default()), code, "counter {counter}");
        }
    }

    #[test]
    fn rfc_6238_appendix_b() {
        let table = [
            (59, ["94287082", "46119246", "90693936"]),
            (1_111_111_109, ["07081804", "68084774", "25091201"]),
            (1_111_111_111, ["14050471", "67062674", "99943326"]),
            (1_234_567_890, ["89005924", "91819424", "93441116"]),
            (2_000_000_000, ["69279037", "90698825", "38618901"]),
            (20_000_000_000, ["65353130", "77737706", "47863826"]),
        ];
        // Erratum 2866: the seed is as long as the hash's output.
        let seeds: [(Algorithm, usize); 3] =
            [(Algorithm::Sha1, 20), (Algorithm::Sha256, 32), (Algorithm::Sha512, 64)];
        for (at, codes) in table {
            for ((algorithm, length), code) in seeds.into_iter().zip(codes) {
                let seed: Vec<u8> = b"1234567890".iter().copied().cycle().take(length).collect();
                let params =
                    Params { algorithm, digits: Digits::try_from(8).unwrap(), period: Period::default() };
                assert_eq!(totp_at(&secret(&seed), params, Time::from_unix(at)), code, "{algorithm:?} {at}");
            }
        }
    }

    #[test]
    fn parameters_outside_the_standard_are_refused() {
        for digits in [0, 5, 9, 255] {
            assert!(Digits::try_from(digits).is_err());
        }
        for seconds in [0, 14, 121, u64::MAX] {
            assert!(Period::try_from(seconds).is_err());
        }
        assert!("MD5".parse::<Algorithm>().is_err());
        assert_eq!("sha256".parse(), Ok(Algorithm::Sha256));
    }
}
