//! Rollout: what monitoring records, who is asked and passes, and that nobody is locked out.

use std::path::Path;
use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, code, result};
use totpd_e2e::run::run;
use totpd_e2e::ssh::{Setup, Sshd};

/// Returns a shipped PAM stack, with the site's module in place of the installed one.
fn shipped(site: &Site, name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/pam.d").join(name);
    let stack = std::fs::read_to_string(file).unwrap().replace("pam_totp.so", &site.pam_line("nodelay"));
    stack.replace("pam_unix.so", "pam_unix.so nodelay")
}

const MONITOR: &str = "[[login.rule]]\nname = \"rollout\"\naction = \"require\"\nmode = \"monitor\"\n";

#[test]
fn monitoring_records_the_enforced_result_and_uses_up_no_code() {
    let site = Site::new();
    site.service("sudo", &shipped(&site, "sudo-monitor"));
    let phone = site.enroll("alice");
    site.configure(MONITOR);
    let sudo = |user: &str| {
        let finished = PamHost::new(&site, "sudo", user).run(&["authenticate"], "hunter2\nnever asked\n");
        assert_eq!(result(&finished, "authenticate"), code::SUCCESS, "{finished:?}");
        assert_eq!(finished.stdout.matches("prompt").count(), 1, "only the password is asked for");
        let event = site.last_login();
        assert_eq!((&event["outcome"], &event["mode"]), (&"exempt".into(), &"monitor".into()));
        (
            event["would"].as_str().unwrap().to_owned(),
            event["would_reason"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let recorded = |would: &str, reason: &str| (would.to_owned(), reason.to_owned());
    assert_eq!(sudo("alice"), recorded("asked", ""));
    assert_eq!(sudo("bob"), recorded("refused", "not-enrolled"));
    site.totpd(&["enroll", "u1", "--expires", "60s"]).assert_success();
    assert_eq!(sudo("u1"), recorded("asked", ""), "its first code could come");
    site.advance(61);
    assert_eq!(sudo("u1").0, "refused");
    // Only the lock of this login's class counts.
    site.totp_service("x", "nodelay");
    for _ in 0..10 {
        PamHost::new(&site, "x", "alice").answer(&phone.wrong_code(&site));
    }
    // The other service is monitored as well, but without a first factor it is enforced.
    assert_eq!(site.status("alice")["locked"], true);
    assert_eq!(sudo("alice"), recorded("refused", "locked"));
    site.totpd(&["unlock", "alice"]).assert_success();
    site.advance(-400 * 86_400);
    assert_eq!(sudo("alice"), recorded("refused", "clock"));
    site.advance(400 * 86_400);
    // None of this used up a code.
    site.configure("");
    site.next_step();
    assert_eq!(PamHost::new(&site, "x", "alice").answer(&phone.code(&site)), code::SUCCESS);

    let report = site.totpd(&["report"]).assert_success().stdout;
    assert!(report.contains("1 user would be refused: not enrolled: bob"), "{report}");
    assert!(report.contains("1 user would be refused: expired: u1"), "{report}");
    let document = site.totpd(&["report", "--json"]).assert_success().json();
    assert!(
        document["rows"].as_array().unwrap().iter().any(|r| r["user"] == "bob" && r["service"] == "sudo")
    );
}

#[test]
fn the_monitor_stacks_lock_nobody_out_without_a_daemon() {
    let site = Site::new();
    site.service("sudo", &shipped(&site, "sudo-monitor"));
    let auth = shipped(&site, "sshd-monitor");
    let sshd = Sshd::start_with(&site, Setup { auth: &auth, ..Setup::default() });
    site.configure(MONITOR);
    let everybody = |when: &str| {
        assert!(sshd.lets_in("bob", &["no question"]), "{when}");
        assert_eq!(PamHost::new(&site, "sudo", "bob").answer("hunter2"), code::SUCCESS, "{when}");
        assert_eq!(PamHost::new(&site, "sudo", "bob").answer("wrong"), code::AUTH_ERR, "{when}");
    };
    everybody("the daemon serves");
    site.signal(nix::sys::signal::Signal::SIGSTOP);
    everybody("the daemon hangs");
    site.signal(nix::sys::signal::Signal::SIGCONT);
    site.end(nix::sys::signal::Signal::SIGTERM);
    everybody("the daemon is stopped");
}

#[test]
fn enforce_from_turns_monitoring_into_enforcement() {
    let site = Site::new();
    site.service("sudo", &shipped(&site, "sudo-rules"));
    let phone = site.enroll("alice");
    let date = site.now() + 3600;
    let date = run(
        {
            let mut c = std::process::Command::new("date");
            c.args(["-u", "-d", &format!("@{date}"), "+%Y-%m-%dT%H:%M:%SZ"]);
            c
        },
        "",
    )
    .stdout;
    site.configure(&format!("[[login.rule]]\naction = \"require\"\nenforce_from = \"{}\"\n", date.trim()));
    let sudo = |user: &str, code: &str| {
        PamHost::new(&site, "sudo", user).authenticate(&format!("hunter2\n{code}\n"))
    };
    assert_eq!((sudo("alice", ""), sudo("bob", "")), (code::SUCCESS, code::SUCCESS));
    site.advance(3600);
    assert_eq!(sudo("bob", "123456"), code::AUTH_ERR);
    assert_eq!(sudo("alice", "000000"), code::AUTH_ERR);
    assert_eq!(sudo("alice", &phone.code(&site)), code::SUCCESS);
}

#[test]
fn monitor_ask_lets_in_whatever_is_typed() {
    let site = Site::new();
    site.service("sudo", &shipped(&site, "sudo-rules"));
    let phone = site.enroll("alice");
    site.configure("[[login.rule]]\naction = \"require\"\nmode = \"monitor-ask\"\n");
    let sudo = |user: &str, code: &str| {
        let finished =
            PamHost::new(&site, "sudo", user).run(&["authenticate"], &format!("hunter2\n{code}\nnever\n"));
        assert_eq!(finished.stdout.matches("prompt: Verification code").count(), 1, "{finished:?}");
        assert_eq!(result(&finished, "authenticate"), code::SUCCESS, "{finished:?}");
        let event = site.last_login();
        (
            event["outcome"].as_str().unwrap().to_owned(),
            event["would_reason"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let recorded = |outcome: &str, reason: &str| (outcome.to_owned(), reason.to_owned());
    assert_eq!(sudo("alice", &phone.wrong_code(&site)), recorded("exempt", "wrong"));
    assert_eq!(sudo("alice", &phone.code(&site)), recorded("granted", ""));
    assert_eq!(sudo("alice", &phone.code(&site)), recorded("exempt", "replayed"));
    assert_eq!(sudo("bob", ""), recorded("exempt", "empty"));
    assert_eq!(sudo("bob", "123456"), recorded("exempt", "not-enrolled"));
}

#[test]
fn mode_off_lets_in_with_a_first_factor_and_is_audited() {
    let site = Site::new();
    site.service("sudo", &shipped(&site, "sudo-rules"));
    site.configure("[[login.rule]]\naction = \"deny\"\nmode = \"off\"\n");
    assert_eq!(PamHost::new(&site, "sudo", "bob").answer("hunter2"), code::SUCCESS);
    assert_eq!(
        (&site.last_login()["outcome"], &site.last_login()["mode"]),
        (&"exempt".into(), &"off".into())
    );
    site.totp_service("sudo", "nodelay");
    assert_eq!(PamHost::new(&site, "sudo", "bob").answer("123456"), code::AUTH_ERR);
}

#[test]
fn report_names_users_that_enforcement_would_refuse() {
    let site = Site::new();
    site.enroll("alice");
    site.append("etc/group", "staff:x:60:alice,bob\n");
    site.configure(
        "[[login.rule]]\ngroups = [\"staff\"]\naction = \"require\"\nmode = \"monitor\"\n\
         [[login.rule]]\nusers = [\"u1\"]\naction = \"exempt\"\n",
    );
    // Before any login.
    let report = site.totpd(&["report"]).assert_success().stdout;
    let line = report.lines().find(|line| line.starts_with("today sshd would refuse")).unwrap_or_default();
    assert!(
        line.contains("not enrolled: bob, ") && line.ends_with("none of them logged in during this time"),
        "{report}"
    );
    assert!(!line.contains("alice") && !line.contains("u1,"), "{report}");
    let document = site.totpd(&["report", "--json"]).assert_success().json();
    let row = document["now"].as_array().unwrap().iter().find(|row| row["reason"] == "not-enrolled").unwrap();
    let users = |key: &str| row[key].as_array().unwrap().iter().any(|user| user == "bob");
    assert!(users("users") && users("without_login"), "{document}");
    site.enroll("bob");
    assert!(!site.totpd(&["report"]).assert_success().stdout.contains("not enrolled: bob"));
}
