//! A late answer uses up no code that can still be saved (invariant 10).

use std::time::Duration;
use totp_wire::CallError;
use totp_wire::login::{TIMED_OUT, Verdict};
use totpd_e2e::Site;
use totpd_e2e::peer::{begin, local};
use totpd_e2e::run::wait_until;

const STALL: i64 = 60_000_000;
const SHORT: Duration = Duration::from_millis(500);

fn events_of(site: &Site, user: &str, outcome: &str) -> usize {
    site.events()
        .iter()
        .filter(|e| e["user"] == user && e["outcome"] == outcome && e["event"] == "login")
        .count()
}

/// Answers, and returns when the commit of the answer hangs in its sync.
#[track_caller]
fn answer_stalled(
    site: &Site,
    user: &str,
    code: &str,
    time: Duration,
) -> std::thread::JoinHandle<Result<Verdict, CallError>> {
    site.faults.sync_delay_us(STALL);
    let syncs = site.faults.syncs();
    let waiting = begin(site, local(user)).unwrap();
    let code = code.to_owned();
    let answering = std::thread::spawn(move || waiting.answer_within(&code, time));
    wait_until("the sync has begun", || site.faults.syncs() > syncs);
    answering
}

#[test]
fn a_stalled_sync_uses_up_only_the_code_it_began_with() {
    let site = Site::new();
    let (alice, bob) = (site.enroll("alice"), site.enroll("bob"));
    let (code_a, code_b) = (alice.code(&site), bob.code(&site));
    // Alice's commit begins and stalls, and the client times out.
    let given_up = answer_stalled(&site, "alice", &code_a, SHORT);
    // Bob's answer waits behind it, and is dropped without a judgement when its time is up.
    let second = begin(&site, local("bob")).unwrap().answer_within(&code_b, SHORT);
    match second {
        Err(CallError::TimedOut) => {}
        Err(CallError::Error { name, .. }) if name == TIMED_OUT => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(given_up.join().unwrap(), Err(CallError::TimedOut));
    site.faults.sync_delay_us(0);
    wait_until("the undelivered grant is audited", || events_of(&site, "alice", "undelivered") == 1);
    assert_eq!(begin(&site, local("alice")).unwrap().answer(&code_a), Ok(Verdict::Denied));
    assert_eq!(site.last_login()["reason"], "replayed");
    assert_eq!(begin(&site, local("bob")).unwrap().answer(&code_b), Ok(Verdict::Granted));
}

#[test]
fn a_client_that_hangs_up_before_the_commit_uses_up_no_code() {
    let site = Site::new();
    let (alice, bob) = (site.enroll("alice"), site.enroll("bob"));
    let (code_a, code_b) = (alice.code(&site), bob.code(&site));
    let stalled = answer_stalled(&site, "alice", &code_a, Duration::from_secs(20));
    // The client leaves long before its deadline: only the hang-up tells the daemon.
    let hung_up = begin(&site, local("bob")).unwrap();
    hung_up.send_and_hang_up(&code_b);
    wait_until("the hang-up was noticed", || {
        site.events().iter().any(|e| e["user"] == "bob" && e["reason"] == "hung-up")
    });
    site.faults.sync_delay_us(0);
    assert_eq!(stalled.join().unwrap(), Ok(Verdict::Granted));
    assert_eq!(begin(&site, local("bob")).unwrap().answer(&code_b), Ok(Verdict::Granted));
}

#[test]
fn an_answer_without_time_left_is_not_judged() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let code = phone.code(&site);
    let late = begin(&site, local("alice")).unwrap().answer_with_remaining(&code, 0);
    assert!(matches!(late, Err(CallError::Error { ref name, .. }) if name == TIMED_OUT), "{late:?}");
    assert_eq!(begin(&site, local("alice")).unwrap().answer(&code), Ok(Verdict::Granted));
}
