use super::*;
use crate::clock::RELEASED;
use crate::os_random::Kernel;
use totp_core::judge::JudgeSettings;
use totp_core::otp::totp_at;
use totp_core::policy::{Action, Facts, FirstFactor, Moment, Peer, Policy, RemoteHost, Rule, Ruling};
use totp_core::recovery::RecoveryStorage;
use totp_core::{Params, Reason, Typed};

const MOMENT: Moment = Moment { now: RELEASED, not_before: RELEASED };
const SETTINGS: JudgeSettings = JudgeSettings { skew: 1, not_before: RELEASED, latest_grant: RELEASED };

fn proof() -> FirstFactor {
    let policy = Policy { rules: vec![Rule { action: Action::Enroll, ..Rule::default() }] };
    let facts = Facts {
        user: "alice".into(),
        caller: None,
        ruser: None,
        service: Some("sshd".into()),
        rhost: RemoteHost::Address("192.0.2.7".parse().unwrap()),
        peer: Peer::Root,
        ssh: Vec::new(),
        first_factor_passed: true,
    };
    match policy.decide(&facts, &std::collections::BTreeSet::new(), MOMENT).ruling {
        Ruling::Enroll(proof) => proof,
        other => unreachable!("{other:?}"),
    }
}

fn make() -> Result<AwaitingFirstCode, RandomFailed> {
    AwaitingFirstCode::new(&proof(), Params::default(), RecoveryStorage::Hashed, RELEASED, &mut Kernel)
}

fn login(user: &str, address: &str) -> Login {
    let key = RememberKey::ssh_key(1000, "sshd", address, &["SHA256:x"]).unwrap();
    Login { user: UserName::parse(user).unwrap(), key }
}

fn now(seconds: u64) -> Now {
    Now { since_boot: Duration::from_secs(seconds), wall: RELEASED.plus(seconds) }
}

fn show(all: &Arc<KeptEnrollments>, seconds: u64) -> Shown {
    all.show(login("alice", "a"), Vec::new(), now(seconds), make).unwrap()
}

fn is_same(one: &Shown, other: &Shown) -> bool {
    let same = one.enrolling.secret() == other.enrolling.secret();
    assert_eq!(same, one.enrolling.totp_id() == other.enrolling.totp_id());
    same
}

#[test]
fn a_login_within_15_minutes_is_shown_the_same_key() {
    let all = Arc::new(KeptEnrollments::default());
    let first = show(&all, 1000);
    assert!(!first.lease.showings().is_repeated());
    let second = show(&all, 1000 + 899);
    assert!(is_same(&first, &second));
    let wall = |seconds| RELEASED.plus(seconds);
    let expected = Showings { count: 2, first: wall(1000), previous: wall(1000), latest: wall(1899) };
    assert_eq!(second.lease.showings(), expected);
    assert_eq!(second.lease.time_left(Duration::from_secs(1899)), Duration::from_secs(1));
    // From the first time on, not from the second one.
    let third = show(&all, 1000 + 900);
    assert!(!is_same(&second, &third) && !third.lease.showings().is_repeated());
}

#[test]
fn another_user_source_or_record_is_shown_another_key() {
    let all = Arc::new(KeptEnrollments::default());
    let first = show(&all, 0);
    for other in [login("alice", "b"), login("bob", "a")] {
        assert!(!is_same(&first, &all.show(other, Vec::new(), now(1), make).unwrap()));
    }
    assert!(is_same(&first, &show(&all, 2)));
    let changed = all.show(login("alice", "a"), vec![("user-1".to_owned(), 7)], now(3), make).unwrap();
    assert!(!is_same(&first, &changed), "the record has changed");
}

#[test]
fn a_noted_version_of_the_record_keeps_the_key() {
    let all = Arc::new(KeptEnrollments::default());
    let show = |version| {
        let versions = vec![("user-1".to_owned(), version)];
        all.show(login("alice", "a"), versions, now(0), make).unwrap()
    };
    let first = show(7);
    let alice = UserName::parse("alice").unwrap();
    all.note_version(&alice, "user-1", 7, 8);
    assert!(is_same(&first, &show(8)));
    // Another change came between.
    all.note_version(&alice, "user-1", 9, 10);
    assert!(!is_same(&first, &show(10)));
}

#[test]
fn a_used_code_stays_used_in_the_next_login() {
    let all = Arc::new(KeptEnrollments::default());
    let Shown { enrolling, lease, .. } = show(&all, 0);
    let code = |at: Time, of: &AwaitingFirstCode| totp_at(of.secret(), of.params(), at);
    let typed = Typed::parse(&code(RELEASED, &enrolling));
    let awaiting = enrolling.first_code(&typed, RELEASED, &SETTINGS).unwrap();
    lease.keep(awaiting.start_again()).unwrap();
    let again = show(&all, 1).enrolling;
    let (again, reason) = again.first_code(&typed, RELEASED, &SETTINGS).unwrap_err();
    assert_eq!(reason, Reason::Replayed);
    let later = RELEASED.plus(30);
    let next = Typed::parse(&code(later, &again));
    let recovery = awaiting.recovery_codes()[0].reveal();
    let second = again.first_code(&next, later, &SETTINGS).unwrap();
    assert!(second.finish(&Typed::parse(&recovery), later).is_ok(), "the recovery codes are the same");
}

#[test]
fn only_the_newest_login_with_a_key_can_finish() {
    let all = Arc::new(KeptEnrollments::default());
    let (first, second) = (show(&all, 0), show(&all, 1));
    assert_eq!(first.lease.check(), Err(TakenOver));
    assert_eq!(first.lease.keep(first.enrolling.clone()), Err(TakenOver));
    assert!(first.lease.activate().is_err());
    assert_eq!(second.lease.check(), Ok(()));
    let activating = second.lease.activate().unwrap();
    let other = show(&all, 2);
    assert_ne!(other.enrolling.totp_id(), second.enrolling.totp_id(), "shown while it is activated");
    drop(activating);
    assert!(is_same(&other, &show(&all, 3)), "what failed does not replace the newer one");
}

#[test]
fn a_failed_activation_is_kept_and_a_successful_one_is_not() {
    let all = Arc::new(KeptEnrollments::default());
    let first = show(&all, 0);
    drop(show(&all, 1).lease.activate().unwrap());
    let second = show(&all, 2);
    assert!(is_same(&first, &second));
    let Shown { enrolling, lease, .. } = second;
    lease.activate().unwrap().succeeded();
    assert_ne!(show(&all, 3).enrolling.totp_id(), enrolling.totp_id());
}

#[test]
fn a_login_that_failed_is_told_to_the_next_one_once() {
    let all = Arc::new(KeptEnrollments::default());
    let first = show(&all, 0);
    assert!(!first.failed_before);
    first.lease.note_failed();
    assert!(show(&all, 1).failed_before);
    assert!(!show(&all, 2).failed_before);
}

#[test]
fn what_is_forgotten_or_expired_is_gone_and_never_comes_back() {
    let all = Arc::new(KeptEnrollments::default());
    let len = || all.0.lock().unwrap().len();
    let first = show(&all, 0);
    all.forget(&UserName::parse("bob").unwrap());
    assert_eq!(len(), 1);
    all.forget(&UserName::parse("alice").unwrap());
    assert_eq!(len(), 0);
    // The login that was shown it goes on by itself.
    assert_eq!(first.lease.keep(first.enrolling.clone()), Ok(()));
    assert_eq!(len(), 0);
    assert!(!is_same(&first, &show(&all, 1)));
    all.drop_expired(LIFETIME);
    assert_eq!(len(), 1);
    all.drop_expired(LIFETIME + Duration::from_secs(1));
    assert_eq!(len(), 0);
}

#[test]
fn the_number_of_kept_keys_is_bounded_for_a_user_and_in_all() {
    let all = Arc::new(KeptEnrollments::default());
    let show = |user: &str, address: &str, at| all.show(login(user, address), Vec::new(), now(at), make);
    let alice = show("alice", "a", 0).unwrap();
    for n in 1..=20 {
        show("bob", &n.to_string(), n).unwrap();
    }
    assert_eq!(all.0.lock().unwrap().len(), 1 + MAX_PER_USER);
    assert!(is_same(&alice, &show("alice", "a", 30).unwrap()), "bob's logins forget nobody else's");
    for n in 0..2000 {
        show(&format!("u{n}"), "a", 40).unwrap();
    }
    assert_eq!(all.0.lock().unwrap().len(), MAX_KEPT);
}
