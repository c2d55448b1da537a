//! Cancels work on an answer when its time is up or its peer is gone, unless its commit has begun.
//! A commit that has begun stands, and so does its result.

use crate::engine::EngineError;
use crate::store::CommitGuard;
use crate::varlink::connection::{Closed, Connection};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an answer may wait to be judged when the client does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that a client may ask for.
const MAX_TIMEOUT: Duration = Duration::from_mins(1);

/// The guard of a call whose client waits for `remaining_ms` milliseconds more.
pub(crate) fn commit_guard(remaining_ms: Option<u64>) -> Arc<CommitGuard> {
    let timeout = remaining_ms.map_or(DEFAULT_TIMEOUT, Duration::from_millis).min(MAX_TIMEOUT);
    Arc::new(CommitGuard::new(Instant::now() + timeout))
}

/// The result of work that could have been cancelled.
pub(crate) struct Completed<T, E> {
    /// The result, or [`EngineError::TimedOut`].
    pub(crate) result: Result<T, E>,
    /// The peer has hung up meanwhile, and the result stands all the same.
    pub(crate) peer_gone: bool,
}

/// Runs `work`, which commits under `guard`.
///
/// # Errors
/// [`Closed`]: the peer hung up before a commit had begun. Nothing was judged.
pub(crate) async fn run_cancellable<T, E: From<EngineError>>(
    connection: &mut Connection,
    guard: &CommitGuard,
    mut work: impl Future<Output = Result<T, E>> + Unpin,
) -> Result<Completed<T, E>, Closed> {
    // Not a task of its own: once its guard is cancelled, dropping it takes all of it back.
    let (mut peer_gone, mut late) = (false, false);
    loop {
        tokio::select! {
            // The peer first: a result that is there at the same moment reaches nobody, and its
            // event has to say so.
            biased;
            () = connection.hung_up(), if !peer_gone => {
                peer_gone = true;
                if guard.cancel() {
                    return Err(Closed);
                }
            }
            result = &mut work => return Ok(Completed { result, peer_gone }),
            () = tokio::time::sleep_until(guard.deadline().into()), if !late => {
                late = true;
                if guard.cancel() {
                    return Ok(Completed { result: Err(EngineError::TimedOut.into()), peer_gone });
                }
            }
        }
    }
}
