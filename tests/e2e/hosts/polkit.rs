//! polkit's agent helper, as a text agent runs it: polkitd, the bus, the agent (pkcheck has one)
//! and the helper with its final D-Bus step are the real ones.
//!
//! pkexec has an agent too, but that of polkit 122 never works, whatever PAM returns ("No session
//! for cookie"): it registers as root and its helper reports as the user. It needs a `pkttyagent`
//! beside it.

use super::{INSIDE, assert_judges_codes, assert_refuses_without_a_daemon, password_and};
use totpd_e2e::Site;
use totpd_e2e::polkit::{Polkit, service};
use totpd_e2e::shell::{Ran, Shell};

/// The action of a user who restarts a service.
const ACTION: &str = "org.freedesktop.systemd1.manage-units";

/// Returns the line that asks polkitd, which asks the agent, which runs the helper.
pub(super) fn line() -> String {
    format!("pkcheck --enable-internal-agent -u -a {ACTION} -p $$ && sh -c {INSIDE}")
}

pub(super) fn polkit(shell: &mut Shell, code: &str) -> Ran {
    shell.run(&line(), &password_and(code))
}

#[test]
fn polkits_helper_takes_a_code_once() {
    let site = Site::new();
    service(&site);
    let _polkit = Polkit::start(&site);
    let phone = site.enroll("alice");
    let mut shell = Shell::of(&site, "alice");
    assert_judges_codes(&site, &phone, |code| polkit(&mut shell, code).let_in("in as alice"));
    let event = site.last_login();
    assert_eq!(event["class"], "local");
    assert_eq!((&event["service"], &event["ruser"]), (&"polkit-1".into(), &"alice".into()), "{event}");
}

#[test]
fn polkits_helper_without_a_daemon_refuses_at_once() {
    let site = Site::new();
    service(&site);
    let _polkit = Polkit::start(&site);
    let phone = site.enroll("alice");
    let mut shell = Shell::of(&site, "alice");
    let ran = assert_refuses_without_a_daemon(&site, &phone, |code| polkit(&mut shell, code));
    assert!(ran.status.is_some(), "a second prompt: {ran:?}");
}
