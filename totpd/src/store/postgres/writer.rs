//! What waits becomes one transaction, so that logins that come together share one sync, here and
//! on the standbys.

use crate::store::error::CommitError;
use crate::store::postgres::batch::{Committer, PARALLEL, answer};
use crate::store::postgres::pool::Core;
use crate::store::queue::Job;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Changes in one transaction at most.
const BATCH: usize = 256;
/// After how long one does not count any more: it waits for a standby or a server that hangs, and
/// nothing of ours may end that.
const HANGS: Duration = Duration::from_secs(30);
/// After how long without a place for the next transaction the store does not serve.
const STALLED: Duration = Duration::from_secs(5);
/// How often those that wait for a place are looked through for what comes too late.
const SWEEP: Duration = Duration::from_millis(100);
/// Connections, with those that hang.
pub(super) const CONNECTIONS: usize = 12;
/// After how long the next transaction begins beside one that has not ended: its standby or the
/// network may be away, and others must not wait for it.
const OVERTAKE: Duration = Duration::from_secs(1);
/// How long the end of the store waits for transactions that are under way.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// Makes batches of what waits, and has them committed.
#[derive(Debug)]
pub(super) struct Writer {
    core: Arc<Core>,
    committer: Committer,
}

impl Writer {
    pub(super) fn new(core: &Arc<Core>, committer: Committer) -> Self {
        Self { core: Arc::clone(core), committer }
    }

    /// Commits what comes until the queue's other end is dropped.
    pub(super) async fn run(self, mut queue: Receiver<Job>) {
        let mut under_way = JoinSet::new();
        let places = Arc::new(Semaphore::new(PARALLEL));
        while let Some(first) = queue.recv().await {
            let mut batch = vec![first];
            let Some(place) = self.place(&places, &mut queue, &mut batch).await else { continue };
            let committer = self.committer.clone();
            under_way.spawn(async move {
                let mut commit = std::pin::pin!(committer.commit(batch));
                if timeout(HANGS, &mut commit).await.is_err() {
                    drop(place);
                    commit.await;
                }
            });
            let _ = timeout(OVERTAKE, under_way.join_next()).await;
        }
        let last = async { while under_way.join_next().await.is_some() {} };
        let _ = timeout(LAST_WAIT, last).await;
    }

    /// Waits for a place, and fills the batch meanwhile. Who is too late is answered while it
    /// waits; where no place comes free, everybody is. `None`: the queue is closed, and nothing is
    /// left.
    async fn place(
        &self,
        places: &Arc<Semaphore>,
        queue: &mut Receiver<Job>,
        batch: &mut Vec<Job>,
    ) -> Option<OwnedSemaphorePermit> {
        let since = Instant::now();
        let mut place = std::pin::pin!(Arc::clone(places).acquire_owned());
        loop {
            while batch.len() < BATCH {
                match queue.try_recv() {
                    Ok(job) => batch.push(job),
                    Err(TryRecvError::Disconnected) if batch.is_empty() => return None,
                    Err(_) => break,
                }
            }
            if let Ok(place) = timeout(SWEEP, &mut place).await {
                self.core.status.stall(None);
                return place.ok();
            }
            *batch = in_time(std::mem::take(batch));
            if since.elapsed() > STALLED {
                let why =
                    format!("the store cannot be used now: {} does not end its commits", self.core.name);
                self.core.status.stall(Some(why.clone()));
                self.core.failed.notify_one();
                for job in batch.drain(..) {
                    answer(job, Err(CommitError::Unavailable(why.clone())));
                }
            }
        }
    }
}

/// Those that may still begin; the others are answered.
fn in_time(jobs: Vec<Job>) -> Vec<Job> {
    let (waiting, late): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| job.guard.claim());
    for job in &waiting {
        job.guard.release();
    }
    for job in late {
        answer(job, Err(CommitError::Cancelled));
    }
    waiting
}
