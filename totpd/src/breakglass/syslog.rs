//! syslog(3) from a thread of its own: it waits for ever if nobody reads `/dev/log`, and
//! break-glass is for hosts on which much is broken. The mark is what counts, and a line that finds
//! no room in the queue is dropped.

use crate::audit::Event;
use nix::syslog::{Facility, LogFlags, Priority, Severity, openlog, syslog};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Lines that may wait in the queue.
const CAPACITY: usize = 64;
/// Refusals that may wait in the queue. They leave room for the lines about break-glass itself.
const REFUSALS: usize = 32;
/// How long a responder that ends waits until its last lines are read.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The thread, which the first line starts.
static SYSLOG: OnceLock<Option<Syslog>> = OnceLock::new();

struct Syslog {
    lines: SyncSender<(Severity, String)>,
    waiting: Arc<AtomicUsize>,
}

/// Queues the line of an event, which journald and every syslog daemon read.
pub(super) fn say(severity: Severity, event: &Event) {
    // Without a thread or room there is nobody left to tell.
    let Some(syslog) = SYSLOG.get_or_init(start) else { return };
    let room = if severity == Severity::LOG_ALERT { CAPACITY } else { REFUSALS };
    if syslog.waiting.load(Ordering::SeqCst) < room {
        syslog.waiting.fetch_add(1, Ordering::SeqCst);
        if syslog.lines.try_send((severity, event.json())).is_err() {
            syslog.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Waits until every line is written, at most [`FLUSH_TIMEOUT`].
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
    let counter = Arc::clone(&waiting);
    let thread = std::thread::Builder::new().name("totpd-syslog".into()).spawn(move || run(&queue, &counter));
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
