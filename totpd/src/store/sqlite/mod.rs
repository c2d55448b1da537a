//! SQLite, the embedded default: WAL, `synchronous=FULL`, one writer thread with group commit, and
//! readers.

mod accounts;
mod applications;
mod apply;
mod checkpointer;
mod compare;
mod connection;
mod copying;
mod failure;
mod file_watch;
mod history;
mod housekeeping;
mod meta;
mod open;
mod overview;
mod reader;
mod replaced;
mod restore;
mod schema;
mod search;
mod side_writes;
mod snapshot;
mod space;
#[cfg(test)]
mod tests;
mod withdrawals;
mod writer;

pub(super) use compare::Start;
pub(super) use copying::SqliteEnd;
pub(super) use open::create;
pub(super) use replaced::latest_withdrawals;
pub(super) use restore::prepare_restore;
pub(super) use snapshot::check_snapshot;

use crate::seal::Sealer;
use crate::store::account::{AccountKey, StoredAccount};
use crate::store::change::ChangeSet;
use crate::store::copies::Snapshot;
use crate::store::error::{CommitError, OpenError, ReadError};
use crate::store::overview::Overview;
use crate::store::query::{HistoryQuery, HistoryRow, UserPage, UserQuery};
use crate::store::queue::{self, Queue};
use crate::store::rows::{ClientRow, KeyRow, SessionKey, StoredSession};
use crate::store::shared::Shared;
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::file_watch::FileWatch;
use crate::store::sqlite::reader::Readers;
use crate::store::sqlite::writer::Writer;
use crate::store::{CommitGuard, Committed, Health, Store, StoreFuture};
use crate::witness::Witness;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use totp_core::Time;
use totp_core::withdrawal::Refusals;

/// An open database.
#[derive(Debug)]
pub(super) struct Sqlite {
    /// `None` once the store is closed.
    queue: Option<Queue>,
    writer: Option<JoinHandle<()>>,
    readers: Readers,
    shared: Shared,
    failure: Failure,
    _watch: FileWatch,
    state_dir: PathBuf,
    /// Held while a copy is made: one at a time.
    snapshots: Arc<Mutex<()>>,
}

impl Sqlite {
    /// Opens the database in `state_dir`, which [`create`] made. Makes no file.
    ///
    /// # Errors
    /// [`OpenError`]: one sentence that says what to check.
    pub(super) fn open(
        state_dir: &Path,
        sealer: &Sealer,
        keep_events: u64,
        mut witness: Witness,
        start: Start,
    ) -> Result<Self, OpenError> {
        let (mut db, mine) = open::writer(state_dir, sealer)?;
        let latest_grant = meta::latest_grant(&db, state_dir)?;
        let refusals = compare::with_witness(&mut db, &mut witness, start)?;
        let shared = Shared::new(latest_grant, refusals);
        snapshot::remove(state_dir);
        let readers = Readers::start(state_dir)?;
        let failure = Failure::default();
        let (queue, jobs) = Queue::new();
        let writer =
            Writer::new((db, mine), state_dir, keep_events, shared.clone(), failure.clone(), witness)?;
        let writer = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(jobs))
            .map_err(OpenError::Thread)?;
        Ok(Self {
            queue: Some(queue),
            writer: Some(writer),
            readers,
            shared,
            _watch: FileWatch::start(state_dir, failure.clone())?,
            failure,
            state_dir: state_dir.to_owned(),
            snapshots: Arc::default(),
        })
    }
}

impl Drop for Sqlite {
    /// Finishes what is queued, then closes the file.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Store for Sqlite {
    fn load(&self, key: AccountKey) -> StoreFuture<'_, Result<Option<StoredAccount>, ReadError>> {
        Box::pin(self.readers.run(move |db| accounts::load(db, &key)))
    }

    fn commit(
        &self,
        change: ChangeSet,
        guard: Arc<CommitGuard>,
    ) -> StoreFuture<'_, Result<Committed, CommitError>> {
        Box::pin(async move {
            let queue = self.queue.as_ref().ok_or_else(queue::closed)?;
            queue.commit(change, guard).await
        })
    }

    fn accounts(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<StoredAccount>, ReadError>> {
        Box::pin(self.readers.run_long(move |db| accounts::page(db, after.as_deref(), limit)))
    }

    fn expired_pending(&self, now: Time, limit: usize) -> StoreFuture<'_, Result<Vec<String>, ReadError>> {
        Box::pin(self.readers.run_long(move |db| accounts::expired_pending(db, now, limit)))
    }

    fn accounts_of_uid(&self, uid: u32) -> StoreFuture<'_, Result<Vec<StoredAccount>, ReadError>> {
        Box::pin(self.readers.run(move |db| accounts::of_uid(db, uid)))
    }

    fn history(&self, query: HistoryQuery) -> StoreFuture<'_, Result<Vec<HistoryRow>, ReadError>> {
        Box::pin(self.readers.run_long(move |db| history::page(db, &query)))
    }

    fn overview(&self, now: Time, since: Time) -> StoreFuture<'_, Result<Overview, ReadError>> {
        Box::pin(self.readers.run_long(move |db| overview::overview(db, now, since)))
    }

    fn last_logins(&self, names: Vec<String>) -> StoreFuture<'_, Result<Vec<Option<Time>>, ReadError>> {
        Box::pin(self.readers.run_long(move |db| history::last_logins(db, &names)))
    }

    fn search_users(&self, query: UserQuery) -> StoreFuture<'_, Result<UserPage, ReadError>> {
        Box::pin(self.readers.run_search(move |db| search::search(db, &query)))
    }

    fn session(&self, key: SessionKey) -> StoreFuture<'_, Result<Option<StoredSession>, ReadError>> {
        Box::pin(self.readers.run(move |db| applications::session(db, &key)))
    }

    fn sessions_of(&self, account: String) -> StoreFuture<'_, Result<Vec<StoredSession>, ReadError>> {
        Box::pin(self.readers.run(move |db| applications::sessions_of(db, &account)))
    }

    fn has_expired_session(&self, now: Time) -> StoreFuture<'_, Result<bool, ReadError>> {
        Box::pin(self.readers.run_long(move |db| applications::has_expired(db, now)))
    }

    fn client(&self, secret_id: String) -> StoreFuture<'_, Result<Option<ClientRow>, ReadError>> {
        Box::pin(self.readers.run(move |db| applications::client(db, &secret_id)))
    }

    fn clients(&self) -> StoreFuture<'_, Result<Vec<ClientRow>, ReadError>> {
        Box::pin(self.readers.run(applications::clients))
    }

    fn signing_keys(&self) -> StoreFuture<'_, Result<Vec<KeyRow>, ReadError>> {
        Box::pin(self.readers.run(applications::signing_keys))
    }

    fn health(&self) -> Health {
        self.failure.health()
    }

    fn latest_grant(&self) -> Time {
        self.shared.latest_grant()
    }

    fn refusals(&self) -> Arc<Refusals> {
        self.shared.refusals()
    }

    fn snapshot(&self) -> StoreFuture<'_, Result<Snapshot, ReadError>> {
        let (state_dir, snapshots) = (self.state_dir.clone(), Arc::clone(&self.snapshots));
        Box::pin(async move {
            let made = tokio::task::spawn_blocking(move || snapshot::take(&state_dir, &snapshots));
            made.await.unwrap_or_else(|_| Err(ReadError("the copy was not made".to_owned())))
        })
    }
}
