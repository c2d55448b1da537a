//! The row of the history that says how many lines the log lacks.

use crate::audit::{Dropped, Event, EventKind, EventSource};
use crate::clock;
use crate::engine::Engine;
use crate::logging::{flush, give_back, is_anything_dropped, take_dropped};
use crate::sync::ignore_poison;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// One row in this time at most: a log that nobody reads must not push logins out of the history.
const INTERVAL: Duration = Duration::from_mins(1);

/// How long the last row may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Reports dropped lines, now and then.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    last: Mutex<Option<Instant>>,
}

impl Reporter {
    /// Stores what was dropped, unless that was done a moment ago.
    pub(super) async fn report(&self, engine: &Engine) {
        if self.is_due(Instant::now())
            && let Some(dropped) = take_dropped()
        {
            store(engine, &dropped).await;
        }
    }

    /// Writes what waits and stores what nobody read: the daemon stops.
    pub(super) async fn finish(&self, engine: Option<&Engine>) {
        flush();
        if let Some(engine) = engine
            && let Some(dropped) = take_dropped()
        {
            // A disk that hangs keeps no daemon from its end.
            let _ = tokio::time::timeout(STOP_TIMEOUT, store(engine, &dropped)).await;
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let mut last = ignore_poison(self.last.lock());
        let due = last.is_none_or(|last| now.saturating_duration_since(last) >= INTERVAL);
        // Only a report begins the interval.
        if due && is_anything_dropped() {
            *last = Some(now);
        }
        due
    }
}

async fn store(engine: &Engine, dropped: &Dropped) {
    let mut event = Event::new(EventKind::LogDropped, "", clock::now(), EventSource::default());
    event.dropped = Some(*dropped);
    if engine.record_report(&event).await.is_err() {
        give_back(dropped);
    }
}
