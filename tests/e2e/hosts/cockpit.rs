//! The real cockpit-session, which copies every message of PAM to its stderr: Cockpit's log (invariant 17).

use site::Site;
use site::run::{Finished, run};
use site::setup::{PASSWORD, script};

/// A login by password, and then these answers.
fn cockpit(site: &Site, answers: &[&str]) -> Finished {
    let line = site.pam_line("nodelay");
    site.service(
        "cockpit",
        &format!(
            "auth requisite pam_unix.so nodelay\nauth required {line} first_factor=passed\n\
             account required pam_unix.so\nsession required pam_permit.so\n"
        ),
    );
    let mut command = site.command(script("cockpit.py"));
    command.args(["bob", PASSWORD]).args(answers);
    run(command, "")
}

/// What a secret looks like: the line above a key, a link, the line above recovery codes.
const SECRETS: [&str; 3] = ["Or type this key", "otpauth://", "Recovery codes"];

#[test]
fn cockpit_shows_no_key_since_its_log_would_keep_it() {
    let site = Site::with_rules("[[login.rule]]\naction = \"enroll\"\n");
    let ran = cockpit(&site, &["123456"]);
    assert!(ran.stdout.contains("prompt Verification code:"), "{ran:?}");
    assert!(ran.stdout.contains("authentication-failed"), "{ran:?}");
    for secret in SECRETS {
        assert!(!ran.stderr.contains(secret) && !ran.stdout.contains(secret), "{ran:?}");
    }
    let event = site.last_login();
    assert_eq!((&event["reason"], &event["service"]), (&"not-shown".into(), &"cockpit".into()));
    assert!(event["caller_uid"].is_null(), "it runs as root, for whoever that is: {event}");
    assert_eq!(site.status("bob")["state"], "none");

    // The commands say so before anybody tries.
    let explain = ["explain", "bob", "cockpit", "--rhost", "192.0.2.7", "--first-factor"];
    let explained = site.totpd(&explain).ok().stdout;
    assert!(explained.contains("refused: not-shown"), "{explained}");
    site.configure("[[login.rule]]\nservices = [\"sshd\", \"cockpit\"]\naction = \"enroll\"\n");
    let checked = site.totpd(&["config", "check", "--strict"]);
    assert!(checked.code == 1 && checked.stdout.contains("enrolls nobody by cockpit"), "{checked:?}");
}

#[test]
fn a_cockpit_that_is_told_to_show_keys_logs_them() {
    let rules = "[login]\nshow_secrets_services = [\"cockpit\"]\n[[login.rule]]\naction = \"enroll\"\n";
    let site = Site::with_rules(rules);
    let ran = cockpit(&site, &["123456"]);
    assert!(ran.stderr.contains(SECRETS[0]) && ran.stderr.contains(SECRETS[1]), "{ran:?}");
}
