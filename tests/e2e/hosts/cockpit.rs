//! The real cockpit-session, which copies every PAM message to its stderr, which is Cockpit's log
//! (invariant 17).

use totpd_e2e::Site;
use totpd_e2e::paths::script;
use totpd_e2e::run::{Finished, run};
use totpd_e2e::users::PASSWORD;

/// Logs bob in by password, and then with these answers.
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

/// Text that appears with secrets: the line above a key, a link, and the line above recovery codes.
const SECRETS: [&str; 3] = ["Or type this key", "otpauth://", "Recovery codes"];

#[test]
fn cockpit_shows_no_key_because_its_log_would_contain_it() {
    let site = Site::with_rules("[[login.rule]]\naction = \"enroll\"\n");
    let ran = cockpit(&site, &["123456"]);
    assert!(ran.stdout.contains("prompt Verification code:"), "{ran:?}");
    assert!(ran.stdout.contains("authentication-failed"), "{ran:?}");
    for secret in SECRETS {
        assert!(!ran.stderr.contains(secret) && !ran.stdout.contains(secret), "{ran:?}");
    }
    let event = site.last_login();
    assert_eq!((&event["reason"], &event["service"]), (&"not-shown".into(), &"cockpit".into()));
    assert!(event["caller_uid"].is_null(), "cockpit-session runs as root: {event}");
    assert_eq!(site.status("bob")["state"], "none");

    // The commands report it before a login.
    let explain = ["explain", "bob", "cockpit", "--rhost", "192.0.2.7", "--first-factor"];
    let explained = site.totpd(&explain).assert_success().stdout;
    assert!(explained.contains("refused: not-shown"), "{explained}");
    site.configure("[[login.rule]]\nservices = [\"sshd\", \"cockpit\"]\naction = \"enroll\"\n");
    let checked = site.totpd(&["config", "check", "--strict"]);
    assert!(checked.code == 1 && checked.stdout.contains("enrolls nobody by cockpit"), "{checked:?}");
}

#[test]
fn cockpit_logs_keys_when_it_is_configured_to_show_them() {
    let rules = "[login]\nshow_secrets_services = [\"cockpit\"]\n[[login.rule]]\naction = \"enroll\"\n";
    let site = Site::with_rules(rules);
    let ran = cockpit(&site, &["123456"]);
    assert!(ran.stderr.contains(SECRETS[0]) && ran.stderr.contains(SECRETS[1]), "{ran:?}");
}
