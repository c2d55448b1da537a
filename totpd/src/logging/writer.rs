//! The thread that writes the lines of the log. When nobody reads the journal's socket or the pipe
//! on stderr, only this thread blocks.

use super::queue::Line;
use super::{Log, State};
use crate::audit::{EventReason, Method, Would};
use crate::sync::ignore_poison;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use totp_core::policy::Mode;
use tracing::Level;
use tracing::dispatcher::{Dispatch, with_default};
use tracing_subscriber::layer::SubscriberExt;

/// The target of audit events: the journal's field `TARGET`.
const AUDIT: &str = "totpd::audit";

/// Where lines are written to.
enum Sink {
    Journal(Dispatch),
    Stderr,
}

/// Starts the writer thread.
pub(super) fn start(log: Arc<Log>) -> std::io::Result<()> {
    std::thread::Builder::new().name("totpd-log".into()).spawn(move || run(&log)).map(drop)
}

fn run(log: &Log) {
    // Opened on this thread, because even the first datagram to the journal can block.
    let sink = Sink::open();
    loop {
        let (line, repeated) = next(log);
        // A line on which a library panics is dropped, and the next line is written.
        let written = catch_unwind(AssertUnwindSafe(|| sink.write(&line, repeated))).unwrap_or(false);
        let mut state = log.state();
        state.writing = false;
        if !written {
            state.queue.not_written(&line, repeated);
        }
        if state.flushing > 0 {
            log.changed.notify_all();
        }
    }
}

/// Waits for the next line, and returns it with the number of its repetitions.
fn next(log: &Log) -> (Line, u64) {
    let mut state = log.state();
    loop {
        let State { queue, writing, .. } = &mut *state;
        if let Some(next) = queue.pop() {
            *writing = true;
            return next;
        }
        state.idle = true;
        state = ignore_poison(log.changed.wait(state));
    }
}

impl Sink {
    fn open() -> Self {
        let Some(layer) = under_journald().then(tracing_journald::layer).and_then(Result::ok) else {
            return Self::Stderr;
        };
        // Fields such as TOTPD_USER=alice, whose names no other program uses.
        let layer = layer.with_syslog_identifier("totpd".into()).with_field_prefix(Some("TOTPD".into()));
        Self::Journal(Dispatch::new(tracing_subscriber::registry().with(layer)))
    }

    /// Writes a line, and returns whether that succeeded.
    fn write(&self, line: &Line, repeated: u64) -> bool {
        match self {
            Self::Journal(journal) => {
                with_default(journal, || to_journal(line, repeated));
                true
            }
            Self::Stderr => to_stderr(&(prefix(line).to_owned() + &text(line, repeated) + "\n")),
        }
    }
}

/// Returns whether stderr is connected to the journal: systemd sets `JOURNAL_STREAM` to device and
/// inode of the stream (systemd.exec(5)).
#[expect(clippy::disallowed_methods, reason = "it only decides where the log goes")]
fn under_journald() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = nix::sys::stat::fstat(std::io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

fn to_journal(line: &Line, repeated: u64) {
    let text = text(line, repeated);
    match line {
        Line::Event(event) => tracing::info!(
            target: AUDIT,
            event = event.event.as_str(),
            user = event.user,
            outcome = event.outcome.as_str(),
            reason = event.reason.map(EventReason::as_str),
            rule = event.rule,
            mode = event.mode.map(Mode::as_str),
            would = event.would.map(Would::as_str),
            method = event.method.map(Method::as_str),
            client = event.from.client,
            service = event.from.service,
            rhost = event.from.rhost,
            id = event.id,
            "{text}"
        ),
        Line::Message(Level::ERROR, _) => tracing::error!(target: "totpd", "{text}"),
        Line::Message(Level::WARN, _) => tracing::warn!(target: "totpd", "{text}"),
        Line::Message(..) => tracing::info!(target: "totpd", "{text}"),
    }
}

/// Returns the text of a line: the event as JSON, or the message.
fn text(line: &Line, repeated: u64) -> String {
    match line {
        Line::Event(event) if repeated > 0 => {
            let mut event = event.clone();
            event.repeated = Some(repeated);
            event.json()
        }
        Line::Event(event) => event.json(),
        Line::Message(_, text) if repeated > 0 => format!("{text} ({repeated} more like this)"),
        Line::Message(_, text) => text.clone(),
    }
}

/// Returns what precedes the text of a line on stderr: program and level, or nothing before JSON.
const fn prefix(line: &Line) -> &'static str {
    match line {
        Line::Event(_) => "",
        Line::Message(Level::ERROR, _) => "totpd: error: ",
        Line::Message(Level::WARN, _) => "totpd: warning: ",
        Line::Message(..) => "totpd: ",
    }
}

/// Writes text to stderr, without the lock of [`std::io::stderr`]: while a write blocks, no other
/// thread may have to wait for the lock.
fn to_stderr(line: &str) -> bool {
    let mut rest = line.as_bytes();
    while !rest.is_empty() {
        match nix::unistd::write(std::io::stderr(), rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
    true
}
