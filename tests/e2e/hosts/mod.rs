//! The real programs that ask for a code. `docs/how-to/hosts.md` lists what these tests show.

mod cockpit;
mod cron;
mod enabled;
mod enroll;
mod locker;
mod login;
mod passes;
mod polkit;
mod su;
mod sudo;
mod sudo_rs;

use std::time::{Duration, Instant};
use totpd_e2e::Site;
use totpd_e2e::phone::Phone;
use totpd_e2e::shell::Ran;
use totpd_e2e::users::PASSWORD;

/// The command of the shell after each login: nothing else prints this.
const INSIDE: &str = "'echo in as $(id -un)'";

/// Returns the answers to both prompts: the password, then a code.
fn password_and(code: &str) -> [(&'static str, &str); 2] {
    [("assword: ", PASSWORD), ("Verification code: ", code)]
}

/// Asserts that a program accepts a right code and a recovery code once, and refuses a wrong code.
#[track_caller]
fn assert_judges_codes(site: &Site, phone: &Phone, mut lets_in: impl FnMut(&str) -> bool) {
    let code = phone.code(site);
    assert!(lets_in(&code), "a right code was refused");
    assert!(!lets_in(&code), "a code was accepted twice");
    assert_eq!(site.last_login()["reason"], "replayed");
    assert!(!lets_in(&phone.wrong_code(site)), "a wrong code was accepted");
    assert_eq!(site.last_login()["reason"], "wrong");
    assert!(lets_in(&phone.recovery_codes[0]), "a recovery code was refused");
    assert!(!lets_in(&phone.recovery_codes[0]), "a recovery code was accepted twice");
}

/// Asserts that without a daemon a login is refused in time and without a prompt for a code.
/// Returns how the refused login ended.
#[track_caller]
fn assert_refuses_without_a_daemon(site: &Site, phone: &Phone, mut attempt: impl FnMut(&str) -> Ran) -> Ran {
    site.end(nix::sys::signal::Signal::SIGTERM);
    let start = Instant::now();
    let ran = attempt(&phone.code(site));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(!ran.let_in("in as "), "{ran:?}");
    assert_eq!(ran.codes_asked(), 0, "{ran:?}");
    site.start();
    assert!(attempt(&phone.code(site)).let_in("in as "), "the daemon is back, and the code was not used");
    ran
}
