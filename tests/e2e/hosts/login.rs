//! `login` at a console: Debian 12's from shadow, and Debian trixie's from util-linux.

use super::{judges, password_and, refuses_without_a_daemon};
use site::setup::{PASSWORD, script};
use site::shell::{Ran, Shell};
use site::{Site, Trixie};

fn service(site: &Site, line: &str) {
    site.service(
        "login",
        &format!(
            "auth requisite pam_nologin.so\nauth required pam_unix.so nodelay\nauth required {line}\n\
             account required pam_unix.so\nsession required pam_loginuid.so\nsession required pam_permit.so\n"
        ),
    );
}

/// By a line that runs a login.
pub(super) fn login(shell: &mut Shell, line: &str, code: &str) -> Ran {
    let [password, code] = password_and(code);
    let line = format!("{} {line}", script("console.py").display());
    shell.run(&line, &[password, code, ("$ ", "echo in as $(id -un); exit")])
}

#[test]
fn shadows_login_takes_a_code_once() {
    let site = Site::new();
    service(&site, &site.pam_line("nodelay"));
    let phone = site.enroll("alice");
    let mut shell = Shell::of(&site, "root");
    judges(&site, &phone, |code| login(&mut shell, "login alice", code).let_in("in as alice"));
    let event = site.last_login();
    assert_eq!((&event["service"], &event["class"]), (&"login".into(), &"console".into()));
    assert!(event["ruser"].is_null() && event["caller_uid"].is_null());
}

#[test]
fn shadows_login_without_a_daemon_refuses_at_once() {
    let site = Site::new();
    service(&site, &site.pam_line("nodelay"));
    let phone = site.enroll("alice");
    let mut shell = Shell::of(&site, "root");
    let ran = refuses_without_a_daemon(&site, &phone, |code| login(&mut shell, "login alice", code));
    assert!(ran.status.is_none(), "it did not ask again: {ran:?}");
}

#[test]
fn util_linuxs_login_takes_a_code_once() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    service(&site, &trixie.pam_line("nodelay"));
    let phone = site.enroll("alice");
    let mut shell = Shell::of(&site, "root");
    let line = trixie.line("login alice");
    judges(&site, &phone, |code| login(&mut shell, &line, code).let_in("in as alice"));
}

#[test]
fn util_linuxs_login_without_a_daemon_refuses_at_once() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    service(&site, &trixie.pam_line("nodelay"));
    let phone = site.enroll("alice");
    let mut shell = Shell::of(&site, "root");
    let line = trixie.line("login alice");
    let ran = refuses_without_a_daemon(&site, &phone, |code| login(&mut shell, &line, code));
    assert!(ran.status.is_none(), "it did not ask again: {ran:?}");
}

#[test]
fn logins_ask_for_the_name_again_after_a_refusal_and_end_when_the_tries_are_used_up() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    let phone = site.enroll("alice");
    let wrong = phone.wrong_code(&site);
    // `tries=2` refuses with PAM_MAXTRIES.
    for (arguments, ends) in [("nodelay", false), ("nodelay tries=2", true)] {
        for (line, module) in [
            ("login alice".to_owned(), site.pam_line(arguments)),
            (trixie.line("login alice"), trixie.pam_line(arguments)),
        ] {
            service(&site, &module);
            let line = format!("{} {line}", script("console.py").display());
            let ran = Shell::of(&site, "root").answer(&line, |_, asked| match asked {
                "login: " => None,
                "Verification code: " => Some(wrong.clone()),
                _ => Some(PASSWORD.to_owned()),
            });
            assert_eq!(ran.output.contains("login: "), !ends, "{line}: {ran:?}");
            assert!(!ran.output.contains("in as "), "{ran:?}");
        }
    }
}
