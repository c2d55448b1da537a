//! sudo-rs of Debian 13: it asks three times, and again only after `PAM_AUTH_ERR`.

use super::{INSIDE, assert_judges_codes, assert_refuses_without_a_daemon, password_and};
use totpd_e2e::shell::{Ran, Shell};
use totpd_e2e::users::PASSWORD;
use totpd_e2e::{Site, Trixie};

fn service(site: &Site, trixie: &Trixie, arguments: &str) {
    site.password_service("sudo", &trixie.pam_line(&format!("nodelay timeout=2 {arguments}")));
}

fn sudo(shell: &mut Shell, code: &str) -> Ran {
    shell.run(&format!("sudo-rs -k sh -c {INSIDE}"), &password_and(code))
}

#[test]
fn sudo_rs_takes_a_code_once() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    service(&site, &trixie, "");
    let phone = site.enroll("alice");
    let mut shell = trixie.shell("alice");
    assert_judges_codes(&site, &phone, |code| sudo(&mut shell, code).let_in("in as root"));
}

#[test]
fn sudo_rs_without_a_daemon_refuses_at_once() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    service(&site, &trixie, "");
    let phone = site.enroll("alice");
    let mut shell = trixie.shell("alice");
    let ran = assert_refuses_without_a_daemon(&site, &phone, |code| sudo(&mut shell, code));
    assert!(ran.output.contains("cannot be checked now. Press Enter"), "{ran:?}");
}

#[test]
fn sudo_rs_asks_three_times_and_stops_after_maxtries() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    let phone = site.enroll("alice");
    let wrong = phone.wrong_code(&site);
    // `tries=2` returns PAM_MAXTRIES.
    for (arguments, codes) in [("", 3), ("tries=2", 2)] {
        service(&site, &trixie, arguments);
        let line = format!("sudo-rs -k sh -c {INSIDE}");
        let ran = trixie.shell("alice").answer(&line, |_, asked| {
            Some(if asked.ends_with("Verification code: ") { &wrong } else { PASSWORD }.to_owned())
        });
        assert_eq!((ran.status, ran.codes_asked()), (Some(1), codes), "{ran:?}");
    }
}
