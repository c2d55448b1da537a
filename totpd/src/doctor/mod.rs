//! `totpd doctor`: finds broken set-ups before users find them.
//!
//! ```text
//!  system   files of the host, what its programs print, what the daemon answers
//!     │
//!  checks   one function a row ─▶ finding ─▶ report   text, JSON, journal lines
//!     │                            (kinds: catalogue)   last.json for the next run and for others
//!  stack    does a PAM stack grant when our module refuses?      fix   what --fix does
//! ```
//!
//! It changes nothing without `--fix`, and only totpd's own files and units with it.

pub mod access;
pub mod accounts;
pub mod ask_daemon;
pub mod catalogue;
pub mod checks;
pub mod daemon;
pub mod drift;
pub mod finding;
pub mod fix;
pub mod report;
mod sshd_settings;
pub mod stack;
pub mod system;
mod tree_files;

pub use finding::{Finding, Severity};
pub use report::Report;
pub use system::Host;

use crate::last_run::Asked;
use std::path::Path;

/// The file of findings that an administrator has accepted: `id`, or `id subject`, one a line.
const IGNORE: &str = "doctor.ignore";

/// What becomes of a service that asked for a code at an earlier run and no longer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoppedAsking {
    /// It is a finding, at each run.
    Report,
    /// The administrator accepts it (`--accept`): it is forgotten.
    Accept,
}

/// Examines the host. `before`: the services that asked at earlier runs.
pub fn examine(host: &Host, before: &Asked, stopped: StoppedAsking) -> Report {
    let mut findings = checks::all(host);
    let now = drift::asking(host);
    let mut asked = drift::keep(host, before, &now);
    if stopped == StoppedAsking::Accept {
        asked.retain(|service, _| now.contains(service));
    }
    let ignored = ignored(host);
    let is_ignored = |finding: &Finding| {
        ignored.iter().any(|(id, subject)| {
            id == finding.kind.id && subject.as_ref().is_none_or(|s| *s == finding.subject)
        })
    };
    let all = findings.len();
    findings.retain(|finding| !is_ignored(finding));
    let left_out = all - findings.len();
    // These are never ignored: `--accept` ends them.
    findings.extend(drift::check(host, &asked, &now));
    Report::new(host, findings, left_out, asked)
}

fn ignored(host: &Host) -> Vec<(String, Option<String>)> {
    let folder = host.config_path.parent().unwrap_or(Path::new("/"));
    let text = host.read(folder.join(IGNORE)).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        Some((words.next()?.to_owned(), words.next().map(str::to_owned)))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests;
