//! A real OpenSSH server and client: key first, then the code.

use totpd_e2e::Site;
use totpd_e2e::phone::Phone;
use totpd_e2e::ssh::Sshd;

#[test]
fn sshd_accepts_a_code_once_and_refuses_wrong_codes() {
    let site = Site::new();
    let sshd = Sshd::start(&site);
    let phone = site.enroll("alice");

    let code = phone.code(&site);
    assert!(sshd.lets_in("alice", &[&code]));
    assert_eq!(sshd.prompts(), ["(alice@127.0.0.1) Verification code: "]);
    assert!(!sshd.lets_in("alice", &[&code]), "a code was accepted twice");
    assert_eq!(site.last_login()["reason"], "replayed");
    assert!(!sshd.lets_in("alice", &[&phone.wrong_code(&site)]));
    assert_eq!(site.last_login()["reason"], "wrong");
    assert_eq!(site.last_login()["rhost"], "127.0.0.1");
    assert_eq!(site.last_login()["ssh_methods"], "publickey");

    // The code of the next time step is within the window, and is used up for its own step as well.
    let next = phone.code_at(site.now() + 30);
    assert!(sshd.lets_in("alice", &[&next]));
    site.next_step();
    assert_eq!(phone.code(&site), next);
    assert!(!sshd.lets_in("alice", &[&next]));
}

#[test]
fn a_recovery_code_lets_in_once_and_says_how_many_are_left() {
    let site = Site::new();
    let sshd = Sshd::start(&site);
    let phone = site.enroll("alice");
    let code = phone.recovery_codes[3].to_lowercase();
    assert!(sshd.lets_in("alice", &[&code]));
    assert_eq!(site.last_login()["recovery_codes_left"], 9);
    assert!(!sshd.lets_in("alice", &[&code]), "a recovery code was accepted twice");
    assert_eq!(site.status("alice")["recovery_codes_left"], 9);
    // A replaced set of recovery codes is refused.
    site.totpd(&["recovery-codes", "alice"]).assert_success();
    assert!(!sshd.lets_in("alice", &[&phone.recovery_codes[5]]));
    assert_eq!(site.status("alice")["recovery_codes_left"], 10);
}

#[test]
fn unenrolled_expired_and_revoked_users_are_refused() {
    let site = Site::new();
    let sshd = Sshd::start(&site);
    assert!(!sshd.lets_in("bob", &["123456"]));
    assert_eq!(site.last_login()["reason"], "not-enrolled");

    let pending =
        Phone::from(&site.totpd(&["enroll", "bob", "--expires", "90s", "--json"]).assert_success().json());
    site.advance(91);
    assert_eq!(site.status("bob")["state"], "none");
    assert!(!sshd.lets_in("bob", &[&pending.code(&site)]));
    assert!(["expired", "not-enrolled"].contains(&site.last_login()["reason"].as_str().unwrap()));

    // A first code at a login confirms the factor.
    let phone = site.stage("bob");
    assert!(sshd.lets_in("bob", &[&phone.code(&site)]));
    assert_eq!(site.status("bob")["state"], "active");
    site.next_step();
    site.totpd(&["revoke", "bob"]).assert_success();
    for answer in [&phone.code(&site), &phone.recovery_codes[0]] {
        assert!(!sshd.lets_in("bob", &[answer]));
    }
    assert_eq!(site.status("bob")["state"], "none");
}

#[test]
fn three_wrong_codes_then_the_right_one_in_one_connection() {
    let site = Site::new();
    let sshd = Sshd::start(&site);
    let phone = site.enroll("alice");
    let (wrong, right) = (phone.wrong_code(&site), phone.code(&site));
    assert!(sshd.lets_in("alice", &[&wrong, &wrong, "not a code", &right, "never asked"]));
    assert_eq!(sshd.prompts().len(), 4);
    assert_eq!(site.status("alice")["failures"], 0);
}

#[test]
fn sshd_treats_enrolled_and_unenrolled_users_alike() {
    let site = Site::new();
    let sshd = Sshd::start(&site);
    let phone = site.enroll("alice");
    let refusals: Vec<_> = [("alice", phone.wrong_code(&site)), ("bob", "123456".to_owned())]
        .iter()
        .map(|(user, code)| {
            let finished = sshd.login(user, &[code]);
            let prompts: Vec<_> = sshd.prompts().iter().map(|p| p.replace(user, "USER")).collect();
            (finished.code, finished.stdout, finished.stderr.replace(user, "USER"), prompts)
        })
        .collect();
    assert_eq!(refusals[0], refusals[1]);
}

#[test]
fn without_a_daemon_sshd_asks_for_no_code_and_refuses() {
    let site = Site::new();
    let sshd = Sshd::start(&site);
    let phone = site.enroll("alice");
    site.end(nix::sys::signal::Signal::SIGTERM);
    assert!(!sshd.lets_in("alice", &[&phone.code(&site)]));
    assert!(sshd.prompts().iter().all(|prompt| prompt.contains("cannot be checked now. Press Enter")));
    site.wait_for_syslog("there is no socket");
    site.start();
    assert!(sshd.lets_in("alice", &[&phone.code(&site)]), "and no code was used up");
}
