//! The log: the journal when there is one, stderr otherwise. Audit events are one JSON object a line.

use std::fmt::Write as _;
use std::io::Write as _;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// The target of audit events.
pub const AUDIT: &str = "totpd::audit";

/// Starts the log of the daemon.
pub fn start() {
    let journal = under_journald().then(tracing_journald::layer).and_then(Result::ok);
    // Libraries say more than an administrator wants to read, and more than a log may hold.
    let heard = Targets::new().with_default(LevelFilter::WARN).with_target("totpd", LevelFilter::INFO);
    let started = match journal {
        Some(layer) => tracing::subscriber::set_global_default(
            // TOTPD_USER=alice and so on: names that no other program's fields have.
            tracing_subscriber::registry()
                .with(heard)
                .with(layer.with_syslog_identifier("totpd".into()).with_field_prefix(Some("TOTPD".into()))),
        ),
        None => {
            tracing::subscriber::set_global_default(tracing_subscriber::registry().with(heard).with(Stderr))
        }
    };
    // Only a second start in one process fails, and then there is a log.
    drop(started);
}

/// systemd says in JOURNAL_STREAM which device and inode its stream has (systemd.exec(5)).
#[expect(clippy::disallowed_methods, reason = "decides nothing but where the log goes")]
fn under_journald() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = nix::sys::stat::fstat(std::io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

/// Plain lines: `totpd: error: …`, and for an audit event its JSON alone.
struct Stderr;

impl<S: Subscriber> Layer<S> for Stderr {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        let mut message = Message::default();
        event.record(&mut message);
        let mut line = match (event.metadata().target(), level) {
            (AUDIT, _) => message.0,
            (_, Level::ERROR) => format!("totpd: error: {}", message.0),
            (_, Level::WARN) => format!("totpd: warning: {}", message.0),
            _ => format!("totpd: {}", message.0),
        };
        line.push('\n');
        // Nobody is left to tell when the log cannot be written.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
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
