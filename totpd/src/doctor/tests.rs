//! Each row breaks a healthy host in one way, and names exactly the findings that it must have.
#![expect(clippy::semicolon_if_nothing_returned, reason = "a row breaks one thing, by one call")]

mod doors;
mod later;
mod logins;
mod tree;

use super::Severity;
use super::report::Show;
use serde_json::json;
use tree::Tree;

const SUDO: &str = "etc/pam.d/sudo";
const SSHD: &str = "etc/pam.d/sshd";
const CONFIG: &str = "etc/totpd/totpd.toml";
const MODULE: &str = "usr/lib/x86_64-linux-gnu/security/pam_totp.so";
const METHODS: &str = "authenticationmethods publickey,keyboard-interactive:pam";

/// What is broken, how, and the expected findings.
type Row = (&'static str, fn(&mut Tree), &'static [&'static str]);

fn check(rows: &[Row]) {
    let mut wrong = Vec::new();
    for (what, break_it, wanted) in rows {
        let mut tree = Tree::healthy();
        break_it(&mut tree);
        let report = tree.report();
        let found: Vec<&str> = report.findings.iter().map(|finding| finding.kind.id).collect();
        if found != *wanted {
            wrong.push(format!(
                "{what}: {wanted:?} was wanted, and found was:\n{}",
                report.text(Show { notes: true, color: false })
            ));
        }
        for finding in &report.findings {
            assert!(!finding.cure.is_empty(), "{what}: nothing cures {}", finding.kind.id);
            assert!(!finding.what.ends_with('.'), "{what}: {}", finding.what);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_healthy_host_has_no_findings() {
    for only_files in [false, true] {
        let mut tree = Tree::healthy();
        tree.only_files = only_files;
        let report = tree.report();
        assert_eq!(report.findings.len(), 0, "{}", report.text(Show { notes: true, color: false }));
    }
}

#[test]
fn logins_without_a_code_are_found() {
    check(doors::ROWS);
}

#[test]
fn logins_that_would_fail_are_found() {
    check(logins::ROWS);
}

#[test]
fn what_will_fail_and_notes_are_found() {
    check(later::ROWS);
}

#[test]
fn ignored_findings_are_silent_except_stopped_asking() {
    let mut tree = Tree::healthy();
    tree.change("etc/pam.d/su", "auth required pam_totp.so\n", "");
    tree.before.insert("su".to_owned(), "2026-11-25T00:00:00Z".to_owned());
    tree.write(
        "etc/totpd/doctor.ignore",
        "# said so\nservice-without-code su # at its own risk\nservice-without-code su-l\nstopped-asking\n",
    );
    let report = tree.report();
    let ids: Vec<_> = report.findings.iter().map(|finding| finding.kind.id).collect();
    assert_eq!((ids.as_slice(), report.ignored), (&["stopped-asking"][..], 2));
    assert_eq!(report.worst(), Some(Severity::Error));
}

#[test]
fn a_cure_is_a_command_that_works_on_this_host() {
    let mut tree = Tree::healthy();
    tree.write("etc/pam.d/i3lock", "auth include login\n");
    tree.write("etc/pam.d/kde-fingerprint", "auth required pam_fprintd.so\n");
    tree.sshd("usepam yes", "usepam no");
    tree.fails("systemctl is-active", "inactive\n");
    tree.prints("systemctl is-active ssh.socket", "active\n");
    let report = tree.report();
    let cure = |id: &str| {
        let finding = report.findings.iter().find(|finding| finding.kind.id == id);
        finding.map(|finding| finding.cure.as_str()).unwrap()
    };
    // A reload ends an sshd that has its socket from systemd.
    assert!(cure("sshd-usepam-off").ends_with("Run: systemctl try-restart ssh"));
    // login's own line is not in a block, and a locker that includes it would ask twice.
    assert!(cure("locker-cannot-unlock").starts_with("Take line 4 of /etc/pam.d/login away"));
    assert!(cure("console-without-code").contains("pam_deny.so"));
}

#[test]
fn each_finding_names_file_line_and_cure() {
    let tree = Tree::healthy();
    tree.change("etc/pam.d/sudo", "required pam_totp", "sufficient pam_totp");
    let document = tree.report().json();
    let finding = &document["findings"][0];
    assert_eq!((finding["file"].as_str(), finding["line"].as_u64()), (Some("/etc/pam.d/sudo"), Some(3)));
    assert_eq!(finding["subject"], "sudo");
    assert!(finding["what"].as_str().unwrap().contains("pam_unix (line 1) lets in"), "{finding}");
    assert!(finding["cure"].as_str().unwrap().contains("totpd pam enable sudo"), "{finding}");
    assert_eq!((document["healthy"].as_bool(), document["errors"].as_u64()), (Some(false), Some(1)));
}
