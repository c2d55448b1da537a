//! One transaction of many change sets: what its `COMMIT` means, and what it does not.
//!
//! Everything before the `COMMIT` can be undone. From the moment that it is sent on, nothing of
//! ours ends it, and whatever it answers but success without a notice leaves the commits in doubt:
//! a server whose wait for its standby is cancelled says so in a notice, and reports success.

use crate::store::Committed;
use crate::store::error::CommitError;
use crate::store::postgres::apply::apply;
use crate::store::postgres::connection::Connection;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::login::Logins;
use crate::store::postgres::withdrawals;
use crate::store::queue::{Job, Outcome};
use futures_util::future::{join, join_all};
use std::time::Duration;
use totp_core::withdrawal::Entry;

/// How long everything before the `COMMIT` may take: longer than a row may be waited for.
const TIMEOUT: Duration = Duration::from_secs(5);

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

/// Commits change sets of logins, which are sent together.
pub(super) async fn of_logins(db: &Connection, slot: i64, jobs: &[Job]) -> Result<Done, Failed> {
    transaction(db, async {
        let logins = Logins::prepared(db).await?;
        let writes = jobs.iter().map(|job| logins.write(db, slot, &job.change));
        // The first poll of each sends it, in this order.
        let (begun, written) = join(db.run("BEGIN"), join_all(writes)).await;
        begun?;
        // The first error counts: those after it only say that the transaction was aborted.
        let written: Vec<bool> = written.into_iter().collect::<Result<_, Fault>>()?;
        Ok(Done { outcomes: written.into_iter().map(as_outcome).collect(), entries: Vec::new() })
    })
    .await
}

/// Commits any change sets, one after the other, each under a savepoint.
pub(super) async fn of_any(db: &Connection, slot: i64, jobs: &[Job]) -> Result<Done, Failed> {
    transaction(db, async {
        db.run("BEGIN").await?;
        let mut done = Done { outcomes: Vec::with_capacity(jobs.len()), entries: Vec::new() };
        if jobs.iter().any(|job| job.change.side_writes.iter().any(withdrawals::counts)) {
            withdrawals::lock_counter(db).await?;
        }
        for job in jobs {
            let applied = apply(db, slot, &job.change, &mut done.entries).await?;
            done.outcomes.push(applied.map(|()| Committed(())));
        }
        Ok(done)
    })
    .await
}

/// Commits what `statements` have done, or rolls it back. They end after their time; the `COMMIT`
/// does not.
async fn transaction(
    db: &Connection,
    statements: impl Future<Output = Result<Done, Fault>>,
) -> Result<Done, Failed> {
    let Ok(written) = tokio::time::timeout(TIMEOUT, statements).await else {
        // The server rolls back what its client left behind.
        return Err(Failed::Before(Fault::Lost(format!("{} does not answer", db.server))));
    };
    match written {
        Ok(done) => commit(db).await.map(|()| done),
        Err(fault) => Err(roll_back(db, fault).await),
    }
}

fn as_outcome(written: bool) -> Outcome {
    if written { Ok(Committed(())) } else { Err(CommitError::Conflict) }
}

async fn roll_back(db: &Connection, fault: Fault) -> Failed {
    match tokio::time::timeout(TIMEOUT, db.run("ROLLBACK")).await {
        Ok(Ok(())) => Failed::Before(fault),
        Ok(Err(_)) | Err(_) => Failed::Before(Fault::Lost(fault.to_string())),
    }
}

/// Sends the `COMMIT` and waits for its end, however long that takes.
async fn commit(db: &Connection) -> Result<(), Failed> {
    let notices = db.notices.count();
    match db.run("COMMIT").await {
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
