//! `totpd doctor` against the real sshd, sudo and systemd, and a real daemon.

mod files;
mod hosts;
mod units;

use totpd_e2e::Finished;

/// Returns the ids of the errors and warnings, and those of the notes, of `totpd doctor --json`.
fn ids(finished: &Finished) -> (Vec<String>, Vec<String>) {
    let document = finished.json();
    let findings = document["findings"].as_array().unwrap();
    let id = |finding: &serde_json::Value| finding["id"].as_str().unwrap().to_owned();
    let (notes, serious): (Vec<_>, Vec<_>) =
        findings.iter().partition(|finding| finding["severity"] == "note");
    (serious.into_iter().map(id).collect(), notes.into_iter().map(id).collect())
}

/// Returns the finding with this id.
#[track_caller]
fn finding(finished: &Finished, wanted: &str) -> serde_json::Value {
    let document = finished.json();
    let mut findings = document["findings"].as_array().unwrap().iter();
    findings
        .find(|finding| finding["id"] == wanted)
        .unwrap_or_else(|| panic!("no {wanted}: {document}"))
        .clone()
}
