//! Whether the daemon answers, and what it reports about itself.

use crate::doctor::catalogue as kinds;
use crate::doctor::finding::Finding;
use crate::doctor::fix::Fix;
use crate::doctor::system::Host;
use totp_wire::CallError;
use totp_wire::admin::{ConfigurationInUse, DaemonReply, DaemonState};

/// Rows about the daemon.
pub(super) fn check(host: &Host) -> Vec<Finding> {
    let Some(daemon) = &host.daemon else { return Vec::new() };
    let config = host.config_or_defaults();
    let mut found = Vec::new();
    if crate::breakglass::is_open(&config) {
        let finding = Finding::new(&kinds::BREAKGLASS_OPEN, "breakglass", "break-glass is open now");
        found.push(finding.cure("When it is no longer needed, end it with Ctrl-C"));
    }
    match &daemon.reply {
        Ok(reply) => {
            found.extend(answers(reply));
            found.extend(configuration(host, reply));
        }
        Err(error) => found.push(silent(host, error, daemon.pid)),
    }
    found
}

/// Row "daemon hung", and one that is not there.
fn silent(host: &Host, error: &CallError, pid: Option<i32>) -> Finding {
    let socket = host.config_or_defaults().admin_socket;
    let at = socket.display();
    if *error == CallError::TimedOut {
        let who = pid.map_or_else(|| "the daemon".to_owned(), |pid| format!("the daemon (pid {pid})"));
        let look = pid.map_or_else(String::new, |pid| format!("To see why: cat /proc/{pid}/stack. "));
        let what = format!("{who} has not answered at {at} within 2 s");
        let finding = Finding::new(&kinds::DAEMON_HANGS, "totpd", what);
        return finding.cure(format!("{look}Run: systemctl restart totpd"));
    }
    let finding =
        Finding::new(&kinds::DAEMON_UNREACHABLE, "totpd", format!("no totpd answers at {at}: {error}"));
    finding.cure(
        "Run: systemctl enable --now totpd.socket totpd-root.socket totpd-admin.socket; journalctl -u totpd",
    )
}

/// The daemon uses its last good configuration, although the file is valid again: it was not
/// reloaded.
fn configuration(host: &Host, reply: &DaemonReply) -> Option<Finding> {
    let in_use = reply.configuration.as_ref().filter(|c| c.in_use == ConfigurationInUse::LastGood)?;
    // A mistake in the file is another finding.
    host.config.as_ref().ok()?;
    let why = in_use.why.as_deref().unwrap_or("the file was wrong");
    let what = format!("the daemon uses its last good configuration ({why})");
    let finding = Finding::new(&kinds::CONFIG_NOT_IN_USE, "configuration", what).at(&host.config_path, None);
    Some(
        finding
            .fixed_by(Fix::Run(vec!["totpd config check", "systemctl try-reload-or-restart totpd.service"])),
    )
}

/// Rows "store older than last seen, cloned, restored", and other notices of the daemon.
fn answers(reply: &DaemonReply) -> Vec<Finding> {
    let mut found = Vec::new();
    if reply.state == DaemonState::Refusing {
        let why = reply.why.clone().unwrap_or_default();
        let finding =
            Finding::new(&kinds::DAEMON_REFUSES, "totpd", format!("totpd refuses every login: {why}"));
        found.push(finding.cure(
            "Fix that problem; the daemon checks every 5 s. To let one user in until then, run: totpd breakglass USER",
        ));
    }
    if let Some(notice) = &reply.notice {
        let finding = Finding::new(&kinds::DAEMON_NOTICE, "totpd", notice.clone());
        found.push(finding.cure("Do what it says, then run: totpd status"));
    }
    if let Some(dropped) = reply.log_lines_dropped.filter(|dropped| *dropped > 0) {
        let what = format!("the log lacks {dropped} lines since the daemon started: its reader was too slow");
        let finding = Finding::new(&kinds::LOG_LINES_DROPPED, "log", what);
        found.push(finding.cure("Run: systemctl status systemd-journald"));
    }
    found
}
