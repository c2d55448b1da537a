//! What break-glass says of itself: a mark on stable storage, and a line of syslog.

use crate::audit::{Event, EventKind, EventOutcome, EventSource};
use crate::breakglass::syslog;
use crate::clock;
use crate::store::Committed;
use crate::store::breakglass::mark;
use nix::syslog::Severity;
use std::path::Path;

/// An event of break-glass's about `user`.
pub(super) fn event(user: &str, outcome: EventOutcome, from: EventSource) -> Event {
    Event { outcome, ..Event::new(EventKind::BreakGlass, user, clock::now(), from) }
}

/// Records an event on stable storage, and says it in the log with the urgency of an alert.
///
/// # Errors
/// The mark cannot be written: nothing may be granted.
pub(super) fn record(marks: &Path, event: &Event) -> std::io::Result<Committed> {
    syslog::say(Severity::LOG_ALERT, event);
    mark(marks, event)
}
