//! A store in memory, for tests of the engine and of the contract: the same versions, conflicts and
//! refusals as a database's, without a disk. The daemon does not contain it.

mod data;
mod search;
#[cfg(test)]
mod tests;

use crate::store::account::{AccountKey, StoredAccount};
use crate::store::change::ChangeSet;
use crate::store::copies::Snapshot;
use crate::store::error::{CommitError, ReadError};
use crate::store::memory::data::Data;
use crate::store::overview::Overview;
use crate::store::query::{HistoryQuery, HistoryRow, UserPage, UserQuery};
use crate::store::rows::{ClientRow, KeyRow, SessionKey, StoredSession};
use crate::store::{CommitGuard, Committed, Health, Store, StoreFuture};
use crate::sync::ignore_poison;
use std::sync::{Arc, Mutex};
use totp_core::Time;
use totp_core::withdrawal::{Entry, Refusals};

/// A store in memory.
#[derive(Debug)]
pub(crate) struct Memory {
    data: Mutex<Data>,
    health: Mutex<Health>,
    /// How the next commit ends, instead of as it would.
    next_failure: Mutex<Option<CommitError>>,
    keep_events: usize,
}

impl Memory {
    /// An empty store that keeps so many events.
    pub(crate) fn new(keep_events: usize) -> Self {
        Self {
            data: Mutex::default(),
            health: Mutex::new(Health::Serving),
            next_failure: Mutex::default(),
            keep_events,
        }
    }

    /// What was withdrawn, as a witness would list it.
    pub(crate) fn withdrawals(&self) -> Vec<Entry> {
        ignore_poison(self.data.lock()).withdrawals.clone()
    }

    /// From now on the store serves like this.
    pub(crate) fn set_health(&self, health: Health) {
        *ignore_poison(self.health.lock()) = health;
    }

    /// The next commit ends with `error`. It is made all the same if that is
    /// [`CommitError::InDoubt`], and by no other.
    pub(crate) fn fail_next_commit(&self, error: CommitError) {
        *ignore_poison(self.next_failure.lock()) = Some(error);
    }

    fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Data) -> T + Send + 'static,
    ) -> StoreFuture<'_, Result<T, ReadError>> {
        Box::pin(async move {
            // As with a database, other tasks run between a request and its result.
            tokio::task::yield_now().await;
            match self.health().reason() {
                None => {
                    let data = ignore_poison(self.data.lock());
                    Ok(query(&data))
                }
                Some(why) => Err(ReadError(why)),
            }
        })
    }
}

impl Store for Memory {
    fn load(&self, key: AccountKey) -> StoreFuture<'_, Result<Option<StoredAccount>, ReadError>> {
        self.read(move |data| data.account(&key).cloned())
    }

    fn commit(
        &self,
        change: ChangeSet,
        guard: Arc<CommitGuard>,
    ) -> StoreFuture<'_, Result<Committed, CommitError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            if let Some(why) = self.health().reason() {
                return Err(CommitError::Unavailable(why));
            }
            let failure = ignore_poison(self.next_failure.lock()).take();
            if let Some(error) = failure.clone().filter(|error| !matches!(error, CommitError::InDoubt(_))) {
                return Err(error);
            }
            let mut data = ignore_poison(self.data.lock());
            if !guard.claim() {
                return Err(CommitError::Cancelled);
            }
            // A change that fails half way is dropped with its copy.
            let mut changed = data.clone();
            if let Err(refused) = changed.apply(&change) {
                guard.release();
                return Err(refused);
            }
            changed.keep_latest(self.keep_events);
            *data = changed;
            failure.map_or(Ok(Committed(())), Err)
        })
    }

    fn accounts(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<StoredAccount>, ReadError>> {
        self.read(move |data| {
            let after = after.unwrap_or_default();
            let mut named: Vec<(&str, &StoredAccount)> = data
                .accounts
                .values()
                .filter_map(|stored| Some((stored.account.name.as_ref()?.as_str(), stored)))
                .filter(|(name, _)| *name > after.as_str())
                .collect();
            named.sort_by_key(|(name, _)| *name);
            named.into_iter().take(limit).map(|(_, stored)| stored.clone()).collect()
        })
    }

    fn expired_pending(&self, now: Time, limit: usize) -> StoreFuture<'_, Result<Vec<String>, ReadError>> {
        self.read(move |data| {
            let accounts = data.accounts.values().map(|stored| &stored.account);
            let expired = accounts.filter(|account| account.pending_expires().is_some_and(|at| at <= now));
            expired.take(limit).map(|account| account.id.clone()).collect()
        })
    }

    fn accounts_of_uid(&self, uid: u32) -> StoreFuture<'_, Result<Vec<StoredAccount>, ReadError>> {
        self.read(move |data| {
            data.accounts.values().filter(|stored| stored.account.uid == Some(uid)).cloned().collect()
        })
    }

    fn history(&self, query: HistoryQuery) -> StoreFuture<'_, Result<Vec<HistoryRow>, ReadError>> {
        self.read(move |data| data.history(&query))
    }

    fn overview(&self, now: Time, since: Time) -> StoreFuture<'_, Result<Overview, ReadError>> {
        self.read(move |data| data.overview(now, since))
    }

    fn last_logins(&self, names: Vec<String>) -> StoreFuture<'_, Result<Vec<Option<Time>>, ReadError>> {
        self.read(move |data| names.iter().map(|name| data.last_login(name)).collect())
    }

    fn search_users(&self, query: UserQuery) -> StoreFuture<'_, Result<UserPage, ReadError>> {
        self.read(move |data| search::search(data.accounts.values(), &query))
    }

    fn session(&self, key: SessionKey) -> StoreFuture<'_, Result<Option<StoredSession>, ReadError>> {
        self.read(move |data| {
            let is_it = |stored: &&StoredSession| match &key {
                SessionKey::Id(id) => stored.row.id == *id,
                SessionKey::Token(hash) => stored.row.token == *hash,
            };
            data.sessions.iter().find(is_it).cloned()
        })
    }

    fn sessions_of(&self, account: String) -> StoreFuture<'_, Result<Vec<StoredSession>, ReadError>> {
        self.read(move |data| data.sessions_of(&account))
    }

    fn has_expired_session(&self, now: Time) -> StoreFuture<'_, Result<bool, ReadError>> {
        self.read(move |data| data.sessions.iter().any(|stored| stored.row.expires <= now))
    }

    fn client(&self, secret_id: String) -> StoreFuture<'_, Result<Option<ClientRow>, ReadError>> {
        self.read(move |data| data.clients.iter().find(|row| row.secret_id == secret_id).cloned())
    }

    fn clients(&self) -> StoreFuture<'_, Result<Vec<ClientRow>, ReadError>> {
        self.read(|data| {
            let mut clients = data.clients.clone();
            clients.sort_by(|one, other| one.name.cmp(&other.name));
            clients
        })
    }

    fn signing_keys(&self) -> StoreFuture<'_, Result<Vec<KeyRow>, ReadError>> {
        self.read(|data| {
            let mut keys = data.keys.clone();
            keys.sort_by(|one, other| (one.created, &one.id).cmp(&(other.created, &other.id)));
            keys
        })
    }

    fn health(&self) -> Health {
        ignore_poison(self.health.lock()).clone()
    }

    fn latest_grant(&self) -> Time {
        ignore_poison(self.data.lock()).latest_grant
    }

    fn refusals(&self) -> Arc<Refusals> {
        // It is never an older copy of anything.
        Arc::default()
    }

    fn snapshot(&self) -> StoreFuture<'_, Result<Snapshot, ReadError>> {
        Box::pin(async { Err(ReadError("a store in memory has no copy".to_owned())) })
    }
}
