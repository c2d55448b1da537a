//! What works once works once on all daemons together.

use super::{answer_together, count_reason, granted};
use totp_wire::login::Verdict;
use totpd_e2e::peer::login;
use totpd_e2e::run::run;
use totpd_e2e::{Fleet, short_or_long};

#[test]
fn of_64_logins_on_three_servers_one_succeeds() {
    let fleet = Fleet::new(3);
    let phone = fleet.enroll("alice");
    for round in 0..short_or_long(3, 50) {
        let verdicts = answer_together(&fleet.sites, "alice", 64, &phone.code(&fleet.sites[0]));
        assert_eq!(granted(&verdicts), 1, "round {round}: {verdicts:?}");
        assert!(verdicts.iter().all(Result::is_ok), "round {round}: {verdicts:?}");
        fleet.next_step();
    }
    for code in &phone.recovery_codes[..short_or_long(2, 9)] {
        let verdicts = answer_together(&fleet.sites, "alice", 64, code);
        assert_eq!(granted(&verdicts), 1, "{verdicts:?}");
        // A spent recovery code is a wrong one: the others have locked their class.
        fleet.sites[0].totpd(&["unlock", "alice"]).assert_success();
    }
}

#[test]
fn a_first_code_activates_a_factor_once_on_three_servers() {
    let fleet = Fleet::new(3);
    for round in 0..short_or_long(3, 50) {
        let phone = fleet.sites[round % 3].stage("alice");
        let verdicts = answer_together(&fleet.sites, "alice", 64, &phone.code(&fleet.sites[0]));
        assert_eq!(granted(&verdicts), 1, "round {round}: {verdicts:?}");
        fleet.sites[0].totpd(&["revoke", "alice"]).assert_success();
        fleet.next_step();
    }
}

#[test]
fn a_limit_of_wrong_codes_holds_on_three_servers_together() {
    let fleet = Fleet::new(3);
    let phone = fleet.enroll("alice");
    let wrong = phone.wrong_code(&fleet.sites[0]);
    let verdicts = answer_together(&fleet.sites, "alice", 64, &wrong);
    assert_eq!(granted(&verdicts), 0);
    assert_eq!((count_reason(&fleet.sites, "wrong"), count_reason(&fleet.sites, "locked")), (10, 54));
    // Locked on each, and unlocked on each by one of them.
    for site in &fleet.sites {
        assert_eq!(login(site, "alice", &phone.code(site)), Ok(Verdict::Denied));
    }
    fleet.sites[1].totpd(&["unlock", "alice"]).assert_success();
    fleet.next_step();
    assert_eq!(login(&fleet.sites[2], "alice", &phone.code(&fleet.sites[2])), Ok(Verdict::Granted));
}

#[test]
fn a_ticket_and_a_passcode_work_once_on_three_servers() {
    let fleet = Fleet::new(3);
    fleet.enroll("bob");
    let document = fleet.sites[0].totpd(&["enroll", "alice", "--ticket", "--json"]).assert_success().json();
    let ticket = format!("{}\n", document["ticket"].as_str().unwrap());
    let enrolled =
        together(&fleet, 9, |site| site.totpd_as("alice", &["enroll", "--json"], &ticket).code == 0);
    assert_eq!(enrolled, 1);
    fleet.sites[1].totpd(&["revoke", "alice"]).assert_success();

    let document = fleet.sites[1].totpd(&["passcode", "bob", "--json"]).assert_success().json();
    let verdicts = answer_together(&fleet.sites, "bob", 32, document["passcode"].as_str().unwrap());
    assert_eq!(granted(&verdicts), 1, "{verdicts:?}");
}

#[test]
fn what_one_server_changes_holds_on_the_others_at_once() {
    let fleet = Fleet::new(3);
    let [one, two, three] = &fleet.sites[..] else { panic!("three sites") };
    let phone = one.enroll("alice");
    assert_eq!(login(two, "alice", &phone.code(two)), Ok(Verdict::Granted));
    assert_eq!(login(three, "alice", &phone.code(three)), Ok(Verdict::Denied), "the code was used");
    two.totpd(&["revoke", "alice"]).assert_success();
    fleet.next_step();
    assert_eq!(login(three, "alice", &phone.code(three)), Ok(Verdict::Denied), "the factor was revoked");
    // Each reads the same history.
    let history = |site: &totpd_e2e::Site| {
        let mut command = site.totpd_command();
        command.args(["history", "alice", "--json"]);
        run(command, "").assert_success().json()
    };
    assert_eq!(history(one), history(three));
}

/// Does something `count` times at once, in turn on each site, and counts the successes.
fn together(fleet: &Fleet, count: usize, act: impl Fn(&totpd_e2e::Site) -> bool + Sync) -> usize {
    std::thread::scope(|scope| {
        let sites = fleet.sites.iter().cycle().take(count);
        let threads: Vec<_> = sites.map(|site| scope.spawn(|| act(site))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|done| *done).count()
    })
}
