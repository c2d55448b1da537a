//! Recovery codes: ten of `xxxx-xxxx-xxxx-xxxx`, 80 random bits each, kept as HMAC-SHA-256 under a random
//! key of their set (or readable, where the site decides so). 80 bits need no slow hash, and a slow hash would be a lever for an attacker.

use crate::random::{self, Random, RandomFailed};
use core::fmt;
use data_encoding::{Encoding, Specification};
use hmac::{Hmac, KeyInit, Mac};
use std::sync::LazyLock;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// How many codes a set has.
pub const CODES_PER_SET: usize = 10;
/// Characters of a code without its dashes.
pub const CODE_SYMBOLS: usize = 16;
/// At this many codes left, or fewer, the user is warned.
pub const LOW_CODES: usize = 2;

const CODE_BYTES: usize = 10;
const HASH_BYTES: usize = 32;

/// Crockford's base32: no `I L O U`; typed `i l o` are read as `1 1 0`.
static CROCKFORD: LazyLock<Option<Encoding>> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
    spec.translate.from.push_str("abcdefghjkmnpqrstvwxyziIlLoO");
    spec.translate.to.push_str("ABCDEFGHJKMNPQRSTVWXYZ111100");
    spec.encoding().ok()
});

/// One recovery code: wiped when dropped, redacted when printed.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryCode(Zeroizing<[u8; CODE_BYTES]>);

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(…)")
    }
}

impl RecoveryCode {
    /// A fresh code: 80 random bits.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn generate(random: &mut impl Random) -> Result<Self, RandomFailed> {
        random::bytes(random).map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// Reads 16 symbols of Crockford's base32 in any case. Dashes and blanks are the caller's to strip.
    pub(crate) fn from_symbols(symbols: &[u8]) -> Option<Self> {
        if symbols.len() != CODE_SYMBOLS {
            return None;
        }
        let bytes = Zeroizing::new(CROCKFORD.as_ref()?.decode(symbols).ok()?);
        Some(Self(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
    }

    /// `XXXX-XXXX-XXXX-XXXX`, for the one moment it is shown.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut symbols = CROCKFORD.as_ref().map(|e| e.encode(&*self.0)).unwrap_or_default();
        let mut out = Zeroizing::new(String::with_capacity(CODE_SYMBOLS + 3));
        for (i, symbol) in symbols.chars().enumerate() {
            if i > 0 && i % 4 == 0 {
                out.push('-');
            }
            out.push(symbol);
        }
        symbols.zeroize();
        out
    }
}

/// How the codes of a set are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecoveryStorage {
    /// As hashes: nobody can show them again.
    #[default]
    Hashed,
    /// Readable, in the sealed half of the record, for applications that show them again.
    Sealed,
}

/// What is stored of a set: the codes that are unspent.
#[derive(Clone, PartialEq, Eq)]
pub enum RecoverySet {
    /// [`RecoveryStorage::Hashed`].
    Hashed {
        /// The key of the set.
        key: Zeroizing<[u8; HASH_BYTES]>,
        /// HMAC-SHA-256 of each code.
        hashes: Vec<[u8; HASH_BYTES]>,
    },
    /// [`RecoveryStorage::Sealed`].
    Readable(Vec<RecoveryCode>),
}

impl fmt::Debug for RecoverySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecoverySet({} left)", self.left())
    }
}

impl RecoverySet {
    /// A fresh set and its codes, which exist nowhere else from now on unless they are kept readable.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn generate(
        keeping: RecoveryStorage,
        random: &mut impl Random,
    ) -> Result<(Self, Vec<RecoveryCode>), RandomFailed> {
        let mut codes = Vec::with_capacity(CODES_PER_SET);
        for _ in 0..CODES_PER_SET {
            codes.push(RecoveryCode::generate(random)?);
        }
        Ok(match keeping {
            RecoveryStorage::Hashed => (Self::of(&codes, random)?, codes),
            RecoveryStorage::Sealed => (Self::Readable(codes.clone()), codes),
        })
    }

    /// A set of one code.
    pub(crate) fn single(random: &mut impl Random) -> Result<(Self, RecoveryCode), RandomFailed> {
        let code = RecoveryCode::generate(random)?;
        Ok((Self::of(std::slice::from_ref(&code), random)?, code))
    }

    fn of(codes: &[RecoveryCode], random: &mut impl Random) -> Result<Self, RandomFailed> {
        let key = Zeroizing::new(random::bytes(random)?);
        let hashes = codes.iter().map(|code| hash(&key, code)).collect();
        Ok(Self::Hashed { key, hashes })
    }

    /// How many codes are unspent.
    pub fn left(&self) -> usize {
        match self {
            Self::Hashed { hashes, .. } => hashes.len(),
            Self::Readable(codes) => codes.len(),
        }
    }

    /// The unspent codes, when they are kept readable.
    pub fn readable(&self) -> Option<&[RecoveryCode]> {
        match self {
            Self::Hashed { .. } => None,
            Self::Readable(codes) => Some(codes),
        }
    }

    /// The place of `code` among the unspent ones. Every one is compared, in constant time.
    pub(crate) fn find(&self, code: &RecoveryCode) -> Option<usize> {
        let place = |found: Option<usize>, (i, same): (usize, bool)| if same { Some(i) } else { found };
        match self {
            Self::Hashed { key, hashes } => {
                let typed = hash(key, code);
                hashes.iter().map(|hash| bool::from(hash.ct_eq(&typed))).enumerate().fold(None, place)
            }
            Self::Readable(codes) => {
                codes.iter().map(|kept| bool::from(kept.0.ct_eq(&*code.0))).enumerate().fold(None, place)
            }
        }
    }

    /// Forgets the code at `place`; it can never be found again.
    pub(crate) fn spend(&mut self, place: usize) {
        match self {
            Self::Hashed { hashes, .. } if place < hashes.len() => drop(hashes.swap_remove(place)),
            Self::Readable(codes) if place < codes.len() => drop(codes.remove(place)),
            _ => {}
        }
    }

    /// Forgets every code.
    pub(crate) fn clear(&mut self) {
        match self {
            Self::Hashed { hashes, .. } => hashes.clear(),
            Self::Readable(codes) => codes.clear(),
        }
    }

    /// Key and hashes, or the codes, one after the other.
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hashed { key, hashes } => {
                out.extend_from_slice(&**key);
                for hash in hashes {
                    out.extend_from_slice(hash);
                }
            }
            Self::Readable(codes) => {
                for code in codes {
                    out.extend_from_slice(&*code.0);
                }
            }
        }
    }

    pub(crate) fn byte_len(&self) -> usize {
        match self {
            Self::Hashed { hashes, .. } => HASH_BYTES * (1 + hashes.len()),
            Self::Readable(codes) => CODE_BYTES * codes.len(),
        }
    }

    /// Reads [`Self::append_to`] of a set that is kept so.
    pub(crate) fn from_bytes(keeping: RecoveryStorage, bytes: &[u8]) -> Option<Self> {
        match keeping {
            RecoveryStorage::Hashed => {
                let (key, rest) = bytes.split_first_chunk::<HASH_BYTES>()?;
                let (hashes, left) = rest.as_chunks::<HASH_BYTES>();
                let whole = left.is_empty() && hashes.len() <= CODES_PER_SET;
                whole.then(|| Self::Hashed { key: Zeroizing::new(*key), hashes: hashes.to_vec() })
            }
            RecoveryStorage::Sealed => {
                let (codes, left) = bytes.as_chunks::<CODE_BYTES>();
                let whole = left.is_empty() && codes.len() <= CODES_PER_SET;
                let codes = codes.iter().map(|code| RecoveryCode(Zeroizing::new(*code)));
                whole.then(|| Self::Readable(codes.collect()))
            }
        }
    }
}

fn hash(key: &[u8; HASH_BYTES], code: &RecoveryCode) -> [u8; HASH_BYTES] {
    // Any key length is allowed (RFC 2104 section 2): this cannot fail.
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key)
        .unwrap_or_else(|_| Hmac::new(&hmac::digest::Key::<Hmac<sha2::Sha256>>::default()));
    mac.update(&*code.0);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::testing::Counting;

    #[test]
    fn each_code_is_found_once_and_its_text_reads_back() {
        let (mut set, codes) = RecoverySet::generate(RecoveryStorage::Hashed, &mut Counting(3)).unwrap();
        assert_eq!(set.left(), CODES_PER_SET);
        for code in &codes {
            let shown = code.reveal();
            assert_eq!(shown.len(), 19);
            let symbols: Vec<u8> = shown.bytes().filter(|b| *b != b'-').collect();
            let typed = RecoveryCode::from_symbols(&symbols.to_ascii_lowercase()).unwrap();
            let place = set.find(&typed).unwrap();
            set.spend(place);
            assert_eq!(set.find(&typed), None);
        }
        assert_eq!(set.left(), 0);
    }

    #[test]
    fn letters_that_look_like_digits_are_read_as_them() {
        let digits = RecoveryCode::from_symbols(b"0000111100001111").unwrap();
        assert_eq!(RecoveryCode::from_symbols(b"oOoOiIlLoOoOiIlL"), Some(digits));
        assert_eq!(RecoveryCode::from_symbols(b"000011110000111U"), None);
        assert_eq!(RecoveryCode::from_symbols(b"000011110000111"), None);
    }

    #[test]
    fn a_code_of_another_set_is_not_found() {
        let (set, _) = RecoverySet::generate(RecoveryStorage::Hashed, &mut Counting(3)).unwrap();
        let (_, others) = RecoverySet::generate(RecoveryStorage::Hashed, &mut Counting(4)).unwrap();
        assert!(others.iter().all(|code| set.find(code).is_none()));
    }
}
