//! Debian trixie's sudo, which is silent: it sets `PAM_SILENT`. Debian 12's is in `../sudo.rs`.

use super::{INSIDE, judges, password_and, refuses_without_a_daemon};
use site::shell::{Ran, Shell};
use site::{Site, Trixie, run::run};

fn service(site: &Site, trixie: &Trixie) {
    site.service(
        "sudo",
        &format!(
            "auth required pam_unix.so nodelay\nauth required {}\n\
             account required pam_unix.so\nsession required pam_permit.so\n",
            trixie.pam_line("nodelay timeout=2")
        ),
    );
}

fn sudo(shell: &mut Shell, code: &str) -> Ran {
    let mut answers = password_and(code);
    answers[0].0 = "password for alice: ";
    shell.run(&format!("sudo -k sh -c {INSIDE}"), &answers)
}

#[test]
fn a_silent_sudo_takes_a_code_once_and_shows_no_message() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    service(&site, &trixie);
    let mut version = trixie.command("sudo");
    version.arg("--version");
    let version = run(version, "").ok().stdout;
    assert!(version.starts_with("Sudo version 1.9.16"), "docs/hosts.md names another version: {version}");
    let phone = site.enroll("alice");
    let mut shell = trixie.shell("alice");
    judges(&site, &phone, |code| sudo(&mut shell, code).let_in("in as root"));
    assert_eq!(site.last_login()["class"], "local");
    // Left to itself it would say how many recovery codes are left.
    let ran = sudo(&mut shell, &phone.recovery_codes[1]);
    assert!(ran.let_in("in as root") && !ran.output.contains("left"), "{ran:?}");
}

#[test]
fn a_silent_sudo_without_a_daemon_refuses_at_once() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    service(&site, &trixie);
    let phone = site.enroll("alice");
    let mut shell = trixie.shell("alice");
    refuses_without_a_daemon(&site, &phone, |code| sudo(&mut shell, code));
}
