//! Reloads and restarts during a login: the rule in force at the answer decides.

use nix::sys::signal::Signal;
use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, SSH_KEY};
use totpd_e2e::phone::{Phone, recovery_codes};

#[test]
fn an_answer_never_confirms_an_enrollment_that_was_not_shown() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    // Bob is asked under one configuration, and the daemon restarts with another before the answer.
    let mut host = PamHost::new(&site, "x", "bob").option(SSH_KEY).start();
    host.read_until("prompt: ");
    site.end(Signal::SIGTERM);
    site.write_config("[login]\nshow_secrets_services = [\"x\"]\n[[login.rule]]\naction = \"enroll\"\n");
    site.start();
    host.say("123456\n123456\n123456\n123456\n");
    let rest = host.finish().stdout;
    assert!(
        !rest.contains("That is not the code that the app shows") || rest.contains("Or type this key"),
        "{rest}"
    );
}

#[test]
fn an_offered_enrollment_ends_when_its_rule_is_removed() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    site.configure("[login]\nshow_secrets_services = [\"x\"]\n[[login.rule]]\naction = \"enroll\"\n");
    let mut thief = PamHost::new(&site, "x", "bob").option(SSH_KEY).start();
    let shown = thief.read_until("prompt: ");
    // The administrator reacts to the stolen key.
    site.configure("[[login.rule]]\nusers = [\"bob\"]\naction = \"deny\"\n");
    let phone = Phone::from_shown(&shown).unwrap();
    thief.say(&format!("{}\n", phone.code(&site)));
    let Ok(shown) = thief.read_until_or_end("to finish: ") else { return };
    thief.say(&format!("{}\n", recovery_codes(&shown)[0]));
    let rest = thief.finish().stdout;
    assert!(!rest.contains("authenticate=0"), "{rest} {}", site.status("bob")["state"]);
}

#[test]
fn a_monitored_login_is_judged_by_the_rule_at_its_answer() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    site.configure("[[login.rule]]\naction = \"require\"\nmode = \"monitor-ask\"\n");
    let mut thief = PamHost::new(&site, "x", "bob").option(SSH_KEY).start();
    thief.read_until("prompt: ");
    site.configure("[[login.rule]]\nusers = [\"bob\"]\naction = \"deny\"\n");
    thief.say("123456\n");
    let rest = thief.finish().stdout;
    assert_ne!(site.last_login()["outcome"], "exempt", "{rest}");
}
