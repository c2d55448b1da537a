//! sudo of Debian 13. Like that of Debian 12 (`../login/sudo.rs`) it sets `PAM_SILENT`; unlike it,
//! it can be configured not to.

use super::{INSIDE, assert_judges_codes, assert_refuses_without_a_daemon, password_and};
use totpd_e2e::run::run;
use totpd_e2e::shell::{Ran, Shell};
use totpd_e2e::users::PASSWORD;
use totpd_e2e::{Site, Trixie};

fn service(site: &Site, trixie: &Trixie, arguments: &str) {
    site.password_service("sudo", &trixie.pam_line(&format!("nodelay timeout=2 {arguments}")));
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
    service(&site, &trixie, "");
    let mut version = trixie.command("sudo");
    version.arg("--version");
    let version = run(version, "").assert_success().stdout;
    assert!(
        version.starts_with("Sudo version 1.9.16"),
        "docs/how-to/hosts.md names another version: {version}"
    );
    let phone = site.enroll("alice");
    let mut shell = trixie.shell("alice");
    assert_judges_codes(&site, &phone, |code| sudo(&mut shell, code).let_in("in as root"));
    assert_eq!(site.last_login()["class"], "local");
    // Without PAM_SILENT it would show how many recovery codes are left.
    let ran = sudo(&mut shell, &phone.recovery_codes[1]);
    assert!(ran.let_in("in as root") && !ran.output.contains("left"), "{ran:?}");
}

#[test]
fn a_silent_sudo_without_a_daemon_refuses_at_once() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    service(&site, &trixie, "");
    let phone = site.enroll("alice");
    let mut shell = trixie.shell("alice");
    let ran = assert_refuses_without_a_daemon(&site, &phone, |code| sudo(&mut shell, code));
    assert!(ran.status.is_none(), "no second prompt: {ran:?}");
}

/// Answers every prompt for a password or a code.
fn answer_all(shell: &mut Shell, line: &str, code: &str) -> Ran {
    shell.answer(line, |_, asked| {
        Some(if asked == "Verification code: " { code } else { PASSWORD }.to_owned())
    })
}

#[test]
fn sudo_asks_three_times_after_any_kind_of_refusal() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    let phone = site.enroll("alice");
    // `tries=2` returns PAM_MAXTRIES, which sudo counts as one wrong password of three.
    for (arguments, codes) in [("", 3), ("tries=2", 6)] {
        service(&site, &trixie, arguments);
        let line = format!("sudo -k sh -c {INSIDE}");
        let ran = answer_all(&mut trixie.shell("alice"), &line, &phone.wrong_code(&site));
        assert_eq!((ran.status, ran.codes_asked()), (Some(1), codes), "{ran:?}");
        assert!(ran.output.contains("3 incorrect password attempts"), "{ran:?}");
    }
}

#[test]
fn a_custom_sudo_prompt_replaces_ours() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    service(&site, &trixie, "");
    let phone = site.enroll("alice");
    let line = format!("sudo -p 'Password please: ' -k sh -c {INSIDE}");
    let code = phone.code(&site);
    let answers = [("Password please: ", PASSWORD), ("Password please: ", code.as_str())];
    let ran = trixie.shell("alice").run(&line, &answers);
    assert!(ran.let_in("in as root") && ran.codes_asked() == 0, "{ran:?}");
}
