use super::*;
use crate::clock::RELEASED;
use crate::os_random::Kernel;
use totp_core::judge_settings::JudgeSettings;
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

fn viewer(user: &str, address: &str) -> Viewer {
    Viewer::Login(login(user, address))
}

fn now(seconds: u64) -> Now {
    Now { since_boot: Duration::from_secs(seconds), wall: RELEASED.plus(seconds) }
}

fn show(all: &Arc<KeptEnrollments>, seconds: u64) -> Shown {
    all.show(viewer("alice", "a"), Vec::new(), now(seconds), make).unwrap()
}

fn keys(all: &KeptEnrollments) -> usize {
    all.0.lock().unwrap().len()
}

fn count(shown: &Shown) -> u32 {
    shown.lease.showings().unwrap().count
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
    assert_eq!(count(&first), 1);
    let second = show(&all, 1000 + 899);
    assert!(is_same(&first, &second));
    let wall = |seconds| RELEASED.plus(seconds);
    let expected = Showings { count: 2, first: wall(1000), previous: wall(1000), latest: wall(1899) };
    assert_eq!(second.lease.showings(), Some(expected));
    assert_eq!(first.lease.showings(), Some(expected), "the earlier login knows of it");
    assert_eq!(second.lease.time_left(Duration::from_secs(1899)), Some(Duration::from_secs(1)));
    assert_eq!(second.lease.time_left(Duration::from_secs(1900)), None);
    // From the first time on, not from the second one.
    let third = show(&all, 1000 + 900);
    assert!(!is_same(&second, &third) && count(&third) == 1);
}

#[test]
fn another_user_source_or_record_is_shown_another_key() {
    let all = Arc::new(KeptEnrollments::default());
    let first = show(&all, 0);
    for other in [viewer("alice", "b"), viewer("bob", "a"), Viewer::Once(login("alice", "a").user)] {
        assert!(!is_same(&first, &all.show(other, Vec::new(), now(1), make).unwrap()));
    }
    assert!(is_same(&first, &show(&all, 2)));
    let changed = all.show(viewer("alice", "a"), vec![("user-1".to_owned(), 7)], now(3), make).unwrap();
    assert!(!is_same(&first, &changed), "the record has changed");
}

#[test]
fn a_noted_version_of_the_record_keeps_the_key() {
    let all = Arc::new(KeptEnrollments::default());
    let show = |version| {
        let versions = vec![("user-1".to_owned(), version)];
        all.show(viewer("alice", "a"), versions, now(0), make).unwrap()
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
fn a_used_code_stays_used_in_logins_before_and_after() {
    let all = Arc::new(KeptEnrollments::default());
    let code = |at: Time, of: &AwaitingFirstCode| Typed::parse(&totp_at(of.secret(), of.params(), at));
    let (first, waiting) = (show(&all, 0), show(&all, 1));
    let typed = code(RELEASED, &first.enrolling);
    let awaiting = first.lease.answer().unwrap().first_code(&typed, RELEASED, &SETTINGS).unwrap();
    first.lease.keep(awaiting.start_again(RecoveryStorage::Hashed, &mut Kernel).unwrap()).unwrap();
    for other in [waiting, show(&all, 2)] {
        let state = other.lease.answer().unwrap();
        let (state, reason) = state.first_code(&typed, RELEASED, &SETTINGS).unwrap_err();
        assert_eq!(reason, Reason::Replayed);
        let later = RELEASED.plus(30);
        let state = state.first_code(&code(later, &other.enrolling), later, &SETTINGS).unwrap();
        let recovery = Typed::parse(&awaiting.recovery_codes()[0].reveal());
        assert!(state.finish(&recovery, later).is_err(), "nobody has proved to have noted the old ones");
    }
}

#[test]
fn the_newest_login_that_has_answered_can_finish() {
    let all = Arc::new(KeptEnrollments::default());
    let (first, second, third) = (show(&all, 0), show(&all, 1), show(&all, 2));
    first.lease.answer().unwrap();
    first.lease.keep(first.enrolling.clone()).unwrap();
    second.lease.answer().unwrap();
    drop(third);
    assert_eq!(first.lease.answer().map(drop), Err(LeaseEnd::TakenOver));
    assert_eq!(first.lease.keep(first.enrolling.clone()), Err(LeaseEnd::TakenOver));
    assert_eq!(first.lease.activate().map(drop), Err(LeaseEnd::TakenOver));
    let waiting = show(&all, 3);
    let activating = second.lease.activate().unwrap();
    assert_eq!(activating.showings().count, 4, "also those after this one");
    let other = show(&all, 4);
    assert!(!is_same(&other, &waiting), "shown while it is activated");
    drop(activating);
    assert!(is_same(&other, &show(&all, 5)), "what failed does not replace the newer one");
}

#[test]
fn a_login_that_only_connects_ends_nobodys_enrollment() {
    let all = Arc::new(KeptEnrollments::default());
    let typing = show(&all, 0);
    let connected = show(&all, 1);
    drop(show(&all, 2));
    typing.lease.answer().unwrap();
    typing.lease.activate().unwrap().succeeded();
    assert_eq!(connected.lease.answer().map(drop), Err(LeaseEnd::Finished));
}

#[test]
fn an_older_login_cannot_finish_after_the_key_is_kept_no_longer() {
    type Ending<'a> = (&'a str, &'a dyn Fn(&Arc<KeptEnrollments>));
    let endings: [Ending<'_>; 3] = [
        ("its time is over", &|all| all.drop_expired(LIFETIME)),
        ("the record has changed", &|all| {
            drop(all.show(viewer("alice", "a"), vec![("user-1".to_owned(), 7)], now(2), make).unwrap());
        }),
        ("a reload has changed the rules", &|all| all.keep_no_longer()),
    ];
    for (what, ending) in endings {
        let all = Arc::new(KeptEnrollments::default());
        let (older, newer) = (show(&all, 0), show(&all, 1));
        let id = newer.lease.totp_id.clone();
        newer.lease.answer().unwrap();
        ending(&all);
        assert_eq!(older.lease.answer().map(drop), Err(LeaseEnd::TakenOver), "{what}");
        assert_eq!(older.lease.activate().map(drop), Err(LeaseEnd::TakenOver), "{what}");
        let activating = newer.lease.activate().unwrap();
        assert_eq!(activating.showings().count, 2, "{what}");
        activating.succeeded();
        assert!(!all.keys().contains_key(&id), "{what}");
    }
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
fn what_is_forgotten_ends_and_never_comes_back() {
    let all = Arc::new(KeptEnrollments::default());
    let [alice, bob] = ["alice", "bob"].map(|user| UserName::parse(user).unwrap());
    let waiting = show(&all, 0);
    let once = all.show(Viewer::Once(alice.clone()), Vec::new(), now(0), make).unwrap();
    let activating = show(&all, 1).lease.activate().unwrap();
    assert!(!all.forget(&bob));
    assert!(all.forget(&alice));
    assert!(!all.forget(&alice), "there is nothing more");
    for lease in [&waiting.lease, &once.lease] {
        assert_eq!(lease.answer().map(drop), Err(LeaseEnd::Dropped));
        assert_eq!(lease.time_left(Duration::ZERO), None);
    }
    assert_eq!(activating.check(), Err(LeaseEnd::Dropped));
    drop(activating);
    assert!(!is_same(&waiting, &show(&all, 2)));
    drop((waiting, once));
    assert_eq!(keys(&all), 1);
}

#[test]
fn what_is_kept_is_dropped_when_its_time_is_over() {
    let all = Arc::new(KeptEnrollments::default());
    drop(show(&all, 1));
    all.drop_expired(LIFETIME);
    assert_eq!(keys(&all), 1);
    all.drop_expired(LIFETIME + Duration::from_secs(1));
    assert_eq!(keys(&all), 0);
    drop(all.show(Viewer::Once(login("alice", "a").user), Vec::new(), now(0), make).unwrap());
    assert_eq!(keys(&all), 0, "no later login is shown it");
}

#[test]
fn no_kept_key_is_dropped_for_another_one() {
    let all = Arc::new(KeptEnrollments::default());
    let show = |user: &str, address: &str, at| all.show(viewer(user, address), Vec::new(), now(at), make);
    let first = show("alice", "0", 0).unwrap();
    for n in 1..=20 {
        let more = show("alice", &n.to_string(), n).unwrap();
        let is_kept = more.lease.time_left(Duration::from_secs(n)).is_some();
        assert_eq!(is_kept, n < u64::try_from(MAX_PER_USER).unwrap(), "{n}");
    }
    assert_eq!(keys(&all), MAX_PER_USER);
    assert!(is_same(&first, &show("alice", "0", 30).unwrap()));
    for n in 0..2000 {
        drop(show(&format!("u{n}"), "a", 40).unwrap());
    }
    assert_eq!(keys(&all), MAX_KEPT);
    assert!(is_same(&first, &show("alice", "0", 50).unwrap()));
}
