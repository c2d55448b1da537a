//! A commit that waits for the synchronous standby, and whose wait somebody ends: PostgreSQL then
//! reports success. No login is granted by it, and its code does not work again.

use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use totp_wire::login::Verdict;
use totpd_e2e::peer::{begin, local, login};
use totpd_e2e::phone::Phone;
use totpd_e2e::{Api, Fleet, api};
use totpd_test_postgres::{Server, Shutdown};

const WAITING: &str =
    "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'totpd'";

/// Logs in while the standby is frozen, does `end_wait` once the commit waits for it, and returns
/// the code after the refusal.
#[track_caller]
fn refused_code(fleet: &Fleet, phone: &Phone, end_wait: impl FnOnce(&Server)) -> String {
    let server = fleet.server();
    let code = phone.code(&fleet.sites[0]);
    fleet.standbys[0].freeze();
    let waiting = begin(&fleet.sites[0], local("alice")).unwrap();
    let verdict = std::thread::scope(|scope| {
        let answer = scope.spawn(|| waiting.answer(&code));
        let start = Instant::now();
        while server.sql("postgres", WAITING).is_empty() {
            assert!(start.elapsed() < Duration::from_secs(30), "no commit waits for the standby");
        }
        end_wait(server);
        answer.join().unwrap()
    });
    assert_ne!(verdict, Ok(Verdict::Granted), "granted without the standby");
    // An auditor reads that the code may be used.
    let event = fleet.sites[0].last_login();
    assert_eq!((&event["outcome"], &event["reason"]), (&"refused".into(), &"in-doubt".into()), "{event}");
    fleet.standbys[0].thaw();
    code
}

/// Asserts that the code does not work again, and that the next one does.
#[track_caller]
fn assert_spent(fleet: &Fleet, phone: &Phone, code: &str) {
    let site = &fleet.sites[0];
    site.wait_until_serving();
    assert_eq!(login(site, "alice", code), Ok(Verdict::Denied));
    assert_eq!(site.last_login()["reason"], "replayed", "it was refused for another reason");
    fleet.next_step();
    assert_eq!(login(site, "alice", &phone.code(site)), Ok(Verdict::Granted), "{}", site.log());
    fleet.next_step();
}

#[test]
fn a_wait_that_an_administrator_ends_grants_nothing() {
    let fleet = Fleet::with_standby(1);
    let phone = fleet.enroll("alice");
    for function in ["pg_cancel_backend", "pg_terminate_backend"] {
        let code = refused_code(&fleet, &phone, |server| {
            let end = format!("SELECT {function}(pid) FROM ({WAITING}) AS waiting");
            assert_eq!(server.sql("postgres", &end), "t");
        });
        assert_spent(&fleet, &phone, &code);
    }
}

#[test]
fn a_wait_that_a_shutdown_ends_grants_nothing() {
    let fleet = Fleet::with_standby(1);
    let phone = fleet.enroll("alice");
    let code = refused_code(&fleet, &phone, |server| server.begin_stop(Shutdown::Fast));
    fleet.server().wait_for_end();
    fleet.server().resume();
    fleet.server().wait_for_standby("standby_1", "sync_state = 'sync'");
    assert_spent(&fleet, &phone, &code);
}

#[test]
fn a_failover_during_the_wait_grants_a_code_once_at_most() {
    let fleet = Fleet::with_standby(1);
    let phone = fleet.enroll("alice");
    let code = refused_code(&fleet, &phone, |server| server.kill());
    fleet.standbys[0].promote();
    fleet.sites[0].wait_until_serving();
    // The standby may have it or not: what was not granted may be granted once.
    let again: Vec<_> = (0..2).map(|_| login(&fleet.sites[0], "alice", &code)).collect();
    assert!(again.iter().filter(|verdict| **verdict == Ok(Verdict::Granted)).count() <= 1, "{again:?}");
}

#[test]
fn logins_that_wait_together_are_all_refused_when_that_ends() {
    const USERS: [&str; 4] = ["alice", "bob", "u1", "u2"];
    let fleet = Fleet::with_standby(1);
    let site = &fleet.sites[0];
    site.end(Signal::SIGTERM);
    site.append("etc/totpd/totpd.toml", &api::socket(site));
    site.start();
    let app = Api::new(site, "admin");
    let (user, phone) = app.enrolled(site, "app-user");
    let phones = USERS.map(|user| site.enroll(user));
    fleet.next_step();
    let codes = phones.each_ref().map(|phone| phone.code(site));
    fleet.standbys[0].freeze();
    let waiting = USERS.map(|user| begin(site, local(user)).unwrap());
    let app_code = phone.code(site);
    let (verdicts, reply) = std::thread::scope(|scope| {
        let answers: Vec<_> = waiting
            .into_iter()
            .zip(&codes)
            .map(|(waiting, code)| scope.spawn(move || waiting.answer(code)))
            .collect();
        let asked = scope.spawn(|| app.authenticate(&user, &app_code));
        // The first of them waits alone, and the others begin a second later, together.
        while !answers.iter().all(std::thread::ScopedJoinHandle::is_finished) || !asked.is_finished() {
            let cancel = format!("SELECT pg_cancel_backend(pid) FROM ({WAITING}) AS waiting");
            fleet.server().sql("postgres", &cancel);
        }
        let verdicts: Vec<_> = answers.into_iter().map(|answer| answer.join().unwrap()).collect();
        (verdicts, asked.join().unwrap())
    });
    assert!(verdicts.iter().all(Result::is_err), "{verdicts:?}");
    reply.assert_error(503, "server_unavailable");
    assert_eq!(super::count_reason(&fleet.sites, "in-doubt"), USERS.len() + 1, "{}", site.log());
    fleet.standbys[0].thaw();
    site.wait_until_serving();
    for ((user, phone), code) in USERS.iter().zip(&phones).zip(&codes) {
        assert_eq!(login(site, user, code), Ok(Verdict::Denied));
        assert_eq!(site.last_login()["reason"], "replayed", "{user}");
        fleet.next_step();
        assert_eq!(login(site, user, &phone.code(site)), Ok(Verdict::Granted));
    }
    app.authenticate(&user, &phone.code(site)).assert_success();
}

#[test]
fn a_standby_that_hangs_delays_logins_and_ends_none_wrongly() {
    let fleet = Fleet::with_standby(1);
    let phone = fleet.enroll("alice");
    let code = phone.code(&fleet.sites[0]);
    let waiting = begin(&fleet.sites[0], local("alice")).unwrap();
    fleet.standbys[0].freeze();
    let verdict = std::thread::scope(|scope| {
        let answer = scope.spawn(|| waiting.answer(&code));
        fleet.server().wait_for(
            "postgres",
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'totpd'",
            "1",
        );
        fleet.standbys[0].thaw();
        answer.join().unwrap()
    });
    assert_eq!(verdict, Ok(Verdict::Granted));
    assert_eq!(login(&fleet.sites[0], "alice", &code), Ok(Verdict::Denied));
}
