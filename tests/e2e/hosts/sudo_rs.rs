//! Debian trixie's sudo-rs: asks three times, again only after `PAM_AUTH_ERR`.

use super::{INSIDE, judges, password_and, refuses_without_a_daemon};
use site::setup::PASSWORD;
use site::shell::{Ran, Shell};
use site::{Site, Trixie};

fn service(site: &Site, trixie: &Trixie, arguments: &str) {
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
    shell.run(&format!("sudo-rs -k sh -c {INSIDE}"), &password_and(code))
}

#[test]
fn sudo_rs_takes_a_code_once() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    service(&site, &trixie, "");
    let phone = site.enroll("alice");
    let mut shell = trixie.shell("alice");
    judges(&site, &phone, |code| sudo(&mut shell, code).let_in("in as root"));
}

#[test]
fn sudo_rs_without_a_daemon_refuses_at_once() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    service(&site, &trixie, "");
    let phone = site.enroll("alice");
    let mut shell = trixie.shell("alice");
    let ran = refuses_without_a_daemon(&site, &phone, |code| sudo(&mut shell, code));
    assert!(ran.status.is_some(), "it asked again: {ran:?}");
}

#[test]
fn sudo_rs_asks_three_times_and_stops_at_once_when_the_tries_in_one_call_are_used_up() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    let phone = site.enroll("alice");
    let wrong = phone.wrong_code(&site);
    // `tries=2` refuses with PAM_MAXTRIES.
    for (arguments, codes) in [("", 3), ("tries=2", 2)] {
        service(&site, &trixie, arguments);
        let line = format!("sudo-rs -k sh -c {INSIDE}");
        let ran = trixie.shell("alice").answer(&line, |_, asked| {
            Some(if asked.ends_with("Verification code: ") { &wrong } else { PASSWORD }.to_owned())
        });
        assert_eq!((ran.status, ran.codes_asked()), (Some(1), codes), "{ran:?}");
    }
}
