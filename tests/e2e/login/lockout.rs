//! Locks that strangers cannot use against a user, with real addresses in a network of the test.

use totp_wire::login::Verdict;
use totpd_e2e::Site;
use totpd_e2e::network::{Network, SERVER};
use totpd_e2e::pamhost::{PamHost, code};
use totpd_e2e::peer::login;
use totpd_e2e::phone::Phone;
use totpd_e2e::ssh::{Client, Setup, Sshd};

/// Sends wrong codes, four a connection: ten lock the stranger's class, and ten more are refused by
/// the lock.
#[track_caller]
fn flood(site: &Site, stranger: &Client, phone: &Phone) {
    let wrong = phone.wrong_code(site);
    let before = reasons_of(site, "others").len();
    for _ in 0..5 {
        assert!(!stranger.lets_in("alice", &[wrong.as_str(); 4]));
    }
    let reasons = reasons_of(site, "others").split_off(before);
    let count = |reason: &str| reasons.iter().filter(|r| *r == reason).count();
    assert_eq!((count("wrong"), count("locked")), (10, 10), "{reasons:?}");
}

fn reasons_of(site: &Site, class: &str) -> Vec<String> {
    let events = site.events();
    let refused = events.iter().filter(|e| e["class"] == class && e["outcome"] == "refused");
    refused.map(|e| e["reason"].as_str().unwrap().to_owned()).collect()
}

/// A user and a stranger at different addresses, who both reach the server at `at`.
#[track_caller]
fn assert_no_lockout(at: &str, own_address: &str, strange_address: &str) {
    let site = Site::new();
    let network = Network::new(2);
    let sshd = Sshd::start_with(&site, Setup { network: Some(&network.server), ..Setup::default() });
    site.totp_service("sudo", "nodelay");
    let (own, stranger) = (sshd.client(&network.clients[0], at), sshd.client(&network.clients[1], at));
    let phone = site.enroll("alice");

    // A success makes the user's address known.
    assert!(own.lets_in("alice", &[&phone.code(&site)]));
    assert_eq!(site.last_login()["class"], "others");
    assert_eq!(site.last_login()["rhost"], own_address);
    site.next_step();

    flood(&site, &stranger, &phone);
    assert_eq!(site.last_login()["rhost"], strange_address);
    assert_eq!(site.status("alice")["locked"], true);

    // The stranger is refused even with a right code, which is not used up.
    let right = phone.code(&site);
    assert!(!stranger.lets_in("alice", &[&right]));
    assert_eq!(site.last_login()["reason"], "locked");
    assert!(own.lets_in("alice", &[&right]), "a stranger locked a known address");
    assert_eq!(site.last_login()["class"], "known");

    // A success of the user does not unlock the stranger.
    site.next_step();
    assert!(!stranger.lets_in("alice", &[&phone.code(&site)]));
    assert_eq!(site.last_login()["reason"], "locked");

    // A local sudo, and a process of the user.
    let sudo = PamHost::new(&site, "sudo", "alice").option(&["-R", "alice"]);
    assert_eq!(sudo.answer(&phone.code(&site)), code::SUCCESS);
    assert_eq!(site.last_login()["class"], "local");
    site.next_step();
    assert_eq!(sudo.run_as("alice").answer(&phone.code(&site)), code::SUCCESS, "{:?}", site.last_login());
    assert_eq!(site.last_login()["class"], "own");
}

#[test]
fn an_ipv4_flood_locks_neither_known_addresses_nor_sudo() {
    assert_no_lockout(SERVER[0], "198.51.100.1", "198.51.100.2");
}

#[test]
fn an_ipv6_flood_locks_neither_known_addresses_nor_sudo() {
    assert_no_lockout(SERVER[1], "2001:db8:1::2", "2001:db8:2::2");
}

/// A process on the server needs no key for this: cockpit asks for a code after a wrong password.
#[test]
fn a_local_process_locks_no_address_that_the_user_comes_from() {
    let site = Site::new();
    let network = Network::new(1);
    let settings = "ListenAddress 2001:db8:1::1\nListenAddress ::1";
    let sshd =
        Sshd::start_with(&site, Setup { network: Some(&network.server), settings, ..Setup::default() });
    let own = sshd.client(&network.clients[0], "2001:db8:1::1");
    let phone = site.enroll("alice");
    assert!(own.lets_in("alice", &[&phone.code(&site)]));
    site.next_step();
    // The server has an address in the user's network, and the user has come through a tunnel
    // before.
    let tunnel = sshd.client(&network.server, "::1");
    assert!(tunnel.lets_in("alice", &[&phone.code(&site)]));
    assert_eq!((&site.last_login()["class"], &site.last_login()["rhost"]), (&"others".into(), &"::1".into()));
    for at in ["2001:db8:1::1", "::1"] {
        site.next_step();
        flood(&site, &sshd.client(&network.server, at), &phone);
        assert_eq!(site.last_login()["rhost"], at);
        assert!(own.lets_in("alice", &[&phone.code(&site)]), "a process at {at} locked the user out");
        assert_eq!(site.last_login()["class"], "known");
        site.totpd(&["unlock", "alice"]).assert_success();
    }
}

#[test]
fn ipv4_and_ipv6_strangers_share_one_lock_for_each_user() {
    let site = Site::new();
    let network = Network::new(3);
    let sshd = Sshd::start_with(&site, Setup { network: Some(&network.server), ..Setup::default() });
    let (alice, bob) = (site.enroll("alice"), site.enroll("bob"));
    flood(&site, &sshd.client(&network.clients[0], SERVER[0]), &alice);
    // Another stranger by the other protocol: many addresses do not help an attacker.
    let another = sshd.client(&network.clients[1], SERVER[1]);
    assert!(!another.lets_in("alice", &[&alice.code(&site)]));
    assert_eq!(site.last_login()["reason"], "locked");
    // Bob, who was not attacked, can log in from an unknown address and from the attacker's.
    assert!(sshd.client(&network.clients[2], SERVER[0]).lets_in("bob", &[&bob.code(&site)]));
    site.next_step();
    assert!(sshd.client(&network.clients[0], SERVER[0]).lets_in("bob", &[&bob.code(&site)]));
    // After an hour, alice can log in from anywhere.
    site.advance(3600);
    assert!(another.lets_in("alice", &[&alice.code(&site)]));
    assert_eq!(login(&site, "alice", &alice.code(&site)), Ok(Verdict::Denied), "the code is used up");
}
