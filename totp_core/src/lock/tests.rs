use super::*;
use crate::time::HOUR;

const T0: Time = Time::from_unix(1_800_000_000);

fn remote(text: &str) -> Origin {
    Origin::Remote(text.parse().unwrap())
}

fn fail_until_locked(state: &mut LockState, class: &SourceClass, now: Time) -> u32 {
    let mut tries = 0;
    while state.remaining(class, now) == 0 {
        state.fail(class, 1, now);
        tries += 1;
    }
    tries
}

#[test]
fn locks_grow_from_an_hour_to_a_day() {
    let mut state = LockState::default();
    let mut now = T0;
    let expected = [(10, 1), (1, 2), (1, 4), (1, 8), (1, 16), (1, 24)];
    for (tries, hours) in expected {
        assert_eq!(fail_until_locked(&mut state, &SourceClass::Local, now), tries);
        assert_eq!(state.remaining(&SourceClass::Local, now), hours * HOUR);
        now = now.plus(hours * HOUR);
        assert_eq!(state.remaining(&SourceClass::Local, now), 0);
    }
}

#[test]
fn quiet_days_halve_the_next_lock() {
    let mut state = LockState::default();
    fail_until_locked(&mut state, &SourceClass::OwnProcess, T0);
    fail_until_locked(&mut state, &SourceClass::OwnProcess, T0.plus(HOUR)); // two hours
    let later = T0.plus(HOUR + DAY);
    assert_eq!(fail_until_locked(&mut state, &SourceClass::OwnProcess, later), 1);
    assert_eq!(state.remaining(&SourceClass::OwnProcess, later), 2 * HOUR);
    let much_later = later.plus(10 * DAY);
    assert_eq!(fail_until_locked(&mut state, &SourceClass::OwnProcess, much_later), FAILURES_TO_LOCK);
}

#[test]
fn a_stranger_does_not_lock_the_users_classes() {
    let mut state = LockState::default();
    state.succeed(&SourceClass::Others, &remote("192.0.2.1"), T0);
    let stranger = state.class(&remote("198.51.100.9"), T0);
    assert_eq!(stranger, SourceClass::Others);
    fail_until_locked(&mut state, &stranger, T0);
    for class in [state.class(&remote("192.0.2.1"), T0), SourceClass::Local, SourceClass::OwnProcess] {
        assert_eq!(state.remaining(&class, T0), 0, "{class:?}");
    }
}

#[test]
fn strangers_together_fail_thirty_times_a_day_whatever_succeeds() {
    let mut state = LockState::default();
    let mut judged = 0;
    for second in 0..DAY {
        let now = T0.plus(second);
        if state.remaining(&SourceClass::Others, now) == 0 {
            state.fail(&SourceClass::Others, 1, now);
            judged += 1;
            state.succeed(&SourceClass::Others, &remote("203.0.113.5"), now);
        }
    }
    assert_eq!(judged, BUDGET);
    assert!(state.remaining(&SourceClass::Others, T0.plus(DAY - 1)) > 0);
    assert_eq!(state.remaining(&SourceClass::Others, T0.plus(DAY)), 0);
}

#[test]
fn another_local_user_locks_only_their_own_class() {
    let mut state = LockState::default();
    let (eve, mallory) = (SourceClass::LocalStranger(7102), SourceClass::LocalStranger(7103));
    assert_eq!(fail_until_locked(&mut state, &eve, T0), FAILURES_TO_LOCK);
    for free in
        [&mallory, &SourceClass::Local, &SourceClass::OwnProcess, &SourceClass::Console, &SourceClass::Others]
    {
        assert_eq!(state.remaining(free, T0), 0, "{free:?}");
    }
    assert_eq!(state.locked(T0).len(), 1);
    // The lock passes after an hour; the day's budget of one uid does not.
    assert!(state.remaining(&eve, T0.plus(DAY - 1)) > 0);
    assert_eq!(state.remaining(&eve, T0.plus(DAY)), 0);
}

#[test]
fn local_users_together_fail_thirty_times_a_day() {
    let mut state = LockState::default();
    let mut judged = 0;
    for uid in 0..1_000 {
        judged += fail_until_locked(&mut state, &SourceClass::LocalStranger(uid), T0.plus(u64::from(uid)));
    }
    assert_eq!(judged, 30);
    assert!(state.strangers.len() <= 4, "a uid that was never judged has no counter");
    let later = T0.plus(3 * DAY);
    state.fail(&SourceClass::LocalStranger(5000), 1, later);
    assert_eq!(state.strangers.len(), 1, "expired counters are dropped");
}

#[test]
fn a_known_address_fails_thirty_times_a_day_whatever_succeeds() {
    let mut state = LockState::default();
    state.succeed(&SourceClass::Others, &remote("192.0.2.1"), T0);
    let known = state.class(&remote("192.0.2.1"), T0);
    let mut judged = 0;
    for minute in 0..DAY / 60 {
        let now = T0.plus(minute * 60);
        if state.remaining(&known, now) == 0 {
            state.fail(&known, 1, now);
            judged += 1;
        }
        // The user logs in there every five minutes, while it is not locked.
        if minute % 5 == 0 && state.remaining(&known, now) == 0 {
            state.succeed(&known, &remote("192.0.2.1"), now);
        }
    }
    assert_eq!(judged, BUDGET);
    assert_eq!(state.remaining(&SourceClass::Local, T0.plus(DAY - 1)), 0, "the user's sudo is not locked");
}

#[test]
fn the_latest_16_sources_are_known_for_30_days() {
    let mut state = LockState::default();
    for i in 0..17 {
        state.succeed(&SourceClass::Others, &remote(&format!("192.0.2.{i}")), T0.plus(i));
    }
    assert_eq!(state.class(&remote("192.0.2.0"), T0), SourceClass::Others);
    assert_eq!(state.class(&remote("192.0.2.16"), T0).as_str(), "known");
    assert_eq!(state.class(&remote("192.0.2.16"), T0.plus(31 * DAY)), SourceClass::Others);
}

#[test]
fn setting_the_clock_back_does_not_lengthen_a_lock() {
    let mut state = LockState::default();
    fail_until_locked(&mut state, &SourceClass::Others, T0);
    let earlier = Time::from_unix(T0.unix() - 400 * DAY);
    assert_eq!(state.remaining(&SourceClass::Others, earlier), HOUR);
    assert_eq!(state.remaining(&SourceClass::Others, earlier.plus(HOUR)), 0);
}

#[test]
fn unlock_clears_failures_and_keeps_known_sources() {
    let mut state = LockState::default();
    state.succeed(&SourceClass::Others, &remote("192.0.2.1"), T0);
    fail_until_locked(&mut state, &SourceClass::Others, T0);
    let known = state.class(&remote("192.0.2.1"), T0);
    fail_until_locked(&mut state, &known, T0);
    assert_eq!(state.locked(T0).len(), 2);
    state.unlock();
    assert_eq!((state.locked(T0).len(), state.failures()), (0, 0));
    assert_eq!(state.class(&remote("192.0.2.1"), T0), known);
}
