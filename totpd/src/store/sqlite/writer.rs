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
use crate::store::sqlite::checkpointer::Checkpointer;
use crate::store::sqlite::connection::describe;
use crate::store::sqlite::failure::{Failure, WriteError};
use crate::store::sqlite::housekeeping::{Housekeeping, QueueState};
use crate::store::sqlite::meta;
use crate::store::sqlite::space::{checkpoint, free_bytes, reserve};
use crate::store::sqlite::withdrawals;
use crate::store::{Committed, SpaceUse};
use crate::witness::Witness;
use rusqlite::{Connection, ErrorCode};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;
use totp_core::withdrawal::{Entry, Kind};

/// Changes in one transaction at most.
const BATCH: usize = 256;
/// For how long a transaction takes in what arrives while it is written: those in it wait for it.
const GATHER: Duration = Duration::from_millis(20);
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

/// Where a commit finds room on a full disk, in the order in which it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// In the log, once what is in it is in the file.
    Log,
    /// In the place of the oldest events.
    History,
    /// Nowhere.
    None,
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
        if let Err(error) = reserve(&db, state_dir, || checkpoint(&db))
            && error.sqlite_error_code() != Some(ErrorCode::DiskFull)
        {
            return Err(failed(error));
        }
        let checkpointer = Checkpointer::start(state_dir, failure.clone())?;
        let housekeeping = Housekeeping::new(keep_events, &mut db, checkpointer, failure.clone(), state_dir)
            .map_err(failed)?;
        Ok(Self { db, mine, state_dir: state_dir.to_owned(), shared, failure, witness, housekeeping })
    }

    /// Commits what comes until the queue's other end is dropped, then closes the file.
    pub(super) fn run(mut self, mut queue: Receiver<Job>) {
        while let Some(first) = queue.blocking_recv() {
            self.commit_batch(first, &mut queue);
            self.housekeep(if queue.is_empty() { QueueState::Empty } else { QueueState::Waiting });
        }
        self.housekeeping.stop();
        // A store whose write failed is left as it is: the next process reads its log. One that was
        // moved away is completed where it is: that needs no log, even if it has lost it.
        if self.failure.files_are_whole() {
            self.failure.allows(meta::close(&self.db, &self.mine), &self.state_dir);
        }
    }

    /// Commits this job, and what else waits.
    fn commit_batch(&mut self, first: Job, queue: &mut Receiver<Job>) {
        if let Some(why) = self.failure.reason() {
            let _ = first.reply.send(Err(CommitError::Unavailable(why)));
            return;
        }
        let mut batch = vec![first];
        let outcomes: Vec<Outcome> = match self.transaction(&mut batch, || queue.try_recv().ok()) {
            Ok(outcomes) => outcomes,
            Err(WriteError::Broken(why)) => {
                let why = self.write_failed(&why);
                batch.iter().map(|_| Err(CommitError::InDoubt(why.clone()))).collect()
            }
            Err(WriteError::Contended) => {
                // They would wait for the lock one after the other.
                batch.extend(std::iter::from_fn(|| queue.try_recv().ok()).take(BATCH));
                batch.iter().map(|_| Err(CommitError::Cancelled)).collect()
            }
            // One by one, so that an enrollment without room takes no login with it.
            Err(WriteError::Full) => {
                // Nothing was written: those that wait for their turn may still give up.
                for job in &batch {
                    job.guard.release();
                }
                for job in batch {
                    self.commit_alone(job);
                }
                return;
            }
        };
        for (job, outcome) in batch.into_iter().zip(outcomes) {
            // The caller may have gone; the outcome stands.
            let _ = job.reply.send(outcome);
        }
    }

    fn commit_alone(&mut self, job: Job) {
        let space = job.change.space;
        let mut alone = vec![job];
        let outcome = self.try_alone(&mut alone, space);
        if let Some(job) = alone.pop() {
            let _ = job.reply.send(outcome);
        }
    }

    fn try_alone(&mut self, alone: &mut Vec<Job>, space: SpaceUse) -> Outcome {
        for room in [Room::Log, Room::History, Room::None] {
            // Also after room was made: what failed then may not be written over.
            if let Some(why) = self.failure.reason() {
                return Err(CommitError::Unavailable(why));
            }
            match self.transaction(alone, || None) {
                Ok(outcomes) => return outcomes.into_iter().next().unwrap_or(Err(CommitError::Conflict)),
                Err(WriteError::Broken(why)) => return Err(CommitError::InDoubt(self.write_failed(&why))),
                Err(WriteError::Contended) => return Err(CommitError::Cancelled),
                Err(WriteError::Full) => match room {
                    Room::Log => self.housekeeping.move_log(&self.db),
                    Room::History if space == SpaceUse::Essential => {
                        // The oldest events make room for the newest.
                        tracing::warn!("{}", self.no_room());
                        self.housekeeping.make_room(&self.db);
                    }
                    Room::History | Room::None => break,
                },
            }
        }
        Err(CommitError::StorageFull(self.no_room()))
    }

    /// Commits all the jobs that may still begin in one transaction, and `more` that come while it
    /// is written. A conflict leaves nothing of its job.
    fn transaction(
        &mut self,
        jobs: &mut Vec<Job>,
        more: impl FnMut() -> Option<Job>,
    ) -> Result<Vec<Outcome>, WriteError> {
        self.run_cached("BEGIN IMMEDIATE")?;
        let applied = self.apply(jobs, more).and_then(|applied| {
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
    fn apply(
        &self,
        jobs: &mut Vec<Job>,
        mut more: impl FnMut() -> Option<Job>,
    ) -> Result<(Vec<Outcome>, Vec<Entry>), WriteError> {
        let (mut outcomes, mut entries) = (Vec::new(), Vec::new());
        let begun = Instant::now();
        loop {
            if outcomes.len() == jobs.len() && jobs.len() < BATCH && begun.elapsed() < GATHER {
                jobs.extend(more());
            }
            let Some(job) = jobs.get(outcomes.len()) else { return Ok((outcomes, entries)) };
            outcomes.push(self.apply_one(job, &mut entries)?);
        }
    }

    fn apply_one(&self, job: &Job, entries: &mut Vec<Entry>) -> Result<Outcome, WriteError> {
        if !job.guard.claim() {
            return Ok(Err(CommitError::Cancelled));
        }
        if job.change.space == SpaceUse::Growing && free_bytes(&self.state_dir) < ENROLL_ROOM {
            return Ok(Err(CommitError::StorageFull(self.no_room())));
        }
        let applied = apply::apply(&self.db, &job.change, entries)?;
        if applied.is_err() {
            // Nothing of it was written: until it is tried again it may still be cancelled.
            job.guard.release();
        }
        Ok(applied.map(|()| Committed(())))
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
        self.failure.of_write(why, &self.state_dir)
    }

    fn housekeep(&mut self, queue: QueueState) {
        self.witness.retry();
        if self.failure.reason().is_none() {
            self.housekeeping.run(&self.db, queue);
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
