use super::*;
use crate::judge::{Attempt, Outcome, Reason, judge};
use crate::judge_settings::JudgeSettings;
use crate::otp::totp_at;
use crate::random::testing::Counting;
use crate::{Origin, Typed};
use proptest::prelude::*;

const NOW: Time = Time::from_unix(1_800_000_000);

fn account() -> Account {
    Account::blank("user-1".to_owned(), None, None, NOW)
}

fn new() -> NewFactor {
    NewFactor { lifetime: 3600, ..NewFactor::default() }
}

fn given(steps: &[u64]) -> GivenSecret {
    let secret = Secret::from_bytes(b"12345678901234567890").unwrap();
    GivenSecret::new(secret, ShortSecret::Refuse).unwrap().with_used_steps(steps)
}

fn outcome(account: &mut Account, shown_at: Time, now: Time) -> Result<(), Reason> {
    let code = totp_at(&given(&[]).secret, Params::default(), shown_at);
    let settings = JudgeSettings { skew: 1, not_before: Time::default(), latest_grant: Time::default() };
    let attempt = Attempt::plain(Origin::Local, Typed::parse(&code));
    match judge(account, &attempt, now, &settings).outcome {
        Outcome::Granted(_) => Ok(()),
        Outcome::Refused(reason) => Err(reason),
    }
}

#[test]
fn no_code_that_could_have_been_used_elsewhere_works() {
    let mut account = account();
    account.enroll_given(&new(), &given(&[]), 1, NOW, &mut Counting(1)).unwrap();
    for shown_at in [NOW, NOW.plus(30)] {
        assert_eq!(outcome(&mut account, shown_at, NOW), Err(Reason::Replayed));
        assert_eq!(outcome(&mut account, shown_at, shown_at), Err(Reason::Replayed));
    }
    assert_eq!(account.lock_state.failures(), 0, "a right code is no guess");
    let from = accepted_from(Params::default(), account.pending.as_ref().unwrap().last_step.unwrap());
    assert_eq!(from, NOW.plus(60));
    assert_eq!(outcome(&mut account, from, from), Ok(()));
    assert_eq!(outcome(&mut account, from, from), Err(Reason::Replayed));
}

#[test]
fn the_secret_in_use_is_refused_and_no_code_works_twice() {
    let mut account = account();
    account.enroll_given(&new(), &given(&[]), 1, NOW, &mut Counting(1)).unwrap();
    let from = NOW.plus(60);
    assert_eq!(outcome(&mut account, from, from), Ok(()));
    let before = account.clone();
    let again = account.enroll_given(&new(), &given(&[]), 1, from, &mut Counting(2));
    assert_eq!(again.unwrap_err(), GivenRefused::InUse);
    assert_eq!(account, before);
    // Should two factors share a secret all the same, a code of the active one proves no other.
    account.enroll(&new(), from, &mut Counting(2)).unwrap();
    account.pending.as_mut().unwrap().secrets.secret = given(&[]).secret;
    let next = from.plus(30);
    assert_eq!(outcome(&mut account, next, next), Ok(()));
    assert_eq!(outcome(&mut account, next, next), Err(Reason::Replayed));
    assert!(account.pending.is_some(), "not confirmed");
}

#[test]
fn codes_used_elsewhere_ahead_of_the_clock_stay_used() {
    let step = NOW.unix() / 30 + 20;
    let mut account = account();
    account.enroll_given(&new(), &given(&[step, step - 1]), 1, NOW, &mut Counting(1)).unwrap();
    let shown_at = Time::from_unix(step * 30);
    assert_eq!(outcome(&mut account, shown_at, shown_at), Err(Reason::Replayed));
    assert_eq!(outcome(&mut account, shown_at.plus(30), shown_at.plus(30)), Ok(()));
}

#[test]
fn a_used_step_of_next_week_is_refused_and_changes_nothing() {
    let mut account = account();
    let step = (NOW.unix() + 7 * DAY) / 30;
    let refused = account.enroll_given(&new(), &given(&[step]), 1, NOW, &mut Counting(1));
    assert_eq!(refused.unwrap_err(), GivenRefused::UsedInFuture);
    let refused = account.enroll_given(&new(), &given(&[u64::MAX]), 1, NOW, &mut Counting(1));
    assert_eq!(refused.unwrap_err(), GivenRefused::UsedInFuture);
    assert!(!account.has_factor());
}

#[test]
fn an_import_never_makes_a_factor_active_beside_another() {
    let mut account = account();
    assert!(!account.activate_imported(NOW), "nothing is pending");
    account.enroll_given(&new(), &given(&[]), 1, NOW, &mut Counting(1)).unwrap();
    assert!(account.activate_imported(NOW));
    let first = account.active.clone();
    let other = Secret::from_bytes(b"another of 128 bits.").unwrap();
    let other = GivenSecret::new(other, ShortSecret::Refuse).unwrap();
    account.enroll_given(&new(), &other, 1, NOW, &mut Counting(9)).unwrap();
    assert!(!account.activate_imported(NOW));
    assert_eq!(account.active, first);
}

proptest! {
    #[test]
    fn every_used_step_is_refused(steps in prop::collection::vec(59_999_000_u64..60_000_040, 0..40)) {
        let mut account = account();
        account.enroll_given(&new(), &given(&steps), 1, NOW, &mut Counting(1)).unwrap();
        prop_assert!(account.activate_imported(NOW));
        let active = account.active.unwrap();
        prop_assert!(active.used_steps.len() <= USED_STEPS);
        for step in steps {
            prop_assert!(active.last_step >= Some(step));
        }
        prop_assert!(active.last_step >= Some(60_000_001));
    }
}
