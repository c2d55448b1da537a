//! `login` at a console: that of shadow in Debian 12, and that of util-linux in Debian 13.

use super::{assert_judges_codes, assert_refuses_without_a_daemon, password_and};
use totpd_e2e::paths::script;
use totpd_e2e::shell::{Ran, Shell};
use totpd_e2e::users::PASSWORD;
use totpd_e2e::{Site, Trixie};

fn service(site: &Site, line: &str) {
    site.service(
        "login",
        &format!(
            "auth requisite pam_nologin.so\nauth required pam_unix.so nodelay\nauth required {line}\n\
             account required pam_unix.so\nsession required pam_loginuid.so\nsession required pam_permit.so\n"
        ),
    );
}

/// Logs in by a line that runs `login`.
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
    assert_judges_codes(&site, &phone, |code| login(&mut shell, "login alice", code).let_in("in as alice"));
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
    let ran = assert_refuses_without_a_daemon(&site, &phone, |code| login(&mut shell, "login alice", code));
    assert!(ran.status.is_none(), "no second prompt: {ran:?}");
}

#[test]
fn util_linuxs_login_takes_a_code_once() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    service(&site, &trixie.pam_line("nodelay"));
    let phone = site.enroll("alice");
    let mut shell = Shell::of(&site, "root");
    let line = trixie.line("login alice");
    assert_judges_codes(&site, &phone, |code| login(&mut shell, &line, code).let_in("in as alice"));
}

#[test]
fn util_linuxs_login_without_a_daemon_refuses_at_once() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    service(&site, &trixie.pam_line("nodelay"));
    let phone = site.enroll("alice");
    let mut shell = Shell::of(&site, "root");
    let line = trixie.line("login alice");
    let ran = assert_refuses_without_a_daemon(&site, &phone, |code| login(&mut shell, &line, code));
    assert!(ran.status.is_none(), "no second prompt: {ran:?}");
}

#[test]
fn login_asks_for_the_name_again_and_ends_after_maxtries() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    let phone = site.enroll("alice");
    let wrong = phone.wrong_code(&site);
    // `tries=2` returns PAM_MAXTRIES.
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
