//! An enrollment inside a login that is interrupted: the next login is shown the same key.

use rexpect::session::{PtySession, spawn_command};
use std::process::Command;
use totpd_e2e::Site;
use totpd_e2e::network::{Network, SERVER};
use totpd_e2e::pamhost::{PamHost, code, result};
use totpd_e2e::phone::{Phone, recovery_codes};
use totpd_e2e::run::{Running, wait_until};
use totpd_e2e::ssh::{Client, Setup, Sshd};

const RULE: &str =
    "[login]\nshow_secrets_services = [\"x\", \"sshd\"]\n[[login.rule]]\naction = \"enroll\"\n";
const FIRST_CODE: &str = "First code from the app: ";
const LAST: &str = "type one of them to finish: ";

/// What a login of bob is shown before its first question.
struct Shown {
    client: PtySession,
    text: String,
    phone: Phone,
}

/// Starts ssh at a terminal, up to the first question.
#[track_caller]
fn begin(client: &Client<'_>, options: &[&str]) -> Shown {
    let mut ssh: Command = client.program("ssh", "askpass", 3);
    ssh.env("SSH_ASKPASS_REQUIRE", "never").env("LC_ALL", "C");
    ssh.args(options).arg(client.destination("bob")).arg("echo in as $(id -un)");
    let mut client = spawn_command(ssh, Some(20_000)).unwrap();
    let text = client.exp_string(FIRST_CODE).unwrap();
    let phone = Phone::from_shown(&text).unwrap_or_else(|| panic!("no key: {text}"));
    Shown { client, text, phone }
}

impl Shown {
    /// Answers both questions. Returns what was shown before the second one.
    #[track_caller]
    fn finish(mut self, site: &Site) -> String {
        self.client.send_line(&self.phone.code(site)).unwrap();
        let text = self.client.exp_string(LAST).unwrap();
        self.client.send_line(&recovery_codes(&text)[4]).unwrap();
        self.client.exp_string("in as bob").unwrap();
        self.client.exp_eof().unwrap();
        text
    }
}

fn offers(site: &Site) -> Vec<serde_json::Value> {
    let history = site.totpd(&["history", "bob", "--json"]).assert_success().json();
    let events = history["events"].as_array().unwrap().clone();
    events.into_iter().filter(|event| event["outcome"] == "offered").collect()
}

#[test]
fn the_login_after_the_grace_time_is_shown_the_same_key() {
    let site = Site::with_rules(RULE);
    site.configure(&RULE.replace("[login]\n", "[login]\nssh_grace_time = \"4s\"\n"));
    let sshd = Sshd::start_with(&site, Setup { settings: "LoginGraceTime 4\n", ..Setup::default() });
    let Shown { mut client, text, phone } = begin(&sshd, &[]);
    assert!(text.contains("sshd ends this login in ") && text.contains("within 15 minutes"), "{text}");
    let left = text.split("Time left: ").nth(1).and_then(|rest| rest.split(" s.").next()).unwrap();
    assert!(left.parse::<u64>().unwrap() <= 4, "{text}");
    let stat = format!("/proc/{}/stat", offers(&site)[0]["peer_pid"]);
    wait_until("sshd ends the process that asks", || {
        std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))
    });
    client.send_line(&phone.code(&site)).unwrap();
    client.exp_eof().unwrap();
    drop((client, sshd));

    let sshd = Sshd::start(&site);
    let again = begin(&sshd, &[]);
    assert_eq!(again.phone.secret, phone.secret);
    assert!(again.text.contains("The setup key is the one of your last login"), "{}", again.text);
    site.next_step();
    let last = again.finish(&site);
    assert!(last.contains("This setup key was shown 2 times to logins from 127.0.0.1: at "), "{last}");
    let event = site.last_login();
    assert_eq!((&event["enrolled"], &event["key_shown"]), (&true.into(), &2.into()));
    let offers = offers(&site);
    assert_eq!(offers.len(), 2);
    assert!(offers.iter().all(|offer| offer["totp_id"] == event["totp_id"]), "{offers:?}");
    // Somebody else who has the key could be the first to answer: it is asked for a day.
    for _ in 0..2 {
        site.next_step();
        assert!(sshd.lets_in("bob", &[&phone.code(&site), ""]));
        let asked = sshd.prompts().join("\n");
        assert!(asked.contains("was shown 2 times to logins from 127.0.0.1: on "), "{asked}");
        assert!(asked.contains("somebody else has your codes: call your administrators"), "{asked}");
    }
}

#[test]
fn a_first_code_is_not_accepted_in_two_interrupted_logins() {
    let site = Site::with_rules(RULE);
    let sshd = Sshd::start(&site);
    let Shown { mut client, phone, text } = begin(&sshd, &[]);
    let seconds = text.split("sshd ends this login in ").nth(1).and_then(|rest| rest.split(' ').next());
    assert!((100..=120).contains(&seconds.unwrap().parse::<u64>().unwrap()), "{text}");
    site.next_step();
    let used = phone.code(&site);
    client.send_line(&used).unwrap();
    let codes = recovery_codes(&client.exp_string(LAST).unwrap());
    drop(client);
    let mut again = begin(&sshd, &[]);
    assert_eq!(again.phone.secret, phone.secret);
    again.client.send_line(&used).unwrap();
    let refused = again.client.exp_string(FIRST_CODE).unwrap();
    assert!(refused.contains("has used it up. Wait for the next one."), "{refused}");
    assert_eq!(site.last_login()["reason"], "replayed");
    site.next_step();
    let last = again.finish(&site);
    let new = recovery_codes(&last);
    assert!(last.contains("Recovery codes that an earlier login showed are void."), "{last}");
    assert!(new.len() == codes.len() && new.iter().all(|code| !codes.contains(code)), "{last}");
}

#[test]
fn another_address_key_or_quarter_of_an_hour_has_another_key() {
    let site = Site::with_rules(RULE);
    let network = Network::new(2);
    let sshd = Sshd::start_with(&site, Setup { network: Some(&network.server), ..Setup::default() });
    let [near, far] = [0, 1].map(|n| sshd.client(&network.clients[n], SERVER[0]));
    let first = begin(&near, &[]).phone.secret;
    assert_eq!(begin(&near, &[]).phone.secret, first);
    assert_ne!(begin(&far, &[]).phone.secret, first);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(site.path("keys/other"))
        .status();
    assert!(made.unwrap().success());
    let both = site.read("keys/bob.authorized");
    std::fs::copy(site.path("keys/other.pub"), site.path("keys/bob.authorized")).unwrap();
    let identity = format!("IdentityFile={}", site.path("keys/other").display());
    assert_ne!(begin(&near, &["-o", &identity]).phone.secret, first);
    site.write("keys/bob.authorized", &both);
    site.faults.boot_offset(14 * 60);
    assert_eq!(begin(&near, &[]).phone.secret, first);
    site.faults.boot_offset(15 * 60);
    assert_ne!(begin(&near, &[]).phone.secret, first);
}

#[test]
fn a_password_alone_is_not_enough_for_the_same_key() {
    let site = Site::with_rules(RULE);
    let auth = format!("auth required {}\n", site.pam_line("nodelay first_factor=passed"));
    let settings = "AuthenticationMethods keyboard-interactive:pam\n";
    let sshd = Sshd::start_with(&site, Setup { auth: &auth, settings, ..Setup::default() });
    let first = begin(&sshd, &[]);
    assert!(first.text.contains("the next login shows another setup key"), "{}", first.text);
    assert!(
        first.text.contains("After that this key is void: delete its entry in the app."),
        "{}",
        first.text
    );
    assert_ne!(begin(&sshd, &[]).phone.secret, first.phone.secret);
}

#[test]
fn three_wrong_answers_are_explained_and_the_key_stays() {
    let site = Site::with_rules(RULE);
    let sshd = Sshd::start(&site);
    let refused = sshd.login("bob", &["000000"; 4]);
    assert_ne!(refused.code, 0, "{refused:?}");
    let shown = sshd.prompts().join("\n");
    let keys: Vec<&str> = shown.split("Or type this key:  ").skip(1).map(|rest| &rest[..39]).collect();
    assert!(keys.len() >= 2 && keys.iter().all(|key| *key == keys[0]), "{shown}");
    assert!(shown.contains("The answers at your last login were wrong, so it was refused."), "{shown}");
    // Where the program shows what comes last, it is said at once.
    site.totp_service("x", "nodelay");
    let ran = host(&site).run(&["authenticate"], "000000\n000000\n000000\n");
    assert!(ran.stdout.contains("Log in again from here within 15 minutes"), "{ran:?}");
    let without_key = ["-r", "192.0.2.1", "-e", "SSH_AUTH_INFO_0=password"];
    let ran = PamHost::new(&site, "x", "bob").option(&without_key);
    let ran = ran.run(&["authenticate"], "000000\n000000\n000000\n");
    assert!(ran.stdout.contains("This setup key is void: delete its entry in the app."), "{ran:?}");
}

/// A login of bob by a program that says what sshd says of a key.
fn host(site: &Site) -> PamHost<'_> {
    let key = "SSH_AUTH_INFO_0=publickey ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE11jLspEOG69z31y9y3F3QZrJGc9oXb9gT3bNwn9Rle";
    PamHost::new(site, "x", "bob").option(&["-r", "192.0.2.1", "-e", key])
}

#[track_caller]
fn begin_host(site: &Site) -> (Running, String) {
    let mut host = host(site).start();
    let shown = host.read_until("prompt: ");
    let key = Phone::from_shown(&shown).unwrap_or_else(|| panic!("no key: {shown}")).secret;
    (host, key)
}

#[test]
fn an_administrators_change_or_a_reload_ends_a_kept_key() {
    let site = Site::with_rules(RULE);
    site.totp_service("x", "nodelay");
    let mut key = begin_host(&site).1;
    assert_eq!(begin_host(&site).1, key);
    let changes: [(&str, &dyn Fn()); 5] = [
        ("revoke", &|| assert!(site.totpd(&["revoke", "bob"]).code <= 1)),
        ("enroll and revoke", &|| {
            site.stage("bob");
            site.totpd(&["revoke", "bob"]).assert_success();
        }),
        ("a ticket", &|| drop(site.totpd(&["enroll", "bob", "--ticket"]).assert_success())),
        ("the rule ends and comes back", &|| {
            site.configure("");
            site.configure(RULE);
        }),
        ("a restart", &|| {
            site.end(nix::sys::signal::Signal::SIGTERM);
            site.start();
        }),
    ];
    for (what, change) in changes {
        change();
        let other = begin_host(&site).1;
        assert_ne!(other, key, "{what}");
        assert_eq!(begin_host(&site).1, other, "after {what}");
        key = other;
    }
    site.configure(&format!("{RULE}[history]\nkeep = 5000\n"));
    assert_eq!(begin_host(&site).1, key, "a reload that leaves the rules alone");
}

#[test]
fn of_two_logins_with_one_key_only_the_newer_one_finishes() {
    let site = Site::with_rules(RULE);
    site.totp_service("x", "nodelay");
    site.next_step();
    let (mut older, key) = begin_host(&site);
    let phone = Phone::with_key(&key);
    older.say(&format!("{}\n", phone.code(&site)));
    let codes = recovery_codes(&older.read_until(LAST));
    let (mut newer, same) = begin_host(&site);
    assert_eq!(same, key);
    site.next_step();
    newer.say(&format!("{}\n", phone.code(&site)));
    let new_codes = recovery_codes(&newer.read_until(LAST));
    older.say(&format!("{}\n", codes[0]));
    let ended = older.finish();
    assert_eq!(result(&ended, "authenticate"), code::AUTH_ERR);
    assert!(ended.stdout.contains("A later login was shown this setup key and has answered"), "{ended:?}");
    assert_eq!(site.last_login()["reason"], "raced");
    assert_eq!(site.status("bob")["state"], "none");
    newer.say(&format!("{}\n", new_codes[0]));
    assert_eq!(result(&newer.finish(), "authenticate"), code::SUCCESS);
    assert_eq!(site.last_login()["key_shown"], 2);
}

#[test]
fn a_login_that_only_connects_does_not_end_an_enrollment() {
    let site = Site::with_rules(RULE);
    site.totp_service("x", "nodelay");
    site.next_step();
    let (mut typing, key) = begin_host(&site);
    let (mut connected, same) = begin_host(&site);
    drop(begin_host(&site));
    assert_eq!(same, key);
    let phone = Phone::with_key(&key);
    typing.say(&format!("{}\n", phone.code(&site)));
    let shown = typing.read_until(LAST);
    assert!(shown.contains("This setup key was shown 3 times to logins from 192.0.2.1"), "{shown}");
    typing.say(&format!("{}\n", recovery_codes(&shown)[0]));
    assert_eq!(result(&typing.finish(), "authenticate"), code::SUCCESS);
    assert_eq!(site.last_login()["key_shown"], 3);
    site.next_step();
    connected.say(&format!("{}\n", phone.code(&site)));
    let ended = connected.finish();
    assert_eq!(result(&ended, "authenticate"), code::AUTH_ERR);
    assert!(
        ended.stdout.contains("has enrolled it as this account's second factor. Was it you?"),
        "{ended:?}"
    );
}

#[test]
fn revoke_ends_an_enrollment_that_waits_for_its_last_answer() {
    let site = Site::with_rules(RULE);
    site.totp_service("x", "nodelay");
    for kept in [true, false] {
        site.next_step();
        let without_key = ["-r", "192.0.2.1", "-e", "SSH_AUTH_INFO_0=password"];
        let host = if kept { host(&site) } else { PamHost::new(&site, "x", "bob").option(&without_key) };
        let mut host = host.start();
        let phone = Phone::from_shown(&host.read_until("prompt: ")).unwrap();
        host.say(&format!("{}\n", phone.code(&site)));
        let codes = recovery_codes(&host.read_until(LAST));
        let revoked = site.totpd(&["revoke", "bob"]).assert_success();
        assert!(revoked.stdout.contains("ended enrollments inside logins"), "{revoked:?}");
        host.say(&format!("{}\n", codes[0]));
        let ended = host.finish();
        assert_eq!(result(&ended, "authenticate"), code::AUTH_ERR);
        assert!(ended.stdout.contains("An administrator has ended this enrollment."), "{ended:?}");
        assert_eq!(site.status("bob")["state"], "none");
        assert_eq!(site.totpd(&["revoke", "bob"]).code, 1);
    }
}
