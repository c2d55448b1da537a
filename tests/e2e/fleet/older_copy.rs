//! An older copy of the database in place of the one in use, under running daemons.

use totp_wire::login::Verdict;
use totpd_e2e::peer::login;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Fleet, Site};

const GRANTED: Result<Verdict, totp_wire::CallError> = Ok(Verdict::Granted);
const DENIED: Result<Verdict, totp_wire::CallError> = Ok(Verdict::Denied);

/// How many withdrawals this site's witness lists.
fn witnessed(site: &Site) -> usize {
    site.run("sh", &["-c", "cat /var/log/totpd/withdrawals-*"]).stdout.lines().count()
}

/// What `totpd status` says about the store; `None` while it does not serve.
fn notice(site: &Site) -> Option<String> {
    let status = site.totpd(&["status", "--json"]);
    (status.code == 0).then(|| status.json()["notice"].as_str().unwrap_or_default().to_owned())
}

fn says(site: &Site, words: &str) -> bool {
    notice(site).is_some_and(|notice| notice.contains(words))
}

fn is_accepted(site: &Site) -> bool {
    notice(site).is_some_and(|notice| !notice.contains("older copy"))
}

#[test]
fn an_older_copy_is_accepted_by_one_server_for_all() {
    let fleet = Fleet::new(2);
    let (one, two) = (&fleet.sites[0], &fleet.sites[1]);
    let (alice, bob, carol) = (one.enroll("alice"), two.enroll("bob"), one.enroll("u1"));
    let (server, name) = (fleet.server(), &fleet.database().name);
    server.copy_database(name, "older", name);
    assert_eq!(login(one, "alice", &alice.recovery_codes[0]), GRANTED);
    one.totpd(&["revoke", "u1"]).assert_success();
    wait_until("the other witness lists both", || witnessed(two) == witnessed(one));
    assert!(!two.log().contains("is missing"), "there was nothing to witness before");
    // Of what follows only one server has a witness.
    one.end(nix::sys::signal::Signal::SIGTERM);
    two.totpd(&["revoke", "bob"]).assert_success();
    assert_eq!(witnessed(two), witnessed(one) + 1);
    server.replace_database(name, "older");
    one.start();
    let refused_on_both = || {
        for site in [one, two] {
            for (user, code) in
                [("alice", &alice.recovery_codes[0]), ("bob", &bob.code(site)), ("u1", &carol.code(site))]
            {
                assert_eq!(login(site, user, code), DENIED, "{user}");
            }
        }
    };
    for site in [one, two] {
        site.wait_until_serving();
        wait_until("it says so", || says(site, "older copy"));
    }
    fleet.sites[0].advance(90);
    refused_on_both();
    let told = |site: &Site| says(site, "(3 factors or kinds of code)");
    wait_until("both know of all three", || told(one) && told(two));
    let accepted = one.totpd(&["restore", "--accept", "--json"]).assert_success().json();
    assert_eq!((&accepted["accepted"], &accepted["withdrawn"]), (&true.into(), &3.into()));
    wait_until("both have forgotten it", || is_accepted(one) && is_accepted(two));
    fleet.next_step();
    refused_on_both();
    assert_eq!(login(two, "alice", &alice.code(two)), GRANTED, "{}", two.log());
    // It stays so.
    fleet.sites.iter().for_each(|site| {
        site.end(nix::sys::signal::Signal::SIGTERM);
        site.start();
        assert!(is_accepted(site));
    });
    fleet.next_step();
    refused_on_both();
    assert_eq!(login(one, "alice", &alice.code(one)), GRANTED, "{}", one.log());
}
