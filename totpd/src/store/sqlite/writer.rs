//! The one thread that writes. What waits becomes one transaction, so that logins that come
//! together share one sync.
//!
//! After an I/O error of a commit or a checkpoint nothing is trusted any more: a later sync may
//! report success for pages that never reached the disk. The store has failed until a fresh process
//! opens it.

use crate::store::error::{CommitError, OpenError};
use crate::store::files::database_file;
use crate::store::queue::{Job, Outcome};
use crate::store::shared::Shared;
use crate::store::sqlite::apply;
use crate::store::sqlite::connection::describe;
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::housekeeping::{Housekeeping, QueueState};
use crate::store::sqlite::meta;
use crate::store::sqlite::space::{free_bytes, reserve};
use crate::store::sqlite::withdrawals;
use crate::store::{Committed, SpaceUse};
use crate::witness::Witness;
use rusqlite::{Connection, ErrorCode};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc::Receiver;
use totp_core::withdrawal::{Entry, Kind};

/// Changes in one transaction at most.
const BATCH: usize = 256;
/// Free bytes of the file system below which nothing new is enrolled.
const ENROLL_ROOM: u64 = 1024 * 1024;

/// The writer's connection and what goes with it.
pub(super) struct Writer {
    db: Connection,
    /// The mark by which this process holds the file.
    mine: String,
    state_dir: PathBuf,
    shared: Shared,
    failure: Failure,
    witness: Witness,
    housekeeping: Housekeeping,
}

/// Why a transaction was not committed. It was rolled back, unless it broke.
pub(super) enum WriteError {
    /// There is no room.
    Full,
    /// Another process holds the write lock for too long.
    Contended,
    /// An I/O error or worse.
    Broken(String),
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Contended,
            _ => Self::Broken(describe(&error)),
        }
    }
}

impl Writer {
    /// Takes over the connection and the mark that [`open::writer`](super::open::writer) returned.
    ///
    /// # Errors
    /// [`OpenError`] when no room can be made ahead, unless the disk is full.
    pub(super) fn new(
        (mut db, mine): (Connection, String),
        state_dir: &Path,
        keep_events: u64,
        shared: Shared,
        failure: Failure,
        witness: Witness,
    ) -> Result<Self, OpenError> {
        let failed =
            |error| OpenError::Database(database_file(state_dir).display().to_string(), describe(&error));
        // On a full disk the room that there is has to do; logins go on while it does.
        if let Err(error) = reserve(&db, state_dir)
            && error.sqlite_error_code() != Some(ErrorCode::DiskFull)
        {
            return Err(failed(error));
        }
        let housekeeping = Housekeeping::new(keep_events, &mut db).map_err(failed)?;
        Ok(Self { db, mine, state_dir: state_dir.to_owned(), shared, failure, witness, housekeeping })
    }

    /// Commits what comes until the queue's other end is dropped, then closes the file.
    pub(super) fn run(mut self, mut queue: Receiver<Job>) {
        while let Some(first) = queue.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH {
                let Ok(job) = queue.try_recv() else { break };
                batch.push(job);
            }
            self.commit_batch(batch);
            self.housekeep(if queue.is_empty() { QueueState::Empty } else { QueueState::Waiting });
        }
        // A store whose write failed is left as it is: the next process reads its log. One that was
        // moved away is completed where it is: that needs no log, even if it has lost it.
        if self.failure.files_are_whole() {
            self.check([meta::close(&self.db, &self.mine)]);
        }
    }

    fn commit_batch(&mut self, batch: Vec<Job>) {
        if let Some(why) = self.failure.reason() {
            for job in batch {
                let _ = job.reply.send(Err(CommitError::Unavailable(why.clone())));
            }
            return;
        }
        let jobs: Vec<&Job> = batch.iter().collect();
        let outcomes: Vec<Outcome> = match self.transaction(&jobs) {
            Ok(outcomes) => outcomes,
            Err(WriteError::Broken(why)) => {
                let why = self.write_failed(&why);
                jobs.iter().map(|_| Err(CommitError::InDoubt(why.clone()))).collect()
            }
            Err(WriteError::Contended) => jobs.iter().map(|_| Err(CommitError::Cancelled)).collect(),
            // One by one, so that an enrollment without room takes no login with it.
            Err(WriteError::Full) => jobs.iter().map(|job| self.commit_alone(job)).collect(),
        };
        for (job, outcome) in batch.into_iter().zip(outcomes) {
            // The caller may have gone; the outcome stands.
            let _ = job.reply.send(outcome);
        }
    }

    fn commit_alone(&mut self, job: &Job) -> Outcome {
        if let Some(why) = self.failure.reason() {
            return Err(CommitError::Unavailable(why));
        }
        for last_try in [false, true] {
            match self.transaction(&[job]) {
                Ok(outcomes) => return outcomes.into_iter().next().unwrap_or(Err(CommitError::Conflict)),
                Err(WriteError::Broken(why)) => return Err(CommitError::InDoubt(self.write_failed(&why))),
                Err(WriteError::Contended) => return Err(CommitError::Cancelled),
                Err(WriteError::Full) if last_try || job.change.space == SpaceUse::Growing => break,
                Err(WriteError::Full) => self.make_room(),
            }
        }
        Err(CommitError::StorageFull(self.no_room()))
    }

    /// Commits all the jobs that may still begin in one transaction. A conflict leaves nothing of
    /// its job.
    fn transaction(&mut self, jobs: &[&Job]) -> Result<Vec<Outcome>, WriteError> {
        self.run_cached("BEGIN IMMEDIATE")?;
        let applied = self.apply(jobs).and_then(|applied| {
            self.run_cached("COMMIT")?;
            Ok(applied)
        });
        let (outcomes, entries) = applied.inspect_err(|_| drop(self.db.execute_batch("ROLLBACK")))?;
        for (job, _) in jobs.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok()) {
            self.shared.note_grants(&job.change.side_writes);
        }
        self.housekeeping.wrote(outcomes.iter().filter(|outcome| outcome.is_ok()).count());
        if !entries.is_empty() {
            self.note_withdrawals(entries);
        }
        Ok(outcomes)
    }

    /// Runs a statement of every transaction, which is parsed once.
    fn run_cached(&self, sql: &str) -> rusqlite::Result<()> {
        self.db.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// Applies the jobs inside a transaction; their outcomes once it is committed, and what they
    /// withdraw.
    fn apply(&self, jobs: &[&Job]) -> Result<(Vec<Outcome>, Vec<Entry>), WriteError> {
        let mut outcomes = Vec::with_capacity(jobs.len());
        let mut entries = Vec::new();
        for job in jobs {
            let outcome = if !job.guard.claim() {
                Err(CommitError::Cancelled)
            } else if job.change.space == SpaceUse::Growing && free_bytes(&self.state_dir) < ENROLL_ROOM {
                Err(CommitError::StorageFull(self.no_room()))
            } else {
                let applied = apply::apply(&self.db, &job.change, &mut entries)?;
                if applied.is_err() {
                    // Nothing of it was written: until it is tried again it may still be cancelled.
                    job.guard.release();
                }
                applied.map(|()| Committed(()))
            };
            outcomes.push(outcome);
        }
        Ok((outcomes, entries))
    }

    /// After the commit and before its reply. Where an acceptance is among the entries, nothing is
    /// refused any more.
    fn note_withdrawals(&mut self, entries: Vec<Entry>) {
        if entries.iter().any(|entry| entry.what.kind == Kind::Generation) {
            self.shared.set_refusals(withdrawals::refusals(&self.db).unwrap_or_default());
        }
        self.witness.write(entries);
    }

    fn write_failed(&self, why: &str) -> String {
        self.failure.write_failed(format!(
            "the store failed while writing ({why}) and refuses everything until totpd is restarted; look \
             at the disk under {}",
            self.state_dir.display()
        ))
    }

    fn housekeep(&mut self, queue: QueueState) {
        self.witness.retry();
        if self.failure.reason().is_none() {
            let done = self.housekeeping.run(&self.db, queue);
            self.check(done);
        }
    }

    /// The disk is full: the oldest events make room for the newest.
    fn make_room(&self) {
        tracing::warn!("{}", self.no_room());
        self.check(Housekeeping::make_room(&self.db));
    }

    /// An I/O error of housekeeping is one of the store; a full or busy one is not.
    fn check(&self, done: impl IntoIterator<Item = rusqlite::Result<()>>) {
        for part in done {
            if let Err(WriteError::Broken(why)) = part.map_err(WriteError::from) {
                self.write_failed(&why);
            }
        }
    }

    fn no_room(&self) -> String {
        format!(
            "the disk under {} is full ({} KiB free). Logins go on; enrollments and old history do not. Make \
             room there",
            self.state_dir.display(),
            free_bytes(&self.state_dir) / 1024
        )
    }
}
