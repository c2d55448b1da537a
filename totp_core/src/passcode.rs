//! A passcode: one random code that an administrator makes for one user, for one login. It is for a
//! phone that was left at home.
//!
//! ```text
//! made ─▶ open ── used at a login, replaced, cancelled, or the factor revoked ─▶ deleted
//!           └──── expires ─▶ deleted
//! ```
//!
//! It has the shape of a recovery code, and is stored as a hash in the encrypted half of the
//! record. It lets in once and does nothing else: no change of the factor, no session of an
//! application, and no remembered login.

use crate::random::{Random, RandomFailed};
use crate::recovery::{RecoveryCode, RecoverySet, RecoveryStorage};
use crate::time::{DAY, HOUR, MINUTE, Time};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The shortest time that a passcode is accepted, in seconds.
pub const MIN_LIFETIME: u64 = MINUTE;
/// The longest time that a passcode is accepted, in seconds.
pub const MAX_LIFETIME: u64 = 7 * DAY;
/// The time that a passcode is accepted by default, in seconds.
pub const DEFAULT_LIFETIME: u64 = 4 * HOUR;
/// By how much the clock may be behind the time when the passcode was made: clocks are adjusted.
const CLOCK_TOLERANCE: u64 = MINUTE;

/// The unspent passcode of a user. It is redacted in `Debug`.
///
/// In memory it has its hash; in the store it has the hash as ciphertext instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passcode {
    /// When it was made.
    pub made: Time,
    /// When it expires: it is not accepted from this time on.
    pub expires: Time,
    /// The hash, encrypted with the store's key. Empty in memory.
    sealed: String,
    /// The hash. `None` in the store.
    #[serde(skip)]
    hash: Option<RecoverySet>,
}

impl Passcode {
    /// Makes a passcode that is accepted for `lifetime` seconds, between [`MIN_LIFETIME`] and
    /// [`MAX_LIFETIME`]. Returns it with its code, which cannot be read from it.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn generate(
        lifetime: u64,
        now: Time,
        random: &mut impl Random,
    ) -> Result<(Self, RecoveryCode), RandomFailed> {
        let (hash, code) = RecoverySet::single(random)?;
        let expires = now.plus(lifetime.clamp(MIN_LIFETIME, MAX_LIFETIME));
        Ok((Self { made: now, expires, sealed: String::new(), hash: Some(hash) }, code))
    }

    /// Returns whether it can still be used at this time.
    pub fn is_open(&self, now: Time) -> bool {
        now < self.expires
    }

    /// Returns the form for the store: `encrypt` turns the hash into ciphertext. A passcode that is
    /// in this form already is returned as it is.
    ///
    /// # Errors
    /// The error that `encrypt` returns.
    pub fn seal<E>(self, encrypt: impl FnOnce(&[u8]) -> Result<String, E>) -> Result<Self, E> {
        let Some(hash) = &self.hash else { return Ok(self) };
        let mut bytes = Zeroizing::new(Vec::with_capacity(hash.byte_len()));
        hash.append_to(&mut bytes);
        let sealed = encrypt(&bytes)?;
        Ok(Self { sealed, hash: None, ..self })
    }

    /// Returns the form for memory: `decrypt` turns the ciphertext into the hash. `Ok(None)` when
    /// the bytes are no hash.
    ///
    /// # Errors
    /// The error that `decrypt` returns.
    pub fn open<E>(
        self,
        decrypt: impl FnOnce(&str) -> Result<Zeroizing<Vec<u8>>, E>,
    ) -> Result<Option<Self>, E> {
        let bytes = decrypt(&self.sealed)?;
        let hash = RecoverySet::from_bytes(RecoveryStorage::Hashed, &bytes).filter(|set| set.left() == 1);
        Ok(hash.map(|hash| Self { sealed: String::new(), hash: Some(hash), ..self }))
    }
}

/// Returns whether `code` is that of the passcode. The work is the same without a passcode.
pub(crate) fn matches(passcode: Option<&Passcode>, code: Option<&RecoveryCode>, now: Time) -> bool {
    let Some(code) = code else { return false };
    let Some((passcode, hash)) = passcode.and_then(|passcode| Some((passcode, passcode.hash.as_ref()?)))
    else {
        let decoy = RecoverySet::from_bytes(RecoveryStorage::Hashed, &[0; 64]);
        std::hint::black_box(decoy.and_then(|decoy| decoy.find(code)));
        return false;
    };
    let is_same = hash.find(code).is_some();
    // Under a clock that was set back it would be accepted for longer.
    is_same && passcode.is_open(now) && now.plus(CLOCK_TOLERANCE) >= passcode.made
}

#[cfg(test)]
mod tests;
