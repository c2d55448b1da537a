//! Work on an answer, while watching the clock and the peer: what has not begun to commit when the time is up
//! or the peer is gone is dropped unjudged. Once it has begun its result stands.

use crate::engine::EngineError;
use crate::store::CommitGuard;
use crate::varlink::connection::{Closed, Connection};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an answer may wait to be judged when the caller does not say.
const DEFAULT_TIME: Duration = Duration::from_secs(10);
/// The longest a caller may ask for.
const MOST_TIME: Duration = Duration::from_mins(1);

/// The ticket of a call whose caller waits for so many milliseconds more.
pub(crate) fn ticket(remaining_ms: Option<u64>) -> Arc<CommitGuard> {
    let time = remaining_ms.map_or(DEFAULT_TIME, Duration::from_millis).min(MOST_TIME);
    Arc::new(CommitGuard::new(Instant::now() + time))
}

/// What came of it, and whether the peer has hung up meanwhile.
pub(crate) struct Watched<T, E> {
    pub(crate) result: Result<T, E>,
    pub(crate) gone: bool,
}

/// Runs `work`, which commits under `ticket`. [`Closed`]: the peer hung up before anything had begun.
pub(crate) async fn run_cancellable<T, E: From<EngineError>>(
    connection: &mut Connection,
    ticket: &CommitGuard,
    work: impl Future<Output = Result<T, E>>,
) -> Result<Watched<T, E>, Closed> {
    // Not a task of its own: dropping it, once its ticket is dropped, takes it back whole.
    tokio::pin!(work);
    let (mut gone, mut late) = (false, false);
    loop {
        tokio::select! {
            result = &mut work => return Ok(Watched { result, gone }),
            () = connection.hung_up(), if !gone => {
                gone = true;
                if ticket.cancel() {
                    return Err(Closed);
                }
            }
            () = tokio::time::sleep_until(ticket.deadline().into()), if !late => {
                late = true;
                if ticket.cancel() {
                    return Ok(Watched { result: Err(EngineError::TimedOut.into()), gone });
                }
            }
        }
    }
}
