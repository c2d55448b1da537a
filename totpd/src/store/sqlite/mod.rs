//! SQLite, the embedded default: WAL, `synchronous=FULL`, one writer thread with group commit, two readers.

mod open;
mod reader;
mod writer;

pub use open::{OpenError, create, database_file};

use super::{
    Answer, Change, CommitError, Committed, HistoryQuery, KeptEvent, ReadError, Store, Stored, Ticket,
};
use crate::seal::{SealedAccount, Sealer};
use reader::Readers;
use rusqlite::{Row, params};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tokio::sync::oneshot;
use totp_core::{Account, Time, UserName};

/// Why everything is refused, once it is.
type Poison = Arc<OnceLock<String>>;

/// An open database.
#[derive(Debug)]
pub struct Sqlite {
    jobs: Option<tokio::sync::mpsc::Sender<Job>>,
    writer: Option<std::thread::JoinHandle<()>>,
    readers: Readers,
    poison: Poison,
}

/// A change on its way to the writer.
#[derive(Debug)]
struct Job {
    change: Change,
    ticket: Arc<Ticket>,
    reply: oneshot::Sender<Result<Committed, CommitError>>,
}

/// Changes that may wait for the writer; more is refused as busy.
const QUEUE: usize = 4096;

impl Sqlite {
    /// Opens the database in `state_dir`, which [`create`] made. Creates nothing.
    ///
    /// # Errors
    /// [`OpenError`]: one sentence that says what to look at.
    pub fn open(state_dir: &Path, sealer: &Sealer, keep_events: u64) -> Result<Self, OpenError> {
        let (writer, mine) = open::writer(state_dir, sealer)?;
        let readers = Readers::start(state_dir)?;
        let poison = Poison::default();
        let (jobs, queue) = tokio::sync::mpsc::channel(QUEUE);
        let writer = writer::Writer::new(writer, mine, state_dir, keep_events, Arc::clone(&poison))?;
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(queue))
            .map_err(OpenError::Thread)?;
        Ok(Self { jobs: Some(jobs), writer: Some(thread), readers, poison })
    }

    async fn commit_now(&self, change: Change, ticket: Arc<Ticket>) -> Result<Committed, CommitError> {
        let (reply, answer) = oneshot::channel();
        let job = Job { change, ticket, reply };
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.try_send(job).map_err(|error| match error {
            tokio::sync::mpsc::error::TrySendError::Full(_) => CommitError::Dropped,
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
    fn load(&self, name: &UserName) -> Answer<'_, Result<Option<Stored>, ReadError>> {
        let name = name.clone();
        Box::pin(self.readers.run(move |db| {
            let mut statement =
                db.prepare_cached("SELECT record, version, id, name FROM account WHERE name = ?1")?;
            let mut rows = statement.query(params![name.as_str()])?;
            rows.next()?.map(stored).transpose()
        }))
    }

    fn commit(&self, change: Change, ticket: Arc<Ticket>) -> Answer<'_, Result<Committed, CommitError>> {
        Box::pin(self.commit_now(change, ticket))
    }

    fn scan(&self, after: Option<String>, limit: usize) -> Answer<'_, Result<Vec<Stored>, ReadError>> {
        Box::pin(self.readers.run(move |db| {
            let mut statement = db.prepare_cached(
                "SELECT record, version, id, name FROM account WHERE name > ?1 ORDER BY name LIMIT ?2",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![after.unwrap_or_default(), limit], stored)?;
            rows.collect()
        }))
    }

    fn expired(&self, now: Time, limit: usize) -> Answer<'_, Result<Vec<UserName>, ReadError>> {
        Box::pin(self.readers.run(move |db| {
            let mut statement = db.prepare_cached(
                "SELECT name FROM account WHERE pending_until <= ?1 AND name IS NOT NULL LIMIT ?2",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let names = statement.query_map(params![sql_time(now), limit], |row| row.get::<_, String>(0))?;
            Ok(names.collect::<Result<Vec<_>, _>>()?.iter().filter_map(|n| UserName::parse(n).ok()).collect())
        }))
    }

    fn of_uid(&self, uid: u32) -> Answer<'_, Result<Vec<Stored>, ReadError>> {
        Box::pin(self.readers.run(move |db| {
            let mut statement =
                db.prepare_cached("SELECT record, version, id, name FROM account WHERE uid = ?1")?;
            let rows = statement.query_map(params![uid], stored)?;
            rows.collect()
        }))
    }

    fn history(&self, query: HistoryQuery) -> Answer<'_, Result<Vec<KeptEvent>, ReadError>> {
        Box::pin(self.readers.run(move |db| {
            let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
            let before = query.before.unwrap_or(i64::MAX);
            let since = query.since.map_or(0, sql_time);
            let kept = |row: &Row<'_>| Ok(KeptEvent { seq: row.get(0)?, json: row.get(1)? });
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

    fn poisoned(&self) -> Option<String> {
        self.poison.get().cloned()
    }
}

/// SQLite's integers are signed; a time beyond them is the end of time.
fn sql_time(time: Time) -> i64 {
    i64::try_from(time.unix()).unwrap_or(i64::MAX)
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let (record, version): (String, i64) = (row.get(0)?, row.get(1)?);
    let version = u64::try_from(version).unwrap_or(0);
    if let Ok(account) = serde_json::from_str::<SealedAccount>(&record) {
        return Ok(Stored { account, version, damaged: false });
    }
    // What can still be said of it, so that one bad row is one user's trouble and can be revoked.
    let (id, name): (String, String) = (row.get(2)?, row.get(3)?);
    let name = UserName::parse(&name).map_err(|_| rusqlite::Error::InvalidQuery)?;
    let account = Account::blank(id, name, u32::MAX, Time::default());
    Ok(Stored { account, version, damaged: true })
}

#[cfg(test)]
mod tests;
