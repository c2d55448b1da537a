//! Refusals: how one is answered, when, and what is logged of it.

use crate::audit::{Event, EventKind, UnjudgedReason};
use crate::clock;
use crate::engine::EngineError;
use crate::varlink::connection::{Closed, Connection};
use crate::varlink::reply::{Bytes, failed_plainly};
use crate::varlink::server::{Server, ServerState};
use std::time::{Duration, Instant};
use totp_wire::login;

/// How long each refusal takes: longer than a look-up and a commit (docs/explanation/benchmarks.md,
/// "Does the time tell why").
const REFUSAL_TIME: Duration = Duration::from_millis(25);

/// Why a call has no step.
#[derive(Debug)]
pub(super) enum NoStep {
    /// It is answered by this error, which ends the attempt.
    Error(Bytes),
    /// The peer hung up.
    Closed,
}

impl From<Bytes> for NoStep {
    fn from(error: Bytes) -> Self {
        Self::Error(error)
    }
}

impl From<Closed> for NoStep {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

/// When a refusal of an answer that arrives now is sent. It is the same for every cause, however
/// long the cause took to find, unless the client has less time left.
pub(super) fn refusal_time(remaining_ms: Option<u64>) -> Instant {
    let most = remaining_ms.map_or(REFUSAL_TIME, |left| Duration::from_millis(left / 2));
    Instant::now() + REFUSAL_TIME.min(most)
}

/// The attempt that is refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempted<'a> {
    /// Its id, once it has one.
    pub(super) id: Option<&'a str>,
    /// The name that it is for.
    pub(super) user: &'a str,
}

impl<'a> Attempted<'a> {
    /// One that has no id yet.
    pub(super) const fn of(user: &'a str) -> Self {
        Self { id: None, user }
    }
}

/// Logs why there is no decision, and returns the error reply that says so.
pub(super) fn engine_error<S: ServerState>(
    server: &Server<S>,
    connection: &Connection,
    attempted: Attempted<'_>,
    error: &EngineError,
) -> Bytes {
    let (reason, reply) = match error {
        EngineError::Busy => (UnjudgedReason::Busy, login::BUSY),
        EngineError::TimedOut => (UnjudgedReason::TooLate, login::TIMED_OUT),
        EngineError::Unavailable(why) => {
            tracing::error!("{why}");
            (UnjudgedReason::StoreUnavailable, login::STORE_UNAVAILABLE)
        }
        // It was judged: a stack that passes without a store must not pass a wrong code.
        EngineError::InDoubt(why) => {
            tracing::error!("{why}");
            (UnjudgedReason::InDoubt, login::BUSY)
        }
    };
    log_refusal(server, connection, attempted, reason);
    failed_plainly(reply)
}

/// Logs a refusal that nothing was judged for. It is in no history, since there may be no store.
pub(super) fn log_refusal<S: ServerState>(
    server: &Server<S>,
    connection: &Connection,
    attempted: Attempted<'_>,
    reason: UnjudgedReason,
) {
    let Attempted { id, user } = attempted;
    let mut event = Event::new(EventKind::Login, user, clock::now(), connection.peer.from()).refused(reason);
    event.id = id.map(str::to_owned);
    // No directory is asked for the sake of a line: a name that is not known by now is left out.
    if !server.state.directory().has_seen(user) {
        event.leave_name_out();
    }
    event.log();
}
