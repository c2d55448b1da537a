//! Credentials of applications: a name, a scope, and a secret of which the store keeps a hash.
//!
//! A client may have several secrets at once, so that one can be replaced by another while both work. The lock
//! counts by name: a new secret is no new beginning.

use super::super::change::{AccountError, no_randomness};
use super::{ApiRefusal, Caller, Engine, default_commit_deadline};
use crate::audit::{Event, EventSource};
use crate::clock;
use crate::engine::EngineError;
use crate::os_random::Kernel;
use crate::store::{AccountWrite, ChangeSet, ClientRow, CommitError, SideWrite};
use crate::sync::ignore_poison;
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::atomic::Ordering;
use subtle::ConstantTimeEq;
use totp_core::{Time, random};
use zeroize::Zeroizing;

const PREFIX: &str = "secret-live-";
/// Characters of a secret that name it.
const ID: usize = 16;
/// The longest name of a client.
const MAX_NAME: usize = 64;
/// Secrets that one client may have at once.
const SECRETS: usize = 8;

/// What a client may do; each includes the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Verify codes and sessions, and look at one user.
    Verify,
    /// Make and find users, and enroll them.
    Enroll,
    /// Take factors and users away, bind them to other names, and read recovery codes.
    Admin,
}

impl Scope {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Enroll => "enroll",
            Self::Admin => "admin",
        }
    }

    /// The scope of a word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Verify, Self::Enroll, Self::Admin].into_iter().find(|scope| scope.as_str() == word)
    }
}

/// A client's credentials, as the store keeps them. The mark vouches for the rest.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    scope: Scope,
    hash: String,
    created: Time,
    mark: String,
}

impl Record {
    fn marked(&self, row: &ClientRow) -> String {
        let Self { scope, hash, created, .. } = self;
        format!("{}\n{}\n{}\n{hash}\n{}", row.secret_id, row.name, scope.as_str(), created.unix())
    }
}

/// One secret of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The client's name.
    pub name: String,
    /// What it may do with this secret.
    pub scope: Scope,
    /// Names the secret.
    pub secret_id: String,
    /// When it was made.
    pub created: Time,
    /// When it was last used, since the daemon started.
    pub used: Option<Time>,
}

/// Whose credentials a request has.
#[derive(Clone, Debug)]
pub struct AuthenticatedClient {
    /// The client's name.
    pub name: String,
    /// The secret.
    pub secret: SecretVersion,
    /// What it may do with this secret.
    pub scope: Scope,
}

/// A secret, and when it was looked at: after how many revocations.
#[derive(Clone, Debug)]
pub struct SecretVersion {
    id: String,
    revocations: u64,
}

/// What is shown once.
#[derive(Debug)]
pub struct AddedClient {
    /// The user of HTTP's Basic scheme.
    pub project_id: String,
    /// Its password.
    pub secret: Zeroizing<String>,
    /// Names the secret.
    pub secret_id: String,
}

impl Engine {
    /// Makes a secret for the client of this name.
    ///
    /// # Errors
    /// [`AccountError`]; nothing was changed then.
    pub async fn add_client(
        &self,
        name: &str,
        scope: Scope,
        from: EventSource,
    ) -> Result<AddedClient, AccountError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(plain) {
            let what = format!("a client's name has 1 to {MAX_NAME} letters, digits, '.', '_' or '-'");
            return Err(AccountError::Invalid(what));
        }
        if self.clients().await?.iter().filter(|client| client.name == name).count() >= SECRETS {
            let what = format!("{name} has {SECRETS} secrets already; revoke one with --secret first");
            return Err(AccountError::Invalid(what));
        }
        let bytes = Zeroizing::new(random::bytes::<32>(&mut Kernel).map_err(no_randomness)?);
        let id = BASE32_NOPAD.encode(&random::bytes::<10>(&mut Kernel).map_err(no_randomness)?);
        let secret_id = id.to_ascii_lowercase();
        let mut rest = Zeroizing::new(BASE32_NOPAD.encode(&*bytes));
        rest.make_ascii_lowercase();
        let secret = Zeroizing::new(format!("{PREFIX}{secret_id}{}", *rest));
        let now = clock::now();
        let row = ClientRow { secret_id: secret_id.clone(), name: name.to_owned(), record: String::new() };
        let record = Record { scope, hash: hash(&secret), created: now, mark: String::new() };
        let mark = self.sealer.mac("client", &record.marked(&row)).map_err(no_randomness)?;
        let record = serde_json::to_string(&Record { mark, ..record }).map_err(no_randomness)?;
        let added = SideWrite::AddClient(Box::new(ClientRow { record, ..row }));
        self.change_clients(vec![added], "client-add", name, from, now).await?;
        Ok(AddedClient { project_id: self.project_id(), secret, secret_id })
    }

    /// Every secret of every client.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn clients(&self) -> Result<Vec<Client>, AccountError> {
        let rows = self.store.clients().await.map_err(EngineError::from)?;
        let used = ignore_poison(self.api.used.lock()).clone();
        let client = |row: ClientRow| {
            let record = self.read(&row)?;
            let used = used.get(&row.secret_id).copied();
            let ClientRow { secret_id, name, .. } = row;
            Some(Client { name, scope: record.scope, secret_id, created: record.created, used })
        };
        Ok(rows.into_iter().filter_map(client).collect())
    }

    /// Takes a client's secrets away, or the one that is named; says how many there were.
    ///
    /// # Errors
    /// [`AccountError`]; nothing was changed then.
    pub async fn revoke_client(
        &self,
        name: &str,
        secret_id: Option<&str>,
        from: EventSource,
    ) -> Result<usize, AccountError> {
        // Also rows that nobody vouches for: what cannot be read can be taken away.
        let rows = self.store.clients().await.map_err(EngineError::from)?;
        let mine =
            rows.into_iter().filter(|r| r.name == name && secret_id.is_none_or(|id| r.secret_id == id));
        let gone: Vec<SideWrite> = mine.map(|row| SideWrite::RevokeClient(row.secret_id)).collect();
        let count = gone.len();
        if count > 0 {
            self.change_clients(gone, "client-revoke", name, from, clock::now()).await?;
            self.api.revocations.fetch_add(1, Ordering::SeqCst);
        }
        Ok(count)
    }

    async fn change_clients(
        &self,
        also: Vec<SideWrite>,
        word: &'static str,
        name: &str,
        from: EventSource,
        now: Time,
    ) -> Result<(), AccountError> {
        let from = EventSource { client: Some(name.to_owned()), ..from };
        let grows = word == "client-add";
        let event = Event::new(word, "", now, from);
        let stored = self
            .store_admin(AccountWrite::Nothing, also, grows, event, now, &default_commit_deadline())
            .await?;
        stored.ok_or(AccountError::Busy)
    }

    /// The client of these credentials, or `None`.
    ///
    /// # Errors
    /// [`EngineError`] when that cannot be known.
    pub async fn client_of(
        &self,
        project_id: &str,
        secret: &str,
    ) -> Result<Option<AuthenticatedClient>, EngineError> {
        if let Some(why) = self.store.poisoned() {
            return Err(EngineError::Unavailable(why));
        }
        // Before the look: one that comes in between is looked at again.
        let revocations = self.api.revocations.load(Ordering::SeqCst);
        let id = secret.strip_prefix(PREFIX).and_then(|rest| rest.get(..ID)).unwrap_or_default();
        let row = self.store.client(id.to_owned()).await?;
        let record = row.as_ref().and_then(|row| self.read(row));
        let expected = record.as_ref().map_or("", |record| &record.hash);
        // The secret's name is no secret; the rest is compared as a hash, in constant time.
        let same = bool::from(hash(secret).as_bytes().ct_eq(expected.as_bytes()));
        let right = same && project_id == self.project_id();
        let client = row.zip(record).filter(|_| right);
        if let Some((row, _)) = &client {
            self.api_used(&row.secret_id, clock::now());
        }
        Ok(client.map(|(row, record)| {
            let secret = SecretVersion { id: row.secret_id, revocations };
            AuthenticatedClient { name: row.name, secret, scope: record.scope }
        }))
    }

    /// Whether the caller's secret is good still, after a wait. It is looked at anew when there was a revocation.
    ///
    /// # Errors
    /// [`ApiRefusal::Revoked`] when it is not, or why that cannot be known.
    pub async fn is_current(&self, caller: &Caller) -> Result<(), ApiRefusal> {
        let SecretVersion { id, revocations } = &caller.secret;
        if self.api.revocations.load(Ordering::SeqCst) == *revocations {
            return Ok(());
        }
        let row = self.store.client(id.clone()).await.map_err(EngineError::from)?;
        let good = row.is_some_and(|row| row.name == caller.client && self.read(&row).is_some());
        if good { Ok(()) } else { Err(ApiRefusal::Revoked) }
    }

    /// A row that somebody with the store's key wrote.
    fn read(&self, row: &ClientRow) -> Option<Record> {
        let record: Record = serde_json::from_str(&row.record).ok()?;
        self.sealer.verify_mac("client", &record.marked(row), &record.mark).then_some(record)
    }

    /// Somebody came with credentials that are none. In the log alone: it costs whoever tries nothing.
    pub fn bad_credentials(&self, request_id: &str, peer_address: Option<&str>) {
        let from = EventSource { peer_address: peer_address.map(str::to_owned), ..EventSource::default() };
        let mut event = Event::new("client", "", clock::now(), from);
        event.id = Some(request_id.to_owned());
        event.outcome = "refused";
        event.reason = Some("bad-credentials");
        event.log();
    }

    /// Makes something durable that belongs to no record, with its event.
    pub(super) async fn commit_apart(
        &self,
        also: Vec<SideWrite>,
        event: Option<&Event>,
        now: Time,
    ) -> Result<(), CommitError> {
        let row = event.map(|event| event.row(now));
        let change = ChangeSet { write: AccountWrite::Nothing, also, grows: false, event: row };
        self.store.commit(change, default_commit_deadline()).await?;
        if let Some(event) = event {
            event.log();
        }
        Ok(())
    }
}

fn hash(secret: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(secret.as_bytes()))
}
