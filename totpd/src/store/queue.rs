//! The queue of changes that wait for the writer.

use crate::store::change::ChangeSet;
use crate::store::error::CommitError;
use crate::store::{CommitGuard, Committed};
use std::sync::Arc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

/// Changes that may wait for the writer; more is refused as too late.
const CAPACITY: usize = 4096;

/// What became of a change.
pub(super) type Outcome = Result<Committed, CommitError>;

/// A change on its way to the writer.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) change: ChangeSet,
    pub(super) guard: Arc<CommitGuard>,
    pub(super) reply: oneshot::Sender<Outcome>,
}

/// The end of the queue into which changes go. Dropping it lets the writer finish what is queued.
#[derive(Debug)]
pub(super) struct Queue(Sender<Job>);

impl Queue {
    /// A queue, and the end that the writer has.
    pub(super) fn new() -> (Self, Receiver<Job>) {
        let (sender, receiver) = channel(CAPACITY);
        (Self(sender), receiver)
    }

    /// Queues a change and waits for what becomes of it.
    pub(super) async fn commit(&self, change: ChangeSet, guard: Arc<CommitGuard>) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        self.0.try_send(Job { change, guard, reply }).map_err(|error| match error {
            TrySendError::Full(_) => CommitError::Cancelled,
            TrySendError::Closed(_) => closed(),
        })?;
        outcome.await.unwrap_or_else(|_| Err(closed()))
    }
}

/// The error of a commit after the end of the store.
pub(super) fn closed() -> CommitError {
    CommitError::Unavailable("the store is closed".to_owned())
}
