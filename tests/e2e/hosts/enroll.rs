//! Enrollment inside a login, where the program shows messages. Every sudo is silent
//! (`PAM_SILENT`), and that of Debian 13 is the first that can be configured not to be.

use super::{INSIDE, password_and};
use std::os::unix::fs::PermissionsExt;
use totpd_e2e::paths::script;
use totpd_e2e::phone::{Phone, recovery_codes};
use totpd_e2e::polkit::Polkit;
use totpd_e2e::shell::{Ran, Shell};
use totpd_e2e::ssh::{Setup, Sshd};
use totpd_e2e::users::PASSWORD;
use totpd_e2e::{Site, Trixie};

const ENROLL: &str = "[[login.rule]]\naction = \"enroll\"\n";

fn stack(line: &str) -> String {
    format!(
        "auth requisite pam_unix.so nodelay\nauth required {line} first_factor=passed\n\
         account required pam_unix.so\nsession required pam_permit.so\n"
    )
}

/// Returns what follows `word` on its line.
#[track_caller]
fn after<'a>(output: &'a str, word: &str) -> &'a str {
    output
        .split(word)
        .nth(1)
        .and_then(|rest| rest.lines().next())
        .unwrap_or_else(|| panic!("no {word}: {output}"))
}

/// Answers as a user who scans the QR code and notes the recovery codes.
fn enrolls(site: &Site, shell: &mut Shell, line: &str) -> (Ran, Phone) {
    let mut phone = Phone::with_key("");
    let ran = shell.answer(line, |output, asked| match asked {
        "First code from the app: " => {
            phone.secret = after(output, "Or type this key:  ").replace(' ', "");
            after(output, "Open this link on the phone: ").trim().clone_into(&mut phone.uri);
            Some(phone.code(site))
        }
        "one of them to finish: " => {
            phone.recovery_codes = recovery_codes(output);
            Some(phone.recovery_codes[2].clone())
        }
        _ if asked.contains("assword") => Some(PASSWORD.to_owned()),
        _ => None,
    });
    (ran, phone)
}

/// Asserts that a user without a factor gets one, is let in, and is asked for its code from then
/// on.
#[track_caller]
fn assert_enrolls(site: &Site, shell: &mut Shell, user: &str, line: &str) {
    let (ran, phone) = enrolls(site, shell, line);
    assert!(ran.let_in("in as "), "{ran:?}");
    assert_eq!(phone.recovery_codes.len(), 10, "{ran:?}");
    assert!(phone.uri.starts_with("otpauth://totp/"), "{ran:?}");
    assert_eq!(site.status(user)["state"], "active");
    let mut with = |code: &str| {
        shell.answer(line, |output, asked| match asked {
            "Verification code: " => (output.matches(asked).count() == 1).then(|| code.to_owned()),
            _ => (!output.contains("Verification code: ")).then(|| PASSWORD.to_owned()),
        })
    };
    let code = phone.code(site);
    assert!(!with(&code).let_in("in as "), "the first code was accepted twice");
    site.next_step();
    assert!(with(&phone.code(site)).let_in("in as "));
    assert!(with(&phone.recovery_codes[2]).let_in("in as "), "the shown recovery code was not used up");
}

#[test]
fn su_enrolls_the_target_user() {
    let site = Site::with_rules(ENROLL);
    site.service("su", &stack(&site.pam_line("nodelay")));
    assert_enrolls(&site, &mut Shell::of(&site, "alice"), "bob", &format!("su bob -c {INSIDE}"));
}

#[test]
fn an_unfinished_enrollment_by_su_leaves_nothing() {
    let site = Site::with_rules(ENROLL);
    site.service("su", &stack(&site.pam_line("nodelay")));
    let ran = Shell::of(&site, "alice").run(&format!("su bob -c {INSIDE}"), &password_and(""));
    assert!(!ran.let_in("in as ") && ran.output.contains("First code from the app: "), "{ran:?}");
    assert_eq!(site.status("bob")["state"], "none");
}

/// Asserts that a silent program asks a user without a factor for a code, and refuses.
#[track_caller]
fn assert_offers_nothing(site: &Site, shell: &mut Shell, line: &str) {
    let mut codes = 0;
    let ran = shell.answer(line, |_, asked| match asked {
        "Verification code: " => {
            codes += 1;
            (codes == 1).then(|| "123456".to_owned())
        }
        _ => (codes == 0).then(|| PASSWORD.to_owned()),
    });
    assert!(!ran.let_in("in as ") && codes == 1, "{ran:?}");
    assert_eq!(site.last_login()["reason"], "not-enrolled");
    assert_eq!(site.status("alice")["state"], "none");
}

#[test]
fn sudo_of_debian_12_is_silent_and_refuses() {
    let site = Site::with_rules(ENROLL);
    site.service("sudo", &stack(&site.pam_line("nodelay")));
    assert_offers_nothing(&site, &mut Shell::of(&site, "alice"), &format!("sudo -k sh -c {INSIDE}"));
}

#[test]
fn sudo_rs_is_silent_and_refuses() {
    let site = Site::with_rules(ENROLL);
    let trixie = Trixie::new(&site);
    site.service("sudo", &stack(&trixie.pam_line("nodelay")));
    assert_offers_nothing(&site, &mut trixie.shell("alice"), &format!("sudo-rs -k sh -c {INSIDE}"));
}

#[test]
fn sudo_of_debian_13_enrolls_only_with_pam_silent_disabled() {
    let site = Site::with_rules(ENROLL);
    let trixie = Trixie::new(&site);
    site.service("sudo", &stack(&trixie.pam_line("nodelay")));
    let line = format!("sudo -k sh -c {INSIDE}");
    assert_offers_nothing(&site, &mut trixie.shell("alice"), &line);
    site.append("etc/sudoers", "Defaults !pam_silent\n");
    assert_enrolls(&site, &mut trixie.shell("alice"), "alice", &line);
}

#[test]
fn login_enrolls_users_without_a_factor() {
    let site = Site::with_rules(ENROLL);
    site.service("login", &stack(&site.pam_line("nodelay")));
    // The login shell prints the user's name and ends.
    let inside = site.path("inside");
    site.write("inside", "#!/bin/sh\necho in as $(id -un)\n");
    std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o755)).unwrap();
    let alice = format!("{}:/bin/sh", site.path("home/alice").display());
    site.replace("etc/passwd", &alice, &alice.replace("/bin/sh", &inside.display().to_string()));
    let line = format!("{} login alice", script("console.py").display());
    assert_enrolls(&site, &mut Shell::console(&site), "alice", &line);
}

#[test]
fn polkits_helper_enrolls_users_without_a_factor() {
    let site = Site::with_rules(&format!("[login]\nshow_secrets_services = [\"polkit-1\"]\n{ENROLL}"));
    site.service("polkit-1", &stack(&site.pam_line("nodelay")));
    let _polkit = Polkit::start(&site);
    assert_enrolls(&site, &mut Shell::of(&site, "alice"), "alice", &super::polkit::line());
}

#[test]
fn sshd_with_debug_logging_logs_no_key() {
    let site = Site::with_rules(ENROLL);
    let sshd = Sshd::start_with(&site, Setup { settings: "LogLevel DEBUG3\n", ..Setup::default() });
    let refused = sshd.login("bob", &["000000"; 3]);
    assert_ne!(refused.code, 0, "{refused:?}");
    let shown = refused.stderr + &sshd.prompts().join("\n");
    assert!(shown.contains("Or type this key"), "{shown}");
    let log = sshd.log();
    assert!(
        log.contains("debug3: ") && !log.contains("Or type this key") && !log.contains("otpauth"),
        "{log}"
    );
}
