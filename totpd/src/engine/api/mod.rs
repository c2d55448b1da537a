//! What applications do through the HTTP API. It shares everything with logins: the user's record,
//! the lock, the used codes and the history.

mod authenticate;
mod client_auth;
mod clients;
mod contact_kind;
mod contacts;
mod error;
mod key_rotation;
mod keyring;
mod known_secrets;
mod scope;
mod session_tokens;
mod sessions;
mod totps;
mod users;

pub use crate::store::{CommitGuard, UniqueField, UserFilter, is_id};
pub use authenticate::{Authenticated, SessionOptions};
pub use client_auth::{AuthenticatedClient, Caller, SecretVersion};
pub use clients::{AddedClient, Client};
pub use contact_kind::ContactKind;
pub use contacts::NewContact;
pub use error::ApiRefusal;
pub use keyring::{JWT_SECONDS, Keyring, PublicKey};
pub use scope::Scope;
pub use session_tokens::{IssuedSession, session_claim};
pub use sessions::SessionCredential;
pub use totps::{CreatedTotp, ShownCodes};
pub use users::{FoundUsers, Match, NewUser, UserChange, UserSearch, UserView};

use super::{Engine, EngineError, default_commit_deadline};
use crate::audit::Event;
use crate::fair_queue::FairQueue;
use crate::store::{AccountKey, AccountWrite, ChangeSet, CommitError, SideWrite, SpaceUse, StoredAccount};
use crate::user_locks::ApplicationLockGuard;
use known_secrets::KnownSecrets;
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};
use totp_core::{Account, Time, UserName, external_id};

/// Concurrent reads of all clients. The store has two threads for reads: more would wait there in
/// the order of arrival, and not round-robin.
const CONCURRENT_READS: usize = 4;

/// The API's state in memory, which survives a reload of the configuration.
#[derive(Debug)]
pub(super) struct Api {
    keyring: RwLock<Option<Arc<Keyring>>>,
    /// When each secret of a client was last used since the daemon started, by the id of the
    /// secret.
    last_used: Mutex<HashMap<String, Time>>,
    /// How often secrets of clients were revoked since the daemon started.
    revocations: AtomicU64,
    known_secrets: KnownSecrets,
    /// A signature takes a millisecond of CPU time: one at a time leaves the other CPUs to
    /// everything else.
    signing: FairQueue,
    reading: FairQueue,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            keyring: RwLock::default(),
            last_used: Mutex::default(),
            revocations: AtomicU64::default(),
            known_secrets: KnownSecrets::default(),
            signing: FairQueue::new(1),
            reading: FairQueue::new(CONCURRENT_READS),
        }
    }
}

/// What was found, if it is the user whose uid the host has now.
fn of_uid(found: Option<StoredAccount>, uid: Option<u32>) -> Result<StoredAccount, ApiRefusal> {
    let stored = found.ok_or(ApiRefusal::UserNotFound)?;
    // A name that has another uid now belongs to another person.
    let is_other = uid.is_some() && stored.account.uid.is_some() && stored.account.uid != uid;
    if is_other && !stored.damaged { Err(ApiRefusal::UserNotFound) } else { Ok(stored) }
}

impl Engine {
    /// The project id of every client, which identifies the store.
    pub fn project_id(&self) -> String {
        format!("project-live-{}", self.store_id())
    }

    /// Loads a user by id or external id.
    async fn user(&self, user: &str) -> Result<StoredAccount, ApiRefusal> {
        let key = self.resolve_user(user).await?;
        self.load_user(key).await
    }

    /// Loads a user by id or external id, round-robin between clients. The name is
    /// looked up before, so that a slow directory blocks no other client.
    async fn load_user_fairly(&self, caller: &Caller, user: &str) -> Result<StoredAccount, ApiRefusal> {
        let key = self.resolve_user(user).await?;
        let _permit = self.api.reading.acquire(&caller.client).await;
        self.load_user(key).await
    }

    /// The key of a user with this id or external id, and the uid that the host has for the
    /// external id now.
    async fn resolve_user(&self, user: &str) -> Result<(AccountKey, Option<u32>), ApiRefusal> {
        if is_id("user", user) {
            return Ok((AccountKey::Id(user.to_owned()), None));
        }
        let name = external_id::to_name(user).ok_or(ApiRefusal::InvalidUserId)?;
        let (name, uid) = self.resolve_name(name).await?;
        Ok((AccountKey::from(&name), uid))
    }

    async fn load_user(&self, (key, uid): (AccountKey, Option<u32>)) -> Result<StoredAccount, ApiRefusal> {
        of_uid(self.load(key).await.map_err(EngineError::from)?, uid)
    }

    /// Finds a user by id or external id, as [`Engine::load_early`] does.
    async fn user_early(&self, user: &str) -> Result<StoredAccount, ApiRefusal> {
        let (key, uid) = self.resolve_user(user).await?;
        of_uid(self.load_early(key).await.map_err(EngineError::from)?, uid)
    }

    /// A name as the host spells it, and its uid. A name that the host does not know stays as it
    /// is.
    async fn resolve_name(&self, name: UserName) -> Result<(UserName, Option<u32>), ApiRefusal> {
        let found = self.users.find_for_application(&name).await.map_err(EngineError::from)?;
        Ok(found.map_or((name, None), |found| (found.name, Some(found.uid))))
    }

    /// Waits for the lock of a user.
    async fn lock_user(&self, caller: &Caller, user: &str) -> Result<ApplicationLockGuard<'_>, ApiRefusal> {
        let lock = async { Ok(self.user_locks.lock_for_application(user, &caller.client).await) };
        self.wait_authenticated(caller, lock).await
    }

    /// Changes the record of a user under the user's lock.
    async fn change_user<T>(
        &self,
        caller: &Caller,
        user: &Account<impl Sized>,
        space: SpaceUse,
        change: impl Fn(&mut Option<Account>, Time) -> Result<(T, Event, Vec<SideWrite>), ApiRefusal>,
    ) -> Result<T, ApiRefusal> {
        let _lock = self.lock_user(caller, user.display_name()).await?;
        self.change_locked(AccountKey::Id(user.id.clone()), space, &default_commit_deadline(), change).await
    }

    /// Commits rows that belong to no account, with their event if there is one.
    async fn commit_side_writes(
        &self,
        side_writes: Vec<SideWrite>,
        event: Option<&Event>,
        now: Time,
    ) -> Result<(), CommitError> {
        let row = event.map(|event| event.row(now));
        let change =
            ChangeSet { write: AccountWrite::Nothing, side_writes, space: SpaceUse::Essential, event: row };
        self.store.commit(change, default_commit_deadline()).await?;
        if let Some(event) = event {
            event.log();
        }
        Ok(())
    }
}
