//! Refusals: how one is answered, when, and what is counted and logged of it.

use crate::audit::Event;
use crate::clock;
use crate::engine::{EngineError, LoginRequest};
use crate::varlink::connection::Connection;
use crate::varlink::reply::{Bytes, failed_plainly};
use std::time::Duration;
use totp_wire::login;

/// How long each refusal takes: longer than a look-up and a commit (docs/explanation/benchmarks.md, "Does the time tell
/// why").
const REFUSAL_TIME: Duration = Duration::from_millis(25);

/// When a refusal to an answer that has just arrived is sent: whatever its cause, and however long that took to
/// find, it takes the same time, unless the caller has less.
pub(super) fn refusal_time(remaining_ms: Option<u64>) -> tokio::time::Instant {
    let most = remaining_ms.map_or(REFUSAL_TIME, |left| Duration::from_millis(left / 2));
    tokio::time::Instant::now() + REFUSAL_TIME.min(most)
}

/// The error that a failure is answered with; nothing follows it.
pub(super) fn failed_with(connection: &Connection, user: &str, failure: &EngineError) -> Bytes {
    let (reason, error) = match failure {
        EngineError::Busy => ("busy", login::BUSY),
        EngineError::TimedOut => ("too-late", login::TIMED_OUT),
        EngineError::Unavailable(why) => {
            tracing::error!("{why}");
            ("store-unavailable", login::STORE_UNAVAILABLE)
        }
    };
    refused(connection, user, reason);
    failed_plainly(error)
}

/// Counts a refusal against whoever started the program, for whom they ask next.
pub(super) fn count_refusal(connection: &Connection, asker: &LoginRequest) {
    if let Some(caller) = asker.facts.caller {
        connection.rate_limit.refused(caller);
    }
}

/// A refusal that nothing was judged for: in the log alone, since there may be no store.
pub(super) fn refused(connection: &Connection, user: &str, reason: &'static str) {
    let mut event = Event::new("login", user, clock::now(), connection.peer.from());
    event.outcome = "refused";
    event.reason = Some(reason);
    // Nothing was looked up, and nothing is for the sake of a line: a name that is not known by now is left out.
    if !connection.shared.users.has_seen(user) {
        event.leave_name_out();
    }
    event.log();
}
