//! One batch becomes a transaction, and each change in it gets its answer.

use crate::store::error::CommitError;
use crate::store::postgres::apply::duplicate;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::login;
use crate::store::postgres::pool::{Core, Found, Pool, Pooled};
use crate::store::postgres::slots::{End, Slots};
use crate::store::postgres::transaction::{Done, Failed, On, of_any, of_logins};
use crate::store::postgres::trim::Trim;
use crate::store::postgres::withdrawals::Standing;
use crate::store::queue::{Job, Outcome};
use crate::store::{AccountWrite, ChangeSet, ReadError, SideWrite};
use futures_util::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use totp_core::withdrawal::{Entry, Kind};

/// Transactions that may be under way, each on a connection of its own.
pub(super) const PARALLEL: usize = 4;
/// How long everything before a `COMMIT` may take: a connection, and the statements.
const BEFORE_COMMIT: Duration = Duration::from_secs(10);
/// How long what other daemons withdrew may take to be read before a reply.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// Commits change sets, on connections of its pool.
#[derive(Clone, Debug)]
pub(super) struct Committer {
    core: Arc<Core>,
    pool: Pool,
    trim: Arc<Trim>,
    slots: Arc<Slots>,
}

impl Committer {
    pub(super) fn new(core: &Arc<Core>, pool: Pool, trim: Trim, slots: Slots) -> Self {
        Self { core: Arc::clone(core), pool, trim: Arc::new(trim), slots: Arc::new(slots) }
    }

    /// Commits a batch, and answers every job of it.
    pub(super) async fn commit(&self, batch: Vec<Job>) {
        if let Some(why) = self.core.status.health().reason() {
            for job in batch {
                answer(job, Err(CommitError::Unavailable(why.clone())));
            }
            return;
        }
        let (mut logins, mut others): (Vec<Job>, Vec<Job>) =
            batch.into_iter().partition(|job| login::is_one(&job.change));
        // Everybody locks records in one order, so that no two transactions wait for each other.
        for jobs in [&mut logins, &mut others] {
            jobs.sort_by(|one, other| key(&one.change).cmp(key(&other.change)));
        }
        self.commit_jobs(logins, Sort::Logins).await;
        self.commit_jobs(others, Sort::Others).await;
    }

    /// Commits jobs together; and one by one when something was wrong with one of them.
    async fn commit_jobs(&self, mut jobs: Vec<Job>, sort: Sort) {
        if jobs.len() > 1 {
            let Tried::NotWritten(mut left, mut fault) = self.try_once(jobs, sort).await else { return };
            if fault.is_of_connection() {
                // Of them all, and of none: once more together, on another connection.
                let Tried::NotWritten(again, other) = self.try_once(left, sort).await else { return };
                (left, fault) = (again, other);
            }
            if fault.is_of_connection() {
                for job in left {
                    answer(job, Err(CommitError::Unavailable(fault.to_string())));
                }
                return;
            }
            tracing::debug!("{} changes are committed one by one: {fault}", left.len());
            jobs = left;
        }
        // Beside each other: one whose record is held must not hold up the others.
        let alone = futures_util::stream::iter(jobs);
        alone.for_each_concurrent(PARALLEL, |job| self.commit_alone(job, sort)).await;
    }

    /// Commits one job, on another connection when the first is lost before its commit.
    async fn commit_alone(&self, mut job: Job, sort: Sort) {
        let mut lost = false;
        loop {
            let fault = match self.try_once(vec![job], sort).await {
                Tried::Answered => return,
                Tried::NotWritten(jobs, fault) => {
                    let Some(first) = jobs.into_iter().next() else { return };
                    job = first;
                    fault
                }
            };
            let error = match fault {
                // The next claim says whether there is time left.
                Fault::Locked => continue,
                Fault::Lost(_) | Fault::ReadOnly if !lost => {
                    lost = true;
                    continue;
                }
                Fault::Unique(index) => duplicate(&index),
                Fault::Conflict | Fault::Missing | Fault::Value(_) => CommitError::Conflict,
                Fault::Full => {
                    // A login is told no more than "busy": this is for the administrator.
                    self.core.found(Found::Room, vec![fault.to_string()]);
                    CommitError::StorageFull(fault.to_string())
                }
                fault => CommitError::Unavailable(fault.to_string()),
            };
            answer(job, Err(error));
            return;
        }
    }

    /// Tries one transaction. Jobs of which nothing was written come back, and may be cancelled
    /// again.
    async fn try_once(&self, jobs: Vec<Job>, sort: Sort) -> Tried {
        let until = Instant::now() + BEFORE_COMMIT;
        let taken = timeout_at(until, self.core.take(&self.pool)).await;
        let slow = || Err(ReadError(format!("{} answers too slowly", self.core.name)));
        let db = match taken.unwrap_or_else(|_| slow()) {
            Ok(db) => db,
            Err(error) => {
                self.core.failed.notify_one();
                for job in jobs {
                    answer(job, Err(CommitError::Unavailable(error.0.clone())));
                }
                return Tried::Answered;
            }
        };
        let (jobs, late): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| job.guard.claim());
        for job in late {
            answer(job, Err(CommitError::Cancelled));
        }
        if jobs.is_empty() {
            return Tried::Answered;
        }
        let slot = self.slots.take();
        let on = On { db: &db, dialer: &self.core.dialer, slot, until };
        let tried = match sort {
            Sort::Logins => of_logins(&on, &jobs).await,
            Sort::Others => of_any(&on, &jobs).await,
        };
        self.slots.give_back(slot, if tried.is_ok() { End::Committed } else { End::Failed });
        match tried {
            Ok(done) => {
                if done.outcomes.iter().any(Result::is_ok) {
                    self.core.found(Found::Room, Vec::new());
                }
                self.acknowledge(&db, jobs, done).await;
                Tried::Answered
            }
            Err(Failed::Before(fault)) => {
                if fault.is_of_connection() {
                    self.core.discard(db);
                }
                for job in &jobs {
                    job.guard.release();
                }
                Tried::NotWritten(jobs, fault)
            }
            Err(Failed::InDoubt(why)) => {
                tracing::error!(
                    "{why}. {} changes may be stored or not: nothing is granted by them",
                    jobs.len()
                );
                self.core.discard(db);
                for job in jobs {
                    answer(job, Err(CommitError::InDoubt(why.clone())));
                }
                Tried::Answered
            }
        }
    }

    /// After the commit: the witness and what is known here first, and then the callers.
    async fn acknowledge(&self, db: &Pooled, jobs: Vec<Job>, done: Done) {
        let Done { outcomes, entries } = done;
        let committed = jobs.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
        let mut written = 0;
        for (job, _) in committed {
            written += 1;
            let trusts = job.change.side_writes.iter().any(|write| matches!(write, SideWrite::TrustClock(_)));
            if trusts {
                self.core.known.trusts_clock();
            }
            self.core.known.shared.note_grants(&job.change.side_writes);
        }
        if !entries.is_empty() {
            self.note_withdrawals(db, entries).await;
        }
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            if outcome.is_err() {
                // Nothing of it was written: until it is tried again it may still be cancelled.
                job.guard.release();
            }
            answer(job, outcome);
        }
        self.trim.wrote(written);
    }

    /// Where an acceptance is among the entries, nothing is refused any more.
    async fn note_withdrawals(&self, db: &Pooled, mut entries: Vec<Entry>) {
        let known = &self.core.known;
        let first = entries.iter().map(|entry| entry.counter).min().unwrap_or(0);
        let is_accepted = entries.iter().any(|entry| entry.what.kind == Kind::Generation);
        if known.lacks_before(first) || is_accepted {
            // Those of other daemons in between belong into the witness as well.
            if let Ok(Ok(here)) = timeout(LOOK_TIMEOUT, Standing::read(db)).await {
                known.adopt(here.refusals);
                entries = here.kept;
            }
        }
        known.note_withdrawals(entries);
    }
}

/// What a transaction is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Logins,
    Others,
}

/// What became of one try.
enum Tried {
    /// Every job has its answer.
    Answered,
    /// Nothing of these was written.
    NotWritten(Vec<Job>, Fault),
}

/// The caller may have gone; the outcome stands.
pub(super) fn answer(job: Job, outcome: Outcome) {
    let _ = job.reply.send(outcome);
}

/// By what the records of a change are locked.
fn key(change: &ChangeSet) -> &str {
    match &change.write {
        AccountWrite::Insert(account) | AccountWrite::Update(account, _) => &account.id,
        AccountWrite::ExpectVersion(id, _) | AccountWrite::Delete(id, _) => id,
        AccountWrite::Nothing => change.side_writes.iter().find_map(session_key).unwrap_or(""),
    }
}

fn session_key(write: &SideWrite) -> Option<&str> {
    match write {
        SideWrite::InsertSession(row) | SideWrite::UpdateSession(row, _) => Some(&row.account),
        SideWrite::DeleteSession(id)
        | SideWrite::DeleteSessionAt(id, _)
        | SideWrite::DeleteSessionsOf(id) => Some(id),
        _ => None,
    }
}
