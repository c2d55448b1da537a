//! Servers that die under load: nothing that was acknowledged is lost, no code works twice, and
//! logins go on without a restart of anything.

use nix::sys::signal::Signal;
use std::time::Duration;
use totp_wire::login::Verdict;
use totpd_e2e::peer::{begin, local, login};
use totpd_e2e::phone::Phone;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Fleet, Site, short_or_long};
use totpd_test_postgres::Shutdown;

const USERS: [&str; 8] = ["u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8"];

/// Logs every user in at once, in turn on each site, and does `fault` after `delay`. Returns the
/// users' codes, and who was granted.
fn log_in_during(
    fleet: &Fleet,
    phones: &[Phone],
    delay: Duration,
    fault: impl FnOnce(),
) -> Vec<(&'static str, String, bool)> {
    let codes: Vec<String> = phones.iter().map(|phone| phone.code(&fleet.sites[0])).collect();
    let sites = || fleet.sites.iter().cycle();
    let waiting: Vec<_> =
        USERS.iter().zip(sites()).map(|(user, site)| begin(site, local(user)).unwrap()).collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = waiting
            .into_iter()
            .zip(&codes)
            .map(|(waiting, code)| scope.spawn(move || waiting.answer(code) == Ok(Verdict::Granted)))
            .collect();
        std::thread::sleep(delay);
        fault();
        let granted = threads.into_iter().map(|thread| thread.join().unwrap());
        USERS
            .into_iter()
            .zip(codes.clone())
            .zip(granted)
            .map(|((user, code), granted)| (user, code, granted))
            .collect()
    })
}

/// Waits until every site serves.
fn wait_until_serving(fleet: &Fleet) {
    fleet.sites.iter().for_each(Site::wait_until_serving);
}

/// Asserts that no code that was granted works again on any site, and that each user's next code
/// works.
fn assert_single_use(fleet: &Fleet, phones: &[Phone], logins: &[(&str, String, bool)]) {
    for (user, code, granted) in logins {
        for site in fleet.sites.iter().filter(|_| *granted) {
            assert_eq!(login(site, user, code), Ok(Verdict::Denied), "{user}'s code was accepted twice");
        }
    }
    fleet.next_step();
    for (number, (user, phone)) in USERS.iter().zip(phones).enumerate() {
        let site = &fleet.sites[number % fleet.sites.len()];
        assert_eq!(login(site, user, &phone.code(site)), Ok(Verdict::Granted), "{user}: {}", site.log());
    }
    fleet.next_step();
}

#[test]
fn a_killed_daemon_loses_no_used_code_of_the_others() {
    let fleet = Fleet::new(3);
    let phones: Vec<Phone> = USERS.iter().map(|user| fleet.sites[0].stage(user)).collect();
    for round in 0..short_or_long(3, 50) {
        let delay = Duration::from_millis(2 * (round % 25));
        let logins = log_in_during(&fleet, &phones, delay, || {
            fleet.sites[1].end(Signal::SIGKILL);
        });
        fleet.sites[1].start();
        assert_single_use(&fleet, &phones, &logins);
    }
}

#[test]
fn a_killed_database_comes_back_with_every_used_code() {
    let fleet = Fleet::new(2);
    let phones: Vec<Phone> = USERS.iter().map(|user| fleet.sites[0].stage(user)).collect();
    for round in 0..short_or_long(3, 30) {
        let delay = Duration::from_millis(2 * (round % 25));
        let logins = log_in_during(&fleet, &phones, delay, || fleet.server().kill());
        // Nobody is let in while it is away, and nobody is told that nothing is set up.
        let refused = begin(&fleet.sites[0], local("u1")).and_then(|waiting| waiting.answer("123456"));
        assert_ne!(refused, Ok(Verdict::Granted));
        fleet.server().resume();
        wait_until_serving(&fleet);
        assert_single_use(&fleet, &phones, &logins);
    }
}

#[test]
fn a_promoted_standby_knows_every_used_code() {
    for round in 0..short_or_long(1, 10) {
        let fleet = Fleet::with_standby(2);
        let phones: Vec<Phone> = USERS.iter().map(|user| fleet.sites[0].stage(user)).collect();
        let delay = Duration::from_millis(3 * (round % 15));
        let logins = log_in_during(&fleet, &phones, delay, || fleet.server().kill());
        fleet.standbys[0].promote();
        wait_until_serving(&fleet);
        assert_single_use(&fleet, &phones, &logins);
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
