//! PostgreSQL: one store of several daemons. The same records, versions and conflicts as SQLite's;
//! a pool of connections to the server that accepts writes, and group commit.
//!
//! ```text
//! Store ─┬─ reads ──▶ reads.rs ───▶ pool.rs ──▶ dial.rs ──▶ session.rs, compare.rs
//!        └─ commit ─▶ writer.rs ──▶ transaction.rs ─┬─▶ login.rs   (one statement each)
//!                                                   └─▶ apply.rs   (a savepoint each)
//! watch.rs: health, clocks, and what other daemons wrote
//! ```

mod accounts;
mod applications;
mod apply;
mod batch;
mod columns;
mod compare;
mod connection;
mod copying;
mod dial;
mod durable;
mod fault;
mod history;
mod known;
mod login;
mod meta;
mod open;
mod overview;
mod password;
mod plain;
mod pool;
mod reads;
mod schema;
mod search;
mod session;
mod side_writes;
mod slots;
mod status;
mod steps;
#[cfg(test)]
mod tests;
mod tls;
mod together;
mod transaction;
mod trim;
mod watch;
mod withdrawals;
mod writer;

pub(super) use copying::PostgresEnd;
pub(super) use open::create;

use crate::config::server_url::PostgresSettings;
use crate::seal::Sealer;
use crate::store::account::{AccountKey, StoredAccount};
use crate::store::change::ChangeSet;
use crate::store::copies::{OlderCopy, Snapshot};
use crate::store::error::{CommitError, OpenError, ReadError};
use crate::store::overview::Overview;
use crate::store::postgres::batch::Committer;
use crate::store::postgres::dial::Dialer;
use crate::store::postgres::known::Known;
use crate::store::postgres::pool::Core;
use crate::store::postgres::reads::Reads;
use crate::store::postgres::session::Role;
use crate::store::postgres::status::Status;
use crate::store::postgres::trim::Trim;
use crate::store::postgres::writer::{CONNECTIONS, Writer};
use crate::store::query::{HistoryQuery, HistoryRow, UserPage, UserQuery};
use crate::store::queue::{self, Queue};
use crate::store::rows::{ClientRow, KeyRow, SessionKey, StoredSession};
use crate::store::{CommitGuard, Committed, Health, Store, StoreFuture};
use crate::sync::ignore_poison;
use crate::witness::Witness;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use totp_core::Time;
use totp_core::withdrawal::Refusals;

/// What the store's thread does until the store is closed.
type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An open store.
#[derive(Debug)]
pub(super) struct Postgres {
    core: Arc<Core>,
    reads: Reads,
    /// `None` once the store is closed.
    queue: Option<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl Postgres {
    /// Opens the store in the database, which [`create`] made. Makes nothing but the tables of a
    /// newer schema.
    ///
    /// # Errors
    /// [`OpenError`]: one sentence that says what to check.
    pub(super) async fn open(
        settings: &PostgresSettings,
        sealer: &Sealer,
        keep_events: u64,
        witness: Witness,
        older: OlderCopy,
    ) -> Result<Self, OpenError> {
        let (begin, work) = oneshot::channel::<Work>();
        let (runtime, thread) = start_thread(work)?;
        let core = Arc::new(Core {
            dialer: Dialer::new(settings.url.clone(), settings.password_file.as_deref()),
            name: settings.url.to_string(),
            store_id: sealer.store_id().to_owned(),
            known: Known::new(witness),
            status: Status::serving(),
            runtime,
            failed: Notify::new(),
            findings: Mutex::default(),
        });
        let slots = open::prepare(&core, sealer, older).await?;
        let mistake = |error: deadpool::managed::BuildError| OpenError::Server(error.to_string());
        let writes = pool::new(&core, Role::Write, CONNECTIONS).map_err(mistake)?;
        let watch = pool::new(&core, Role::Read, 1).map_err(mistake)?;
        let trim = Trim::new(&core, writes.clone(), keep_events);
        let (queue, jobs) = Queue::new();
        let writer = Writer::new(&core, Committer::new(&core, writes, trim, slots));
        let watching = watch::run(Arc::clone(&core), watch);
        let work: Work = Box::pin(async move {
            tokio::select! {
                () = writer.run(jobs) => {}
                () = watching => {}
            }
        });
        let _ = begin.send(work);
        let reads = Reads::new(&core).map_err(mistake)?;
        Ok(Self { core, reads, queue: Some(queue), thread: Some(thread) })
    }
}

/// Starts the thread on which connections live, and which ends with its work.
fn start_thread(work: oneshot::Receiver<Work>) -> Result<(Handle, JoinHandle<()>), OpenError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(4)
        .enable_all()
        .build()
        .map_err(OpenError::Thread)?;
    let handle = runtime.handle().clone();
    let run = move || {
        runtime.block_on(async {
            if let Ok(work) = work.await {
                work.await;
            }
        });
        // A name look-up that hangs must not keep the process from its end.
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name("store-postgres".into()).spawn(run);
    Ok((handle, thread.map_err(OpenError::Thread)?))
}

impl Drop for Postgres {
    /// Finishes what is queued, then closes the connections.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Store for Postgres {
    fn load(&self, key: AccountKey) -> StoreFuture<'_, Result<Option<StoredAccount>, ReadError>> {
        Box::pin(self.reads.short(move |db| {
            let key = key.clone();
            Box::pin(async move { accounts::load(db, &key).await })
        }))
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
        Box::pin(self.reads.long(move |db| {
            let after = after.clone();
            Box::pin(async move { accounts::page(db, after.as_deref(), limit).await })
        }))
    }

    fn expired_pending(&self, now: Time, limit: usize) -> StoreFuture<'_, Result<Vec<String>, ReadError>> {
        Box::pin(self.reads.long(move |db| Box::pin(accounts::expired_pending(db, now, limit))))
    }

    fn accounts_of_uid(&self, uid: u32) -> StoreFuture<'_, Result<Vec<StoredAccount>, ReadError>> {
        Box::pin(self.reads.short(move |db| Box::pin(accounts::of_uid(db, uid))))
    }

    fn history(&self, query: HistoryQuery) -> StoreFuture<'_, Result<Vec<HistoryRow>, ReadError>> {
        Box::pin(self.reads.long(move |db| {
            let query = query.clone();
            Box::pin(async move { history::page(db, &query).await })
        }))
    }

    fn overview(&self, now: Time, since: Time) -> StoreFuture<'_, Result<Overview, ReadError>> {
        Box::pin(self.reads.long(move |db| Box::pin(overview::overview(db, now, since))))
    }

    fn last_logins(&self, names: Vec<String>) -> StoreFuture<'_, Result<Vec<Option<Time>>, ReadError>> {
        Box::pin(self.reads.long(move |db| {
            let names = names.clone();
            Box::pin(async move { history::last_logins(db, &names).await })
        }))
    }

    fn search_users(&self, query: UserQuery) -> StoreFuture<'_, Result<UserPage, ReadError>> {
        Box::pin(self.reads.long(move |db| {
            let query = query.clone();
            Box::pin(async move { search::search(db, &query).await })
        }))
    }

    fn session(&self, key: SessionKey) -> StoreFuture<'_, Result<Option<StoredSession>, ReadError>> {
        Box::pin(self.reads.short(move |db| {
            let key = key.clone();
            Box::pin(async move { applications::session(db, &key).await })
        }))
    }

    fn sessions_of(&self, account: String) -> StoreFuture<'_, Result<Vec<StoredSession>, ReadError>> {
        Box::pin(self.reads.short(move |db| {
            let account = account.clone();
            Box::pin(async move { applications::sessions_of(db, &account).await })
        }))
    }

    fn has_expired_session(&self, now: Time) -> StoreFuture<'_, Result<bool, ReadError>> {
        Box::pin(self.reads.long(move |db| Box::pin(applications::has_expired(db, now))))
    }

    fn client(&self, secret_id: String) -> StoreFuture<'_, Result<Option<ClientRow>, ReadError>> {
        Box::pin(self.reads.short(move |db| {
            let secret_id = secret_id.clone();
            Box::pin(async move { applications::client(db, &secret_id).await })
        }))
    }

    fn clients(&self) -> StoreFuture<'_, Result<Vec<ClientRow>, ReadError>> {
        Box::pin(self.reads.short(|db| Box::pin(applications::clients(db))))
    }

    fn signing_keys(&self) -> StoreFuture<'_, Result<Vec<KeyRow>, ReadError>> {
        Box::pin(self.reads.short(|db| Box::pin(applications::signing_keys(db))))
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn health(&self) -> Health {
        self.core.status.health()
    }

    fn notices(&self) -> Vec<String> {
        ignore_poison(self.core.findings.lock()).values().flatten().cloned().collect()
    }

    fn latest_grant(&self) -> Time {
        self.core.known.shared.latest_grant()
    }

    fn refusals(&self) -> Arc<Refusals> {
        self.core.known.shared.refusals()
    }

    fn snapshot(&self) -> StoreFuture<'_, Result<Snapshot, ReadError>> {
        Box::pin(async move {
            Err(ReadError(format!(
                "the store is {}, which has tools of its own for backups: pg_basebackup, or pg_dump. Keep the key and store.id \
                 of this host beside them",
                self.core.name
            )))
        })
    }
}
