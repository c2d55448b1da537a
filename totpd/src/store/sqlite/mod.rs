//! SQLite, the embedded default: WAL, `synchronous=FULL`, one writer thread with group commit, and readers.

mod apply;
mod file_watch;
mod open;
mod overview;
mod reader;
mod replaced;
mod search;
mod snapshot;
mod withdrawals;
mod writer;

pub use open::{OpenError, create, database_file};
pub use replaced::latest_withdrawals;
pub use snapshot::{SNAPSHOT, check as check_snapshot};
pub use withdrawals::{Restored, restored};

use super::{
    AccountKey, ChangeSet, ClientRow, CommitError, CommitGuard, Committed, HistoryQuery, HistoryRow, KeyRow,
    Overview, ReadError, SessionKey, SessionRow, Snapshot, Store, StoreFuture, StoredAccount, StoredSession,
    UserPage, UserQuery,
};
use crate::seal::{SealedAccount, Sealer};
use crate::store::sqlite::file_watch::StoreFiles;
use crate::sync::ignore_poison;
use crate::witness::Witness;
use reader::Readers;
use rusqlite::{Row, params};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use tokio::sync::oneshot;
use totp_core::withdrawal::Refusals;
use totp_core::{Account, Time, UserName};

/// Why everything is refused, once it is.
type FatalError = Arc<OnceLock<Poisoned>>;

/// A store that refuses everything until a fresh process reopens it.
#[derive(Debug)]
struct Poisoned {
    why: String,
    /// Whether what was written to the open files stands.
    whole: bool,
}

/// An open database.
#[derive(Debug)]
pub struct Sqlite {
    jobs: Option<tokio::sync::mpsc::Sender<Job>>,
    writer: Option<std::thread::JoinHandle<()>>,
    readers: Readers,
    poison: FatalError,
    place: StoreFiles,
    latest_grant: Arc<AtomicU64>,
    refusals: SharedRefusals,
    state_dir: PathBuf,
    /// Held while a copy is made: one at a time.
    snapshots: Arc<Mutex<()>>,
}

/// When a store is opened, and whether an administrator has accepted that it is older than its witness.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// The moment.
    pub now: Time,
    /// It was accepted.
    pub accept: bool,
}

/// What the writer changes and everybody reads.
type SharedRefusals = Arc<RwLock<Arc<Refusals>>>;

/// A change on its way to the writer.
#[derive(Debug)]
struct Job {
    change: ChangeSet,
    ticket: Arc<CommitGuard>,
    reply: oneshot::Sender<Result<Committed, CommitError>>,
}

/// Changes that may wait for the writer; more is refused as busy.
const QUEUE: usize = 4096;
/// The records that one answer holds, in bytes of what is stored, and sessions.
const PAGE_BYTES: usize = 1024 * 1024;
const MOST_SESSIONS: u32 = 1_000;

impl Sqlite {
    /// Opens the database in `state_dir`, which [`create`] made. Creates nothing.
    ///
    /// # Errors
    /// [`OpenError`]: one sentence that says what to look at.
    pub fn open(
        state_dir: &Path,
        sealer: &Sealer,
        keep_events: u64,
        mut witness: Witness,
        start: Start,
    ) -> Result<Self, OpenError> {
        let (mut writer, mine) = open::writer(state_dir, sealer)?;
        let latest_grant = Arc::new(AtomicU64::new(open::latest_grant(&writer, state_dir)?));
        let refusals = withdrawals::settle(&mut writer, &mut witness, start)?;
        let refusals: SharedRefusals = Arc::new(RwLock::new(Arc::new(refusals)));
        snapshot::remove(state_dir);
        let readers = Readers::start(state_dir)?;
        let poison = FatalError::default();
        let (jobs, queue) = tokio::sync::mpsc::channel(QUEUE);
        let writer = writer::Writer::new(
            writer,
            (mine, Arc::clone(&latest_grant)),
            state_dir,
            keep_events,
            Arc::clone(&poison),
            witness,
            Arc::clone(&refusals),
        )?;
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(queue))
            .map_err(OpenError::Thread)?;
        Ok(Self {
            jobs: Some(jobs),
            writer: Some(thread),
            readers,
            poison,
            place: StoreFiles::of(state_dir),
            latest_grant,
            refusals,
            state_dir: state_dir.to_owned(),
            snapshots: Arc::default(),
        })
    }

    async fn commit_now(
        &self,
        change: ChangeSet,
        ticket: Arc<CommitGuard>,
    ) -> Result<Committed, CommitError> {
        let (reply, answer) = oneshot::channel();
        let job = Job { change, ticket, reply };
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.try_send(job).map_err(|error| match error {
            tokio::sync::mpsc::error::TrySendError::Full(_) => CommitError::Cancelled,
            tokio::sync::mpsc::error::TrySendError::Closed(_) => stopped(),
        })?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

fn stopped() -> CommitError {
    CommitError::Unavailable("the store is closed".to_owned())
}

impl Drop for Sqlite {
    /// Finishes what is queued, then closes.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Store for Sqlite {
    fn load(&self, key: AccountKey) -> StoreFuture<'_, Result<Option<StoredAccount>, ReadError>> {
        Box::pin(self.readers.run(move |db| {
            let (condition, value) = match &key {
                AccountKey::Name(name) => ("name = ?1", name.as_str()),
                AccountKey::Id(id) => ("id = ?1", id.as_str()),
                AccountKey::Totp(id) => ("active_totp = ?1 OR pending_totp = ?1", id.as_str()),
            };
            let sql = format!("SELECT record, version, id, name FROM account WHERE {condition}");
            let mut statement = db.prepare_cached(&sql)?;
            let mut rows = statement.query([value])?;
            rows.next()?.map(stored).transpose()
        }))
    }

    fn commit(
        &self,
        change: ChangeSet,
        ticket: Arc<CommitGuard>,
    ) -> StoreFuture<'_, Result<Committed, CommitError>> {
        Box::pin(self.commit_now(change, ticket))
    }

    fn accounts(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<StoredAccount>, ReadError>> {
        Box::pin(self.readers.run_long(move |db| {
            let mut statement = db.prepare_cached(
                "SELECT record, version, id, name FROM account WHERE name > ?1 ORDER BY name LIMIT ?2",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![after.unwrap_or_default(), limit], stored)?;
            rows.collect()
        }))
    }

    fn expired_pending(&self, now: Time, limit: usize) -> StoreFuture<'_, Result<Vec<String>, ReadError>> {
        Box::pin(self.readers.run_long(move |db| {
            let mut statement =
                db.prepare_cached("SELECT id FROM account WHERE pending_until <= ?1 LIMIT ?2")?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            statement.query_map(params![sql_time(now), limit], |row| row.get(0))?.collect()
        }))
    }

    fn accounts_of_uid(&self, uid: u32) -> StoreFuture<'_, Result<Vec<StoredAccount>, ReadError>> {
        Box::pin(self.readers.run(move |db| {
            let mut statement =
                db.prepare_cached("SELECT record, version, id, name FROM account WHERE uid = ?1")?;
            let rows = statement.query_map(params![uid], stored)?;
            rows.collect()
        }))
    }

    fn history(&self, query: HistoryQuery) -> StoreFuture<'_, Result<Vec<HistoryRow>, ReadError>> {
        Box::pin(self.readers.run_long(move |db| {
            let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
            let before = query.before.unwrap_or(i64::MAX);
            let since = query.since.map_or(0, sql_time);
            let kept = |row: &Row<'_>| Ok(HistoryRow { seq: row.get(0)?, json: row.get(1)? });
            // Two statements, so that each has its index.
            match query.user {
                Some(user) => db
                    .prepare_cached(
                        "SELECT seq, event FROM history WHERE name = ?1 AND seq < ?2 AND at >= ?3
                         ORDER BY seq DESC LIMIT ?4",
                    )?
                    .query_map(params![user, before, since, limit], kept)?
                    .collect(),
                None => db
                    .prepare_cached(
                        "SELECT seq, event FROM history WHERE seq < ?1 AND at >= ?2 ORDER BY seq DESC LIMIT ?3",
                    )?
                    .query_map(params![before, since, limit], kept)?
                    .collect(),
            }
        }))
    }

    fn overview(&self, now: Time, since: Time) -> StoreFuture<'_, Result<Overview, ReadError>> {
        Box::pin(self.readers.run_long(move |db| overview::overview(db, now, since)))
    }

    fn last_logins(&self, names: Vec<String>) -> StoreFuture<'_, Result<Vec<Option<Time>>, ReadError>> {
        Box::pin(self.readers.run_long(move |db| overview::last_logins(db, &names)))
    }

    fn search_users(&self, query: UserQuery) -> StoreFuture<'_, Result<UserPage, ReadError>> {
        Box::pin(self.readers.run_search(move |db| search::found(db, &query)))
    }

    fn session(&self, key: SessionKey) -> StoreFuture<'_, Result<Option<StoredSession>, ReadError>> {
        Box::pin(self.readers.run(move |db| {
            let (condition, value) = match &key {
                SessionKey::Id(id) => ("id = ?1", id),
                SessionKey::Token(hash) => ("token = ?1", hash),
            };
            let sql =
                format!("SELECT id, account, token, expires, record, version FROM session WHERE {condition}");
            let mut statement = db.prepare_cached(&sql)?;
            let mut rows = statement.query([value])?;
            rows.next()?.map(stored_session).transpose()
        }))
    }

    fn sessions_of(&self, account: String) -> StoreFuture<'_, Result<Vec<StoredSession>, ReadError>> {
        Box::pin(self.readers.run(move |db| {
            let mut statement = db.prepare_cached(
                "SELECT id, account, token, expires, record, version FROM session WHERE account = ?1
                 ORDER BY rowid DESC LIMIT ?2",
            )?;
            let (mut sessions, mut bytes) = (Vec::new(), 0);
            for session in statement.query_map(params![account, MOST_SESSIONS], stored_session)? {
                let session = session?;
                bytes += session.row.record.len();
                if bytes > PAGE_BYTES {
                    break;
                }
                sessions.push(session);
            }
            sessions.reverse();
            Ok(sessions)
        }))
    }

    fn has_expired_session(&self, now: Time) -> StoreFuture<'_, Result<bool, ReadError>> {
        Box::pin(self.readers.run_long(move |db| {
            let mut statement = db.prepare_cached("SELECT 1 FROM session WHERE expires <= ?1 LIMIT 1")?;
            statement.exists([sql_time(now)])
        }))
    }

    fn client(&self, secret_id: String) -> StoreFuture<'_, Result<Option<ClientRow>, ReadError>> {
        Box::pin(self.readers.run(move |db| {
            let mut statement =
                db.prepare_cached("SELECT secret_id, name, record FROM client WHERE secret_id = ?1")?;
            let mut rows = statement.query([secret_id])?;
            rows.next()?.map(client).transpose()
        }))
    }

    fn clients(&self) -> StoreFuture<'_, Result<Vec<ClientRow>, ReadError>> {
        Box::pin(self.readers.run(move |db| {
            let mut statement =
                db.prepare_cached("SELECT secret_id, name, record FROM client ORDER BY name, rowid")?;
            statement.query_map([], client)?.collect()
        }))
    }

    fn signing_keys(&self) -> StoreFuture<'_, Result<Vec<KeyRow>, ReadError>> {
        Box::pin(self.readers.run(move |db| {
            let mut statement =
                db.prepare_cached("SELECT id, created, record FROM signing_key ORDER BY created, id")?;
            let key = |row: &Row<'_>| {
                Ok(KeyRow { id: row.get(0)?, created: read_time(row.get(1)?), record: row.get(2)? })
            };
            statement.query_map([], key)?.collect()
        }))
    }

    fn poisoned(&self) -> Option<String> {
        self.poison.get().map(|poisoned| poisoned.why.clone())
    }

    fn latest_grant(&self) -> Time {
        Time::from_unix(self.latest_grant.load(Ordering::Acquire))
    }

    fn refusals(&self) -> Arc<Refusals> {
        ignore_poison(self.refusals.read()).clone()
    }

    fn snapshot(&self) -> StoreFuture<'_, Result<Snapshot, ReadError>> {
        let (state_dir, snapshots) = (self.state_dir.clone(), Arc::clone(&self.snapshots));
        Box::pin(async move {
            let made = tokio::task::spawn_blocking(move || snapshot::take(&state_dir, &snapshots));
            made.await.unwrap_or_else(|_| Err(ReadError("the copy was not made".to_owned())))
        })
    }

    fn look(&self) -> StoreFuture<'_, Result<(), ReadError>> {
        let (place, poison) = (self.place.clone(), Arc::clone(&self.poison));
        // On a thread that may wait for a disk.
        Box::pin(self.readers.run(move |_| {
            if poison.get().is_none()
                && let Some(file) = place.gone()
            {
                let why = format!(
                    "{} was moved away or replaced under the running totpd, which refuses everything until it is \
                     restarted: it serves what is there then",
                    file.display()
                );
                tracing::error!("{why}");
                let _ = poison.set(Poisoned { why, whole: true });
            }
            Ok(())
        }))
    }
}

/// SQLite's integers are signed; a time beyond them is the end of time.
fn sql_time(time: Time) -> i64 {
    i64::try_from(time.unix()).unwrap_or(i64::MAX)
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredAccount> {
    let (record, version): (String, i64) = (row.get(0)?, row.get(1)?);
    let version = u64::try_from(version).unwrap_or(0);
    if let Ok(account) = serde_json::from_str::<SealedAccount>(&record) {
        return Ok(StoredAccount { account, version, damaged: false });
    }
    // What can still be said of it, so that one bad row is one user's trouble and can be revoked.
    let (id, name): (String, Option<String>) = (row.get(2)?, row.get(3)?);
    let name = name.map(|name| UserName::parse(&name)).transpose();
    let name = name.map_err(|_| rusqlite::Error::InvalidQuery)?;
    let account = Account::blank(id, name, None, Time::default());
    Ok(StoredAccount { account, version, damaged: true })
}

fn stored_session(row: &Row<'_>) -> rusqlite::Result<StoredSession> {
    let (expires, version): (i64, i64) = (row.get(3)?, row.get(5)?);
    let expires = read_time(expires);
    let row = SessionRow {
        id: row.get(0)?,
        account: row.get(1)?,
        token: row.get(2)?,
        expires,
        record: row.get(4)?,
    };
    Ok(StoredSession { row, version: u64::try_from(version).unwrap_or(0) })
}

fn client(row: &Row<'_>) -> rusqlite::Result<ClientRow> {
    Ok(ClientRow { secret_id: row.get(0)?, name: row.get(1)?, record: row.get(2)? })
}

fn read_time(seconds: i64) -> Time {
    Time::from_unix(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests;
