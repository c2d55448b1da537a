//! The one thread that writes. Whatever waits becomes one transaction, so that logins that come together
//! share one sync.
//!
//! After an I/O error of a commit or a checkpoint nothing is believed any more: a later sync may report
//! success for pages that never reached the disk. The store is poisoned until a fresh process reopens it.

use super::open::{self, OpenError};
use super::{FatalError, Job, Poisoned, SharedRefusals, apply, withdrawals};
use crate::store::{CommitError, Committed, SideWrite};
use crate::sync::ignore_poison;
use crate::witness::Witness;
use rusqlite::{Connection, ErrorCode, params};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc::Receiver;
use totp_core::withdrawal::{Entry, Kind};

/// Changes in one transaction at most.
const BATCH: usize = 256;
/// Frames in the log after which it is moved into the file: when nothing waits, and in any case.
const FRAMES_IDLE: usize = 300;
const FRAMES_MOST: usize = 800;
/// Events that are forgotten at once when the disk is full.
const TRIM: i64 = 512;
/// Free bytes of the file system below which nothing new is enrolled.
const ENROLL_ROOM: u64 = 1024 * 1024;

pub(super) struct Writer {
    db: Connection,
    /// The mark by which this process holds the file.
    mine: String,
    /// The latest granted code of a phone that is on stable storage.
    latest_grant: Arc<AtomicU64>,
    state_dir: PathBuf,
    keep_events: u64,
    poison: FatalError,
    witness: Witness,
    refusals: SharedRefusals,
    /// Events written since old ones were last forgotten.
    since_trim: i64,
    /// Frames in the log since it was last moved.
    frames: usize,
}

/// How a transaction ended, if not well.
enum WriteFailure {
    /// No room; rolled back.
    Full,
    /// Another process holds the write lock for too long; rolled back.
    Contended,
    /// An I/O error or worse.
    Broken(String),
}

type Done = Result<Committed, CommitError>;

impl Writer {
    pub(super) fn new(
        db: Connection,
        (mine, latest_grant): (String, Arc<AtomicU64>),
        state_dir: &Path,
        keep_events: u64,
        poison: FatalError,
        witness: Witness,
        refusals: SharedRefusals,
    ) -> Result<Self, OpenError> {
        // On a full disk what there is has to do; logins go on while it does.
        if let Err(error) = open::reserve(&db, state_dir)
            && error.sqlite_error_code() != Some(ErrorCode::DiskFull)
        {
            let file = open::database_file(state_dir);
            return Err(OpenError::Sqlite(file.display().to_string(), open::describe(&error)));
        }
        Ok(Self {
            db,
            mine,
            latest_grant,
            state_dir: state_dir.to_owned(),
            keep_events,
            poison,
            witness,
            refusals,
            since_trim: 0,
            frames: FRAMES_IDLE,
        })
    }

    pub(super) fn run(mut self, mut queue: Receiver<Job>) {
        while let Some(first) = queue.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH {
                let Ok(job) = queue.try_recv() else { break };
                batch.push(job);
            }
            self.commit_batch(batch);
            self.housekeep(queue.is_empty());
        }
        // A store that is not believed any more is left as it is: the next process reads its log. One that was moved
        // away is completed where it is: that needs no log, even if it has lost it.
        if self.poison.get().is_none_or(|poisoned| poisoned.whole) {
            self.note(open::close(&self.db, &self.mine));
        }
    }

    fn commit_batch(&mut self, batch: Vec<Job>) {
        if let Some(poisoned) = self.poison.get() {
            for job in batch {
                let _ = job.reply.send(Err(CommitError::Unavailable(poisoned.why.clone())));
            }
            return;
        }
        let jobs: Vec<&Job> = batch.iter().collect();
        let results = match self.transaction(&jobs) {
            Ok(results) => results,
            Err(WriteFailure::Broken(why)) => self.poisoned(&why, jobs.len()),
            Err(WriteFailure::Contended) => jobs.iter().map(|_| Err(CommitError::Cancelled)).collect(),
            // One by one, so that an enrollment without room takes no login with it.
            Err(WriteFailure::Full) => jobs.iter().map(|job| self.commit_alone(job)).collect(),
        };
        for (job, result) in batch.into_iter().zip(results) {
            // Whoever waited may have gone; the result stands.
            let _ = job.reply.send(result);
        }
    }

    fn commit_alone(&mut self, job: &Job) -> Done {
        if let Some(poisoned) = self.poison.get() {
            return Err(CommitError::Unavailable(poisoned.why.clone()));
        }
        for last_try in [false, true] {
            match self.transaction(&[job]) {
                Ok(results) => return results.into_iter().next().unwrap_or(Err(CommitError::Conflict)),
                Err(WriteFailure::Broken(why)) => {
                    return self.poisoned(&why, 1).pop().unwrap_or(Err(CommitError::Conflict));
                }
                Err(WriteFailure::Contended) => return Err(CommitError::Cancelled),
                Err(WriteFailure::Full) if last_try || job.change.grows => break,
                Err(WriteFailure::Full) => self.make_room(),
            }
        }
        Err(CommitError::StorageFull(self.no_room()))
    }

    /// One transaction of all the jobs that may still begin. A conflict leaves nothing of its job.
    fn transaction(&mut self, jobs: &[&Job]) -> Result<Vec<Done>, WriteFailure> {
        self.db.execute_batch("BEGIN IMMEDIATE").map_err(|e| failure(&e))?;
        let mut results = Vec::with_capacity(jobs.len());
        let mut entries = Vec::new();
        for job in jobs {
            let result = if !job.ticket.claim() {
                Err(CommitError::Cancelled)
            } else if job.change.grows && self.free_bytes() < ENROLL_ROOM {
                Err(CommitError::StorageFull(self.no_room()))
            } else {
                match apply::apply(&self.db, &job.change, &mut entries) {
                    Ok(Ok(())) => Ok(Committed(())),
                    Ok(Err(refused)) => {
                        // Nothing of it was written: until it is tried again it may still be dropped.
                        job.ticket.release();
                        Err(refused)
                    }
                    Err(error) => {
                        let failure = failure(&error);
                        let _ = self.db.execute_batch("ROLLBACK");
                        return Err(failure);
                    }
                }
            };
            results.push(result);
        }
        match self.db.execute_batch("COMMIT") {
            Ok(()) => {
                for (job, _) in jobs.iter().zip(&results).filter(|(_, result)| result.is_ok()) {
                    self.note_grants(&job.change.side_writes);
                }
                let written = results.iter().filter(|r| r.is_ok()).count();
                self.since_trim += i64::try_from(written).unwrap_or(TRIM);
                self.frames += 4 * written;
                if !entries.is_empty() {
                    self.withdrew(entries);
                }
                Ok(results)
            }
            Err(error) => {
                let failure = failure(&error);
                let _ = self.db.execute_batch("ROLLBACK");
                Err(failure)
            }
        }
    }

    /// What was granted, for judging the clock by.
    fn note_grants(&self, also: &[SideWrite]) {
        for also in also {
            match also {
                SideWrite::RecordGrant(at) => drop(self.latest_grant.fetch_max(at.unix(), Ordering::AcqRel)),
                SideWrite::TrustClock(at) => self.latest_grant.store(at.unix(), Ordering::Release),
                _ => {}
            }
        }
    }

    /// After the commit and before its reply. An acceptance is among the entries: nothing is refused any more then.
    fn withdrew(&mut self, entries: Vec<Entry>) {
        if entries.iter().any(|entry| entry.what.kind == Kind::Generation) {
            let left = withdrawals::refusals(&self.db).unwrap_or_default();
            *ignore_poison(self.refusals.write()) = Arc::new(left);
        }
        self.witness.write(entries);
    }

    fn poisoned(&self, why: &str, jobs: usize) -> Vec<Done> {
        let why = format!(
            "the store failed while writing ({why}) and refuses everything until totpd is restarted; look \
             at the disk under {}",
            self.state_dir.display()
        );
        tracing::error!("{why}");
        let why = self.poison.get_or_init(|| Poisoned { why, whole: false }).why.clone();
        (0..jobs).map(|_| Err(CommitError::Unavailable(why.clone()))).collect()
    }

    fn housekeep(&mut self, idle: bool) {
        self.witness.retry();
        if self.poison.get().is_some() {
            return;
        }
        // Forgetting in the same rhythm as writing keeps the file's size.
        if self.since_trim >= TRIM / 4 {
            self.since_trim = 0;
            let keep = i64::try_from(self.keep_events).unwrap_or(i64::MAX);
            let trimmed = self.db.execute(
                "DELETE FROM history WHERE seq IN
                   (SELECT seq FROM history WHERE seq <= (SELECT max(seq) FROM history) - ?1 LIMIT ?2)",
                params![keep, TRIM],
            );
            self.note(trimmed.map(drop));
        }
        if (idle && self.frames >= FRAMES_IDLE) || self.frames >= FRAMES_MOST {
            self.frames = 0;
            let moved = open::checkpoint(&self.db);
            self.note(moved);
        }
    }

    /// An I/O error of housekeeping is one of the store; a full or busy one is not.
    fn note(&self, done: rusqlite::Result<()>) {
        let Err(error) = done else { return };
        if let WriteFailure::Broken(why) = failure(&error) {
            self.poisoned(&why, 0);
        }
    }

    /// The disk is full: the oldest events make room for the newest.
    fn make_room(&self) {
        tracing::warn!("{}", self.no_room());
        self.note(open::checkpoint(&self.db));
        let trimmed = self.db.execute(
            "DELETE FROM history WHERE seq IN (SELECT seq FROM history ORDER BY seq LIMIT ?1)",
            params![TRIM],
        );
        self.note(trimmed.map(drop));
        self.note(open::checkpoint(&self.db));
    }

    fn free_bytes(&self) -> u64 {
        nix::sys::statvfs::statvfs(&self.state_dir)
            .map_or(u64::MAX, |fs| fs.blocks_available().saturating_mul(fs.fragment_size()))
    }

    fn no_room(&self) -> String {
        format!(
            "the disk under {} is full ({} KiB free). Logins go on; enrollments and old history do not. Make \
             room there",
            self.state_dir.display(),
            self.free_bytes() / 1024
        )
    }
}

fn failure(error: &rusqlite::Error) -> WriteFailure {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => WriteFailure::Full,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => WriteFailure::Contended,
        _ => WriteFailure::Broken(open::describe(error)),
    }
}
