//! The command line as scripts and administrators use it.

use rexpect::session::spawn_command;
use totpd_e2e::Site;
use totpd_e2e::phone::Phone;
use totpd_e2e::run::run;

#[test]
fn exit_statuses_and_documents_are_what_scripts_rely_on() {
    let site = Site::without_daemon();
    site.totpd(&["init", "--json"]).assert_success().json();
    let unreachable = site.totpd(&["status", "alice"]);
    assert_eq!(unreachable.code, 3);
    assert!(unreachable.stderr.contains("no totpd answers at"), "{unreachable:?}");
    site.start();
    assert_eq!(site.totpd(&["frobnicate"]).code, 2);
    assert_eq!(site.totpd(&["enroll"]).code, 2);
    for (flag, value) in [
        ("--digits", "9"),
        ("--period", "5"),
        ("--algorithm", "MD5"),
        ("--expires", "31d"),
        ("--issuer", "a:b"),
    ] {
        let refused = site.totpd(&["enroll", "alice", flag, value]);
        assert_eq!(refused.code, 2, "{flag} {value}: {refused:?}");
    }
    assert_eq!(site.status("alice")["state"], "none");
    let nobody = site.totpd(&["enroll", "no-such-user"]);
    assert_eq!(nobody.code, 1);
    assert!(nobody.stderr.contains("there is no user no-such-user"), "{nobody:?}");
    let nobody = site.totpd(&["enroll", "no-such-user", "--json"]);
    let error: serde_json::Value = serde_json::from_str(&nobody.stderr).unwrap();
    assert_eq!((nobody.code, &*nobody.stdout, &error["error"]), (1, "", &"refused".into()), "{error}");
    assert!(error["message"].as_str().unwrap().contains("there is no user no-such-user"), "{error}");

    let document = site.totpd(&["enroll", "alice", "--json", "--expires", "1h"]).assert_success().json();
    for key in ["user", "totp_id", "secret", "uri", "qr_code", "recovery_codes", "expires_at"] {
        assert!(!document[key].is_null(), "{key}");
    }
    assert_eq!(document["recovery_codes"].as_array().unwrap().len(), 10);
    let status = site.status("alice");
    assert_eq!(
        (&status["user"], &status["state"], &status["locked"]),
        (&"alice".into(), &"pending".into(), &false.into())
    );
    assert_eq!(status["expires_at"], document["expires_at"]);
    assert_eq!(status["totp_id"], document["totp_id"]);

    let phone = Phone::from(&document);
    assert_eq!(site.totpd_with(&["confirm", "alice"], &phone.wrong_code(&site)).code, 1);
    let confirmed =
        site.totpd_with(&["confirm", "alice", "--json"], &phone.code(&site)).assert_success().json();
    assert_eq!(confirmed["confirmed"], true);
    assert_eq!(site.totpd_with(&["confirm", "alice"], &phone.code(&site)).code, 1, "nothing is pending");
    let status = site.status("alice");
    assert_eq!((&status["state"], &status["recovery_codes_left"]), (&"active".into(), &10.into()));
    assert!(status["expires_at"].is_null() && status["locked_until"].is_null());
    site.next_step();
    assert_eq!(
        site.totpd_with(&["verify", "alice", "--json"], &phone.code(&site)).assert_success().json()["verified"],
        true
    );
    let list = site.totpd(&["list", "--json"]).assert_success().json();
    assert_eq!(list["users"][0]["user"], "alice");
    assert_eq!(site.totpd(&["-q", "list"]).assert_success().stdout, "");
    // A secret that is shown once is not created where nobody would see it.
    for hidden in [
        &["-q", "enroll", "bob"][..],
        &["-q", "enroll", "bob", "--ticket"],
        &["-q", "recovery-codes", "alice"],
        &["-q", "client", "add", "shop", "--scope", "verify"],
    ] {
        let refused = site.totpd(hidden);
        assert!(refused.code == 2 && refused.stderr.contains("--json"), "{refused:?}");
    }
    assert_eq!(site.status("bob")["state"], "none");
    assert_eq!(
        site.totpd(&["client", "list", "--json"]).assert_success().json()["clients"],
        serde_json::json!([])
    );
    assert_eq!(site.totpd(&["revoke", "alice"]).code, 0);
    assert_eq!(site.totpd(&["revoke", "alice"]).code, 1);
    assert_eq!(site.totpd(&["config", "check"]).code, 0);
}

#[test]
fn a_wrong_phone_clock_is_reported_without_the_right_code() {
    let site = Site::new();
    let phone = site.stage("alice");
    let refused = site.totpd_with(&["confirm", "alice"], &phone.code_at(site.now() - 300));
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("clock is about 5m behind this host's"), "{refused:?}");
    assert!(!refused.stderr.contains(&phone.code(&site)));
    let refused = site.totpd_with(&["confirm", "alice"], &phone.code_at(site.now() + 600));
    assert!(refused.stderr.contains("clock is about 10m ahead of this host's"), "{refused:?}");
    assert_eq!(site.status("alice")["state"], "pending");
}

#[test]
fn on_a_terminal_enroll_asks_for_the_first_code_at_once() {
    let site = Site::new();
    let mut command = site.totpd_command();
    command.args(["enroll", "alice", "--qr", "none"]);
    let mut terminal = spawn_command(command, Some(20_000)).unwrap();
    terminal.exp_string("type this key:  ").unwrap();
    let key = terminal.read_line().unwrap();
    let phone = Phone::with_key(&key);
    terminal.exp_string("First code (empty to confirm later): ").unwrap();
    terminal.send_line(&phone.wrong_code(&site)).unwrap();
    terminal.exp_string("refused").unwrap();
    terminal.exp_string("First code").unwrap();
    terminal.send_line(&phone.code(&site)).unwrap();
    terminal.exp_string("alice: confirmed").unwrap();
    terminal.exp_string("Recovery codes").unwrap();
    terminal.exp_eof().unwrap();
    assert_eq!(site.status("alice")["state"], "active");
}

#[test]
fn the_old_factor_works_until_the_first_code_of_the_new_one() {
    let site = Site::new();
    let old = site.enroll("alice");
    let shown = site.totpd(&["enroll", "alice", "--json"]).assert_success().json();
    assert_eq!(shown["replaces"], true);
    let new = Phone::from(&shown);
    assert_eq!(site.status("alice")["replacement_pending"], true);
    site.totpd_with(&["verify", "alice"], &old.code(&site)).assert_success();
    assert_eq!(site.totpd_with(&["verify", "alice"], &new.recovery_codes[0]).code, 1);
    // A code of the old factor does not confirm the new one.
    site.next_step();
    assert_eq!(site.totpd_with(&["confirm", "alice"], &old.code(&site)).code, 1);
    site.totpd_with(&["confirm", "alice"], &new.code(&site)).assert_success();
    site.next_step();
    assert_eq!(site.totpd_with(&["verify", "alice"], &old.code(&site)).code, 1);
    site.totpd_with(&["verify", "alice"], &new.code(&site)).assert_success();
    site.totpd_with(&["verify", "alice"], &new.recovery_codes[0]).assert_success();
}

#[test]
fn a_closed_pipe_causes_no_panic() {
    let site = Site::new();
    let mut shell = site.command("sh");
    let totpd = totpd_e2e::paths::totpd();
    let config = site.path("etc/totpd/totpd.toml");
    shell.arg("-c").arg(format!(
        "{} --config {} enroll alice | true; exec 2>&1; {0} --config {1} enroll alice | head -n1",
        totpd.display(),
        config.display()
    ));
    let finished = run(shell, "");
    assert!(!finished.stderr.contains("panic") && !finished.stdout.contains("panic"), "{finished:?}");
}
