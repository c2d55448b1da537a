//! Debian trixie's sudo. Like Debian 12's (`../sudo.rs`) it sets `PAM_SILENT`; unlike it, it can be told not to.

use super::{INSIDE, judges, password_and, refuses_without_a_daemon};
use site::setup::PASSWORD;
use site::shell::{Ran, Shell};
use site::{Site, Trixie, run::run};

fn service(site: &Site, trixie: &Trixie) {
    with_arguments(site, trixie, "");
}

fn with_arguments(site: &Site, trixie: &Trixie, arguments: &str) {
    site.service(
        "sudo",
        &format!(
            "auth required pam_unix.so nodelay\nauth required {}\n\
             account required pam_unix.so\nsession required pam_permit.so\n",
            trixie.pam_line(&format!("nodelay timeout=2 {arguments}"))
        ),
    );
}

fn sudo(shell: &mut Shell, code: &str) -> Ran {
    let mut answers = password_and(code);
    answers[0].0 = "password for alice: ";
    shell.run(&format!("sudo -k sh -c {INSIDE}"), &answers)
}

#[test]
fn a_silent_sudo_takes_a_code_once_and_shows_no_message() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    service(&site, &trixie);
    let mut version = trixie.command("sudo");
    version.arg("--version");
    let version = run(version, "").ok().stdout;
    assert!(
        version.starts_with("Sudo version 1.9.16"),
        "docs/how-to/hosts.md names another version: {version}"
    );
    let phone = site.enroll("alice");
    let mut shell = trixie.shell("alice");
    judges(&site, &phone, |code| sudo(&mut shell, code).let_in("in as root"));
    assert_eq!(site.last_login()["class"], "local");
    // Left to itself it would say how many recovery codes are left.
    let ran = sudo(&mut shell, &phone.recovery_codes[1]);
    assert!(ran.let_in("in as root") && !ran.output.contains("left"), "{ran:?}");
}

#[test]
fn a_silent_sudo_without_a_daemon_refuses_at_once() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    service(&site, &trixie);
    let phone = site.enroll("alice");
    let mut shell = trixie.shell("alice");
    let ran = refuses_without_a_daemon(&site, &phone, |code| sudo(&mut shell, code));
    assert!(ran.status.is_none(), "it did not ask again: {ran:?}");
}

/// Types password and code whenever they are asked for.
fn persists(shell: &mut Shell, line: &str, code: &str) -> Ran {
    shell.answer(line, |_, asked| {
        Some(if asked == "Verification code: " { code } else { PASSWORD }.to_owned())
    })
}

#[test]
fn sudo_asks_three_times_whatever_the_refusal_is_called() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    let phone = site.enroll("alice");
    // `tries=2` refuses with PAM_MAXTRIES: for sudo that is one wrong password of three.
    for (arguments, codes) in [("", 3), ("tries=2", 6)] {
        with_arguments(&site, &trixie, arguments);
        let line = format!("sudo -k sh -c {INSIDE}");
        let ran = persists(&mut trixie.shell("alice"), &line, &phone.wrong_code(&site));
        assert_eq!((ran.status, ran.codes_asked()), (Some(1), codes), "{ran:?}");
        assert!(ran.output.contains("3 incorrect password attempts"), "{ran:?}");
    }
}

#[test]
fn a_prompt_of_ones_own_stands_in_place_of_ours() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    service(&site, &trixie);
    let phone = site.enroll("alice");
    let line = format!("sudo -p 'Password please: ' -k sh -c {INSIDE}");
    let code = phone.code(&site);
    let answers = [("Password please: ", PASSWORD), ("Password please: ", code.as_str())];
    let ran = trixie.shell("alice").run(&line, &answers);
    assert!(ran.let_in("in as root") && ran.codes_asked() == 0, "{ran:?}");
}
