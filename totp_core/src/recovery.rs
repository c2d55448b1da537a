//! Recovery codes: a set of ten codes of the form `xxxx-xxxx-xxxx-xxxx` with 80 random bits each.
//! They are stored as HMAC-SHA-256 under a random key of the set, or readable, where the site
//! decides so. 80 bits need no slow hash, and a slow hash would help an attacker to use up the
//! host's CPU.

use crate::random::{self, Random, RandomFailed};
use core::fmt;
use hmac::{Hmac, KeyInit, Mac};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// How many codes a new set has.
pub const CODES_PER_SET: usize = 10;
/// How many characters a code has without its dashes.
pub const CODE_SYMBOLS: usize = 16;
/// The user is warned when this many codes, or fewer, are left.
pub const LOW_CODES: usize = 2;

const CODE_BYTES: usize = 10;
const HASH_BYTES: usize = 32;

/// The symbols of [Crockford's base32](https://www.crockford.com/base32.html), without `I L O U`.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Returns the value of a symbol in any case; `i` and `l` are read as `1`, and `o` as `0`.
fn value_of(symbol: u8) -> Option<u128> {
    let symbol = match symbol.to_ascii_uppercase() {
        b'I' | b'L' => b'1',
        b'O' => b'0',
        other => other,
    };
    (0..).zip(ALPHABET).find_map(|(value, known)| (*known == symbol).then_some(value))
}

/// One recovery code. It is wiped when dropped, and redacted in `Debug`.
///
/// ```
/// # use totp_core::random::{Random, RandomFailed};
/// # struct Zeros;
/// # impl Random for Zeros {
/// #     fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomFailed> { out.fill(0); Ok(()) }
/// # }
/// # let mut random = Zeros;
/// let code = totp_core::recovery::RecoveryCode::generate(&mut random)?;
/// assert_eq!(code.reveal().len(), "0000-0000-0000-0000".len());
/// assert_eq!(format!("{code:?}"), "RecoveryCode(…)");
/// # Ok::<(), RandomFailed>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryCode(Zeroizing<[u8; CODE_BYTES]>);

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(…)")
    }
}

impl RecoveryCode {
    /// Makes a code of 80 random bits.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn generate(random: &mut impl Random) -> Result<Self, RandomFailed> {
        random::bytes(random).map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// Reads 16 symbols of Crockford's base32 in any case. The caller strips separators.
    pub(crate) fn from_symbols(symbols: &[u8]) -> Option<Self> {
        if symbols.len() != CODE_SYMBOLS {
            return None;
        }
        let mut bits = Zeroizing::new(0_u128);
        for symbol in symbols {
            *bits = *bits << 5 | value_of(*symbol)?;
        }
        let bytes = Zeroizing::new(bits.to_be_bytes());
        Some(Self(Zeroizing::new(*bytes.last_chunk()?)))
    }

    /// Returns the text to show to the user: `XXXX-XXXX-XXXX-XXXX`.
    pub fn reveal(&self) -> Zeroizing<String> {
        let bits = Zeroizing::new(self.0.iter().fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte)));
        let mut out = Zeroizing::new(String::with_capacity(CODE_SYMBOLS + 3));
        for i in 0..CODE_SYMBOLS {
            if i > 0 && i % 4 == 0 {
                out.push('-');
            }
            let [low, ..] = (*bits >> (5 * (CODE_SYMBOLS - 1 - i))).to_le_bytes();
            out.push(char::from(ALPHABET[usize::from(low & 31)]));
        }
        out
    }
}

/// How recovery codes are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecoveryStorage {
    /// As hashes: they cannot be shown again.
    #[default]
    Hashed,
    /// Readable, in the encrypted half of the record, for applications that show them again.
    Sealed,
}

/// The unspent recovery codes of a factor, as they are stored.
#[derive(Clone, PartialEq, Eq)]
pub enum RecoverySet {
    /// As [`RecoveryStorage::Hashed`].
    Hashed {
        /// The HMAC key of the set.
        key: Zeroizing<[u8; HASH_BYTES]>,
        /// The HMAC-SHA-256 of each code.
        hashes: Vec<[u8; HASH_BYTES]>,
    },
    /// As [`RecoveryStorage::Sealed`].
    Readable(Vec<RecoveryCode>),
}

impl fmt::Debug for RecoverySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecoverySet({} left)", self.left())
    }
}

impl RecoverySet {
    /// Makes a set and its codes. With [`RecoveryStorage::Hashed`] the codes cannot be read from
    /// the set.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn generate(
        storage: RecoveryStorage,
        random: &mut impl Random,
    ) -> Result<(Self, Vec<RecoveryCode>), RandomFailed> {
        let mut codes = Vec::with_capacity(CODES_PER_SET);
        for _ in 0..CODES_PER_SET {
            codes.push(RecoveryCode::generate(random)?);
        }
        Ok(match storage {
            RecoveryStorage::Hashed => (Self::of(&codes, random)?, codes),
            RecoveryStorage::Sealed => (Self::Readable(codes.clone()), codes),
        })
    }

    /// Makes a set of one code, which is stored as a hash.
    pub(crate) fn single(random: &mut impl Random) -> Result<(Self, RecoveryCode), RandomFailed> {
        let code = RecoveryCode::generate(random)?;
        Ok((Self::of(std::slice::from_ref(&code), random)?, code))
    }

    /// Makes the hashed set of these codes, with a new key.
    fn of(codes: &[RecoveryCode], random: &mut impl Random) -> Result<Self, RandomFailed> {
        let key = Zeroizing::new(random::bytes(random)?);
        let hashes = codes.iter().map(|code| hash(&key, code)).collect();
        Ok(Self::Hashed { key, hashes })
    }

    /// Returns how many codes are unspent.
    pub fn left(&self) -> usize {
        match self {
            Self::Hashed { hashes, .. } => hashes.len(),
            Self::Readable(codes) => codes.len(),
        }
    }

    /// Returns the unspent codes, if they are stored readable.
    pub fn readable(&self) -> Option<&[RecoveryCode]> {
        match self {
            Self::Hashed { .. } => None,
            Self::Readable(codes) => Some(codes),
        }
    }

    /// Returns the index of `code` among the unspent codes. All of them are compared, in constant
    /// time.
    pub(crate) fn find(&self, code: &RecoveryCode) -> Option<usize> {
        let index = |found: Option<usize>, (i, same): (usize, bool)| if same { Some(i) } else { found };
        match self {
            Self::Hashed { key, hashes } => {
                let typed = hash(key, code);
                hashes.iter().map(|hash| bool::from(hash.ct_eq(&typed))).enumerate().fold(None, index)
            }
            Self::Readable(codes) => {
                codes.iter().map(|kept| bool::from(kept.0.ct_eq(&*code.0))).enumerate().fold(None, index)
            }
        }
    }

    /// Removes the code at `index`, so that it is never accepted again.
    pub(crate) fn spend(&mut self, index: usize) {
        match self {
            Self::Hashed { hashes, .. } if index < hashes.len() => drop(hashes.swap_remove(index)),
            Self::Readable(codes) if index < codes.len() => drop(codes.remove(index)),
            _ => {}
        }
    }

    /// Removes all codes.
    pub(crate) fn clear(&mut self) {
        match self {
            Self::Hashed { hashes, .. } => hashes.clear(),
            Self::Readable(codes) => codes.clear(),
        }
    }

    /// Appends the stored form: the key and the hashes, or the codes.
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

    /// Returns the length of the stored form in bytes.
    pub(crate) fn byte_len(&self) -> usize {
        match self {
            Self::Hashed { hashes, .. } => HASH_BYTES * (1 + hashes.len()),
            Self::Readable(codes) => CODE_BYTES * codes.len(),
        }
    }

    /// Reads the stored form that [`Self::append_to`] wrote; `None` for anything else.
    pub(crate) fn from_bytes(storage: RecoveryStorage, bytes: &[u8]) -> Option<Self> {
        match storage {
            RecoveryStorage::Hashed => {
                let (key, rest) = bytes.split_first_chunk::<HASH_BYTES>()?;
                let (hashes, left) = rest.as_chunks::<HASH_BYTES>();
                let is_whole = left.is_empty() && hashes.len() <= CODES_PER_SET;
                is_whole.then(|| Self::Hashed { key: Zeroizing::new(*key), hashes: hashes.to_vec() })
            }
            RecoveryStorage::Sealed => {
                let (codes, left) = bytes.as_chunks::<CODE_BYTES>();
                let is_whole = left.is_empty() && codes.len() <= CODES_PER_SET;
                let codes = codes.iter().map(|code| RecoveryCode(Zeroizing::new(*code)));
                is_whole.then(|| Self::Readable(codes.collect()))
            }
        }
    }
}

fn hash(key: &[u8; HASH_BYTES], code: &RecoveryCode) -> [u8; HASH_BYTES] {
    // A key that is shorter than the block is padded with zeros (RFC 2104 section 2).
    let mut block = hmac::digest::Key::<Hmac<sha2::Sha256>>::default();
    block[..HASH_BYTES].copy_from_slice(key);
    let mut mac = Hmac::<sha2::Sha256>::new(&block);
    block.as_mut_slice().zeroize();
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
            let index = set.find(&typed).unwrap();
            set.spend(index);
            assert_eq!(set.find(&typed), None);
        }
        assert_eq!(set.left(), 0);
    }

    #[test]
    fn letters_that_look_like_digits_are_read_as_digits() {
        let digits = RecoveryCode::from_symbols(b"0000111100001111").unwrap();
        assert_eq!(RecoveryCode::from_symbols(b"oOoOiIlLoOoOiIlL"), Some(digits));
        assert_eq!(RecoveryCode::from_symbols(b"000011110000111U"), None);
        assert_eq!(RecoveryCode::from_symbols(b"000011110000111"), None);
    }

    /// The expected values are from Python's `base64` and `hmac`.
    #[test]
    fn the_stored_bytes_and_hash_of_a_code_stay_the_same() {
        let code = RecoveryCode::from_symbols(b"0123456789ABCDEF").unwrap();
        assert_eq!(*code.0, [0x00, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf]);
        assert_eq!(*code.reveal(), "0123-4567-89AB-CDEF");
        assert_eq!(hash(&[7; HASH_BYTES], &code)[..8], [0xa9, 0x3e, 0x6f, 0x08, 0xe0, 0xca, 0x3d, 0xd7]);
    }

    #[test]
    fn a_code_of_another_set_is_not_found() {
        let (set, _) = RecoverySet::generate(RecoveryStorage::Hashed, &mut Counting(3)).unwrap();
        let (_, others) = RecoverySet::generate(RecoveryStorage::Hashed, &mut Counting(4)).unwrap();
        assert!(others.iter().all(|code| set.find(code).is_none()));
    }
}
