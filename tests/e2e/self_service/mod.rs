//! Self-service: how users change their own factor, and what malware that runs as them cannot do.

mod access;
mod cancel;
mod changes;
mod delay;
mod malware;
mod tickets;

use totpd_e2e::phone::Phone;
use totpd_e2e::run::run;
use totpd_e2e::ssh::Client;
use totpd_e2e::users::PASSWORD;
use totpd_e2e::{Shell, Site};

pub(crate) const DAY: i64 = 24 * 3600;

#[track_caller]
pub(crate) fn ticket(site: &Site) -> String {
    let document = site.totpd(&["enroll", "alice", "--ticket", "--json"]).assert_success().json();
    document["ticket"].as_str().unwrap().to_owned()
}

/// Moves the clock by `seconds`, and into a new time step.
pub(crate) fn later(site: &Site, seconds: i64) {
    site.advance(seconds);
    site.next_step();
}

/// Stages a replacement as alice, with a code of the current factor.
#[track_caller]
fn staged(site: &Site, code: &str) -> Phone {
    let document =
        site.totpd_as("alice", &["enroll", "--json"], &format!("{code}\n")).assert_success().json();
    assert_eq!(document["staged"]["notice_shown"], false, "{document}");
    site.next_step();
    Phone::from(&document)
}

pub(crate) fn su(site: &Site) -> Shell {
    site.password_service("su", &site.pam_line("nodelay"));
    Shell::of(site, "alice")
}

/// Runs `su alice` as alice, a local login that shows messages. Returns what it showed, if it
/// succeeded.
pub(crate) fn login(shell: &mut Shell, code: &str) -> Option<String> {
    // The last prompt is there when a notice has to be read.
    let answers = [("assword: ", PASSWORD), ("Verification code: ", code), ("to go on: ", "")];
    let ran = shell.run("su alice -c 'echo in as $(id -un)'", &answers);
    ran.let_in("in as alice").then_some(ran.output)
}

/// Runs a sudo of alice with the PAM stack of su, and asserts that it succeeds.
#[track_caller]
fn sudo(site: &Site, code: &str) {
    site.password_service("sudo", &site.pam_line("nodelay"));
    let answers = [("assword for alice: ", PASSWORD), ("Verification code: ", code)];
    let ran = Shell::of(site, "alice").run("sudo -k sh -c 'echo in as $(id -un)'", &answers);
    assert!(ran.let_in("in as root"), "{ran:?}");
}

/// Logs in over SSH with a terminal, and returns what it shows.
#[track_caller]
fn ssh(client: &Client<'_>, code: &str) -> String {
    client.prepare_answers(&[code, ""]);
    let mut ssh = client.program("ssh", "askpass", 1);
    ssh.args(["-tt", &client.destination("alice")]);
    run(ssh, "exit\n").assert_success().stdout
}

fn notice_was_shown(site: &Site) -> bool {
    site.status("alice")["staged"]["notice_shown"] == true
}
