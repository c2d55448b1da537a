//! What applications ask for through the HTTP API, decided by the same engine as logins: one user, one lock, one
//! memory of used codes, one history.

mod authenticate;
mod clients;
mod error;
mod keyring;
pub mod session_view;
mod sessions;
mod totps;
mod users;

pub use crate::engine::api::error::ApiRefusal;
pub use authenticate::{Authenticated, SessionOptions};
pub use clients::{AddedClient, AuthenticatedClient, Client, Scope, SecretVersion};
pub use keyring::{JWT_SECONDS, Keyring, PublicKey};
pub use sessions::{IssuedSession, SessionCredential};
pub use totps::{CreatedTotp, ShownCodes};
pub use users::{NewUser, UserChange, UserView};

use super::{Engine, EngineError, default_commit_deadline};
use crate::audit::{Event, EventSource};
use crate::fair_queue::FairQueue;
pub use crate::store::is_id;
use crate::store::{AccountKey, SideWrite, Stored};
use crate::sync::ignore_poison;
use crate::user_locks::ApplicationLockGuard;
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};
use totp_core::{Account, Time, UserName, external_id};

/// What the API keeps in memory, whatever the configuration.
#[derive(Debug)]
pub(super) struct Api {
    keyring: RwLock<Option<Arc<Keyring>>>,
    /// When each secret of a client was last used, since the daemon started.
    used: Mutex<HashMap<String, Time>>,
    /// How often secrets of clients were revoked.
    revocations: AtomicU64,
    /// Signing takes a millisecond of a processor: one at a time, so that the other ones are left to everything else.
    signing: FairQueue,
    reading: FairQueue,
}

/// Reads of all clients at once. Two threads read: more than a few would only queue there, in the order of arrival.
const READING: usize = 4;

impl Default for Api {
    fn default() -> Self {
        Self {
            keyring: RwLock::default(),
            used: Mutex::default(),
            revocations: AtomicU64::default(),
            signing: FairQueue::new(1),
            reading: FairQueue::new(READING),
        }
    }
}

/// The application that asks, and the request it asks with.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The name of its credentials.
    pub client: String,
    /// The secret of its credentials.
    pub secret: SecretVersion,
    /// What it may do.
    pub scope: Scope,
    /// Names the request in the answer and in the audit.
    pub request_id: String,
    /// Where it connected from.
    pub peer_address: Option<String>,
}

impl Caller {
    /// An event of this request about a user.
    fn event(&self, word: &'static str, user: &str, user_id: Option<&str>, now: Time) -> Event {
        let from = EventSource {
            client: Some(self.client.clone()),
            peer_address: self.peer_address.clone(),
            ..EventSource::default()
        };
        let event = Event::new(word, user, now, from);
        Event { id: Some(self.request_id.clone()), user_id: user_id.map(str::to_owned), ..event }
    }
}

impl Engine {
    /// The project that every client belongs to: the store.
    pub fn project_id(&self) -> String {
        format!("project-live-{}", self.store_id())
    }

    /// The record of a user who is named by their id or external id.
    async fn user(&self, user: &str) -> Result<Stored, ApiRefusal> {
        let wanted = self.wanted_user(user).await?;
        self.load_user(wanted).await
    }

    /// The same, as one of many reads that the client may ask for. It holds no permit while a directory is asked.
    async fn user_in_turn(&self, caller: &Caller, user: &str) -> Result<Stored, ApiRefusal> {
        let wanted = self.wanted_user(user).await?;
        let _permit = self.api.reading.acquire(&caller.client).await;
        self.load_user(wanted).await
    }

    /// The key of a user who is named by their id or external id, and the uid that the system has for the name.
    async fn wanted_user(&self, user: &str) -> Result<(AccountKey, Option<u32>), ApiRefusal> {
        if is_id("user", user) {
            return Ok((AccountKey::Id(user.to_owned()), None));
        }
        let name = external_id::to_name(user).ok_or(ApiRefusal::InvalidUserId)?;
        let (name, uid) = self.resolve(name).await?;
        Ok((AccountKey::from(&name), uid))
    }

    async fn load_user(&self, (key, uid): (AccountKey, Option<u32>)) -> Result<Stored, ApiRefusal> {
        let stored = self.load(key).await.map_err(EngineError::from)?.ok_or(ApiRefusal::UserNotFound)?;
        // A name that belongs to another uid by now is somebody else.
        let changed = uid.is_some() && stored.account.uid.is_some() && stored.account.uid != uid;
        if changed && !stored.damaged { Err(ApiRefusal::UserNotFound) } else { Ok(stored) }
    }

    /// The turn of the caller with a user, if its credentials are good still when it comes.
    async fn turn_of(&self, caller: &Caller, user: &str) -> Result<ApplicationLockGuard<'_>, ApiRefusal> {
        let turn = self.turns.lock_for_application(user, &caller.client).await;
        self.is_current(caller).await.map(|()| turn)
    }

    /// Changes the record of a user in the application's turn with him.
    async fn change_of<T>(
        &self,
        caller: &Caller,
        user: &Account<impl Sized>,
        grows: bool,
        change: impl Fn(&mut Option<Account>, Time) -> Result<(T, Event, Vec<SideWrite>), ApiRefusal>,
    ) -> Result<T, ApiRefusal> {
        let _turn = self.turn_of(caller, user.display_name()).await?;
        self.change_in_turn(AccountKey::Id(user.id.clone()), grows, &default_commit_deadline(), change).await
    }

    /// A name as the system has it, with its uid; as it was given when the system knows nobody of it.
    async fn resolve(&self, name: UserName) -> Result<(UserName, Option<u32>), ApiRefusal> {
        let found = self.users.find_for_application(&name).await.map_err(EngineError::from)?;
        Ok(found.map_or((name, None), |found| (found.name, Some(found.uid))))
    }

    fn api_used(&self, secret_id: &str, now: Time) {
        let mut used = ignore_poison(self.api.used.lock());
        used.insert(secret_id.to_owned(), now);
    }
}
