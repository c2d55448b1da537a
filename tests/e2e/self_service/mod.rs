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

const DAY: i64 = 24 * 3600;

#[track_caller]
fn ticket(site: &Site) -> String {
    let document = site.totpd(&["enroll", "alice", "--ticket", "--json"]).assert_success().json();
    document["ticket"].as_str().unwrap().to_owned()
}

/// Moves the clock on by so much, and into a fresh step.
fn later(site: &Site, seconds: i64) {
    site.advance(seconds);
    site.next_step();
}

/// Stages a replacement as alice does, with a code of her phone.
#[track_caller]
fn staged(site: &Site, code: &str) -> Phone {
    let document =
        site.totpd_as("alice", &["enroll", "--json"], &format!("{code}\n")).assert_success().json();
    assert_eq!(document["staged"]["told"], false, "{document}");
    site.next_step();
    Phone::from(&document)
}

fn su(site: &Site) -> Shell {
    let lines = format!(
        "auth required pam_unix.so nodelay\nauth required {}\n\
         account required pam_unix.so\nsession required pam_permit.so\n",
        site.pam_line("nodelay")
    );
    site.service("su", &lines);
    Shell::of(site, "alice")
}

/// `su alice` as alice: her own login at this host, where messages are shown. What it showed, if it let her in.
fn login(shell: &mut Shell, code: &str) -> Option<String> {
    // The last one is asked where a notice has to be read.
    let answers = [("assword: ", PASSWORD), ("Verification code: ", code), ("to go on: ", "")];
    let ran = shell.run("su alice -c 'echo in as $(id -un)'", &answers);
    ran.let_in("in as alice").then_some(ran.output)
}

/// A sudo of alice's that lets her in, with the stack of her su.
#[track_caller]
fn sudo(site: &Site, code: &str) {
    let lines = site.read("etc/pam.d/su");
    site.service("sudo", &lines);
    let answers = [("assword for alice: ", PASSWORD), ("Verification code: ", code)];
    let ran = Shell::of(site, "alice").run("sudo -k sh -c 'echo in as $(id -un)'", &answers);
    assert!(ran.let_in("in as root"), "{ran:?}");
}

/// A login over SSH with a terminal, and what it shows.
#[track_caller]
fn ssh(client: &Client<'_>, code: &str) -> String {
    client.prepare_answers(&[code, ""]);
    let mut ssh = client.program("ssh", "askpass", 1);
    ssh.args(["-tt", &client.destination("alice")]);
    run(ssh, "exit\n").assert_success().stdout
}

fn told(site: &Site) -> bool {
    site.status("alice")["staged"]["told"] == true
}
