//! Servers that die under load: nothing that was acknowledged is lost, no code works twice, and
//! logins go on without a restart of anything.

use super::load::Load;
use nix::sys::signal::Signal;
use totp_wire::CallError;
use totp_wire::login::Verdict;
use totpd_e2e::peer::login;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Fleet, short_or_long};
use totpd_test_postgres::Shutdown;

/// After how many of the 48 logins the server dies, in each round.
fn after(round: usize) -> usize {
    (5 + 7 * round) % 32
}

#[test]
fn a_killed_daemon_loses_no_used_code_of_the_others() {
    let fleet = Fleet::new(3);
    let load = Load::new(&fleet);
    for round in 0..short_or_long(3, 50) {
        let kill = || {
            fleet.sites[1].end(Signal::SIGKILL);
        };
        let logins = load.log_in_during(&fleet, after(round), kill, || fleet.sites[1].start());
        assert!(logins.undecided > 0, "the load never met the fault");
        load.assert_single_use(&fleet, &logins);
    }
}

#[test]
fn a_killed_database_comes_back_with_every_used_code() {
    let fleet = Fleet::new(2);
    let load = Load::new(&fleet);
    for round in 0..short_or_long(3, 30) {
        let kill = || fleet.server().kill();
        let logins = load.log_in_during(&fleet, after(round), kill, || {
            // Nobody is let in while it is away, and nobody is told that nothing is set up.
            let refused = login(&fleet.sites[0], "load0", "123456");
            assert!(matches!(refused, Err(CallError::Error { .. })), "{refused:?}");
            fleet.server().resume();
        });
        assert!(logins.undecided > 0, "the load never met the fault");
        load.assert_single_use(&fleet, &logins);
    }
}

#[test]
fn a_promoted_standby_knows_every_used_code() {
    for round in 0..short_or_long(1, 10) {
        let fleet = Fleet::with_standby(2);
        let load = Load::new(&fleet);
        let kill = || fleet.server().kill();
        let logins = load.log_in_during(&fleet, after(round), kill, || fleet.standbys[0].promote());
        assert!(logins.undecided > 0, "the load never met the fault");
        load.assert_single_use(&fleet, &logins);
    }
}

#[test]
fn logins_leave_a_primary_that_became_a_standby() {
    // A switchover: the old primary stays up, and its pooled connections stay open.
    let fleet = Fleet::with_standby(2);
    let phone = fleet.enroll("alice");
    let (old, new) = (fleet.server(), &fleet.standbys[0]);
    old.stop(Shutdown::Fast);
    new.promote();
    old.follow(new, "standby_2");
    old.resume();
    wait_until("a login is granted", || {
        fleet.next_step();
        let site = &fleet.sites[1];
        login(site, "alice", &phone.code(site)) == Ok(Verdict::Granted)
    });
    assert_eq!(old.sql("postgres", "SHOW transaction_read_only"), "on");
}
