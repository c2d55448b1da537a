//! Authentication of an application: its credentials at the start of a request, and again after
//! everything that the request waits for.

use super::clients::{PREFIX, SECRET_ID_LENGTH, hash};
use super::known_secrets::KnownSecret;
use super::{ApiRefusal, Engine, Scope};
use crate::audit::{Event, EventKind, EventSource, UnjudgedReason};
use crate::clock;
use crate::engine::EngineError;
use crate::sync::ignore_poison;
use std::sync::atomic::Ordering;
use subtle::ConstantTimeEq;
use totp_core::Time;

/// The client whose credentials a request has.
#[derive(Clone, Debug)]
pub struct AuthenticatedClient {
    /// The name of the client.
    pub name: String,
    /// The secret.
    pub secret: SecretVersion,
    /// What the client may do with this secret.
    pub scope: Scope,
}

/// A secret, and the number of revocations of any secret before it was checked.
#[derive(Clone, Debug)]
pub struct SecretVersion {
    id: String,
    revocations: u64,
}

/// An authenticated request: the client, and what its events record.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The name of the client.
    pub client: String,
    /// The secret that the request was authenticated with.
    pub secret: SecretVersion,
    /// What the client may do with this secret.
    pub scope: Scope,
    /// Identifies the request in its response and in the audit.
    pub request_id: String,
    /// The IP address that the request came from, unless it came over a Unix socket.
    pub peer_address: Option<String>,
}

impl Caller {
    /// An event of this request about a user.
    pub(super) fn event(&self, kind: EventKind, user: &str, user_id: Option<&str>, now: Time) -> Event {
        let from = EventSource {
            client: Some(self.client.clone()),
            peer_address: self.peer_address.clone(),
            ..EventSource::default()
        };
        let event = Event::new(kind, user, now, from);
        Event { id: Some(self.request_id.clone()), user_id: user_id.map(str::to_owned), ..event }
    }
}

impl Engine {
    /// Authenticates a client by its credentials. `None` if they are wrong or revoked.
    ///
    /// # Errors
    /// [`EngineError`] when the store cannot be read.
    pub async fn authenticate_client(
        &self,
        project_id: &str,
        secret: &str,
    ) -> Result<Option<AuthenticatedClient>, EngineError> {
        if let Some(why) = self.store.health().reason() {
            return Err(EngineError::Unavailable(why));
        }
        // Read before the secret is: a revocation in between makes the next wait check again.
        let revocations = self.api.revocations.load(Ordering::SeqCst);
        let id =
            secret.strip_prefix(PREFIX).and_then(|rest| rest.get(..SECRET_ID_LENGTH)).unwrap_or_default();
        let known = self.api.known_secrets.get(id, revocations);
        let is_read = known.is_none();
        let found = if is_read { self.read_secret(id).await? } else { known };
        let expected = found.as_ref().map_or("", |found| &found.hash);
        // The id of a secret is not secret. The rest is compared as a hash, in constant time.
        let is_same = bool::from(hash(secret).as_bytes().ct_eq(expected.as_bytes()));
        let is_right = is_same && project_id == self.project_id();
        let Some(found) = found.filter(|_| is_right) else { return Ok(None) };
        if is_read && !self.store.is_shared() {
            self.api.known_secrets.keep(id, revocations, found.clone());
        }
        let mut last_used = ignore_poison(self.api.last_used.lock());
        last_used.insert(id.to_owned(), clock::now());
        drop(last_used);
        let secret = SecretVersion { id: id.to_owned(), revocations };
        Ok(Some(AuthenticatedClient { name: found.name, secret, scope: found.scope }))
    }

    /// The secret with this id, if the store has it and the key vouches for it.
    async fn read_secret(&self, id: &str) -> Result<Option<KnownSecret>, EngineError> {
        let Some(row) = self.store.client(id.to_owned()).await? else { return Ok(None) };
        let record = self.verified_record(&row);
        Ok(record.map(|record| KnownSecret { name: row.name, scope: record.scope, hash: record.hash }))
    }

    /// Waits for something that a request needs, and then refuses the request if its credentials
    /// were revoked meanwhile.
    ///
    /// # Errors
    /// The error of what it waits for; [`ApiRefusal::Revoked`]; or [`ApiRefusal::Unavailable`] when
    /// the store cannot be read.
    pub async fn wait_authenticated<T, E: From<ApiRefusal>>(
        &self,
        caller: &Caller,
        event: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let value = event.await?;
        let SecretVersion { id, revocations } = &caller.secret;
        if self.api.revocations.load(Ordering::SeqCst) == *revocations {
            return Ok(value);
        }
        let row = self.store.client(id.clone()).await.map_err(|e| ApiRefusal::from(EngineError::from(e)))?;
        let is_current =
            row.is_some_and(|row| row.name == caller.client && self.verified_record(&row).is_some());
        if is_current { Ok(value) } else { Err(ApiRefusal::Revoked.into()) }
    }

    /// Logs a request with wrong or revoked credentials. It writes no row of the history, so that
    /// such requests cost no write to the disk.
    pub fn log_bad_credentials(&self, request_id: &str, peer_address: Option<&str>) {
        let from = EventSource { peer_address: peer_address.map(str::to_owned), ..EventSource::default() };
        let mut event = Event::new(EventKind::Client, "", clock::now(), from);
        event.id = Some(request_id.to_owned());
        event.refused(UnjudgedReason::BadCredentials).log();
    }
}
