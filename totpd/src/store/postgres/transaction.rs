//! One transaction of many change sets: what its `COMMIT` means, and what it does not.
//!
//! Everything before the `COMMIT` can be undone. From the moment that it is sent on, nothing of
//! ours ends it. Whatever it answers but success without a notice leaves the commits in doubt, and
//! so does no answer for too long: a server whose wait for its standby is cancelled says so in a
//! notice, and reports success.

use crate::store::error::CommitError;
use crate::store::postgres::apply::apply;
use crate::store::postgres::connection::Connection;
use crate::store::postgres::dial::Dialer;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::login::Logins;
use crate::store::postgres::{session, withdrawals};
use crate::store::queue::{Job, Outcome};
use crate::store::{ChangeSet, Committed};
use futures_util::future::join3;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use totp_core::withdrawal::Entry;

/// How long a `ROLLBACK` may take.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a `COMMIT` is waited for. It is never cancelled: it may be done when it is answered.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a `COMMIT` may still answer once another server has taken over.
const GRACE: Duration = Duration::from_secs(2);

/// Where a transaction runs, and until when.
pub(super) struct On<'a> {
    pub(super) db: &'a Connection,
    pub(super) dialer: &'a Dialer,
    /// Where grants are recorded.
    pub(super) slot: i64,
    /// When everything before the `COMMIT` is given up.
    pub(super) until: Instant,
}

/// Why a transaction was not committed.
#[derive(Debug)]
pub(super) enum Failed {
    /// Nothing was written.
    Before(Fault),
    /// It may be written; the text says why that is not known.
    InDoubt(String),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Before(fault)
    }
}

/// What a transaction has done: for each job what became of it, and what was withdrawn.
pub(super) struct Done {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) entries: Vec<Entry>,
}

/// Commits change sets of logins.
pub(super) async fn of_logins(on: &On<'_>, jobs: &[Job]) -> Result<Done, Failed> {
    let (db, slot) = (on.db, on.slot);
    transaction(on, async {
        let logins = Logins::prepared(db).await?;
        let changes: Vec<&ChangeSet> = jobs.iter().map(|job| &job.change).collect();
        let written = logins.write_all(db, slot, &changes);
        // The first poll of each sends it, in this order.
        let (begun, written, kept) = join3(db.run(session::BEGIN), written, session::check_kept(db)).await;
        begun?;
        // The first error counts: those after it only say that the transaction was aborted.
        let written = written?;
        kept?;
        Ok(Done { outcomes: written.into_iter().map(as_outcome).collect(), entries: Vec::new() })
    })
    .await
}

/// Commits any change sets, one after the other, each under a savepoint.
pub(super) async fn of_any(on: &On<'_>, jobs: &[Job]) -> Result<Done, Failed> {
    let (db, slot) = (on.db, on.slot);
    transaction(on, async {
        db.run("BEGIN").await?;
        let mut done = Done { outcomes: Vec::with_capacity(jobs.len()), entries: Vec::new() };
        if jobs.iter().any(|job| job.change.side_writes.iter().any(withdrawals::counts)) {
            withdrawals::lock_counter(db).await?;
        }
        for job in jobs {
            let applied = apply(db, slot, &job.change, &mut done.entries).await?;
            done.outcomes.push(applied.map(|()| Committed(())));
        }
        session::check_kept(db).await?;
        Ok(done)
    })
    .await
}

/// Commits what `statements` have done, or rolls it back. They end after their time; the `COMMIT`
/// does not.
async fn transaction(
    on: &On<'_>,
    statements: impl Future<Output = Result<Done, Fault>>,
) -> Result<Done, Failed> {
    let Ok(written) = timeout_at(on.until, statements).await else {
        // The connection is closed, and its server rolls back what has no COMMIT.
        return Err(Failed::Before(Fault::Lost(format!("{} does not answer", on.db.server))));
    };
    match written {
        Ok(done) => commit(on).await.map(|()| done),
        Err(fault) => Err(roll_back(on.db, fault).await),
    }
}

fn as_outcome(written: bool) -> Outcome {
    if written { Ok(Committed(())) } else { Err(CommitError::Conflict) }
}

async fn roll_back(db: &Connection, fault: Fault) -> Failed {
    match timeout(ROLLBACK_TIMEOUT, db.run("ROLLBACK")).await {
        Ok(Ok(())) => Failed::Before(fault),
        Ok(Err(_)) | Err(_) => Failed::Before(Fault::Lost(fault.to_string())),
    }
}

/// Sends the `COMMIT`, and waits for its end until another server has taken over, or for its time.
async fn commit(on: &On<'_>) -> Result<(), Failed> {
    let db = on.db;
    let notices = db.notices.count();
    let replaced = async {
        on.dialer.left(&db.server).await;
        tokio::time::sleep(GRACE).await;
    };
    let done = tokio::select! {
        biased;
        done = db.run("COMMIT") => done,
        () = replaced => {
            return Err(Failed::InDoubt(format!(
                "{} does not answer a commit, and another server has taken over", db.server
            )));
        }
        () = tokio::time::sleep(COMMIT_TIMEOUT) => {
            return Err(Failed::InDoubt(format!(
                "{} does not answer a commit within {} s", db.server, COMMIT_TIMEOUT.as_secs()
            )));
        }
    };
    match done {
        Ok(()) if db.notices.count() == notices => Ok(()),
        Ok(()) => Err(Failed::InDoubt(format!(
            "{} has committed and warns: a standby may lack it, since the wait for it was cancelled",
            db.server
        ))),
        // Serialization failures are told here by some servers, and mean that nothing was written.
        Err(Fault::Conflict) => Err(Failed::Before(Fault::Conflict)),
        Err(fault) => Err(Failed::InDoubt(format!("{}: {fault} during a commit", db.server))),
    }
}
