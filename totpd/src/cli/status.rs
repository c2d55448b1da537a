//! `totpd status` without a name: the state of the daemon.

use super::Context;
use crate::cli::call_error;
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::cli::rpc::connect;
use crate::clock::{from_rfc3339, now, rfc3339};
use crate::config::Config;
use crate::config::http::Listen;
use crate::doctor::report::problems;
use crate::last_run;
use crate::local_time::{local, local_second};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use totp_core::Time;
use totp_wire::admin::{self, Configuration, ConfigurationInUse, DaemonReply, DaemonState, Overview};
use totp_wire::text::printable;
use totp_wire::{CallError, Client};

/// How long the daemon may take to answer. Counting users in the store may take it a second.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1_600);
/// How many milliseconds timedatectl may take.
const NTP_TIMEOUT: u16 = 700;

/// `totpd status`, for root.
pub(super) fn status(context: &Context) -> Result<(), CommandError> {
    let config = context.config()?;
    let reply = match ask(&config) {
        Ok(reply) => reply,
        Err(Unanswered { failed, document }) => {
            context.out.json(&document)?;
            return Err(failed);
        }
    };
    let doctor = last_run::document(&config);
    let synchronised = ntp_synchronised();
    let ends = certificate_ends(&config);
    context.out.json(&document(&reply, synchronised, ends, doctor.as_ref()))?;
    if reply.state == DaemonState::Refusing {
        let why = reply.why.unwrap_or_default();
        return Err(failed(ExitStatus::Refused, format!("the daemon refuses every login: {why}")));
    }
    let lines = lines(&reply, context, synchronised, ends);
    for line in lines.into_iter().chain(doctor_line(doctor.as_ref())).chain(breakglass_lines(&config)) {
        let indent = line.len() - line.trim_start().len();
        context.out.paragraph(indent, line.trim_start())?;
    }
    Ok(())
}

/// Why there was no reply: a message and a JSON document.
struct Unanswered {
    failed: CommandError,
    document: Value,
}

fn ask(config: &Config) -> Result<DaemonReply, Unanswered> {
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let paths = [config.admin_socket.as_path(), &config.login_socket];
    let mut client = connect(&paths, deadline).map_err(|error| unanswered(config, &error, None))?;
    let reply = client.call(&admin::Daemon {}, deadline);
    reply.map(cleaned).map_err(|error| unanswered(config, &error, Some(&client)))
}

/// Removes control characters: someone who took over the daemon's user must not control root's
/// terminal.
fn cleaned(mut reply: DaemonReply) -> DaemonReply {
    let clean = |text: &mut String| *text = printable(text, 2000);
    clean(&mut reply.version);
    let why = reply.configuration.as_mut().and_then(|configuration| configuration.why.as_mut());
    let texts =
        [&mut reply.why, &mut reply.store_id, &mut reply.state_dir, &mut reply.notice, &mut reply.http];
    texts.into_iter().flatten().chain(why).for_each(clean);
    reply
}

fn unanswered(config: &Config, error: &CallError, client: Option<&Client>) -> Unanswered {
    let path = &config.admin_socket;
    if *error != CallError::TimedOut {
        let failed = call_error::explain(path, error);
        let document = json!({ "state": "unreachable", "why": failed.why });
        return Unanswered { failed, document };
    }
    let pid = client.and_then(Client::server_pid);
    let why = match pid.map(|pid| (pid, process(pid))) {
        Some((pid, (name, state))) if name == "totpd" => format!(
            "totpd (pid {pid}) hangs: it does not answer at {} ({state}), and every login waits for it. Run: {}",
            path.display(),
            match state {
                "it is stopped" => format!("kill -CONT {pid}"),
                _ => "systemctl restart totpd".to_owned(),
            }
        ),
        // systemd holds the socket until the daemon has taken it over.
        Some((1, _)) => format!(
            "systemd holds {}, and totpd does not answer yet. Run: systemctl status totpd",
            path.display()
        ),
        _ => format!("nothing answers at {} in time. Run: systemctl status totpd", path.display()),
    };
    let document = json!({ "state": "hangs", "pid": pid, "why": why });
    Unanswered { failed: failed(ExitStatus::Unreachable, why), document }
}

/// Name and state of a process (proc_pid_stat(5)).
fn process(pid: i32) -> (String, &'static str) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let name = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
    let (name, rest) = name.unwrap_or_default();
    let state = match rest.trim_start().chars().next() {
        Some('T' | 't') => "it is stopped",
        Some('D') => "it waits for a disk",
        Some('Z') => "it has ended",
        Some('R') => "it is busy",
        _ => "it waits",
    };
    (name.to_owned(), state)
}

fn lines(
    reply: &DaemonReply,
    context: &Context,
    synchronised: Option<bool>,
    ends: Option<Time>,
) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(last_good_lines(reply.configuration.as_ref(), &context.config_path));
    let (store, version) = (reply.store_id.as_deref().unwrap_or_default(), &reply.version);
    let folder = reply.state_dir.as_ref().map_or_else(String::new, |folder| format!(" in {folder}"));
    let up = reply.uptime.map_or_else(String::new, |seconds| format!(", up {}", length(seconds)));
    lines.push(format!("totpd {version} serves store {store}{folder}{up}"));
    if let Some(granted) = reply.clock_behind {
        lines.push(format!(
            "a code was accepted at {}, and the clock now lies before that, so only recovery codes are accepted. Set the \
             clock; if it is right, run: totpd trust-clock",
            local(Time::from_unix(granted))
        ));
    }
    lines.extend(reply.notice.clone());
    match &reply.overview {
        Some(overview) => lines.extend(overview_lines(overview)),
        None => lines.push(
            "the store did not count its users within a second: its disk is slow, or there are very many users. Run \
             totpd status again"
                .to_owned(),
        ),
    }
    lines.push(match synchronised {
        Some(true) => "clock: synchronised".to_owned(),
        Some(false) => {
            "clock: not synchronised by NTP, and codes are refused once it is a minute off. Run: timedatectl \
                        set-ntp true"
                .to_owned()
        }
        None => "clock: this host does not say whether it is synchronised (no timedatectl)".to_owned(),
    });
    if let Some(http) = &reply.http {
        let ends = ends.map_or_else(String::new, |end| {
            let over = if end <= now() { "ended" } else { "ends" };
            format!("; its certificate {over} on {}", local(end))
        });
        lines.push(format!("the HTTP API {http}{ends}"));
    }
    if let Some(dropped) = reply.log_lines_dropped.filter(|dropped| *dropped > 0) {
        lines.push(format!(
            "the log lacks {dropped} lines, because its reader was too slow. `totpd history` has every event"
        ));
    }
    lines
}

/// The first lines, if the daemon uses its last good configuration.
fn last_good_lines(configuration: Option<&Configuration>, path: &Path) -> Vec<String> {
    let Some(configuration) = configuration.filter(|c| c.in_use == ConfigurationInUse::LastGood) else {
        return Vec::new();
    };
    let time = |t: Option<u64>| local(Time::from_unix(t.unwrap_or_default()));
    vec![
        format!(
            "THE LAST GOOD CONFIGURATION IS IN USE since {}, a copy of {}: {}",
            time(configuration.since),
            time(configuration.saved),
            configuration.why.as_deref().unwrap_or_default()
        ),
        format!(
            "Rules that exempt, monitor, enroll or remember require a code instead, and trusted peers and admin_group are \
             off. Fix {} and run `totpd config check`; totpd uses it within seconds",
            path.display()
        ),
    ]
}

fn overview_lines(overview: &Overview) -> Vec<String> {
    let Overview { enrolled, pending, locked, tickets, refused, .. } = overview;
    let mut lines = vec![
        format!("store: {} KiB, schema {}", overview.size / 1024, overview.schema),
        format!("users: {enrolled} enrolled, {pending} pending, {tickets} open tickets"),
    ];
    if *locked > 0 {
        let more = if usize::try_from(*locked).is_ok_and(|n| n > overview.locked_users.len()) {
            ", …"
        } else {
            ""
        };
        let names =
            overview.locked_users.iter().map(|name| printable(name, 64)).collect::<Vec<_>>().join(", ");
        lines.push(format!(
            "locked: {locked} ({names}{more}); `totpd status USER` shows for which logins, `totpd unlock USER` ends it"
        ));
    }
    let more = if overview.refused_at_least { " or more" } else { "" };
    lines.push(format!("refused in the last 24 h: {refused}{more}"));
    lines.extend(overview.refusals.iter().filter_map(|event| refusal(event.get())));
    lines
}

/// One refusal as a line, without control characters: someone who can write the store without its
/// key must not control a terminal.
fn refusal(event: &str) -> Option<String> {
    let event: Value = serde_json::from_str(event).ok()?;
    let text = |key: &str| event.get(key).and_then(Value::as_str).map(|text| printable(text, 64));
    let user = text("user").filter(|user| !user.is_empty()).unwrap_or_else(|| "(unknown)".to_owned());
    let service = text("service").map_or_else(String::new, |service| format!(" by {service}"));
    let from = text("rhost").map_or_else(String::new, |rhost| format!(" from {rhost}"));
    let reason = text("reason").unwrap_or_default().replace('-', " ");
    let at = text("time")?;
    let at = from_rfc3339(&at).map_or(at, local_second);
    Some(format!("  {at} {user}{service}{from}: {reason}"))
}

fn breakglass_lines(config: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    if crate::breakglass::is_open(config) {
        lines.push("break-glass is open now: every user but one is refused".to_owned());
    }
    if config.breakglass_marks.exists() {
        lines.push(format!(
            "break-glass was used on this host: {} says when and for which user. Remove it to end the notices at logins",
            config.breakglass_marks.display()
        ));
    }
    lines
}

fn doctor_line(run: Option<&Value>) -> Option<String> {
    let run = run?;
    let at = run.get("at")?.as_str().and_then(from_rfc3339)?;
    let count = |key: &str| run.get(key).and_then(Value::as_u64).unwrap_or_default();
    let (errors, warnings) = (count("errors"), count("warnings"));
    let ago = length(now().since(at));
    let more = if errors + warnings > 0 { "; `totpd doctor` says what to do" } else { "" };
    Some(format!("doctor: {}, {ago} ago{more}", problems(errors, warnings)))
}

fn document(
    reply: &DaemonReply,
    synchronised: Option<bool>,
    ends: Option<Time>,
    doctor: Option<&Value>,
) -> Value {
    let time = |t: Option<u64>| t.map(|t| rfc3339(Time::from_unix(t)));
    let configuration = reply
        .configuration
        .as_ref()
        .map(|c| json!({ "in_use": c.in_use, "why": c.why, "since": time(c.since), "saved": time(c.saved) }));
    json!({
        "state": reply.state, "why": reply.why, "version": reply.version, "uptime": reply.uptime,
        "configuration": configuration,
        "store_id": reply.store_id, "state_dir": reply.state_dir, "overview": reply.overview,
        "now": time(reply.now), "clock_behind": time(reply.clock_behind), "clock_synchronised": synchronised,
        "http": reply.http, "certificate_ends": ends.map(rfc3339),
        "log_lines_dropped": reply.log_lines_dropped, "log_lines_waiting": reply.log_lines_waiting,
        "notice": reply.notice,
        "doctor": doctor.map(|run| {
            json!({ "at": run.get("at"), "errors": run.get("errors"), "warnings": run.get("warnings"),
                    "notes": run.get("notes") })
        }),
    })
}

fn certificate_ends(config: &Config) -> Option<Time> {
    match &config.api()?.listen {
        Listen::Tls(_, tls) => crate::http::certificate_ends(&tls.certificate),
        Listen::Unix(_) | Listen::Plain(_) => None,
    }
}

/// Whether NTP has set the clock, according to timedatectl; `None` if it does not say.
fn ntp_synchronised() -> Option<bool> {
    let mut command = Command::new("timedatectl");
    command.args(["show", "--property=NTPSynchronized", "--value"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let mut output = child.stdout.take()?;
    let ready = poll(&mut [PollFd::new(output.as_fd(), PollFlags::POLLIN)], PollTimeout::from(NTP_TIMEOUT));
    let mut text = String::new();
    if ready == Ok(1) {
        let _ = Read::by_ref(&mut output).take(16).read_to_string(&mut text);
    }
    let _ = (child.kill(), child.wait());
    match text.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// A length of time in at most two units: `3days 4h`.
fn length(seconds: u64) -> String {
    let rounded = match seconds {
        0..60 => seconds,
        60..86_400 => seconds / 60 * 60,
        _ => seconds / 3_600 * 3_600,
    };
    humantime::format_duration(Duration::from_secs(rounded)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_clean_line() {
        let event = r#"{"time":"2026-11-26T05:00:00Z","user":"al\u001bice","service":"sshd","rhost":"192.0.2.7",
                        "reason":"not-enrolled","outcome":"refused"}"#;
        let line = refusal(event).unwrap();
        assert!(line.ends_with("by sshd from 192.0.2.7: not enrolled") && !line.contains('\u{1b}'), "{line}");
        let unknown = refusal(r#"{"time":"2026-11-26T05:00:00Z","user":"","unknown":true}"#).unwrap();
        assert!(unknown.contains("(unknown)"), "{unknown}");
        assert_eq!(refusal("no json"), None);
    }

    #[test]
    fn a_process_has_a_name_and_a_state() {
        let me = i32::try_from(std::process::id()).unwrap();
        let (name, _) = process(me);
        assert!(!name.is_empty());
        assert_eq!(process(-1).0, "");
    }

    #[test]
    fn a_length_of_time_has_at_most_two_units() {
        for (seconds, text) in [(5, "5s"), (65, "1m"), (3_700, "1h 1m"), (90_061, "1day 1h")] {
            assert_eq!(length(seconds), text);
        }
    }
}
