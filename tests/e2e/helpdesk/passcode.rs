//! Passcodes, with which an administrator lets a user in once.

use super::passcode;
use nix::sys::signal::Signal;
use totp_wire::login::{Attempt, Verdict};
use totpd_e2e::peer::{begin, local, login};
use totpd_e2e::run::run;
use totpd_e2e::ssh::{Setup, Sshd};
use totpd_e2e::users::PASSWORD;
use totpd_e2e::{Shell, Site};

const GRANTED: Result<Verdict, totp_wire::CallError> = Ok(Verdict::Granted);
const DENIED: Result<Verdict, totp_wire::CallError> = Ok(Verdict::Denied);

#[test]
fn a_passcode_opens_one_ssh_login_and_the_next_one_tells() {
    let site = Site::new();
    let sshd = Sshd::start(&site);
    let phone = site.enroll("alice");
    let code = passcode(&site, "alice", &[]);
    assert_eq!(site.events().last().unwrap()["event"], "passcode");
    assert_eq!(site.events().last().unwrap()["peer_uid"], 0);
    assert!(!site.status("alice")["passcode_expires_at"].is_null());
    let shown = site.totpd(&["list"]).assert_success().stdout;
    assert!(shown.contains("an unused passcode until ") && !shown.contains(&code), "{shown}");
    assert!(!sshd.lets_in("bob", &[&code]), "it is alice's alone");

    // As users type: in lower case, without dashes.
    assert!(sshd.lets_in("alice", &[&code.to_lowercase().replace('-', "")]));
    let granted = site.last_login();
    assert_eq!((&granted["method"], &granted["totp_id"]), (&"passcode".into(), &serde_json::Value::Null));
    assert!(!sshd.lets_in("alice", &[&code]), "a passcode was accepted twice");
    assert_eq!(site.last_login()["reason"], "wrong");
    assert!(site.status("alice")["passcode_expires_at"].is_null());

    // A question shows the notice, and Enter answers it.
    let mut ssh = sshd.program("ssh", "askpass", 2);
    sshd.prepare_answers(&[&phone.code(&site), ""]);
    ssh.args(["-tt", &sshd.destination("alice")]);
    run(ssh, "exit\n").assert_success();
    let told = site.read("prompts");
    let sentence = "The passcode that an administrator made for you on ";
    assert!(told.contains(sentence) && told.contains(" from 127.0.0.1. Was it you?"), "{told}");
    let stored = site.stored();
    let logs = site.log() + &site.syslog().join("\n") + &String::from_utf8_lossy(&stored);
    assert!(!logs.contains(&code) && !logs.contains(&code.replace('-', "")));
}

/// sshd's password method answers one hidden prompt, and none that shows what is typed.
#[test]
fn a_notice_that_nobody_can_answer_refuses_no_login() {
    let site = Site::new();
    let settings = "AuthenticationMethods publickey,password\nPasswordAuthentication yes\n";
    let sshd = Sshd::start_with(&site, Setup { settings, ..Setup::default() });
    let phone = site.enroll("alice");
    let code = passcode(&site, "alice", &[]);
    assert!(sshd.lets_in("alice", &[&code]));
    for _ in 0..2 {
        let code = phone.code(&site);
        assert!(sshd.lets_in("alice", &[&code]), "{:?}", site.last_login());
        assert_eq!(site.last_login()["outcome"], "granted");
        assert!(!sshd.lets_in("alice", &[&code]), "a code was accepted twice");
        site.next_step();
    }
    assert!(sshd.lets_in("alice", &[&phone.recovery_codes[0]]));
    // It is kept for a login that can show it.
    site.password_service("su", &site.pam_line("nodelay"));
    let su = |code: &str| {
        let answers = [("assword: ", PASSWORD), ("code: ", code), ("to go on: ", "")];
        let ran = Shell::of(&site, "alice").run("su alice -c 'echo in as $(id -un)'", &answers);
        assert!(ran.let_in("in as alice"), "{ran:?}");
        ran.output
    };
    let notice = "The passcode that an administrator made for you";
    let shown = su(&phone.code(&site));
    assert!(shown.contains(notice), "{shown}");
    site.next_step();
    let shown = su(&phone.code(&site));
    assert!(!shown.contains(notice), "{shown}");
}

#[test]
fn a_passcode_opens_one_sudo() {
    let site = Site::new();
    site.password_service("sudo", &site.pam_line("nodelay"));
    site.enroll("alice");
    let code = passcode(&site, "alice", &["--for", "1h"]);
    let mut shell = Shell::of(&site, "alice");
    let mut sudo = |code: &str| {
        let answers = [("assword for alice: ", PASSWORD), ("code: ", code)];
        shell.run("sudo -k sh -c 'echo in as $(id -un)'", &answers)
    };
    let first = sudo(&code);
    assert!(first.let_in("in as root"), "{first:?}");
    assert!(!sudo(&code).let_in("in as root"), "a passcode was accepted twice");
}

#[test]
fn a_login_by_passcode_says_that_it_is_used_up() {
    let site = Site::new();
    site.password_service("su", &site.pam_line("nodelay"));
    site.enroll("alice");
    let code = passcode(&site, "alice", &[]);
    let answers = [("assword: ", PASSWORD), ("code: ", &code)];
    let su = Shell::of(&site, "alice").run("su alice -c 'echo in as $(id -un)'", &answers);
    assert!(su.let_in("in as alice"), "{su:?}");
    assert!(su.output.contains("An administrator made a passcode for you on "), "{su:?}");
    assert!(su.output.contains("That passcode is used up."), "{su:?}");
}

#[test]
fn a_passcode_ends_by_expiry_a_newer_one_cancel_or_revoke() {
    let site = Site::new();
    site.enroll("alice");
    let expired = passcode(&site, "alice", &["--for", "90s"]);
    site.advance(90);
    assert!(site.status("alice")["passcode_expires_at"].is_null());
    assert_eq!(login(&site, "alice", &expired), DENIED, "expired");
    site.advance(-60);
    assert_eq!(login(&site, "alice", &expired), DENIED, "the clock was set back");
    site.advance(60);
    let (older, newer) = (passcode(&site, "alice", &[]), passcode(&site, "alice", &[]));
    assert_eq!(login(&site, "alice", &older), DENIED, "replaced");
    site.totpd(&["passcode", "alice", "--cancel", "-q"]).assert_success();
    assert_eq!(site.events().last().unwrap()["outcome"], "ended");
    assert_eq!(login(&site, "alice", &newer), DENIED, "cancelled");
    let nothing = site.totpd(&["passcode", "alice", "--cancel"]);
    assert!(nothing.code == 1 && nothing.stderr.contains("no unused passcode"), "{nothing:?}");
    let revoked = passcode(&site, "alice", &[]);
    site.totpd(&["revoke", "alice"]).assert_success();
    let phone = site.enroll("alice");
    assert_eq!(login(&site, "alice", &revoked), DENIED, "revoked");
    site.next_step();
    assert_eq!(login(&site, "alice", &phone.code(&site)), GRANTED, "and nothing locked the user");
}

#[test]
fn a_passcode_is_only_for_users_with_a_factor_in_use() {
    let site = Site::new();
    for user in ["alice", "bob"] {
        let refused = site.totpd(&["passcode", user]);
        let cure = format!("totpd enroll {user} --ticket");
        assert!(refused.code == 1 && refused.stderr.contains(&cure), "{refused:?}");
        site.stage("bob");
    }
    let nobody = site.totpd(&["passcode", "no-such-user"]);
    assert!(nobody.code == 1 && nobody.stderr.contains("there is no user"), "{nobody:?}");
    site.enroll("alice");
    for time in ["59s", "8d", "soon"] {
        assert_eq!(site.totpd(&["passcode", "alice", "--for", time]).code, 2, "{time}");
    }
    let hidden = site.totpd(&["passcode", "alice", "-q"]);
    assert!(hidden.code == 2 && hidden.stderr.contains("--json"), "{hidden:?}");
    assert!(site.status("alice")["passcode_expires_at"].is_null());
    let by_alice = site.totpd_as("alice", &["passcode", "bob"], "");
    assert!(by_alice.code == 1 && site.events().iter().all(|e| e["event"] != "passcode"), "{by_alice:?}");
}

#[test]
fn a_passcode_changes_no_factor() {
    let site = Site::new();
    site.enroll("alice");
    let code = passcode(&site, "alice", &[]);
    for command in ["enroll", "revoke", "recovery-codes"] {
        assert_eq!(site.totpd_as("alice", &[command], &format!("{code}\n\n")).code, 1, "{command}");
    }
    assert!(site.status("alice")["staged"].is_null());
    assert_eq!(login(&site, "alice", &code), GRANTED, "a change used it up");
}

/// A site whose store is a file that can be copied, also where the tests run on PostgreSQL.
#[track_caller]
fn site_on_sqlite() -> Site {
    let site = Site::on_sqlite();
    site.totpd(&["init"]).assert_success();
    site.start();
    site
}

#[test]
fn a_used_passcode_stays_used_after_a_kill_or_an_older_copy() {
    let site = site_on_sqlite();
    let phone = site.enroll("alice");
    let code = passcode(&site, "alice", &[]);
    site.end(Signal::SIGTERM);
    let old = site.path("old");
    let copied = std::process::Command::new("cp").arg("-a").arg(site.path("state")).arg(&old).status();
    assert!(copied.unwrap().success());
    site.start();
    assert_eq!(login(&site, "alice", &code), GRANTED);
    site.end(Signal::SIGKILL);
    site.start();
    assert_eq!(login(&site, "alice", &code), DENIED, "a kill made it fresh again");

    site.end(Signal::SIGTERM);
    std::fs::remove_dir_all(site.path("state")).unwrap();
    std::fs::rename(&old, site.path("state")).unwrap();
    site.start();
    assert_eq!(login(&site, "alice", &code), DENIED, "an older copy made it fresh again");
    assert_eq!(site.last_login()["reason"], "withdrawn");
    let refused = site.totpd(&["passcode", "alice"]);
    assert!(refused.code == 1 && refused.stderr.contains("totpd restore --accept"), "{refused:?}");
    site.totpd(&["restore", "--accept"]).assert_success();
    assert_eq!(login(&site, "alice", &code), DENIED);
    assert_eq!(login(&site, "alice", &passcode(&site, "alice", &[])), GRANTED);
    site.advance(90);
    // A silent login, which cannot be asked whether the notice of the passcode was read.
    let silent = begin(&site, Attempt { silent: Some(true), ..local("alice") }).unwrap();
    assert_eq!(silent.answer(&phone.code(&site)), GRANTED);
}

#[test]
fn a_restored_backup_revives_no_used_passcode() {
    let site = site_on_sqlite();
    site.enroll("alice");
    let code = passcode(&site, "alice", &["--for", "7d"]);
    let file = site.path("backup.age").display().to_string();
    let passphrase = "correct horse battery\n";
    site.totpd_with(&["backup", &file], passphrase).assert_success();
    assert_eq!(login(&site, "alice", &code), GRANTED);
    site.end(Signal::SIGTERM);
    let restored = site.totpd_with(&["restore", &file, "--yes", "--json"], passphrase);
    let restored = restored.assert_success().json();
    assert_eq!(
        (&restored["withdrawn"][0]["kind"], &restored["withdrawn"][0]["user"]),
        (&"passcode".into(), &"alice".into())
    );
    site.start();
    assert_eq!(login(&site, "alice", &code), DENIED, "the restore made it fresh again");
}
