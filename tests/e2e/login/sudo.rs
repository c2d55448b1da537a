//! A real sudo under a pty: password first, then the code.

use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use rexpect::session::{PtySession, spawn_command};
use std::time::Instant;
use totpd_e2e::Site;
use totpd_e2e::users::PASSWORD;

/// Returns the exit status of sudo, and what it printed after the last prompt.
#[track_caller]
fn end(mut sudo: PtySession) -> (i32, String) {
    let output = sudo.exp_eof().unwrap();
    match sudo.process_mut().wait().unwrap() {
        WaitStatus::Exited(_, code) => (code, output),
        other => panic!("{other:?}: {output}"),
    }
}

fn service(site: &Site) {
    site.service(
        "sudo",
        &format!(
            "auth required pam_unix.so nodelay\nauth required {}\naccount required pam_permit.so\nsession required pam_permit.so\n",
            site.pam_line("nodelay timeout=2")
        ),
    );
}

fn sudo(site: &Site) -> PtySession {
    let mut command = site.command_as("alice", "/usr/bin/sudo");
    command.args(["-k", "id", "-u"]);
    let mut session = spawn_command(command, Some(20_000)).unwrap();
    session.exp_string("password for alice: ").unwrap();
    session
}

/// Runs sudo with password and code. Returns whether it succeeded.
#[track_caller]
fn with_code(site: &Site, code: &str) -> bool {
    let mut session = sudo(site);
    session.send_line(PASSWORD).unwrap();
    session.exp_string("Verification code: ").unwrap();
    session.send_line(code).unwrap();
    // After a refusal sudo asks for the password again; the end of its input ends it.
    let (_, found) = session.exp_regex("(\r\n0\r\n|Sorry, try again)").unwrap();
    let granted = found.trim() == "0";
    if granted {
        assert_eq!(end(session).0, 0);
    }
    granted
}

#[test]
fn sudo_accepts_a_code_and_a_recovery_code_once_each() {
    let site = Site::new();
    service(&site);
    let phone = site.enroll("alice");
    let code = phone.code(&site);
    assert!(with_code(&site, &code));
    assert_eq!(site.last_login()["class"], "local");
    assert!(!with_code(&site, &code), "a code was accepted twice");
    assert!(!with_code(&site, &phone.wrong_code(&site)));
    assert!(with_code(&site, &phone.recovery_codes[0]));
    assert!(!with_code(&site, &phone.recovery_codes[0]), "a recovery code was accepted twice");
}

#[test]
fn a_wrong_password_with_a_right_code_is_refused() {
    let site = Site::new();
    service(&site);
    let phone = site.enroll("alice");
    let mut session = sudo(&site);
    session.send_line("wrong").unwrap();
    // With `required` the code is still asked for, so the prompt does not reveal the password.
    session.exp_string("Verification code: ").unwrap();
    session.send_line(&phone.code(&site)).unwrap();
    session.exp_string("Sorry, try again").unwrap();
}

#[test]
fn with_a_stopped_daemon_sudo_refuses_in_time() {
    let site = Site::new();
    service(&site);
    site.enroll("alice");
    // A stopped process accepts connections and never answers.
    site.signal(Signal::SIGSTOP);
    let start = Instant::now();
    let mut session = sudo(&site);
    session.send_line(PASSWORD).unwrap();
    session.exp_string("Press Enter").unwrap();
    session.send_line("").unwrap();
    let (code, output) = end(session);
    site.signal(Signal::SIGCONT);
    assert_eq!(code, 1, "{output}");
    assert!(start.elapsed().as_secs() < 8, "{:?}", start.elapsed());
    // Without a daemon sudo may ask for the password again, and never succeeds.
    site.end(Signal::SIGTERM);
    let mut session = sudo(&site);
    for _ in 0..3 {
        session.send_line(PASSWORD).unwrap();
        session.exp_string("Press Enter").unwrap();
        session.send_line("").unwrap();
        let (before, found) = session.exp_regex("(password for alice: |[0-9] incorrect)").unwrap();
        assert!(!before.contains("\r\n0\r\n"), "{before}{found}");
        if found.contains("incorrect") {
            break;
        }
    }
    assert_eq!(end(session).0, 1);
}
