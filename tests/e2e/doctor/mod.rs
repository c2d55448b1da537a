//! `totpd doctor` against the real programs: what sshd, sudo, systemd and a daemon say, and what it makes of that.

mod files;
mod hosts;
mod units;

use totpd_e2e::Finished;

/// The ids of the errors and warnings, and of the notes, of `totpd doctor --json`.
fn ids(finished: &Finished) -> (Vec<String>, Vec<String>) {
    let document = finished.json();
    let findings = document["findings"].as_array().unwrap();
    let id = |finding: &serde_json::Value| finding["id"].as_str().unwrap().to_owned();
    let (notes, serious): (Vec<_>, Vec<_>) =
        findings.iter().partition(|finding| finding["severity"] == "note");
    (serious.into_iter().map(id).collect(), notes.into_iter().map(id).collect())
}

/// One of its findings.
#[track_caller]
fn finding(finished: &Finished, wanted: &str) -> serde_json::Value {
    let document = finished.json();
    let mut findings = document["findings"].as_array().unwrap().iter();
    findings
        .find(|finding| finding["id"] == wanted)
        .unwrap_or_else(|| panic!("no {wanted}: {document}"))
        .clone()
}
