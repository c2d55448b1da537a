//! The witness: an older copy of the store is noticed by what was withdrawn after it.

use nix::sys::signal::Signal;
use std::path::PathBuf;
use totp_wire::login::Verdict;
use totpd_e2e::peer::login;
use totpd_e2e::phone::Phone;
use totpd_e2e::{Finished, Site};

const GRANTED: Result<Verdict, totp_wire::CallError> = Ok(Verdict::Granted);
const DENIED: Result<Verdict, totp_wire::CallError> = Ok(Verdict::Denied);

/// Runs a script in the site's namespace, whose /var/log has the witness.
fn in_namespace(site: &Site, script: &str) -> Finished {
    site.run("sh", &["-c", script])
}

fn witness(site: &Site) -> String {
    in_namespace(site, "cat /var/log/totpd/withdrawals-*").stdout
}

/// Copies the state folder while the daemon is stopped.
#[track_caller]
fn copy(site: &Site, name: &str) -> PathBuf {
    site.end(Signal::SIGTERM);
    let to = site.path(name);
    let copied = std::process::Command::new("cp").arg("-a").arg(site.path("state")).arg(&to).status();
    assert!(copied.unwrap().success());
    site.start();
    to
}

/// Replaces the store by such a copy.
fn put_back(site: &Site, copy: &std::path::Path) {
    site.end(Signal::SIGTERM);
    std::fs::remove_dir_all(site.path("state")).unwrap();
    std::fs::rename(copy, site.path("state")).unwrap();
    site.start();
}

#[track_caller]
fn notice(site: &Site) -> Option<String> {
    site.totpd(&["status", "--json"]).assert_success().json()["notice"].as_str().map(str::to_owned)
}

#[test]
fn an_older_store_restores_nothing_that_was_withdrawn() {
    let site = Site::new();
    let (alice, bob, carol) = (site.enroll("alice"), site.enroll("bob"), site.enroll("u1"));
    let old = copy(&site, "old");
    // After the copy: a code and a recovery code are used, a factor is revoked, and another one
    // replaced.
    let used = alice.code(&site);
    assert_eq!(login(&site, "alice", &used), GRANTED);
    assert_eq!(login(&site, "alice", &alice.recovery_codes[0]), GRANTED);
    site.totpd(&["revoke", "bob"]).assert_success();
    let replacement = site.enroll("u1");
    assert_eq!(witness(&site).lines().count(), 3, "{}", witness(&site));
    let newer = copy(&site, "newer");

    put_back(&site, &old);
    assert!(notice(&site).unwrap().contains("(3 factors or kinds of code)"));
    assert!(site.log().contains("the store is an older copy"));
    assert_eq!(login(&site, "alice", &used), DENIED, "a used code was fresh again");
    assert_eq!(login(&site, "alice", &alice.recovery_codes[0]), DENIED, "a spent code was accepted");
    assert_eq!(site.last_login()["reason"], "withdrawn");
    assert_eq!(login(&site, "bob", &bob.code(&site)), DENIED, "a revoked user got in");
    assert_eq!(site.last_login()["reason"], "withdrawn");
    assert_eq!(site.status("bob")["state"], "none");
    assert_eq!(login(&site, "u1", &carol.code(&site)), DENIED, "a replaced phone got in");
    assert_eq!(login(&site, "u1", &replacement.code(&site)), DENIED, "the copy does not know it");
    // Later codes are accepted.
    site.advance(90);
    assert_eq!(login(&site, "alice", &alice.code(&site)), GRANTED);

    // The newer store serves as before.
    put_back(&site, &newer);
    assert_eq!(notice(&site), None);
    site.next_step();
    assert_eq!(login(&site, "u1", &replacement.code(&site)), GRANTED);
    assert_eq!(login(&site, "alice", &alice.recovery_codes[1]), GRANTED);
}

#[test]
fn an_accepted_copy_keeps_withdrawn_codes_withdrawn() {
    let site = Site::new();
    let (alice, bob) = (site.enroll("alice"), site.enroll("bob"));
    let old = copy(&site, "old");
    assert_eq!(login(&site, "alice", &alice.recovery_codes[0]), GRANTED);
    site.totpd(&["revoke", "bob"]).assert_success();
    let newer = copy(&site, "newer");
    put_back(&site, &old);
    let accepted = site.totpd(&["restore", "--accept", "--json"]).assert_success().json();
    assert_eq!(accepted["withdrawn"], 2);
    assert_eq!(notice(&site), None);
    for _ in 0..2 {
        site.advance(90);
        assert_eq!(login(&site, "bob", &bob.code(&site)), DENIED);
        assert_eq!(login(&site, "alice", &alice.recovery_codes[0]), DENIED);
        assert_eq!(
            login(&site, "alice", &alice.recovery_codes[1]),
            DENIED,
            "which one was spent is not known"
        );
        assert_eq!(login(&site, "alice", &alice.code(&site)), GRANTED);
        site.end(Signal::SIGTERM);
        site.start();
        assert_eq!(notice(&site), None);
    }
    // The other copy is not accepted as the store any more.
    put_back(&site, &newer);
    let status = site.totpd(&["status"]);
    assert!(status.code == 1 && status.stderr.contains("another copy"), "{status:?}");
    assert!(login(&site, "alice", "123456").is_err());
    site.totpd(&["restore", "--accept"]).assert_success();
    site.advance(90);
    assert_eq!(login(&site, "alice", &alice.code(&site)), GRANTED);
}

#[test]
fn an_unexplained_gap_refuses_until_it_is_accepted() {
    let site = Site::new();
    let alice = site.enroll("alice");
    let old = copy(&site, "old");
    for code in &alice.recovery_codes[..3] {
        assert_eq!(login(&site, "alice", code), GRANTED);
    }
    // The first of three lines of the witness is missing.
    in_namespace(&site, "sed -i 1d /var/log/totpd/withdrawals-*").assert_success();
    put_back(&site, &old);
    let status = site.totpd(&["status"]);
    assert!(status.code == 1 && status.stderr.contains("lacks 1 withdrawals"), "{status:?}");
    assert!(status.stderr.contains("totpd restore --accept"), "{status:?}");
    assert!(login(&site, "alice", &alice.code(&site)).is_err());
    site.totpd(&["restore", "--accept"]).assert_success();
    assert_eq!(login(&site, "alice", &alice.recovery_codes[0]), DENIED);
    site.advance(90);
    assert_eq!(login(&site, "alice", &alice.code(&site)), GRANTED);
    site.end(Signal::SIGTERM);
    site.start();
    assert_eq!(notice(&site), None);
}

#[test]
fn a_missing_witness_is_reported_and_written_again() {
    let site = Site::new();
    let alice = site.enroll("alice");
    assert_eq!(login(&site, "alice", &alice.recovery_codes[0]), GRANTED);
    site.end(Signal::SIGTERM);
    in_namespace(&site, "rm -r /var/log/totpd").assert_success();
    site.start();
    assert!(site.log().contains("is missing: whether the store is an older copy cannot be known"));
    assert_eq!(login(&site, "alice", &alice.code(&site)), GRANTED);
    assert_eq!(witness(&site).lines().count(), 1, "{}", witness(&site));
}

#[test]
fn an_unwritable_witness_stops_no_login_and_is_completed() {
    let site = Site::new();
    let alice = site.enroll("alice");
    let old = copy(&site, "old");
    // A folder in place of the file: root ignores modes.
    let name = format!("withdrawals-{}", site.read("etc/totpd/store.id").trim());
    in_namespace(&site, &format!("mkdir -p /var/log/totpd/{name}")).assert_success();
    assert_eq!(login(&site, "alice", &alice.recovery_codes[0]), GRANTED);
    assert_eq!(login(&site, "alice", &alice.recovery_codes[1]), GRANTED);
    assert_eq!(site.log().matches("cannot be written").count(), 1, "{}", site.log());
    in_namespace(&site, &format!("rmdir /var/log/totpd/{name}")).assert_success();
    assert_eq!(login(&site, "alice", &alice.recovery_codes[2]), GRANTED);
    assert_eq!(witness(&site).lines().count(), 3, "{}", witness(&site));
    put_back(&site, &old);
    assert!(notice(&site).unwrap().contains("(1 factors or kinds of code)"));
}

#[test]
fn a_crash_before_the_witness_write_raises_no_alarm() {
    let site = Site::new();
    let alice = site.enroll("alice");
    let mut lines = 0;
    for code in &alice.recovery_codes[..3] {
        assert_eq!(login(&site, "alice", code), GRANTED);
        lines += 1;
        site.end(Signal::SIGKILL);
        // As if the kill came between the commit and the line of the witness.
        in_namespace(&site, "sed -i '$d' /var/log/totpd/withdrawals-*").assert_success();
        site.start();
        assert_eq!(notice(&site), None);
        assert_eq!(
            witness(&site).lines().count(),
            lines,
            "the witness was not completed: {}",
            witness(&site)
        );
        assert_eq!(login(&site, "alice", code), DENIED);
    }
    site.next_step();
    assert_eq!(login(&site, "alice", &alice.code(&site)), GRANTED);
}

#[test]
fn an_old_row_put_back_under_the_daemon_lets_nobody_in() {
    let site = Site::new();
    let alice: Phone = site.enroll("alice");
    site.sql("CREATE TABLE kept AS SELECT * FROM account");
    let code = alice.code(&site);
    assert_eq!(login(&site, "alice", &code), GRANTED);
    assert_eq!(login(&site, "alice", &alice.recovery_codes[0]), GRANTED);
    // With the version of the current row, and with its own.
    let before = "UPDATE account SET record = (SELECT record FROM kept WHERE kept.id = account.id)";
    site.sql(before);
    assert_eq!(login(&site, "alice", &code), DENIED, "a used code was fresh again");
    site.sql(&format!("{before}, version = (SELECT version FROM kept WHERE kept.id = account.id)"));
    assert_eq!(login(&site, "alice", &code), DENIED, "a used code was fresh again");
    assert_eq!(login(&site, "alice", &alice.recovery_codes[0]), DENIED, "a spent code was accepted");
    // The repair: revoke and enroll again.
    site.totpd(&["revoke", "alice"]).assert_success();
    let again = site.enroll("alice");
    assert_eq!(login(&site, "alice", &again.code(&site)), GRANTED);
}

#[test]
fn systemd_or_the_configuration_choose_the_witness_folder() {
    let site = Site::new();
    let alice = site.enroll("alice");
    let (logs, named) = (site.path("logs"), site.path("named"));
    site.end(Signal::SIGTERM);
    let mut serve = site.totpd_command();
    serve.arg("serve").env("LOGS_DIRECTORY", format!("{}:/var/log/other", logs.display()));
    site.start_as(serve);
    assert_eq!(login(&site, "alice", &alice.recovery_codes[0]), GRANTED);
    assert_eq!(std::fs::read_dir(&logs).unwrap().count(), 1);
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&logs).unwrap()) & 0o777, 0o700);
    site.end(Signal::SIGTERM);
    site.write("etc/totpd/totpd.toml", &format!("{}witness_dir = \"{}\"\n", site.config(), named.display()));
    let mut serve = site.totpd_command();
    serve.arg("serve").env("LOGS_DIRECTORY", &logs);
    site.start_as(serve);
    assert_eq!(login(&site, "alice", &alice.recovery_codes[1]), GRANTED);
    assert_eq!(std::fs::read_dir(&named).unwrap().count(), 1);
}
