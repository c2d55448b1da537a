//! The log: the journal when there is one, stderr otherwise. Audit events are one JSON object a
//! line.
//!
//! Nobody waits for a reader of logs (invariant 15). A line goes into a bounded queue, and one
//! thread writes it. A line that finds no room is dropped and counted; the history says how many
//! there were. The durable row is the audit, the line is a copy of it.
//!
//! ```text
//! Event::log, tracing ─▶ lane ─▶ Queue (bounded by lane and by source) ─▶ writer thread
//!                                  └─ dropped ─▶ daemon: a row "log-dropped"
//! ```

mod lane;
mod queue;
mod writer;

use crate::audit::{Dropped, Event};
use crate::sync::ignore_poison;
use queue::{Line, Queue};
use std::fmt::Write as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, TryLockError};
use std::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// How long a daemon that stops waits for the reader of its last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The queue of this process; none before [`start`], and in commands that keep no log.
static LOG: OnceLock<Arc<Log>> = OnceLock::new();

/// How often a panic looks for the queue, a millisecond apart: its own thread may hold it.
const PANIC_TRIES: u32 = 50;

/// The queue, and who waits for it.
#[derive(Debug, Default)]
struct Log {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: Queue,
    /// The writer has a line that is not written yet.
    writing: bool,
    /// Lines dropped since the start.
    since_start: u64,
}

impl Log {
    fn state(&self) -> MutexGuard<'_, State> {
        // A queue that somebody panicked in is whole: each change is made by one call.
        ignore_poison(self.state.lock())
    }

    fn push(&self, line: Line) {
        self.state().queue.push(line);
        self.changed.notify_all();
    }

    /// The same in a panic, which may have come while its own thread held the queue: then nothing
    /// is said.
    fn push_in_panic(&self, line: Line) {
        for _ in 0..PANIC_TRIES {
            let state = match self.state.try_lock() {
                Ok(state) => Some(state),
                Err(TryLockError::Poisoned(state)) => Some(state.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            };
            if let Some(mut state) = state {
                state.queue.push(line);
                drop(state);
                self.changed.notify_all();
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Starts the log of the daemon.
///
/// # Errors
/// When its thread cannot be started.
pub fn start() -> std::io::Result<()> {
    let log = Arc::clone(LOG.get_or_init(Arc::default));
    writer::start(log)?;
    // Libraries say more than an administrator wants to read, and more than a log may hold.
    let heard = Targets::new().with_default(LevelFilter::WARN).with_target("totpd", LevelFilter::INFO);
    // Only a second start in one process fails, and then there is a log.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(heard).with(Enqueue));
    set_panic_hook();
    Ok(())
}

/// A panic is a line, too. Not its text, which may quote what somebody typed; and not to stderr,
/// which perhaps nobody reads.
fn set_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        let line = Line::message(Level::ERROR, format!("a part of the daemon panicked at {place}"));
        if let Some(log) = LOG.get() {
            log.push_in_panic(line);
        }
    }));
}

impl Event {
    /// Queues the line of the log. Called after the transaction that holds its row.
    pub fn log(&self) {
        enqueue(Line::event(self.clone()));
    }
}

fn enqueue(line: Line) {
    if let Some(log) = LOG.get() {
        log.push(line);
    }
}

/// Waits until everything is written, but not for ever: what is left then is dropped and counted.
pub fn flush() {
    let Some(log) = LOG.get() else { return };
    let deadline = Instant::now() + FLUSH_TIMEOUT;
    let mut state = log.state();
    while state.writing || !state.queue.is_empty() {
        let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
        state = ignore_poison(log.changed.wait_timeout(state, left)).0;
    }
    state.queue.drop_all();
}

/// How many lines were dropped since the daemon started.
pub(crate) fn dropped_since_start() -> u64 {
    LOG.get().map_or(0, |log| {
        let state = log.state();
        state.since_start + state.queue.dropped().total()
    })
}

/// How many lines wait for the reader of the log.
pub(crate) fn waiting() -> u64 {
    LOG.get().map_or(0, |log| {
        let state = log.state();
        state.queue.waiting() + u64::from(state.writing)
    })
}

pub(crate) fn is_anything_dropped() -> bool {
    LOG.get().is_some_and(|log| log.state().queue.dropped().total() > 0)
}

/// Takes the count of what was dropped and not reported yet.
pub(crate) fn take_dropped() -> Option<Dropped> {
    let mut state = LOG.get()?.state();
    let dropped = state.queue.take_dropped();
    state.since_start += dropped.total();
    drop(state);
    (dropped.total() > 0).then_some(dropped)
}

/// Gives a count back that could not be reported.
pub(crate) fn give_back(dropped: &Dropped) {
    if let Some(log) = LOG.get() {
        let mut state = log.state();
        state.since_start -= dropped.total();
        state.queue.add_dropped(dropped);
    }
}

/// What libraries and the daemon itself say, apart from audit events.
struct Enqueue;

impl<S: Subscriber> Layer<S> for Enqueue {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut message = Message::default();
        event.record(&mut message);
        enqueue(Line::message(*event.metadata().level(), message.0));
    }
}

#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, "{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, since the hook and the queue are the process's.
    #[test]
    fn a_panic_is_a_line_that_quotes_nothing_and_never_waits() {
        let log = LOG.get_or_init(Arc::default);
        set_panic_hook();
        let panics = || std::thread::spawn(|| panic!("hunter{}", 2)).join().unwrap_err();
        drop(panics());
        let (line, _) = log.state().queue.pop().unwrap();
        let Line::Message(Level::ERROR, text) = line else { panic!("it is an error") };
        assert!(text.contains("logging/mod.rs") && !text.contains("hunter"), "{text}");
        // Somebody holds the queue and panics: nothing is said, and nobody hangs.
        drop(
            std::thread::spawn(|| {
                let _held = LOG.get().map(|log| log.state());
                panic!("inside");
            })
            .join()
            .unwrap_err(),
        );
        assert!(log.state().queue.is_empty());
        drop(panics());
        assert_eq!(log.state().queue.waiting(), 1, "a poisoned queue goes on");
        drop(std::panic::take_hook());
    }
}
