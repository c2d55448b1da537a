//! The sorted findings, as text for people, one JSON document for programs, and lines for the
//! journal.

use super::finding::{Finding, Severity};
use super::system::Host;
use crate::clock::rfc3339;
use crate::last_run::Asked;
use serde_json::{Value, json};
use std::fmt::Write;

/// The result of a run.
#[derive(Debug)]
pub struct Report {
    /// The findings, the most important first.
    pub findings: Vec<Finding>,
    /// The number of findings that `doctor.ignore` names.
    pub ignored: usize,
    /// When each service was last seen asking for a code.
    pub asked: Asked,
    /// When the run was made, in RFC 3339.
    pub at: String,
}

/// What the text of a report shows.
#[derive(Clone, Copy, Debug)]
pub struct Show {
    /// The notes too.
    pub notes: bool,
    /// The severity of a finding in colour.
    pub color: bool,
}

impl Report {
    /// The report of these findings. Sorts them.
    pub fn new(host: &Host, mut findings: Vec<Finding>, ignored: usize, asked: Asked) -> Self {
        let order = |finding: &Finding| {
            let of_kind = super::catalogue::ALL.iter().position(|kind| std::ptr::eq(*kind, finding.kind));
            (std::cmp::Reverse(finding.kind.severity), of_kind, finding.subject.clone())
        };
        findings.sort_by_key(order);
        Self { findings, ignored, asked, at: rfc3339(host.now) }
    }

    /// The number of findings of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.kind.severity == severity).count()
    }

    /// The highest severity.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.first().map(|finding| finding.kind.severity)
    }

    /// The JSON document, whose fields are in docs/reference/doctor.md.
    pub fn json(&self) -> Value {
        let finding = |finding: &Finding| {
            let location = finding.location.as_ref();
            json!({
                "id": finding.kind.id,
                "severity": finding.kind.severity,
                "subject": finding.subject,
                "what": finding.what,
                "why": finding.kind.why,
                "cure": finding.cure,
                "file": location.map(|location| location.file.display().to_string()),
                "line": location.and_then(|location| location.line),
                "controls": finding.kind.controls,
                "fixable": finding.fix.is_some(),
            })
        };
        json!({
            "schema": 1,
            "at": self.at,
            "version": env!("CARGO_PKG_VERSION"),
            "healthy": self.worst().is_none_or(|worst| worst == Severity::Note),
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "notes": self.count(Severity::Note),
            "ignored": self.ignored,
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "asked": self.asked,
        })
    }

    /// The text for people.
    pub fn text(&self, show: Show) -> String {
        let Show { notes, color } = show;
        let mut text = String::new();
        let shown = self.findings.iter().filter(|f| notes || f.kind.severity > Severity::Note);
        for finding in shown {
            let (severity, clear) = match (color, finding.kind.severity) {
                (false, _) => ("", ""),
                (true, Severity::Error) => ("\x1b[1;31m", "\x1b[0m"),
                (true, Severity::Warning) => ("\x1b[1;33m", "\x1b[0m"),
                (true, Severity::Note) => ("\x1b[1m", "\x1b[0m"),
            };
            let word = finding.kind.severity.as_str();
            let _ = writeln!(text, "{severity}{word:<8}{clear}{}", plain(&finding.what));
            let _ = writeln!(text, "        {}", finding.kind.why);
            let _ = writeln!(text, "        {}", plain(&finding.cure));
            let mut last = finding.kind.id.to_owned();
            if let Some(location) = &finding.location {
                let _ = write!(last, "  {}", plain(&location.to_string()));
            }
            if !finding.kind.controls.is_empty() {
                let _ = write!(last, "  {}", finding.kind.controls.join(", "));
            }
            let _ = writeln!(text, "        [{last}]\n");
        }
        text
    }

    /// The counts: `2 errors and 1 warning; 3 notes with --notes`.
    pub fn summary(&self, show: Show) -> String {
        let mut summary = problems(self.count(Severity::Error) as u64, self.count(Severity::Warning) as u64);
        if let Some(more) = counted(self.count(Severity::Note) as u64, "note").filter(|_| !show.notes) {
            let _ = write!(summary, "; {more} with --notes");
        }
        if self.ignored > 0 {
            let _ = write!(summary, "; {} ignored", self.ignored);
        }
        summary
    }

    /// One line for each error and warning, with the priority for systemd (sd-daemon(3)).
    pub fn journal(&self) -> Vec<String> {
        let serious = self.findings.iter().filter(|finding| finding.kind.severity > Severity::Note);
        let line = |finding: &Finding| {
            let (severity, id) = (finding.kind.severity, finding.kind.id);
            let priority = if severity == Severity::Error { 3 } else { 4 };
            let what = plain(&finding.what);
            format!("<{priority}>doctor: {} {id}: {what}. {}", severity.as_str(), plain(&finding.cure))
        };
        serious.map(line).collect()
    }
}

/// Removes control characters: a finding quotes other programs' text, which must not control the
/// terminal.
fn plain(text: &str) -> String {
    totp_wire::text::printable(text, 2000)
}

/// The counts as text: `2 errors and 1 warning`, or `no problems found`.
pub fn problems(errors: u64, warnings: u64) -> String {
    let counts: Vec<String> =
        [counted(errors, "error"), counted(warnings, "warning")].into_iter().flatten().collect();
    if counts.is_empty() { "no problems found".to_owned() } else { counts.join(" and ") }
}

fn counted(count: u64, word: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        more => Some(format!("{more} {word}s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::catalogue as kinds;
    use std::path::Path;

    fn report() -> Report {
        let host = Host::of_tree(Path::new("/nonexistent"), Path::new("/etc/totpd/totpd.toml"));
        let find = |kind, subject: &str| {
            Finding::new(kind, subject, format!("about {subject}\u{1b}[2J")).cure("Run: x")
        };
        let findings = vec![
            find(&kinds::MONITOR_STACK, "sshd"),
            find(&kinds::SUDO_NOPASSWD, "bob"),
            find(&kinds::MODULE_MISSING, "m"),
            find(&kinds::ANSWER_DECIDES_NOTHING, "sudo").at(Path::new("/etc/pam.d/sudo"), 3),
        ];
        Report::new(&host, findings, 0, Asked::new())
    }

    #[test]
    fn findings_are_sorted_and_notes_are_optional() {
        let report = report();
        let ids: Vec<_> = report.findings.iter().map(|finding| finding.kind.id).collect();
        assert_eq!(ids, ["answer-decides-nothing", "module-missing", "sudo-nopasswd", "monitor-stack"]);
        assert_eq!(
            report.summary(Show { notes: false, color: false }),
            "2 errors and 1 warning; 1 note with --notes"
        );
        let text = report.text(Show { notes: false, color: false });
        assert!(!text.contains("monitor-stack") && !text.contains('\u{1b}'), "{text}");
        assert!(report.text(Show { notes: true, color: false }).contains("monitor-stack"));
    }

    #[test]
    fn a_journal_line_has_a_priority_and_an_id() {
        let lines = report().journal();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("<3>doctor: error answer-decides-nothing: about sudo"), "{lines:?}");
        assert!(lines[2].starts_with("<4>doctor: warning sudo-nopasswd: about bob"), "{lines:?}");
    }
}
