//! The history that administrators see, and the notices that users see at their next login.

use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, code, result};
use totpd_e2e::peer::{from_host, refusals};
use totpd_e2e::run::run;

fn site_with_service() -> Site {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    site
}

/// Returns what a login of alice with a right code shows.
#[track_caller]
fn login_output(site: &Site, answers: &str, options: &[&str]) -> String {
    let finished = PamHost::new(site, "x", "alice").option(options).run(&["authenticate"], answers);
    assert_eq!(result(&finished, "authenticate"), code::SUCCESS, "{finished:?}");
    finished.stdout
}

#[test]
fn the_history_names_source_and_reason_in_pages() {
    let site = site_with_service();
    let phone = site.enroll("alice");
    for n in 0..130 {
        let host = PamHost::new(&site, "x", "alice").option(&["-r", &format!("192.0.2.{n}"), "-t", "ssh"]);
        host.answer("no code");
    }
    login_output(&site, &format!("{}\n", phone.code(&site)), &[]);
    let text = site.totpd(&["history", "alice", "-n", "3"]).assert_success().stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[1].contains("login granted by totp, x"), "{text}");
    assert!(lines[2].ends_with("login refused: not-a-code, x from 192.0.2.129"), "{text}");
    // More events than fit a message: each appears once, the latest first.
    let all = site.totpd(&["history", "-n", "1000", "--json"]).assert_success().json();
    let events = all["events"].as_array().unwrap();
    let ids: std::collections::BTreeSet<_> = events.iter().filter_map(|e| e["id"].as_str()).collect();
    assert_eq!((events.len(), ids.len()), (133, 131));
    assert_eq!(events[132]["event"], "enroll");
    site.advance(3600);
    login_output(&site, &format!("{}\n", phone.code(&site)), &[]);
    assert_eq!(
        site.totpd(&["history", "--since", "30m", "--json"]).assert_success().json()["events"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    // The module logs the same id.
    let id = site.last_login()["id"].as_str().unwrap().to_owned();
    site.wait_for_syslog(&format!("granted user=alice id={id}"));
}

#[test]
fn the_history_is_bounded() {
    let site = Site::new();
    site.configure("[history]\nkeep = 1000\n");
    site.end(nix::sys::signal::Signal::SIGTERM);
    site.start();
    // Each from another network, because repeated refusals of one source are one row a minute.
    let from = |n: usize| from_host("alice", &format!("2001:db8:{n:x}::1"));
    refusals(&site, 1_400, from, "123456");
    let events = site.totpd(&["history", "-n", "5000", "--json"]).assert_success().json();
    let count = events["events"].as_array().unwrap().len();
    assert!((1_000..1_300).contains(&count), "{count}");
}

#[test]
fn the_next_login_that_shows_messages_tells_of_past_events() {
    let site = site_with_service();
    let phone = site.enroll("alice");
    let first = login_output(&site, &format!("{}\n", phone.code(&site)), &[]);
    assert!(!first.contains("error:") && !first.contains("info:"), "{first}");
    login_output(&site, &format!("{}\n", phone.recovery_codes[0]), &["-r", "192.0.2.7"]);
    for _ in 0..6 {
        PamHost::new(&site, "x", "alice").option(&["-r", "198.51.100.9"]).answer("000000");
    }
    // A silent login shows nothing, and keeps the notice for the next.
    site.next_step();
    let silent = login_output(&site, &format!("{}\n", phone.code(&site)), &["-s"]);
    assert!(!silent.contains("recovery"), "{silent}");
    site.next_step();
    let loud = login_output(&site, &format!("{}\n", phone.code(&site)), &[]);
    assert!(
        loud.contains("A recovery code was used on ") && loud.contains(" from 192.0.2.7. Was it you?"),
        "{loud}"
    );
    assert!(
        loud.contains("6 codes were refused since your last login") && loud.contains("from 198.51.100.9."),
        "{loud}"
    );
    // The notice is shown once.
    site.next_step();
    let again = login_output(&site, &format!("{}\n", phone.code(&site)), &[]);
    assert!(!again.contains("recovery") && !again.contains("refused"), "{again}");
}

#[test]
fn an_ssh_shell_shows_past_events() {
    let site = Site::new();
    let sshd = totpd_e2e::ssh::Sshd::start(&site);
    let phone = site.enroll("alice");
    assert!(sshd.lets_in("alice", &[&phone.recovery_codes[0]]));
    sshd.prepare_answers(&[&phone.code(&site)]);
    let mut ssh = sshd.program("ssh", "askpass", 1);
    ssh.args(["-tt", &sshd.destination("alice")]);
    let shown = run(ssh, "exit\n");
    assert!(shown.stdout.contains("A recovery code was used on "), "{shown:?}");
}

#[test]
fn a_forged_history_row_cannot_control_the_terminal() {
    let site = Site::new();
    site.enroll("alice");
    let row = r#"{"event":"login","time":"2026-11-25T00:00:00Z","user":"alice","outcome":"granted","rhost":"\u001b]0;pwned\u0007\u001b[2J"}"#;
    site.sql(&format!("UPDATE history SET event = '{row}' WHERE seq = (SELECT max(seq) FROM history)"));
    let shown = site.totpd(&["history", "alice"]).assert_success().stdout;
    assert!(shown.contains("pwned") && !shown.contains('\u{1b}'), "{shown:?}");
}
