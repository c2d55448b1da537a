//! syslog(3) from a thread of its own: with a `/dev/log` that nobody reads it waits for ever, and break-glass
//! is for machines on which much is broken. What counts is the mark; a line that finds no room is dropped.

use crate::audit::Event;
use nix::syslog::{Facility, LogFlags, Priority, Severity, openlog, syslog};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Lines that may wait.
const CAPACITY: usize = 64;
/// Refusals that may wait: they leave room for what break-glass itself does.
const REFUSALS: usize = 32;
/// How long a responder that ends waits for the reader of its last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The thread, from the first line on.
static SYSLOG: OnceLock<Option<Syslog>> = OnceLock::new();

struct Syslog {
    lines: SyncSender<(Severity, String)>,
    waiting: Arc<AtomicUsize>,
}

/// Says an event. journald and every syslog daemon read it, whatever else is broken.
pub(super) fn say(severity: Severity, event: &Event) {
    // Nobody is left to tell when there is no thread or no room.
    let Some(syslog) = SYSLOG.get_or_init(start) else { return };
    let room = if severity == Severity::LOG_ALERT { CAPACITY } else { REFUSALS };
    if syslog.waiting.load(Ordering::SeqCst) < room {
        syslog.waiting.fetch_add(1, Ordering::SeqCst);
        if syslog.lines.try_send((severity, event.json())).is_err() {
            syslog.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Waits until everything is said, but not for ever.
pub(super) fn flush() {
    let deadline = Instant::now() + FLUSH_TIMEOUT;
    let Some(Some(syslog)) = SYSLOG.get() else { return };
    while syslog.waiting.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn start() -> Option<Syslog> {
    let (lines, queue) = sync_channel(CAPACITY);
    let waiting = Arc::new(AtomicUsize::new(0));
    let ours = Arc::clone(&waiting);
    let thread = std::thread::Builder::new().name("totpd-syslog".into()).spawn(move || run(&queue, &ours));
    thread.ok().map(|_| Syslog { lines, waiting })
}

fn run(queue: &Receiver<(Severity, String)>, waiting: &AtomicUsize) {
    for (severity, line) in queue {
        let named = openlog(Some(c"totpd"), LogFlags::LOG_PID, Facility::LOG_AUTH);
        let said = syslog(Priority::new(severity, Facility::LOG_AUTH), &line);
        // Nobody is left to tell; the mark is what counts.
        let _ = (named, said);
        waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
