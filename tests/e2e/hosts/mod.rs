//! The programs that ask for the code, each the real one. `docs/how-to/hosts.md` is what these tests show.

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

use site::Site;
use site::phone::Phone;
use site::setup::PASSWORD;
use site::shell::Ran;
use std::time::{Duration, Instant};

/// What a shell behind each login here is told: nothing else prints this.
const INSIDE: &str = "'echo in as $(id -un)'";

/// What is typed: the password, then a code.
fn password_and(code: &str) -> [(&'static str, &str); 2] {
    [("assword: ", PASSWORD), ("Verification code: ", code)]
}

/// Right, replayed, wrong, recovery code: what each program has to let in and to refuse.
fn judges(site: &Site, phone: &Phone, mut lets_in: impl FnMut(&str) -> bool) {
    let code = phone.code(site);
    assert!(lets_in(&code), "a right code was refused");
    assert!(!lets_in(&code), "a code was accepted twice");
    assert_eq!(site.last_login()["reason"], "replayed");
    assert!(!lets_in(&phone.wrong_code(site)), "a wrong code was accepted");
    assert_eq!(site.last_login()["reason"], "wrong");
    assert!(lets_in(&phone.recovery_codes[0]), "a recovery code was refused");
    assert!(!lets_in(&phone.recovery_codes[0]), "a recovery code was accepted twice");
}

/// With the daemon ended nobody gets in, soon, and nobody is asked for a code that nobody would judge. How the
/// refused one ended.
fn refuses_without_a_daemon(site: &Site, phone: &Phone, mut attempt: impl FnMut(&str) -> Ran) -> Ran {
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
