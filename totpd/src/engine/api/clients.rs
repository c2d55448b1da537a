//! Clients of the API and their secrets, of which the store keeps hashes.
//!
//! A client may have several secrets at once, so that one can be replaced while both work. The lock
//! counts failures by the client's name: a new secret does not reset it.

use super::super::error::{AccountError, AdminError};
use super::scope::Scope;
use super::{Engine, default_commit_deadline};
use crate::audit::{Event, EventKind, EventSource};
use crate::clock;
use crate::engine::EngineError;
use crate::os_random::Kernel;
use crate::store::{AccountWrite, ClientRow, SideWrite, SpaceUse};
use crate::sync::ignore_poison;
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::atomic::Ordering;
use totp_core::{Time, random};
use zeroize::Zeroizing;

/// The beginning of every secret.
pub(super) const PREFIX: &str = "secret-live-";
/// Characters behind the prefix that identify the secret.
pub(super) const SECRET_ID_LENGTH: usize = 16;
/// The longest name of a client.
const MAX_NAME: usize = 64;
/// Secrets that one client may have at once.
const MAX_SECRETS: usize = 8;

/// A secret as the store keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) scope: Scope,
    pub(super) hash: String,
    created: Time,
    /// A MAC over the other fields and the row's.
    mark: String,
}

impl Record {
    /// The text that the MAC covers.
    fn authenticated_text(&self, row: &ClientRow) -> String {
        let Self { scope, hash, created, .. } = self;
        format!("{}\n{}\n{}\n{hash}\n{}", row.secret_id, row.name, scope.as_str(), created.unix())
    }
}

/// One secret of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The name of the client.
    pub name: String,
    /// What the client may do with this secret.
    pub scope: Scope,
    /// Identifies the secret.
    pub secret_id: String,
    /// When the secret was added.
    pub created: Time,
    /// When the secret was last used since the daemon started.
    pub used: Option<Time>,
}

/// New credentials, which are shown once.
#[derive(Debug)]
pub struct AddedClient {
    /// The user of HTTP's Basic scheme.
    pub project_id: String,
    /// The password of HTTP's Basic scheme.
    pub secret: Zeroizing<String>,
    /// Identifies the secret.
    pub secret_id: String,
}

impl Engine {
    /// Adds a secret for the client with this name.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed then.
    pub async fn add_client(
        &self,
        name: &str,
        scope: Scope,
        from: EventSource,
    ) -> Result<AddedClient, AdminError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(plain) {
            let what = format!("a client's name has 1 to {MAX_NAME} letters, digits, '.', '_' or '-'");
            return Err(AdminError::InvalidClient(what));
        }
        if self.clients().await?.iter().filter(|client| client.name == name).count() >= MAX_SECRETS {
            let what = format!("{name} has {MAX_SECRETS} secrets already; revoke one with --secret first");
            return Err(AdminError::InvalidClient(what));
        }
        let bytes = Zeroizing::new(random::bytes::<32>(&mut Kernel).map_err(AccountError::no_randomness)?);
        let id = BASE32_NOPAD.encode(&random::bytes::<10>(&mut Kernel).map_err(AccountError::no_randomness)?);
        let secret_id = id.to_ascii_lowercase();
        let mut rest = Zeroizing::new(BASE32_NOPAD.encode(&*bytes));
        rest.make_ascii_lowercase();
        let secret = Zeroizing::new(format!("{PREFIX}{secret_id}{}", *rest));
        let now = clock::now();
        let row = ClientRow { secret_id: secret_id.clone(), name: name.to_owned(), record: String::new() };
        let record = Record { scope, hash: hash(&secret), created: now, mark: String::new() };
        let mark = self
            .sealer
            .mac("client", &record.authenticated_text(&row))
            .map_err(AccountError::no_randomness)?;
        let record =
            serde_json::to_string(&Record { mark, ..record }).map_err(AccountError::no_randomness)?;
        let added = SideWrite::InsertClient(Box::new(ClientRow { record, ..row }));
        self.change_clients(vec![added], EventKind::ClientAdd, name, from, now).await?;
        Ok(AddedClient { project_id: self.project_id(), secret, secret_id })
    }

    /// Lists the secrets of all clients.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn clients(&self) -> Result<Vec<Client>, AccountError> {
        let rows = self.store.clients().await.map_err(EngineError::from)?;
        let last_used = ignore_poison(self.api.last_used.lock()).clone();
        let client = |row: ClientRow| {
            let record = self.verified_record(&row)?;
            let used = last_used.get(&row.secret_id).copied();
            let ClientRow { secret_id, name, .. } = row;
            Some(Client { name, scope: record.scope, secret_id, created: record.created, used })
        };
        Ok(rows.into_iter().filter_map(client).collect())
    }

    /// Revokes all secrets of a client, or the one with this id, and returns how many were revoked.
    ///
    /// # Errors
    /// [`AccountError`]; nothing was changed then.
    pub async fn revoke_client(
        &self,
        name: &str,
        secret_id: Option<&str>,
        from: EventSource,
    ) -> Result<usize, AccountError> {
        // Rows with a wrong MAC as well: what cannot be read can still be revoked.
        let rows = self.store.clients().await.map_err(EngineError::from)?;
        let matching =
            rows.into_iter().filter(|r| r.name == name && secret_id.is_none_or(|id| r.secret_id == id));
        let revoked: Vec<SideWrite> = matching.map(|row| SideWrite::DeleteClient(row.secret_id)).collect();
        let count = revoked.len();
        if count > 0 {
            let done = self.change_clients(revoked, EventKind::ClientRevoke, name, from, clock::now()).await;
            // Also after an error: the commit may be in doubt.
            self.api.revocations.fetch_add(1, Ordering::SeqCst);
            done?;
        }
        Ok(count)
    }

    async fn change_clients(
        &self,
        side_writes: Vec<SideWrite>,
        kind: EventKind,
        name: &str,
        from: EventSource,
        now: Time,
    ) -> Result<(), AccountError> {
        let from = EventSource { client: Some(name.to_owned()), ..from };
        let space = if kind == EventKind::ClientAdd { SpaceUse::Growing } else { SpaceUse::Essential };
        let event = Event::new(kind, "", now, from);
        let stored = self
            .store_admin(AccountWrite::Nothing, side_writes, space, event, now, &default_commit_deadline())
            .await?;
        stored.ok_or(AccountError::Busy)
    }

    /// The record of a row, if its MAC is right.
    pub(super) fn verified_record(&self, row: &ClientRow) -> Option<Record> {
        let record: Record = serde_json::from_str(&row.record).ok()?;
        self.sealer.verify_mac("client", &record.authenticated_text(row), &record.mark).then_some(record)
    }
}

/// The hash of a secret that the store keeps.
pub(super) fn hash(secret: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(secret.as_bytes()))
}
