//! Changes without a ticket: after a delay, and a login at which the user was shown a notice.

use super::{DAY, later, login, notice_was_shown, ssh, staged, su, sudo};
use totpd_e2e::Site;
use totpd_e2e::network::{Network, SERVER};
use totpd_e2e::paths::totpd;
use totpd_e2e::run::{run, wait_until};
use totpd_e2e::ssh::{Setup, Sshd};

#[test]
fn a_replacement_takes_the_delay_and_a_login_with_notice() {
    let site = Site::new();
    let old = site.enroll("alice");
    let mut shell = su(&site);
    let asked = site.totpd_as("alice", &["enroll"], &format!("{}\n", old.code(&site))).assert_success();
    for words in [
        "This waits until ",
        "for a login that shows you a notice",
        "`totpd cancel` with a code of it cancels",
    ] {
        assert!(asked.stdout.contains(words), "{asked:?}");
    }
    site.totpd_as("alice", &["cancel"], &format!("{}\n", old.recovery_codes[0])).assert_success();
    site.next_step();
    let new = staged(&site, &old.code(&site));
    let status = site.totpd_as("alice", &["status"], "").assert_success().stdout;
    assert!(status.contains("a replacement of the factor is staged and can be done from "), "{status}");
    // Before the notice and the delay, a new code neither confirms nor logs in.
    let refused = site.totpd_as("alice", &["confirm"], &format!("{}\n", new.code(&site)));
    assert!(refused.code == 1 && refused.stderr.contains("for a login from a usual address"), "{refused:?}");
    assert_eq!(login(&mut shell, &new.code(&site)), None);
    assert_eq!(site.last_login()["reason"], "not-ripe");
    later(&site, DAY);
    assert_eq!(login(&mut shell, &new.code(&site)), None, "no notice was shown");
    assert_eq!(site.status("alice")["failures"], 0, "a code of the staged factor is no guess");
    let shown = login(&mut shell, &old.code(&site)).expect("the old factor works");
    assert!(
        shown.contains("to replace the authenticator app (") && shown.contains("totpd cancel"),
        "{shown}"
    );
    assert!(notice_was_shown(&site));
    // After notice and delay, the first login with the new factor makes the change.
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
    // Debian 12's sudo is silent, and shows no notice.
    sudo(&site, &old.code(&site));
    assert!(!notice_was_shown(&site));
    site.next_step();
    assert!(login(&mut shell, &old.code(&site)).is_some() && notice_was_shown(&site));
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
    // The host logs in to itself, so that its address is known as well.
    site.next_step();
    assert!(sshd.lets_in("alice", &[&phone.code(&site)]));
    site.next_step();
    let new = staged(&site, &phone.code(&site));
    // Logins from an unknown source, from this host or without messages do not count as a notice.
    assert!(ssh(&elsewhere, &phone.code(&site)).contains("to replace the authenticator app"));
    site.next_step();
    assert!(ssh(&sshd, &phone.code(&site)).contains("to replace the authenticator app"));
    site.next_step();
    assert!(login(&mut su(&site), &phone.code(&site)).is_some(), "at this host");
    site.next_step();
    sudo(&site, &phone.code(&site));
    site.next_step();
    site.totpd_as("alice", &["verify"], &format!("{}\n", phone.code(&site))).assert_success();
    assert!(!notice_was_shown(&site), "{}", site.status("alice"));
    later(&site, DAY);
    assert!(!elsewhere.lets_in("alice", &[&new.code(&site)]));
    site.next_step();
    // Without a terminal sshd shows nothing after the last prompt, so there is another one,
    // unanswered here.
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
    wait_until("the undelivered grant is audited", undelivered);
    assert!(!notice_was_shown(&site));
    site.next_step();
    assert!(home.lets_in("alice", &[&phone.code(&site), ""]));
    let prompts = home.prompts().join("\n");
    assert!(
        prompts.contains("to replace the authenticator app") && prompts.contains("totpd cancel"),
        "{prompts}"
    );
    assert!(notice_was_shown(&site));
    // The notice is shown once.
    site.next_step();
    assert!(home.lets_in("alice", &[&phone.code(&site)]));
    assert!(!home.prompts().join("\n").contains("totpd cancel"));
    site.next_step();
    assert!(elsewhere.lets_in("alice", &[&new.code(&site)]));
}

#[test]
fn recovery_codes_work_until_a_lost_phone_is_replaced() {
    let site = Site::new();
    let old = site.enroll("alice");
    let mut shell = su(&site);
    let asked = site.totpd_as("alice", &["enroll"], &format!("{}\n", old.recovery_codes[0])).assert_success();
    assert!(asked.stdout.contains("is used up, and 9 are left"), "{asked:?}");
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
        // A change of one kind does not finish the other kind.
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
    // Not even an administrator confirms early what a user has staged.
    let refused = site.totpd_with(&["confirm", "alice"], &own.code(&site));
    assert!(refused.code == 1 && refused.stderr.contains("To enroll them without a delay"), "{refused:?}");
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
    let mut check = site.command(totpd());
    check.arg("--config").arg(site.path("etc/totpd/short.toml")).args(["config", "check"]);
    let refused = run(check, "");
    assert!(refused.code != 0 && refused.stderr.contains("self_change_delay"), "{refused:?}");
}
