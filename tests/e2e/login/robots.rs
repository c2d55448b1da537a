//! Clients that cannot type a code, in the ways that docs/how-to/robots.md and editors.md give
//! them.

use std::process::Command;
use totpd_e2e::Site;
use totpd_e2e::run::{Running, run, wait_until};
use totpd_e2e::ssh::{Client, Setup, Sshd};

/// Returns a client that answers no prompt, as in a cron job, with these options.
fn batch(sshd: &Client, options: &[&str], user: &str) -> Command {
    let mut ssh = sshd.program("ssh", "askpass", 1);
    ssh.args(["-o", "BatchMode=yes"]).args(options);
    ssh.args(["-T", &sshd.destination(user), "echo in"]);
    ssh
}

#[test]
fn sessions_of_one_ssh_connection_take_one_code() {
    let site = Site::new();
    let sshd = Sshd::start(&site);
    let phone = site.enroll("alice");
    let path = format!("ControlPath={}", site.path("master").display());
    let shared = ["-o", path.as_str()];
    assert_eq!(run(batch(&sshd, &shared, "alice"), "").code, 255, "nobody has opened the connection");

    sshd.prepare_answers(&[&phone.code(&site)]);
    let mut master = sshd.program("ssh", "askpass", 1);
    master.args(["-M", "-N"]).args(shared).arg(sshd.destination("alice"));
    let _master = Running::start(master);
    wait_until("the connection is open", || site.path("master").exists());
    assert_eq!(sshd.prompts().len(), 1);

    // Eight, because sshd allows ten sessions for a connection (MaxSessions).
    let sessions: Vec<Running> = (0..8).map(|_| Running::start(batch(&sshd, &shared, "alice"))).collect();
    for session in sessions {
        assert_eq!(session.finish().assert_success().stdout, "in\n");
    }
    let logins = site.events().into_iter().filter(|event| event["event"] == "login").count();
    assert_eq!((sshd.prompts().len(), logins), (1, 1), "a session asked for a code");

    let mut end = sshd.program("ssh", "askpass", 1);
    end.args(["-O", "exit"]).args(shared).arg(sshd.destination("alice"));
    run(end, "").assert_success();
    assert_eq!(run(batch(&sshd, &shared, "alice"), "").code, 255, "the connection was closed");
}

#[test]
fn a_match_block_lets_an_automated_client_in_by_key() {
    let site = Site::new();
    site.write("robots.conf", "Match User bob\n    AuthenticationMethods publickey\nMatch all\n");
    let settings = format!("Include {}", site.path("robots.conf").display());
    let sshd = Sshd::start_with(&site, Setup { settings: &settings, ..Setup::default() });
    let phone = site.enroll("alice");
    assert_eq!(run(batch(&sshd, &[], "bob"), "").assert_success().stdout, "in\n");
    assert!(site.events().iter().all(|event| event["event"] != "login"), "PAM was asked about the robot");
    // Everybody else is asked.
    assert_eq!(run(batch(&sshd, &[], "alice"), "").code, 255);
    assert!(sshd.lets_in("alice", &[&phone.code(&site)]));
}

#[test]
fn a_remembered_key_still_needs_an_interactive_client() {
    let site = Site::new();
    site.configure("[[login.rule]]\naction = \"require\"\nremember = \"8h\"\nremember_by = \"ssh-key\"\n");
    let sshd = Sshd::start(&site);
    let phone = site.enroll("alice");
    assert!(sshd.lets_in("alice", &[&phone.code(&site)]));
    assert!(sshd.lets_in("alice", &["no question"]) && sshd.prompts().is_empty());
    assert_eq!(run(batch(&sshd, &[], "alice"), "").code, 255);
}
