//! The log: the journal, or stderr if there is no journal. An audit event is logged as one JSON
//! object on one line.
//!
//! No login waits for the reader of the log (invariant 15). Lines go into a bounded queue, and one
//! thread writes them. A line for which the queue has no room is dropped and counted, and the
//! history records the counts. The audit log is the durable history; a line is a copy of its row.
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

/// How long a stopping daemon waits until its last lines are written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The log of this process. Empty before [`start`], and in commands, which have no log.
static LOG: OnceLock<Arc<Log>> = OnceLock::new();

/// How often the panic hook tries to lock the queue, once a millisecond. The thread that panics may
/// hold the lock itself.
const PANIC_LOCK_TRIES: u32 = 50;

/// The queue, with the lock and the condition variable that its threads share.
#[derive(Debug, Default)]
struct Log {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: Queue,
    /// Whether the writer thread has taken a line that is not written yet.
    writing: bool,
    /// Whether the writer thread waits for a line. Waking a thread that does not wait costs a
    /// system call all the same.
    idle: bool,
    /// How many threads wait in [`flush`].
    flushing: u32,
    /// How many lines were dropped since the start, without those that the queue still counts.
    reported: u64,
}

impl Log {
    fn state(&self) -> MutexGuard<'_, State> {
        // After a panic the queue is still consistent, because each change is one call.
        ignore_poison(self.state.lock())
    }

    fn push(&self, line: Line) {
        let mut state = self.state();
        state.queue.push(line);
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        if idle {
            self.changed.notify_all();
        }
    }

    /// Adds a line from the panic hook. If the thread panicked while it held the lock, the line is
    /// dropped, since waiting for the lock would never end.
    fn push_in_panic(&self, line: Line) {
        for _ in 0..PANIC_LOCK_TRIES {
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

/// Starts the daemon's log: its thread, the subscriber of `tracing`, and the panic hook.
///
/// # Errors
/// When the thread cannot be started.
pub fn start() -> std::io::Result<()> {
    let log = Arc::clone(LOG.get_or_init(Arc::default));
    writer::start(log)?;
    // Of libraries only warnings: their other messages are many, and may contain secrets.
    let filter = Targets::new().with_default(LevelFilter::WARN).with_target("totpd", LevelFilter::INFO);
    // This fails only for a second start in the same process, which has a log already.
    let _ =
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(filter).with(Enqueue));
    set_panic_hook();
    Ok(())
}

/// Logs panics. The line has the location, but not the panic's message, which may quote what a user
/// typed. Nothing is written to stderr, where a write could block.
fn set_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map_or_else(String::new, ToString::to_string);
        let line = Line::message(Level::ERROR, format!("a part of the daemon panicked at {location}"));
        if let Some(log) = LOG.get() {
            log.push_in_panic(line);
        }
    }));
}

impl Event {
    /// Queues the log line of the event. Call it after the transaction with the event's row.
    pub fn log(&self) {
        enqueue(Line::event(self.clone()));
    }
}

fn enqueue(line: Line) {
    if let Some(log) = LOG.get() {
        log.push(line);
    }
}

/// Waits until every line is written, but for [`FLUSH_TIMEOUT`] at most. The lines that are left
/// then are dropped and counted.
pub fn flush() {
    let Some(log) = LOG.get() else { return };
    let deadline = Instant::now() + FLUSH_TIMEOUT;
    let mut state = log.state();
    state.flushing += 1;
    while state.writing || !state.queue.is_empty() {
        let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
        state = ignore_poison(log.changed.wait_timeout(state, left)).0;
    }
    state.flushing -= 1;
    state.queue.drop_all();
}

/// Returns how many lines were dropped since the daemon started.
pub(crate) fn dropped_since_start() -> u64 {
    LOG.get().map_or(0, |log| {
        let state = log.state();
        state.reported + state.queue.dropped().total()
    })
}

/// Returns how many lines wait to be written.
pub(crate) fn waiting() -> u64 {
    LOG.get().map_or(0, |log| {
        let state = log.state();
        state.queue.len() + u64::from(state.writing)
    })
}

/// Returns whether lines were dropped since [`take_dropped`].
pub(crate) fn is_anything_dropped() -> bool {
    LOG.get().is_some_and(|log| log.state().queue.dropped().total() > 0)
}

/// Returns how many lines were dropped since the last call, if any. The caller must report them, or
/// return the counts with [`give_back`].
pub(crate) fn take_dropped() -> Option<Dropped> {
    let mut state = LOG.get()?.state();
    let dropped = state.queue.take_dropped();
    state.reported += dropped.total();
    drop(state);
    (dropped.total() > 0).then_some(dropped)
}

/// Takes back counts from [`take_dropped`] that could not be reported.
pub(crate) fn give_back(dropped: &Dropped) {
    if let Some(log) = LOG.get() {
        let mut state = log.state();
        state.reported -= dropped.total();
        state.queue.add_dropped(dropped);
    }
}

/// The layer of `tracing` that queues the messages of the daemon and of libraries.
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

    /// One test for all, because the panic hook and the queue belong to the process.
    #[test]
    fn a_panic_is_logged_without_its_text_and_without_waiting() {
        let log = LOG.get_or_init(Arc::default);
        set_panic_hook();
        let panics = || std::thread::spawn(|| panic!("hunter{}", 2)).join().unwrap_err();
        drop(panics());
        let (line, _) = log.state().queue.pop().unwrap();
        let Line::Message(Level::ERROR, text) = line else { panic!("not an error") };
        assert!(text.contains("logging/mod.rs") && !text.contains("hunter"), "{text}");
        // A thread panics while it holds the lock: nothing is logged, and nothing hangs.
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
        assert_eq!(log.state().queue.len(), 1, "a poisoned lock is used on");
        drop(std::panic::take_hook());
    }
}
