//! Remembered logins: the same session passes without a code for a while, and no other session
//! does.

use std::time::Duration;
use totp_wire::CallError;
use totp_wire::login::{Attempt, Verdict};
use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, code, results};
use totpd_e2e::paths::native;
use totpd_e2e::peer::{begin, local};
use totpd_e2e::phone::Phone;
use totpd_e2e::run::{run, wait_until};
use totpd_e2e::ssh::Sshd;

const RULE: &str = "[[login.rule]]\nservices = [\"sudo\"]\naction = \"require\"\nremember = \"1h\"\n";

fn site_with_sudo() -> (Site, Phone) {
    let site = Site::new();
    site.totp_service("sudo", "nodelay first_factor=passed");
    let phone = site.enroll("alice");
    site.configure(RULE);
    (site, phone)
}

/// Runs two logins in one process.
fn twice(site: &Site, options: &[&str], answers: &str) -> (Vec<i32>, String) {
    let host = PamHost::new(site, "sudo", "alice").option(options);
    let finished = host.run(&["authenticate", "again", "authenticate"], answers);
    (results(&finished, "authenticate"), finished.stdout)
}

#[test]
fn only_the_same_session_is_remembered() {
    let (site, phone) = site_with_sudo();
    let session = &["-A", "5001", "-R", "alice"][..];
    let (codes, shown) = twice(&site, session, &format!("{}\nnever asked\n", phone.code(&site)));
    assert_eq!(codes, [code::SUCCESS, code::SUCCESS], "{shown}");
    assert_eq!(shown.matches("prompt").count(), 1, "{shown}");
    let event = site.last_login();
    assert_eq!((&event["method"], &event["outcome"]), (&"remembered".into(), &"granted".into()));
    assert_eq!(site.status("alice")["remembered"], 1);
    // Another session of the same user on the same host, and a login without an audit session.
    for other in [session, &["-R", "alice"]] {
        let (codes, shown) = twice(&site, other, "000000\n000000\n");
        assert_eq!(codes, [code::AUTH_ERR, code::AUTH_ERR], "{shown}");
        assert_eq!(shown.matches("prompt").count(), 2, "{shown}");
    }
}

#[test]
fn a_login_without_an_audit_session_is_never_remembered() {
    let (site, phone) = site_with_sudo();
    let (codes, _) = twice(&site, &["-R", "alice"], &format!("{}\n000000\n", phone.code(&site)));
    assert_eq!(codes, [code::SUCCESS, code::AUTH_ERR]);
    assert_eq!(site.status("alice")["remembered"], 0);
}

#[test]
fn a_grant_that_reached_nobody_is_not_remembered() {
    let (site, phone) = site_with_sudo();
    let session = || Attempt {
        login_uid: Some(5001),
        audit_session: Some(7),
        first_factor: Some(true),
        ruser: Some("alice".into()),
        ..local("alice")
    };
    // The client gives up while the commit is written.
    site.faults.sync_delay_us(1_500_000);
    let waiting = begin(&site, session()).unwrap();
    assert_eq!(
        waiting.answer_within(&phone.code(&site), Duration::from_millis(500)),
        Err(CallError::TimedOut)
    );
    site.faults.sync_delay_us(0);
    wait_until("it is recorded as undelivered", || site.last_login()["outcome"] == "undelivered");
    assert_eq!(site.events().iter().filter(|event| event["outcome"] == "granted").count(), 1);
    assert_eq!(site.status("alice")["remembered"], 0);
    site.next_step();
    assert_eq!(begin(&site, session()).unwrap().answer(&phone.code(&site)), Ok(Verdict::Granted));
    assert_eq!(site.status("alice")["remembered"], 1);
}

/// Runs two logins in one session, and `between` in between.
#[track_caller]
fn after(site: &Site, phone: &Phone, between: impl FnOnce()) -> (Vec<i32>, String) {
    let mut held = PamHost::new(site, "sudo", "alice")
        .option(&["-A", "5001", "-R", "alice", "-w"])
        .start_with(&["authenticate", "again", "authenticate"]);
    let granted = || site.events().iter().filter(|event| event["outcome"] == "granted").count();
    let before = granted();
    held.say(&format!("{}\n", phone.code(site)));
    wait_until("the first login succeeds", || granted() > before);
    between();
    held.say("go\n000000\n");
    let finished = held.finish();
    (results(&finished, "authenticate"), finished.stdout)
}

#[test]
fn forget_revoke_time_and_a_new_factor_end_remembering() {
    type End = fn(&Site);
    let ends: [(&str, End); 6] = [
        ("nothing", |_| {}),
        ("forget", |site| drop(site.totpd(&["forget", "alice"]).assert_success())),
        ("revoke", |site| drop(site.totpd(&["revoke", "alice"]).assert_success())),
        ("time", |site| site.advance(3601)),
        ("a new phone", |site| drop(site.enroll("alice"))),
        ("a rule without it", |site| site.configure("")),
    ];
    for (name, end) in ends {
        let (site, phone) = site_with_sudo();
        let (codes, shown) = after(&site, &phone, || end(&site));
        let expected = if name == "nothing" { code::SUCCESS } else { code::AUTH_ERR };
        assert_eq!(codes, [code::SUCCESS, expected], "{name}: {shown}");
    }
}

#[test]
fn remembered_logins_survive_a_restart_but_not_a_clock_set_back() {
    let (site, phone) = site_with_sudo();
    let (codes, _) = after(&site, &phone, || {
        site.end(nix::sys::signal::Signal::SIGTERM);
        site.start();
    });
    assert_eq!(codes, [code::SUCCESS, code::SUCCESS]);
    site.next_step();
    let (codes, _) = after(&site, &phone, || site.advance(-3600));
    assert_eq!(codes, [code::SUCCESS, code::AUTH_ERR]);
}

#[test]
fn sshd_remembers_by_address_and_key() {
    let site = Site::new();
    let sshd = Sshd::start(&site);
    let phone = site.enroll("alice");
    site.configure("[[login.rule]]\naction = \"require\"\nremember = \"1h\"\nremember_by = \"ssh-key\"\n");
    assert!(sshd.lets_in("alice", &[&phone.code(&site)]));
    assert!(sshd.lets_in("alice", &["no question"]) && sshd.prompts().is_empty());
    // Another address or another key is asked; libpam gets what sshd would set.
    let key = site.read("keys/user.pub");
    let key = format!("SSH_AUTH_INFO_0=publickey {}", key.rsplit_once(' ').unwrap().0);
    let login = |rhost: &str, key: &str| {
        let host = PamHost::new(&site, "sshd", "alice").option(&["-r", rhost, "-e", key]);
        host.answer("000000")
    };
    assert_eq!(login("127.0.0.1", &key), code::SUCCESS);
    assert_eq!(login("127.0.0.2", &key), code::AUTH_ERR);
    assert_eq!(login("127.0.0.1", &key.replace("AAAA", "AAAB")), code::AUTH_ERR);
    assert_eq!(login("127.0.0.1", "SSH_AUTH_INFO_0=publickey"), code::AUTH_ERR);
    site.totpd(&["forget", "alice"]).assert_success();
    assert_eq!(login("127.0.0.1", &key), code::AUTH_ERR);
}

#[test]
fn remembering_su_to_bob_does_not_cover_su_to_root() {
    let site = Site::new();
    site.totp_service("su", "nodelay first_factor=passed");
    let phone = site.enroll("alice");
    site.configure("[[login.rule]]\naction = \"require\"\nsubject = \"ruser\"\nremember = \"1h\"\n");
    // In one process and audit session: su to bob, and then su to root by a shell of it.
    let helper = native("pamhost");
    let script = format!(
        "echo 5001 > /proc/self/loginuid; {0} -U 5001 su bob authenticate; {0} -U 5001 su root authenticate",
        helper.display()
    );
    let mut shell = site.command("sh");
    shell.args(["-c", &script]);
    let finished = run(shell, &format!("{}\n000000\n", phone.code(&site)));
    let codes = results(&finished, "authenticate");
    assert_eq!(codes[0], code::SUCCESS, "{finished:?}");
    // The second su was asked, and got no answer.
    assert_ne!(codes[1], code::SUCCESS, "{finished:?}");
    assert_eq!(finished.stdout.matches("prompt").count(), 2, "{finished:?}");
}

#[test]
fn a_login_by_a_shared_host_key_is_never_remembered() {
    let site = Site::new();
    site.totp_service("sshd", "nodelay");
    let phone = site.enroll("alice");
    site.configure("[[login.rule]]\naction = \"require\"\nremember = \"1h\"\nremember_by = \"ssh-key\"\n");
    let hostbased = &["-r", "192.0.2.1", "-e", "SSH_AUTH_INFO_0=hostbased ssh-ed25519 QUFBQQ=="][..];
    let first = PamHost::new(&site, "sshd", "alice").option(hostbased);
    assert_eq!(first.answer(&phone.code(&site)), code::SUCCESS);
    let second = PamHost::new(&site, "sshd", "alice").option(hostbased);
    assert_eq!(second.answer("000000"), code::AUTH_ERR);
}
