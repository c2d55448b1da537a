//! su of util-linux: `PAM_USER` is the target, and `PAM_RUSER` the caller.

use super::{INSIDE, assert_judges_codes, assert_refuses_without_a_daemon, password_and};
use totpd_e2e::Site;
use totpd_e2e::shell::{Ran, Shell};

fn service(site: &Site) {
    site.service(
        "su",
        &format!(
            "auth sufficient pam_rootok.so\nauth required pam_unix.so nodelay\nauth required {}\n\
             account required pam_unix.so\nsession required pam_permit.so\n",
            site.pam_line("nodelay")
        ),
    );
}

fn su(shell: &mut Shell, target: &str, code: &str) -> Ran {
    shell.run(&format!("su {target} -c {INSIDE}"), &password_and(code))
}

#[test]
fn su_asks_for_the_targets_code_and_takes_it_once() {
    let site = Site::new();
    service(&site);
    let (alice, bob) = (site.enroll("alice"), site.enroll("bob"));
    let mut shell = Shell::of(&site, "alice");
    assert_judges_codes(&site, &bob, |code| su(&mut shell, "bob", code).let_in("in as bob"));
    let event = site.last_login();
    assert_eq!(
        (&event["user"], &event["ruser"], &event["service"]),
        (&"bob".into(), &"alice".into(), &"su".into())
    );
    assert!(!su(&mut shell, "bob", &alice.code(&site)).let_in("in as bob"), "the caller's code was taken");
}

#[test]
fn su_asks_once_and_ends() {
    let site = Site::new();
    service(&site);
    let bob = site.enroll("bob");
    let ran = su(&mut Shell::of(&site, "alice"), "bob", &bob.wrong_code(&site));
    assert_eq!((ran.status, ran.codes_asked()), (Some(1), 1), "{ran:?}");
    assert!(ran.output.contains("su: Authentication failure"), "{ran:?}");
}

#[test]
fn su_of_root_asks_nothing() {
    let site = Site::new();
    service(&site);
    let ran = Shell::of(&site, "root").run(&format!("su bob -c {INSIDE}"), &[]);
    assert!(ran.let_in("in as bob"), "{ran:?}");
}

#[test]
fn su_without_a_daemon_refuses_at_once() {
    let site = Site::new();
    service(&site);
    let bob = site.enroll("bob");
    let mut shell = Shell::of(&site, "alice");
    let ran = assert_refuses_without_a_daemon(&site, &bob, |code| su(&mut shell, "bob", code));
    assert!(ran.status.is_some(), "a second prompt: {ran:?}");
}
