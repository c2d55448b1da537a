//! Encryption of what the store keeps secret: each factor's secret and recovery codes are one
//! XChaCha20-Poly1305 ciphertext (draft-irtf-cfrg-xchacha).
//!
//! The associated data binds a ciphertext to the store, to the user (id, name and uid) and to every
//! plaintext field of the factor that a grant depends on. Somebody who can write the store but has
//! no key can therefore neither edit a row nor swap the secrets of two rows.

use crate::key::StoreKey;
use crate::os_random::Kernel;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use totp_core::account::EnrollmentTicket;
use totp_core::passcode::Passcode;
use totp_core::self_service::StagedChange;
use totp_core::{Account, Factor, FactorState, Random, Secrets, Time};
use zeroize::Zeroizing;

/// Version of the ciphertext format and of the associated data.
const FORMAT: u8 = 1;
/// Length of an XChaCha20-Poly1305 nonce.
const NONCE_BYTES: usize = 24;

/// A ciphertext as it is stored in a record, with the id of its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The version of the format.
    v: u8,
    /// The id of the key, see [`StoreKey::id`].
    key: String,
    /// `nonce ‖ ciphertext ‖ tag` in base64.
    data: String,
}

/// An account as it is stored, with its secrets encrypted.
pub type SealedAccount = Account<Sealed>;

/// Why a value cannot be encrypted or decrypted. The text says nothing about the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The value is encrypted with another key than this store's.
    #[error("a record is sealed with another key")]
    OtherKey,
    /// The value has a newer format, is damaged, or was moved here from another row.
    #[error("a record is damaged or belongs to another row")]
    Damaged,
    /// The kernel's random source returned no nonce.
    #[error("the system's random source failed")]
    Random,
}

/// Whether the user of an enrollment ticket can still use their active factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActiveFactor {
    /// It can be used: a code of it is needed with the ticket.
    Usable,
    /// The phone is lost: the ticket alone is enough.
    Lost,
}

/// Encrypts and decrypts the records of one store with its key.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    key_id: String,
    store_id: String,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({})", self.key_id)
    }
}

impl Sealer {
    /// Creates a sealer for the store that `key` belongs to.
    pub fn new(key: &StoreKey) -> Self {
        Self {
            cipher: XChaCha20Poly1305::new(&Key::from(*key.bytes())),
            key_id: key.id.clone(),
            store_id: key.store_id.clone(),
        }
    }

    /// Returns the id of the store.
    pub fn store_id(&self) -> &str {
        &self.store_id
    }

    /// Encrypts the secrets of an account, and returns the account as it is stored at `version`:
    /// one more than the version that was read.
    ///
    /// # Errors
    /// [`SealError::Random`] when no nonce can be generated.
    pub fn seal(&self, mut account: Account, version: u64) -> Result<SealedAccount, SealError> {
        let row = self.record_aad(&account, version);
        let passcode = account.passcode.take().map(|passcode| {
            let aad = passcode_aad(&row, &passcode);
            passcode.seal(|bytes| {
                let sealed = self.encrypt(bytes, &aad)?;
                serde_json::to_string(&sealed).map_err(|_| SealError::Damaged)
            })
        });
        account.passcode = passcode.transpose()?;
        account.try_map(|factor, secrets| self.encrypt(&secrets.to_bytes(), &factor_aad(&row, factor)))
    }

    /// Decrypts the secrets of an account that is stored at `version`. Success proves that somebody
    /// with the key wrote the row as it is, at this version.
    ///
    /// # Errors
    /// [`SealError::OtherKey`], or [`SealError::Damaged`] when any covered field was changed.
    pub fn open(&self, mut account: SealedAccount, version: u64) -> Result<Account, SealError> {
        // A factor that is there twice would accept each code twice.
        if account.factors().any(|one| account.factors().filter(|other| other.id == one.id).count() > 1) {
            return Err(SealError::Damaged);
        }
        // The seal of a factor covers its state: one that was moved within its record shows it.
        let is_pending = |factor: &Factor<Sealed>| matches!(factor.state, FactorState::Pending { .. });
        if account.authenticators().any(is_pending) || !account.pending.iter().all(is_pending) {
            return Err(SealError::Damaged);
        }
        let row = self.record_aad(&account, version);
        if let Some(passcode) = account.passcode.take() {
            let aad = passcode_aad(&row, &passcode);
            let opened = passcode.open(|sealed| {
                let sealed: Sealed = serde_json::from_str(sealed).map_err(|_| SealError::Damaged)?;
                self.decrypt(&sealed, &aad)
            });
            account.passcode = Some(opened?.ok_or(SealError::Damaged)?);
        }
        account.try_map(|factor, sealed| {
            let bytes = self.decrypt(&sealed, &factor_aad(&row, factor))?;
            Secrets::from_bytes(&bytes).ok_or(SealError::Damaged)
        })
    }

    /// Returns a value that [`Self::opens_check`] accepts only with this key and this store. The
    /// daemon checks it at start.
    ///
    /// # Errors
    /// [`SealError::Random`] when no nonce can be generated.
    pub fn seal_check(&self) -> Result<String, SealError> {
        let sealed = self.encrypt(b"totpd", &self.store_id)?;
        serde_json::to_string(&sealed).map_err(|_| SealError::Damaged)
    }

    /// Returns whether [`Self::seal_check`] made `check` with this key for this store.
    pub fn opens_check(&self, check: &str) -> bool {
        let sealed: Option<Sealed> = serde_json::from_str(check).ok();
        sealed.is_some_and(|s| self.decrypt(&s, &self.store_id).is_ok_and(|bytes| *bytes == b"totpd"))
    }

    /// Encrypts the text of an enrollment ticket, which is valid until `expires` for this account.
    /// `bound_to` is the id of the active factor that it may change, and whether that can be used;
    /// `None` for a first factor.
    ///
    /// # Errors
    /// [`SealError::Random`] when no nonce can be generated.
    pub fn seal_ticket<S>(
        &self,
        account: &Account<S>,
        text: &str,
        expires: Time,
        bound_to: Option<(&str, ActiveFactor)>,
    ) -> Result<EnrollmentTicket, SealError> {
        let lost = bound_to.is_some_and(|(_, active_factor)| active_factor == ActiveFactor::Lost);
        let totp_id = bound_to.map(|(id, _)| id.to_owned());
        let mut ticket = EnrollmentTicket { expires, lost, totp_id, sealed: String::new() };
        let sealed = self.encrypt(text.as_bytes(), &self.ticket_aad(account, &ticket))?;
        ticket.sealed = serde_json::to_string(&sealed).map_err(|_| SealError::Damaged)?;
        Ok(ticket)
    }

    /// Returns whether `text` is the text of `ticket`, and `ticket` was made for this account.
    /// Compares in constant time; the caller checks the expiry.
    pub fn is_ticket<S>(&self, account: &Account<S>, ticket: &EnrollmentTicket, text: &str) -> bool {
        let sealed: Option<Sealed> = serde_json::from_str(&ticket.sealed).ok();
        let aad = self.ticket_aad(account, ticket);
        let opened = sealed.and_then(|sealed| self.decrypt(&sealed, &aad).ok());
        opened.is_some_and(|bytes| bool::from(bytes.ct_eq(text.as_bytes())))
    }

    /// Returns a message authentication code of `text`. The MAC of one `kind` is not valid for
    /// another.
    ///
    /// # Errors
    /// [`SealError::Random`] when no nonce can be generated.
    pub fn mac(&self, kind: &str, text: &str) -> Result<String, SealError> {
        let sealed = self.encrypt(b"", &self.text_aad(kind, text))?;
        serde_json::to_string(&sealed).map_err(|_| SealError::Damaged)
    }

    /// Returns whether `mac` is a MAC that [`Self::mac`] made of this kind and text.
    pub fn verify_mac(&self, kind: &str, text: &str, mac: &str) -> bool {
        let sealed: Option<Sealed> = serde_json::from_str(mac).ok();
        sealed.is_some_and(|sealed| self.decrypt(&sealed, &self.text_aad(kind, text)).is_ok())
    }

    /// Encrypts bytes that belong to the store rather than to an account, and binds them to a name.
    ///
    /// # Errors
    /// [`SealError::Random`] when no nonce can be generated.
    pub fn seal_named(&self, name: &str, bytes: &[u8]) -> Result<String, SealError> {
        let sealed = self.encrypt(bytes, &self.text_aad("named", name))?;
        serde_json::to_string(&sealed).map_err(|_| SealError::Damaged)
    }

    /// Decrypts what [`Self::seal_named`] encrypted under this name.
    ///
    /// # Errors
    /// [`SealError::OtherKey`] or [`SealError::Damaged`].
    pub fn open_named(&self, name: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let sealed: Sealed = serde_json::from_str(sealed).map_err(|_| SealError::Damaged)?;
        self.decrypt(&sealed, &self.text_aad("named", name))
    }

    /// Returns the associated data of a value that belongs to no account.
    fn text_aad(&self, kind: &str, text: &str) -> String {
        format!("totpd-seal-{FORMAT}\n{}\n{kind}\n{text}", self.store_id)
    }

    /// Returns the associated data of a ticket: its account, expiry, factor and required proof.
    fn ticket_aad<S>(&self, account: &Account<S>, ticket: &EnrollmentTicket) -> String {
        let aad = format!("{}\nticket {}", self.row_aad(account), ticket.expires.unix());
        match &ticket.totp_id {
            Some(id) if ticket.lost => format!("{aad}\nlost {id}"),
            Some(id) => format!("{aad}\nfor {id}"),
            None => aad,
        }
    }

    fn encrypt(&self, bytes: &[u8], aad: &str) -> Result<Sealed, SealError> {
        let mut nonce = [0; NONCE_BYTES];
        Kernel.fill(&mut nonce).map_err(|_| SealError::Random)?;
        let payload = Payload { msg: bytes, aad: aad.as_bytes() };
        let ciphertext =
            self.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Damaged)?;
        let data = BASE64.encode(&[&nonce[..], &ciphertext].concat());
        Ok(Sealed { v: FORMAT, key: self.key_id.clone(), data })
    }

    fn decrypt(&self, sealed: &Sealed, aad: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        if sealed.v != FORMAT {
            return Err(SealError::Damaged);
        }
        if sealed.key != self.key_id {
            return Err(SealError::OtherKey);
        }
        let data = BASE64.decode(sealed.data.as_bytes()).map_err(|_| SealError::Damaged)?;
        let (nonce, ciphertext) = data.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Damaged)?;
        let payload = Payload { msg: ciphertext, aad: aad.as_bytes() };
        let opened = self.cipher.decrypt(&XNonce::from(*nonce), payload);
        opened.map(Zeroizing::new).map_err(|_| SealError::Damaged)
    }

    /// Returns the associated data of an account's row. No field contains a line break, so the
    /// boundaries between fields are unambiguous.
    /// What is sealed in a record is bound to its version: an older record that is put back under a
    /// newer version does not open.
    fn record_aad<S>(&self, account: &Account<S>, version: u64) -> String {
        format!("{}\nversion {version}", self.row_aad(account))
    }

    fn row_aad<S>(&self, account: &Account<S>) -> String {
        // No name is empty, so an account without a name is not mistaken for one with a name.
        let name = account.name.as_ref().map_or("", |name| name.as_str());
        let uid = account.uid.map_or_else(String::new, |uid| uid.to_string());
        format!("totpd-seal-{FORMAT}\n{}\n{}\n{name}\n{uid}", self.store_id, account.id)
    }
}

/// Returns the associated data of a passcode: that of its row, and its plaintext fields.
fn passcode_aad(row: &str, passcode: &Passcode) -> String {
    format!("{row}\npasscode {} {}", passcode.made.unix(), passcode.expires.unix())
}

/// Returns the associated data of a factor: that of its row, and the plaintext fields of the
/// factor. Somebody who can write the store but has no key can neither reset the last used step nor
/// activate a pending factor.
fn factor_aad(row: &str, factor: &Factor<()>) -> String {
    let Factor { id, name, params, created, state, last_step, staged, cancels, remembered, .. } = factor;
    let (algorithm, digits, period) =
        (params.algorithm.as_str(), params.digits.get(), params.period.seconds());
    let state = match state {
        FactorState::Pending { expires } => format!("pending {}", expires.unix()),
        FactorState::Active { since } => format!("active {}", since.unix()),
    };
    let last_step = last_step.map_or_else(String::new, |step| step.to_string());
    let mut aad =
        format!("{row}\n{id}\n{algorithm} {digits} {period}\n{}\n{state}\n{last_step}", created.unix());
    if let Some(name) = name {
        aad.push_str(&format!("\nname {}.", name.as_str().escape_default()));
    }
    // The staged change, and whether its user has seen the notice. A line of one kind never equals
    // a line of another: this one does not end in a number, and no text contains a line break.
    if let Some(StagedChange { kind, at, delay, expires, from, shown_at }) = staged {
        let shown_at = shown_at.map_or_else(|| "never".to_owned(), |at| at.unix().to_string());
        let (at, expires) = (at.unix(), expires.unix());
        let (kind, from) = (kind.as_str(), from.escape_default());
        aad.push_str(&format!("\nstaged {kind} {at} {delay} {expires} {shown_at} {from}."));
    }
    for at in cancels {
        aad.push_str(&format!("\ncancelled {}", at.unix()));
    }
    // A remembered login grants access without a code, so only the key may write one.
    for grant in remembered {
        let key = grant.key.as_str().escape_default();
        aad.push_str(&format!("\n{key} {} {}", grant.since.unix(), grant.length));
    }
    aad
}

#[cfg(test)]
mod tests;
