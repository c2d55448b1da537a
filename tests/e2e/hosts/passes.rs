//! Logins without a code in each program: exempt and remembered users, and only after a first
//! factor.

use super::{INSIDE, password_and};
use totpd_e2e::paths::script;
use totpd_e2e::polkit::Polkit;
use totpd_e2e::shell::{Ran, Shell};
use totpd_e2e::{Site, Trixie};

const EXEMPT: &str = "[[login.rule]]\naction = \"exempt\"\n";
const REMEMBER: &str = "[[login.rule]]\naction = \"require\"\nremember = \"8h\"\n";

/// Returns a stack in which a wrong password ends, and whose line tells the daemon so.
fn proven(line: &str) -> String {
    stack("requisite", &format!("{line} first_factor=passed"))
}

fn stack(password: &str, line: &str) -> String {
    format!(
        "auth {password} pam_unix.so nodelay\nauth required {line}\n\
         account required pam_unix.so\nsession required pam_permit.so\n"
    )
}

/// Returns whether a login succeeded with the password alone, and asked for no code.
#[track_caller]
fn passes(ran: &Ran) -> bool {
    let inside = ran.let_in("in as ");
    assert_eq!(inside, ran.codes_asked() == 0, "{ran:?}");
    inside
}

/// Asserts that the password alone lets in, because of the rule and of the PAM line's claim.
#[track_caller]
fn assert_exempts(site: &Site, mut attempt: impl FnMut(&str) -> Ran) {
    site.enroll("alice");
    assert!(passes(&attempt("")));
    let event = site.last_login();
    assert_eq!(
        (&event["outcome"], &event["first_factor"]),
        (&"exempt".into(), &"pam-line".into()),
        "{event}"
    );
}

/// Asserts that after a code the same session passes for eight hours, and no other session does.
#[track_caller]
fn assert_remembers(site: &Site, shell: impl Fn() -> Shell, attempt: impl Fn(&mut Shell, &str) -> Ran) {
    let phone = site.enroll("alice");
    let (mut one, mut other) = (shell(), shell());
    assert!(!passes(&attempt(&mut one, &phone.wrong_code(site))), "passed before a grant");
    assert!(attempt(&mut one, &phone.code(site)).let_in("in as "));
    assert!(passes(&attempt(&mut one, "")));
    assert_eq!(site.last_login()["method"], "remembered");
    assert!(!passes(&attempt(&mut other, "")), "another session was let in");
    site.advance(8 * 3600);
    assert!(!passes(&attempt(&mut one, "")), "remembered for more than eight hours");
}

fn sudo(shell: &mut Shell, code: &str) -> Ran {
    let mut answers = password_and(code);
    answers[0].0 = "password for alice: ";
    shell.run(&format!("/usr/bin/sudo -k sh -c {INSIDE}"), &answers)
}

fn sudo_rs(shell: &mut Shell, code: &str) -> Ran {
    shell.run(&format!("sudo-rs -k sh -c {INSIDE}"), &password_and(code))
}

#[test]
fn sudo_lets_exempt_users_in_with_their_password_alone() {
    let site = Site::with_rules(EXEMPT);
    site.service("sudo", &proven(&site.pam_line("nodelay")));
    let mut shell = Shell::of(&site, "alice");
    assert_exempts(&site, |code| sudo(&mut shell, code));
    let ran = shell.run(&format!("sudo -k sh -c {INSIDE}"), &[("password for alice: ", "wrong")]);
    assert!(!ran.let_in("in as ") && ran.codes_asked() == 0, "{ran:?}");
    // Where the line does not claim a right password, nobody is exempt.
    site.service("sudo", &stack("required", &site.pam_line("nodelay")));
    assert!(!passes(&sudo(&mut shell, "")));
    // Unless the rule is for local programs of root; the password is still asked for.
    site.configure(&format!("{EXEMPT}local = true\n"));
    assert!(passes(&sudo(&mut shell, "")));
    assert_eq!(site.last_login()["first_factor"], "local-rule");
    let ran = shell.run(&format!("sudo -k sh -c {INSIDE}"), &[("password for alice: ", "wrong")]);
    assert!(!ran.let_in("in as "), "{ran:?}");
}

#[test]
fn sudo_remembers_a_session_only_after_a_proven_password() {
    let site = Site::with_rules(REMEMBER);
    site.service("sudo", &proven(&site.pam_line("nodelay")));
    assert_remembers(&site, || Shell::of(&site, "alice"), sudo);
    site.service("sudo", &stack("required", &site.pam_line("nodelay")));
    let (phone, mut shell) = (
        site.totpd(&["recovery-codes", "alice", "--json"]).assert_success().json(),
        Shell::of(&site, "alice"),
    );
    let code = phone["recovery_codes"][0].as_str().unwrap();
    assert!(sudo(&mut shell, code).let_in("in as "));
    assert!(!passes(&sudo(&mut shell, "")), "remembered without proof of a first factor");
}

#[test]
fn a_silent_sudo_passes_exempt_and_remembered_users() {
    for (rules, exempt) in [(EXEMPT, true), (REMEMBER, false)] {
        let site = Site::with_rules(rules);
        let trixie = Trixie::new(&site);
        site.service("sudo", &proven(&trixie.pam_line("nodelay")));
        if exempt {
            assert_exempts(&site, |code| sudo(&mut trixie.shell("alice"), code));
        } else {
            assert_remembers(&site, || trixie.shell("alice"), sudo);
        }
    }
}

#[test]
fn sudo_rs_passes_exempt_and_remembered_users() {
    for (rules, exempt) in [(EXEMPT, true), (REMEMBER, false)] {
        let site = Site::with_rules(rules);
        let trixie = Trixie::new(&site);
        site.service("sudo", &proven(&trixie.pam_line("nodelay")));
        if exempt {
            assert_exempts(&site, |code| sudo_rs(&mut trixie.shell("alice"), code));
        } else {
            assert_remembers(&site, || trixie.shell("alice"), sudo_rs);
        }
    }
}

#[test]
fn su_passes_exempt_users_and_remembers_caller_and_target() {
    let su = |shell: &mut Shell, code: &str| shell.run(&format!("su u1 -c {INSIDE}"), &password_and(code));
    let site = Site::with_rules(EXEMPT);
    site.service("su", &proven(&site.pam_line("nodelay")));
    assert_exempts(&site, |code| su(&mut Shell::of(&site, "alice"), code));
    // u1 has no factor: alice's code is asked for.
    let site = Site::with_rules(&format!("{REMEMBER}subject = \"ruser\"\n"));
    site.service("su", &proven(&site.pam_line("nodelay")));
    assert_remembers(&site, || Shell::of(&site, "alice"), su);
    // su to another user asks again: the grant was for this target.
    let (phone, mut shell) = (site.enroll("bob"), Shell::of(&site, "bob"));
    assert!(su(&mut shell, &phone.code(&site)).let_in("in as u1"));
    let other = shell.run(&format!("su u2 -c {INSIDE}"), &password_and(&phone.wrong_code(&site)));
    assert!(!other.let_in("in as u2") && other.codes_asked() == 1, "{other:?}");
    let event = site.last_login();
    assert_eq!((&event["user"], &event["target"]), (&"bob".into(), &"u2".into()), "{event}");
    assert!(su(&mut shell, "").let_in("in as u1"));
}

#[test]
fn polkits_helper_passes_exempt_and_remembered_users() {
    for (rules, exempt) in [(EXEMPT, true), (REMEMBER, false)] {
        let site = Site::with_rules(rules);
        let _polkit = Polkit::start(&site);
        site.service("polkit-1", &proven(&site.pam_line("nodelay")));
        if exempt {
            assert_exempts(&site, |code| super::polkit::polkit(&mut Shell::of(&site, "alice"), code));
        } else {
            assert_remembers(&site, || Shell::of(&site, "alice"), super::polkit::polkit);
        }
    }
}

#[test]
fn login_passes_exempt_users_and_remembers_nobody() {
    let site = Site::with_rules(EXEMPT);
    let trixie = Trixie::new(&site);
    let run = |line: &str, code: &str| {
        let [password, asked] = password_and(code);
        let inside = ("$ ", "echo in as $(id -un); exit");
        let line = format!("{} {line}", script("console.py").display());
        // Answers are in the order of the prompts: without a code the shell's is second.
        let answers = if code.is_empty() { vec![password, inside] } else { vec![password, asked, inside] };
        Shell::console(&site).run(&line, &answers)
    };
    let phone = site.enroll("alice");
    for (line, module) in [
        ("login alice".to_owned(), site.pam_line("nodelay")),
        (trixie.line("login alice"), trixie.pam_line("nodelay")),
    ] {
        site.service("login", &proven(&module));
        site.configure(EXEMPT);
        assert!(passes(&run(&line, "")));
        assert_eq!(site.last_login()["outcome"], "exempt");
        // getty has no audit session when login asks.
        site.configure(REMEMBER);
        assert!(run(&line, &phone.code(&site)).let_in("in as "));
        assert!(!passes(&run(&line, "")));
        site.next_step();
    }
}
