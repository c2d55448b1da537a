//! Users who change their own factor: with a ticket at once, and otherwise after a delay and a login that told.

use site::Site;
use site::network::{Network, SERVER};
use site::phone::Phone;
use site::run::{run, wait_until};
use site::shell::Shell;
use site::ssh::{Client, Setup, Sshd};
use site::users::PASSWORD;

const DAY: i64 = 24 * 3600;

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

#[test]
fn a_replacement_takes_the_delay_and_a_login_with_notice() {
    let site = Site::new();
    let old = site.enroll("alice");
    let mut shell = su(&site);
    let asked = site.totpd_as("alice", &["enroll"], &format!("{}\n", old.code(&site))).assert_success();
    for words in ["This waits until ", "until a login has told you", "`totpd cancel` with a code of it ends"]
    {
        assert!(asked.stdout.contains(words), "{asked:?}");
    }
    site.totpd_as("alice", &["cancel"], &format!("{}\n", old.recovery_codes[0])).assert_success();
    site.next_step();
    let new = staged(&site, &old.code(&site));
    let status = site.totpd_as("alice", &["status"], "").assert_success().stdout;
    assert!(status.contains("a replacement of the factor is staged and can be done from "), "{status}");
    // Nobody told, and no delay: neither confirms it nor lets in.
    let refused = site.totpd_as("alice", &["confirm"], &format!("{}\n", new.code(&site)));
    assert!(refused.code == 1 && refused.stderr.contains("until a login from where you"), "{refused:?}");
    assert_eq!(login(&mut shell, &new.code(&site)), None);
    assert_eq!(site.last_login()["reason"], "not-ripe");
    later(&site, DAY);
    assert_eq!(login(&mut shell, &new.code(&site)), None, "nobody was told");
    assert_eq!(site.status("alice")["failures"], 0, "a code of the staged factor is no guess");
    let shown = login(&mut shell, &old.code(&site)).expect("the old factor works");
    assert!(
        shown.contains("to replace the authenticator app (") && shown.contains("totpd cancel"),
        "{shown}"
    );
    assert!(told(&site));
    // Ripe: the first login by the new one makes the change.
    site.next_step();
    let confirmed = login(&mut shell, &new.code(&site)).expect("it is ripe");
    assert!(confirmed.contains("Your authenticator app is confirmed."), "{confirmed}");
    site.next_step();
    assert_eq!(login(&mut shell, &old.code(&site)), None);
    let after = login(&mut shell, &new.code(&site)).expect("the new factor works");
    assert!(after.contains("The authenticator app was replaced on "), "{after}");
}

#[test]
fn a_notice_before_the_delay_is_not_enough() {
    let site = Site::new();
    let old = site.enroll("alice");
    let mut shell = su(&site);
    let new = staged(&site, &old.code(&site));
    // Debian 12's sudo is silent, and tells nobody.
    sudo(&site, &old.code(&site));
    assert!(!told(&site));
    site.next_step();
    assert!(login(&mut shell, &old.code(&site)).is_some() && told(&site));
    later(&site, DAY - 180);
    assert_eq!(login(&mut shell, &new.code(&site)), None);
    later(&site, 120);
    site.totpd_as("alice", &["confirm"], &format!("{}\n", new.code(&site))).assert_success();
    assert_eq!(site.status("alice")["replacement_pending"], false);
}

#[test]
fn a_change_needs_a_notice_at_a_login_from_a_known_source() {
    let site = Site::new();
    let network = Network::new(2);
    let sshd = Sshd::start_with(&site, Setup { network: Some(&network.server), ..Setup::default() });
    let home = sshd.client(&network.clients[0], SERVER[0]);
    let elsewhere = sshd.client(&network.clients[1], SERVER[0]);
    let phone = site.enroll("alice");
    assert!(home.lets_in("alice", &[&phone.code(&site)]));
    // The host logs in to itself, so that its own address is known as well.
    site.next_step();
    assert!(sshd.lets_in("alice", &[&phone.code(&site)]));
    site.next_step();
    let new = staged(&site, &phone.code(&site));
    // Shown to whoever logs in, and told to nobody: from elsewhere, from this host, in silence.
    assert!(ssh(&elsewhere, &phone.code(&site)).contains("to replace the authenticator app"));
    site.next_step();
    assert!(ssh(&sshd, &phone.code(&site)).contains("to replace the authenticator app"));
    site.next_step();
    assert!(login(&mut su(&site), &phone.code(&site)).is_some(), "at this host");
    site.next_step();
    sudo(&site, &phone.code(&site));
    site.next_step();
    site.totpd_as("alice", &["verify"], &format!("{}\n", phone.code(&site))).assert_success();
    assert!(!told(&site), "{}", site.status("alice"));
    later(&site, DAY);
    assert!(!elsewhere.lets_in("alice", &[&new.code(&site)]));
    site.next_step();
    // Without a terminal sshd shows nothing behind the last question: so there is one, which nobody answers here.
    home.prepare_answers(&[&phone.code(&site)]);
    let mut left = home.program("ssh", "askpass", 1);
    left.args(["-T", &home.destination("alice"), "echo in"]);
    site.write(
        "askpass",
        &std::fs::read_to_string(site.path("askpass"))
            .unwrap()
            .replace("head -n1", "case \"$1\" in *'go on: '*) kill -9 $PPID;; esac\nhead -n1"),
    );
    let left = run(left, "");
    assert!(!left.stdout.contains("in"), "{left:?}");
    let undelivered = || site.events().last().is_some_and(|event| event["outcome"] == "undelivered");
    wait_until("it is said that the grant reached nobody", undelivered);
    assert!(!told(&site));
    site.next_step();
    assert!(home.lets_in("alice", &[&phone.code(&site), ""]));
    let prompts = home.prompts().join("\n");
    assert!(
        prompts.contains("to replace the authenticator app") && prompts.contains("totpd cancel"),
        "{prompts}"
    );
    assert!(told(&site));
    // And once is enough.
    site.next_step();
    assert!(home.lets_in("alice", &[&phone.code(&site)]));
    assert!(!home.prompts().join("\n").contains("totpd cancel"));
    site.next_step();
    assert!(elsewhere.lets_in("alice", &[&new.code(&site)]));
}

#[test]
fn cancel_takes_a_code_and_after_two_only_a_ticket_helps() {
    let site = Site::new();
    let old = site.enroll("alice");
    let nothing = site.totpd_as("alice", &["cancel"], &format!("{}\n", old.code(&site)));
    assert!(nothing.code == 1 && nothing.stderr.contains("nothing is staged"), "{nothing:?}");
    for _ in 0..2 {
        let new = staged(&site, &old.code(&site));
        // Nothing is staged over it, and what is refused burns no code.
        for command in ["enroll", "recovery-codes", "revoke"] {
            let refused = site.totpd_as("alice", &[command], &format!("{}\n", old.code(&site)));
            assert!(refused.code == 1 && refused.stderr.contains("staged already"), "{refused:?}");
        }
        assert_eq!(site.totpd_as("alice", &["cancel"], &format!("{}\n", new.code(&site))).code, 1);
        site.totpd_as("alice", &["cancel"], &format!("{}\n", old.code(&site))).assert_success();
        assert!(site.status("alice")["staged"].is_null());
        site.next_step();
        assert_eq!(
            site.totpd_as("alice", &["confirm"], &format!("{}\n", new.code(&site))).code,
            1,
            "it is gone"
        );
    }
    let refused = site.totpd_as("alice", &["enroll"], &format!("{}\n", old.code(&site)));
    assert!(refused.code == 1 && refused.stderr.contains("only a ticket helps"), "{refused:?}");
    let ticket = site.totpd(&["enroll", "alice", "--ticket", "--json"]).assert_success().json();
    let input = format!("{}\n{}\n", old.code(&site), ticket["ticket"].as_str().unwrap());
    let document = site.totpd_as("alice", &["enroll", "--json"], &input).assert_success().json();
    assert!(document["staged"].is_null());
    site.totpd_as("alice", &["confirm"], &format!("{}\n", Phone::from(&document).code(&site)))
        .assert_success();
    // Told at the next login that counts.
    site.next_step();
    let shown = login(&mut su(&site), &Phone::from(&document).code(&site)).unwrap();
    assert!(shown.contains("A change of the factor was cancelled on "), "{shown}");
    assert!(shown.contains("A new authenticator app was enrolled with a ticket on "), "{shown}");
}

#[test]
fn no_lock_keeps_the_user_from_cancelling() {
    let site = Site::new();
    let phone = site.enroll("alice");
    staged(&site, &phone.code(&site));
    for _ in 0..11 {
        site.totpd_as("alice", &["verify"], &format!("{}\n", phone.wrong_code(&site)));
    }
    assert_eq!(site.status("alice")["locks"][0]["class"], "own");
    let locked = site.status("alice")["locks"].clone();
    assert_eq!(site.totpd_as("alice", &["cancel"], &format!("{}\n", phone.wrong_code(&site))).code, 1);
    site.totpd_as("alice", &["cancel"], &format!("{}\n", phone.code(&site))).assert_success();
    assert!(site.status("alice")["staged"].is_null());
    assert_eq!(site.status("alice")["locks"], locked, "and it ends none");
}

#[test]
fn recovery_codes_work_until_a_lost_phone_is_replaced() {
    let site = Site::new();
    let old = site.enroll("alice");
    let mut shell = su(&site);
    let asked = site.totpd_as("alice", &["enroll"], &format!("{}\n", old.recovery_codes[0])).assert_success();
    assert!(asked.stdout.contains("is used up. 9 old ones are left"), "{asked:?}");
    site.totpd_as("alice", &["cancel"], &format!("{}\n", old.recovery_codes[1])).assert_success();
    let new = staged(&site, &old.recovery_codes[2]);
    assert_eq!(site.totpd_as("alice", &["verify"], &format!("{}\n", new.recovery_codes[0])).code, 1);
    assert!(login(&mut shell, &old.recovery_codes[3]).unwrap().contains("totpd cancel"));
    later(&site, DAY);
    site.totpd_as("alice", &["confirm"], &format!("{}\n", new.code(&site))).assert_success();
    site.next_step();
    assert!(login(&mut shell, &new.code(&site)).is_some());
    assert_eq!(login(&mut shell, &old.recovery_codes[4]), None);
}

#[test]
fn a_ticket_needs_a_code_of_its_factor_unless_it_is_lost() {
    let site = Site::new();
    let ticket = |arguments: &[&str]| {
        let all = [&["enroll", "alice", "--ticket", "--json"], arguments].concat();
        site.totpd(&all).assert_success().json()["ticket"].as_str().unwrap().to_owned()
    };
    let old = site.enroll("alice");
    let plain = ticket(&[]);
    for input in [format!("\n{plain}\n"), format!("{}\n{plain}\n", old.wrong_code(&site))] {
        assert_eq!(site.totpd_as("alice", &["enroll"], &input).code, 1, "a code is asked for besides");
    }
    // A wrong ticket burns no code, and new recovery codes come at once with the right one.
    let guess = format!("{}\nAAAA-AAAA-AAAA-AAAA\n", old.code(&site));
    assert_eq!(site.totpd_as("alice", &["recovery-codes"], &guess).code, 1);
    assert_eq!(site.events().last().unwrap()["reason"], "bad-ticket");
    let input = format!("{}\n{plain}\n", old.code(&site));
    let renewed = site.totpd_as("alice", &["recovery-codes", "--json"], &input).assert_success().json();
    assert_eq!(renewed["recovery_codes"].as_array().unwrap().len(), 10);
    assert_eq!(site.totpd_as("alice", &["verify"], &format!("{}\n", old.recovery_codes[0])).code, 1);
    site.next_step();
    assert_eq!(
        site.totpd_as("alice", &["revoke"], &format!("{}\n{plain}\n", old.code(&site))).code,
        1,
        "used up"
    );
    // Malware has staged its own; a ticket for a lost phone goes over it.
    site.next_step();
    let thief = staged(&site, &old.code(&site));
    let lost = ticket(&["--lost"]);
    let document =
        site.totpd_as("alice", &["enroll", "--json"], &format!("\n{lost}\n")).assert_success().json();
    let new = Phone::from(&document);
    assert_eq!(site.totpd_as("alice", &["confirm"], &format!("{}\n", thief.code(&site))).code, 1);
    let left = ticket(&["--lost"]);
    site.totpd_as("alice", &["confirm"], &format!("{}\n", new.code(&site))).assert_success();
    // A ticket for the factor before is none for this one.
    site.next_step();
    assert_eq!(site.totpd_as("alice", &["enroll"], &format!("\n{left}\n")).code, 1);
    let removes = ticket(&[]);
    site.totpd_as("alice", &["revoke"], &format!("{}\n{removes}\n", new.code(&site))).assert_success();
    assert_eq!(site.status("alice")["state"], "none");
}

#[test]
fn removal_and_new_recovery_codes_take_two_codes_and_a_delay() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let mut shell = su(&site);
    for command in ["recovery-codes", "revoke"] {
        let asked = site.totpd_as("alice", &[command], &format!("{}\n", phone.code(&site))).assert_success();
        assert!(asked.stdout.contains(&format!("run `totpd {command}` again")), "{asked:?}");
        assert!(!asked.stdout.contains("Recovery codes"), "{asked:?}");
        site.next_step();
        assert!(login(&mut shell, &phone.code(&site)).unwrap().contains("totpd cancel"));
        later(&site, DAY - 120);
        assert_eq!(
            site.totpd_as("alice", &[command], &format!("{}\n", phone.code(&site))).code,
            1,
            "too early"
        );
        later(&site, 120);
        // Of each kind its own alone.
        let other = if command == "revoke" { "recovery-codes" } else { "revoke" };
        assert_eq!(site.totpd_as("alice", &[other], &format!("{}\n", phone.code(&site))).code, 1);
        let done = site
            .totpd_as("alice", &[command, "--json"], &format!("{}\n", phone.code(&site)))
            .assert_success()
            .json();
        if command == "revoke" {
            assert_eq!(
                (&done["revoked"], site.status("alice")["state"].as_str()),
                (&true.into(), Some("none"))
            );
        } else {
            assert_eq!(done["recovery_codes"].as_array().unwrap().len(), 10);
            assert_eq!(
                site.totpd_as("alice", &["verify"], &format!("{}\n", phone.recovery_codes[0])).code,
                1
            );
        }
        site.next_step();
    }
}

#[test]
fn an_administrators_change_has_no_delay() {
    let site = Site::new();
    let old = site.enroll("alice");
    let own = staged(&site, &old.code(&site));
    // What a user has staged is not confirmed early by anybody.
    let refused = site.totpd_with(&["confirm", "alice"], &own.code(&site));
    assert!(refused.code == 1 && refused.stderr.contains("`totpd enroll` needs no delay"), "{refused:?}");
    site.totpd(&["cancel", "alice"]).assert_success();
    assert_eq!(site.totpd(&["cancel", "alice"]).code, 1);
    staged(&site, &old.code(&site));
    let new = site.stage("alice");
    site.totpd_with(&["confirm", "alice"], &new.code(&site)).assert_success();
    let renewed = site.totpd(&["recovery-codes", "alice", "--json"]).assert_success().json();
    assert_eq!(renewed["recovery_codes"].as_array().unwrap().len(), 10);
    site.totpd(&["revoke", "alice"]).assert_success();
    assert_eq!(site.status("alice")["state"], "none");
}

#[test]
fn the_configuration_sets_the_delay() {
    let site = Site::new();
    site.configure("[login]\nself_change_delay = \"2h\"\n");
    let old = site.enroll("alice");
    let mut shell = su(&site);
    let new = staged(&site, &old.code(&site));
    assert!(login(&mut shell, &old.code(&site)).is_some());
    later(&site, 2 * 3600);
    site.totpd_as("alice", &["confirm"], &format!("{}\n", new.code(&site))).assert_success();
    site.write("etc/totpd/short.toml", &format!("{}[login]\nself_change_delay = \"1m\"\n", site.config()));
    let mut check = site.command(site::paths::totpd());
    check.arg("--config").arg(site.path("etc/totpd/short.toml")).args(["config", "check"]);
    let refused = run(check, "");
    assert!(refused.code != 0 && refused.stderr.contains("self_change_delay"), "{refused:?}");
}
