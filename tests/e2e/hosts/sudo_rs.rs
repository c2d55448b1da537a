//! Debian trixie's sudo-rs: asks three times, again only after `PAM_AUTH_ERR`.

use super::{INSIDE, judges, password_and, refuses_without_a_daemon};
use site::shell::{Ran, Shell};
use site::{Site, Trixie};

fn service(site: &Site, trixie: &Trixie, arguments: &str) {
    site.service(
        "sudo",
        &format!(
            "auth required pam_unix.so nodelay\nauth required {}\n\
             account required pam_unix.so\nsession required pam_permit.so\n",
            trixie.pam_line(&format!("nodelay timeout=2 {arguments}"))
        ),
    );
}

fn sudo(shell: &mut Shell, code: &str) -> Ran {
    shell.run(&format!("sudo-rs -k sh -c {INSIDE}"), &password_and(code))
}

#[test]
fn sudo_rs_takes_a_code_once() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    service(&site, &trixie, "");
    let phone = site.enroll("alice");
    let mut shell = trixie.shell("alice");
    judges(&site, &phone, |code| sudo(&mut shell, code).let_in("in as root"));
}

#[test]
fn sudo_rs_without_a_daemon_refuses_at_once() {
    let site = Site::new();
    let trixie = Trixie::new(&site);
    service(&site, &trixie, "");
    let phone = site.enroll("alice");
    let mut shell = trixie.shell("alice");
    refuses_without_a_daemon(&site, &phone, |code| sudo(&mut shell, code));
}
