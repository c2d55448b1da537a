//! Clocks that are set back, replayed codes, and forged counters.

use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, code};
use totpd_e2e::{Api, api};

fn login(site: &Site, user: &str, typed: &str) -> i32 {
    site.totp_service("x", "nodelay timeout=5");
    PamHost::new(site, "x", user).option(&["-r", "192.0.2.1"]).answer(typed)
}

#[test]
fn a_clock_set_back_accepts_no_unused_old_code() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let (alice, bob) = (site.enroll("alice"), site.enroll("bob"));
    // A code that somebody has seen, and that alice has not used.
    let seen = alice.code(&site);
    site.advance(3600);
    assert_eq!(login(&site, "bob", &bob.code(&site)), code::SUCCESS);
    site.advance(-3600);
    for restarted in [false, true] {
        if restarted {
            site.end(nix::sys::signal::Signal::SIGTERM);
            site.start();
        }
        assert_eq!(login(&site, "alice", &seen), code::AUTH_ERR);
        assert_eq!(site.last_login()["reason"], "clock");
    }
    app.wait_until_up();
    assert_ne!(app.authenticate("alice", &seen).status, 200);
    let explained =
        site.totpd(&["explain", "alice", "sshd", "--rhost", "192.0.2.1", "--json"]).assert_success().json();
    assert_eq!(explained["reason"], "clock", "{explained}");
    let status = site.totpd(&["status"]).assert_success().stdout;
    assert!(
        status.contains("only recovery codes are accepted") && status.contains("totpd trust-clock"),
        "{status}"
    );
    assert_eq!(login(&site, "alice", &alice.recovery_codes[0]), code::SUCCESS);
    assert_eq!(site.status("alice")["failures"], 0);
    // Refused attempts with a clock that is ahead change nothing: with the right clock logins work.
    site.advance(3600);
    site.next_step();
    site.advance(90 * 24 * 3600);
    assert_eq!(login(&site, "alice", "000000"), code::AUTH_ERR);
    assert_eq!(login(&site, "alice", &alice.recovery_codes[1]), code::SUCCESS);
    site.advance(-90 * 24 * 3600);
    assert_eq!(login(&site, "alice", &alice.code(&site)), code::SUCCESS);
}

#[test]
fn trust_clock_ends_the_refusals_after_a_clock_set_ahead() {
    let site = Site::new();
    let (alice, bob) = (site.enroll("alice"), site.enroll("bob"));
    site.advance(30 * 24 * 3600);
    assert_eq!(login(&site, "bob", &bob.code(&site)), code::SUCCESS, "with a phone that is ahead, too");
    site.advance(-30 * 24 * 3600);
    site.next_step();
    assert_eq!(login(&site, "alice", &alice.code(&site)), code::AUTH_ERR);
    site.totpd(&["trust-clock"]).assert_success();
    assert!(!site.totpd(&["status"]).assert_success().stdout.contains("lies before that"));
    assert_eq!(login(&site, "alice", &alice.code(&site)), code::SUCCESS);
}

#[test]
fn recording_a_grant_costs_a_login_one_sync() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let before = site.faults.syncs();
    for _ in 0..20 {
        assert_eq!(login(&site, "alice", &phone.code(&site)), code::SUCCESS);
        site.next_step();
    }
    let syncs = site.faults.syncs() - before;
    // One sync of the log for each login, and two for each checkpoint.
    assert!((20..=24).contains(&syncs), "{syncs}");
}

#[test]
fn replayed_old_codes_lock_nobody() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let mut old = Vec::new();
    for _ in 0..2 {
        old.push(phone.code(&site));
        assert_eq!(login(&site, "alice", old.last().unwrap()), code::SUCCESS);
        site.advance(600);
        site.next_step();
    }
    for _ in 0..15 {
        for code in &old {
            assert_eq!(login(&site, "alice", code), code::AUTH_ERR);
            assert_eq!(site.last_login()["reason"], "replayed");
        }
        site.advance(300);
    }
    let status = site.status("alice");
    assert_eq!((&status["failures"], &status["locked"]), (&0.into(), &false.into()));
    site.next_step();
    assert_eq!(login(&site, "alice", &phone.code(&site)), code::SUCCESS);
}

#[test]
fn a_forged_lock_level_overflows_nothing() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let record = site.sql("SELECT record FROM account WHERE name = 'alice'");
    let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
    record["guard"]["others"] =
        serde_json::json!({ "failures": u32::MAX, "level": u32::MAX, "last_failure": site.now() });
    site.sql(&format!("UPDATE account SET record = '{record}' WHERE name = 'alice'"));
    assert_eq!(site.status("alice")["locked"], false);
    for _ in 0..3 {
        assert_eq!(login(&site, "alice", &phone.wrong_code(&site)), code::AUTH_ERR);
    }
    let status = site.status("alice");
    assert_eq!((&status["locked"], &status["locks"][0]["class"]), (&true.into(), &"others".into()));
    site.totpd(&["unlock", "alice"]).assert_success();
    assert_eq!(login(&site, "alice", &phone.code(&site)), code::SUCCESS);
    assert!(!site.log().contains("panicked"));
}
