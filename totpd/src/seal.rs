//! Sealing: secret and recovery set of an enrollment as one XChaCha20-Poly1305 blob
//! (draft-irtf-cfrg-xchacha). The associated data binds it to the store, the user with name and
//! uid, and all of the enrollment that stands in the open, so that rows cannot be swapped or
//! edited.

use crate::key::StoreKey;
use crate::os_random::Kernel;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use totp_core::account::EnrollmentTicket;
use totp_core::self_service::StagedChange;
use totp_core::{Account, Factor, FactorState, Random, Secrets, Time};
use zeroize::Zeroizing;

/// Version of the blob's form.
const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 24;

/// A sealed half of an enrollment, as it stands in a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Version of the form.
    v: u8,
    /// The id of the key.
    key: String,
    /// `nonce ‖ ciphertext ‖ tag` in base64.
    data: String,
}

/// The record of an account as it is stored.
pub type SealedAccount = Account<Sealed>;

/// Why a blob cannot be opened. Says nothing about its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Sealed with a key that is not here.
    #[error("a record is sealed with another key")]
    OtherKey,
    /// Of a newer form, damaged, or moved from another row.
    #[error("a record is damaged or belongs to another row")]
    Damaged,
    /// No nonce could be drawn.
    #[error("the system's random source failed")]
    Random,
}

/// Seals and opens records of one store.
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
    /// With the store's key.
    pub fn new(key: &StoreKey) -> Self {
        Self {
            cipher: XChaCha20Poly1305::new(&Key::from(*key.bytes())),
            key_id: key.id.clone(),
            store_id: key.store_id.clone(),
        }
    }

    /// The id of the store.
    pub fn store_id(&self) -> &str {
        &self.store_id
    }

    /// Seals the secrets of an account.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn seal(&self, account: Account) -> Result<SealedAccount, SealError> {
        let row = self.row(&account);
        account.try_map(|factor, secrets| self.seal_bytes(&secrets.to_bytes(), &bound_to(&row, factor)))
    }

    /// Opens the secrets of an account.
    ///
    /// # Errors
    /// [`SealError::OtherKey`] or [`SealError::Damaged`].
    pub fn open(&self, account: SealedAccount) -> Result<Account, SealError> {
        let row = self.row(&account);
        account.try_map(|factor, sealed| {
            let bytes = self.open_bytes(&sealed, &bound_to(&row, factor))?;
            Secrets::from_bytes(&bytes).ok_or(SealError::Damaged)
        })
    }

    /// Seals a value that is checked at start, to know that key and store belong together.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn seal_check(&self) -> Result<String, SealError> {
        let sealed = self.seal_bytes(b"totpd", &self.store_id)?;
        serde_json::to_string(&sealed).map_err(|_| SealError::Damaged)
    }

    /// Whether `check` was sealed with this key for this store.
    pub fn opens_check(&self, check: &str) -> bool {
        let sealed: Option<Sealed> = serde_json::from_str(check).ok();
        sealed.is_some_and(|s| self.open_bytes(&s, &self.store_id).is_ok_and(|bytes| *bytes == b"totpd"))
    }

    /// Seals the text of a ticket for the account and the factor that it has in use, good until
    /// `expires`; when the phone is `lost` it is good without a code of it.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn seal_ticket<S>(
        &self,
        account: &Account<S>,
        text: &str,
        expires: Time,
        lost: bool,
    ) -> Result<EnrollmentTicket, SealError> {
        let totp_id = account.active.as_ref().map(|active| active.id.clone());
        let mut ticket =
            EnrollmentTicket { expires, lost: lost && totp_id.is_some(), totp_id, sealed: String::new() };
        let sealed = self.seal_bytes(text.as_bytes(), &self.ticket_row(account, &ticket))?;
        ticket.sealed = serde_json::to_string(&sealed).map_err(|_| SealError::Damaged)?;
        Ok(ticket)
    }

    /// Whether `text` is the account's ticket.
    pub fn is_ticket<S>(&self, account: &Account<S>, ticket: &EnrollmentTicket, text: &str) -> bool {
        let sealed: Option<Sealed> = serde_json::from_str(&ticket.sealed).ok();
        let row = self.ticket_row(account, ticket);
        let opened = sealed.and_then(|sealed| self.open_bytes(&sealed, &row).ok());
        opened.is_some_and(|bytes| bool::from(bytes.ct_eq(text.as_bytes())))
    }

    /// A mark under `text` that nobody without the key can make. `kind` tells apart what is marked.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn mac(&self, kind: &str, text: &str) -> Result<String, SealError> {
        let sealed = self.seal_bytes(b"", &self.vouched(kind, text))?;
        serde_json::to_string(&sealed).map_err(|_| SealError::Damaged)
    }

    /// Whether `mark` was made under this text.
    pub fn verify_mac(&self, kind: &str, text: &str, mark: &str) -> bool {
        let sealed: Option<Sealed> = serde_json::from_str(mark).ok();
        sealed.is_some_and(|sealed| self.open_bytes(&sealed, &self.vouched(kind, text)).is_ok())
    }

    /// Seals bytes that belong to the store and to no account, under a name.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn seal_named(&self, name: &str, bytes: &[u8]) -> Result<String, SealError> {
        let sealed = self.seal_bytes(bytes, &self.vouched("named", name))?;
        serde_json::to_string(&sealed).map_err(|_| SealError::Damaged)
    }

    /// Opens what [`Self::seal_named`] sealed.
    ///
    /// # Errors
    /// [`SealError::OtherKey`] or [`SealError::Damaged`].
    pub fn open_named(&self, name: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let sealed: Sealed = serde_json::from_str(sealed).map_err(|_| SealError::Damaged)?;
        self.open_bytes(&sealed, &self.vouched("named", name))
    }

    fn vouched(&self, kind: &str, text: &str) -> String {
        format!("totpd-seal-{FORMAT}\n{}\n{kind}\n{text}", self.store_id)
    }

    fn ticket_row<S>(&self, account: &Account<S>, ticket: &EnrollmentTicket) -> String {
        let row = format!("{}\nticket {}", self.row(account), ticket.expires.unix());
        match &ticket.totp_id {
            Some(id) if ticket.lost => format!("{row}\nlost {id}"),
            Some(id) => format!("{row}\nfor {id}"),
            None => row,
        }
    }

    fn seal_bytes(&self, bytes: &[u8], bound: &str) -> Result<Sealed, SealError> {
        let mut nonce = [0; NONCE_BYTES];
        Kernel.fill(&mut nonce).map_err(|_| SealError::Random)?;
        let payload = Payload { msg: bytes, aad: bound.as_bytes() };
        let ciphertext =
            self.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Damaged)?;
        let data = BASE64.encode(&[&nonce[..], &ciphertext].concat());
        Ok(Sealed { v: FORMAT, key: self.key_id.clone(), data })
    }

    fn open_bytes(&self, sealed: &Sealed, bound: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        if sealed.v != FORMAT {
            return Err(SealError::Damaged);
        }
        if sealed.key != self.key_id {
            return Err(SealError::OtherKey);
        }
        let data = BASE64.decode(sealed.data.as_bytes()).map_err(|_| SealError::Damaged)?;
        let (nonce, ciphertext) = data.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Damaged)?;
        let payload = Payload { msg: ciphertext, aad: bound.as_bytes() };
        let opened = self.cipher.decrypt(&XNonce::from(*nonce), payload);
        opened.map(Zeroizing::new).map_err(|_| SealError::Damaged)
    }

    /// The row that a blob belongs to. None of the parts holds a line break, so they cannot run
    /// together.
    fn row<S>(&self, account: &Account<S>) -> String {
        // A name is never empty, so that an account without one is no other's.
        let name = account.name.as_ref().map_or("", |name| name.as_str());
        let uid = account.uid.map_or_else(String::new, |uid| uid.to_string());
        format!("totpd-seal-{FORMAT}\n{}\n{}\n{name}\n{uid}", self.store_id, account.id)
    }
}

/// The row, and everything of the factor that stands in the open: a used step cannot be made fresh
/// again, nor a pending factor active, by somebody who can write the store and has no key.
fn bound_to(row: &str, factor: &Factor<()>) -> String {
    let Factor { id, params, created, state, last_step, staged, cancels, remembered, .. } = factor;
    let (algorithm, digits, period) =
        (params.algorithm.as_str(), params.digits.get(), params.period.seconds());
    let state = match state {
        FactorState::Pending { expires } => format!("pending {}", expires.unix()),
        FactorState::Active { since } => format!("active {}", since.unix()),
    };
    let last_step = last_step.map_or_else(String::new, |step| step.to_string());
    let mut bound =
        format!("{row}\n{id}\n{algorithm} {digits} {period}\n{}\n{state}\n{last_step}", created.unix());
    // What is staged, and whether its user was told. No line of one kind can be read as one of
    // another: this one ends in no number, and what is text holds no line break.
    if let Some(StagedChange { kind, at, delay, expires, from, shown_at: told }) = staged {
        let told = told.map_or_else(|| "never".to_owned(), |told| told.unix().to_string());
        let (at, expires) = (at.unix(), expires.unix());
        let (kind, from) = (kind.as_str(), from.escape_default());
        bound.push_str(&format!("\nstaged {kind} {at} {delay} {expires} {told} {from}."));
    }
    for at in cancels {
        bound.push_str(&format!("\ncancelled {}", at.unix()));
    }
    // A remembered login lets in: it is nobody's to write who has no key.
    for grant in remembered {
        let key = grant.key.as_str().escape_default();
        bound.push_str(&format!("\n{key} {} {}", grant.since.unix(), grant.length));
    }
    bound
}

#[cfg(test)]
mod tests;
