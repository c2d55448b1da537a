use super::*;

const T0: Time = Time::from_unix(1_800_000_000);

fn remote(text: &str) -> Origin {
    Origin::Remote(text.parse().unwrap())
}

fn fail_until_locked(guard: &mut LockState, class: &SourceClass, now: Time) -> u32 {
    let mut tries = 0;
    while guard.remaining(class, now) == 0 {
        guard.fail(class, now);
        tries += 1;
    }
    tries
}

#[test]
fn ten_failures_lock_for_an_hour_then_one_for_two_and_so_on_to_a_day() {
    let mut guard = LockState::default();
    let mut now = T0;
    let expected = [(10, 1), (1, 2), (1, 4), (1, 8), (1, 16), (1, 24)];
    for (tries, hours) in expected {
        assert_eq!(fail_until_locked(&mut guard, &SourceClass::Local, now), tries);
        assert_eq!(guard.remaining(&SourceClass::Local, now), hours * HOUR);
        now = now.plus(hours * HOUR);
        assert_eq!(guard.remaining(&SourceClass::Local, now), 0);
    }
}

#[test]
fn quiet_days_halve_the_next_lock() {
    let mut guard = LockState::default();
    fail_until_locked(&mut guard, &SourceClass::OwnProcess, T0);
    fail_until_locked(&mut guard, &SourceClass::OwnProcess, T0.plus(HOUR)); // two hours
    let later = T0.plus(HOUR + DAY);
    assert_eq!(fail_until_locked(&mut guard, &SourceClass::OwnProcess, later), 1);
    assert_eq!(guard.remaining(&SourceClass::OwnProcess, later), 2 * HOUR);
    let much_later = later.plus(10 * DAY);
    assert_eq!(fail_until_locked(&mut guard, &SourceClass::OwnProcess, much_later), FAILURES_TO_LOCK);
}

#[test]
fn a_stranger_locks_no_class_of_the_user() {
    let mut guard = LockState::default();
    guard.succeed(&SourceClass::Others, &remote("192.0.2.1"), T0);
    let stranger = guard.class(&remote("198.51.100.9"), T0);
    assert_eq!(stranger, SourceClass::Others);
    fail_until_locked(&mut guard, &stranger, T0);
    for class in [guard.class(&remote("192.0.2.1"), T0), SourceClass::Local, SourceClass::OwnProcess] {
        assert_eq!(guard.remaining(&class, T0), 0, "{class:?}");
    }
}

#[test]
fn strangers_together_fail_thirty_times_a_day_whatever_succeeds() {
    let mut guard = LockState::default();
    let mut judged = 0;
    for second in 0..DAY {
        let now = T0.plus(second);
        if guard.remaining(&SourceClass::Others, now) == 0 {
            guard.fail(&SourceClass::Others, now);
            judged += 1;
            guard.succeed(&SourceClass::Others, &remote("203.0.113.5"), now);
        }
    }
    assert_eq!(judged, BUDGET);
    assert!(guard.remaining(&SourceClass::Others, T0.plus(DAY - 1)) > 0);
    assert_eq!(guard.remaining(&SourceClass::Others, T0.plus(DAY)), 0);
}

#[test]
fn another_local_user_locks_neither_the_user_nor_others() {
    let mut guard = LockState::default();
    let (eve, mallory) = (SourceClass::LocalStranger(7102), SourceClass::LocalStranger(7103));
    assert_eq!(fail_until_locked(&mut guard, &eve, T0), FAILURES_TO_LOCK);
    for free in
        [&mallory, &SourceClass::Local, &SourceClass::OwnProcess, &SourceClass::Console, &SourceClass::Others]
    {
        assert_eq!(guard.remaining(free, T0), 0, "{free:?}");
    }
    assert_eq!(guard.locked(T0).len(), 1);
    // The lock passes after an hour; the day's budget of one uid does not.
    assert!(guard.remaining(&eve, T0.plus(DAY - 1)) > 0);
    assert_eq!(guard.remaining(&eve, T0.plus(DAY)), 0);
}

#[test]
fn local_users_together_fail_thirty_times_a_day() {
    let mut guard = LockState::default();
    let mut judged = 0;
    for uid in 0..1_000 {
        judged += fail_until_locked(&mut guard, &SourceClass::LocalStranger(uid), T0.plus(u64::from(uid)));
    }
    assert_eq!(judged, 30);
    assert!(guard.strangers.len() <= 4, "who was never judged takes no memory");
    let later = T0.plus(3 * DAY);
    guard.fail(&SourceClass::LocalStranger(5000), later);
    assert_eq!(guard.strangers.len(), 1, "who is forgiven is forgotten");
}

#[test]
fn who_shares_the_users_address_fails_thirty_times_a_day_whatever_succeeds_there() {
    let mut guard = LockState::default();
    guard.succeed(&SourceClass::Others, &remote("192.0.2.1"), T0);
    let known = guard.class(&remote("192.0.2.1"), T0);
    let mut judged = 0;
    for minute in 0..DAY / 60 {
        let now = T0.plus(minute * 60);
        if guard.remaining(&known, now) == 0 {
            guard.fail(&known, now);
            judged += 1;
        }
        // The user logs in there every five minutes, while it is not locked.
        if minute % 5 == 0 && guard.remaining(&known, now) == 0 {
            guard.succeed(&known, &remote("192.0.2.1"), now);
        }
    }
    assert_eq!(judged, BUDGET);
    assert_eq!(guard.remaining(&SourceClass::Local, T0.plus(DAY - 1)), 0, "her sudo is not theirs to lock");
}

#[test]
fn sixteen_sources_are_known_for_thirty_days() {
    let mut guard = LockState::default();
    for i in 0..17 {
        guard.succeed(&SourceClass::Others, &remote(&format!("192.0.2.{i}")), T0.plus(i));
    }
    assert_eq!(guard.class(&remote("192.0.2.0"), T0), SourceClass::Others);
    assert_eq!(guard.class(&remote("192.0.2.16"), T0).as_str(), "known");
    assert_eq!(guard.class(&remote("192.0.2.16"), T0.plus(31 * DAY)), SourceClass::Others);
}

#[test]
fn a_clock_set_back_makes_nobody_wait_longer_than_one_lock() {
    let mut guard = LockState::default();
    fail_until_locked(&mut guard, &SourceClass::Others, T0);
    let earlier = Time::from_unix(T0.unix() - 400 * DAY);
    assert_eq!(guard.remaining(&SourceClass::Others, earlier), HOUR);
    assert_eq!(guard.remaining(&SourceClass::Others, earlier.plus(HOUR)), 0);
}

#[test]
fn unlock_forgets_failures_and_keeps_sources() {
    let mut guard = LockState::default();
    guard.succeed(&SourceClass::Others, &remote("192.0.2.1"), T0);
    fail_until_locked(&mut guard, &SourceClass::Others, T0);
    let known = guard.class(&remote("192.0.2.1"), T0);
    fail_until_locked(&mut guard, &known, T0);
    assert_eq!(guard.locked(T0).len(), 2);
    guard.unlock();
    assert_eq!((guard.locked(T0).len(), guard.failures()), (0, 0));
    assert_eq!(guard.class(&remote("192.0.2.1"), T0), known);
}
