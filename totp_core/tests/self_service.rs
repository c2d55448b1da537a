//! Malware that gets one code can log in once, and never takes over the factor.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::Counting;
use proptest::prelude::*;
use totp_core::judge::NoticeDisplay;
use totp_core::new_factor::NewFactor;
use totp_core::otp::totp_at;
use totp_core::recovery::RecoveryCode;
use totp_core::self_service::{ChangeKind, ChangeRefused, NextStep, StagedChange};
use totp_core::time::{DAY, HOUR};
use totp_core::{
    Account, Attempt, JudgeSettings, Origin, Outcome, Params, Reason, Secret, Time, Typed, UserName, judge,
};

const T0: Time = Time::from_unix(1_800_000_000);
const SETTINGS: JudgeSettings =
    JudgeSettings { skew: 1, not_before: Time::from_unix(1_700_000_000), latest_grant: Time::from_unix(0) };

fn new_factor() -> NewFactor {
    NewFactor { lifetime: DAY, ..NewFactor::default() }
}

fn enrolled() -> (Account, Vec<RecoveryCode>) {
    let mut account = Account::new(UserName::parse("alice").ok(), Some(1), T0, &mut Counting(1)).unwrap();
    let codes = account.enroll(&new_factor(), T0, &mut Counting(2)).unwrap();
    let secret = account.pending.as_ref().unwrap().secrets.secret().clone();
    assert!(granted(&mut account, quiet(Origin::Local), &secret, T0));
    (account, codes)
}

fn remote(host: u8) -> Origin {
    Origin::Remote([192, 0, 2, host].into())
}

fn quiet(origin: Origin) -> Attempt {
    Attempt::plain(origin, Err(totp_core::RejectedInput::Empty))
}

/// A login whose messages are shown.
fn loud(origin: Origin) -> Attempt {
    Attempt { silent: false, display: Some(NoticeDisplay::default()), ..quiet(origin) }
}

fn outcome(account: &mut Account, attempt: Attempt, secret: &Secret, now: Time) -> Outcome {
    let input = Typed::parse(&totp_at(secret, Params::default(), now));
    judge(account, &Attempt { input, ..attempt }, now, &SETTINGS).outcome
}

fn granted(account: &mut Account, attempt: Attempt, secret: &Secret, now: Time) -> bool {
    matches!(outcome(account, attempt, secret, now), Outcome::Granted(_))
}

fn secret(account: &Account) -> Secret {
    account.active.as_ref().unwrap().secrets.secret().clone()
}

/// Stages a replacement as self-service does, with a code of the old factor that was judged.
fn staged(account: &mut Account, now: Time) -> Secret {
    let old = secret(account);
    assert_eq!(account.next_step(ChangeKind::Replace, None, now), Ok(NextStep::Stage));
    assert!(granted(account, quiet(Origin::OwnProcess), &old, now));
    let change = StagedChange::new(ChangeKind::Replace, now, DAY, DAY, "this host");
    account.stage_replacement(&new_factor(), change, now, &mut Counting(now.unix())).unwrap();
    account.pending.as_ref().unwrap().secrets.secret().clone()
}

#[test]
fn a_replacement_needs_the_delay_and_a_login_that_showed_it() {
    let (mut account, _) = enrolled();
    let old = secret(&account);
    let new = staged(&mut account, T0.plus(60));
    assert_eq!(account.pending_expires(), Some(T0.plus(60 + 2 * DAY)), "its lifetime begins after the delay");
    // Before the delay, and after it without a login.
    for now in [T0.plus(120), T0.plus(60 + DAY)] {
        let refused = outcome(&mut account, loud(Origin::Local), &new, now);
        assert!(matches!(refused, Outcome::Refused(Reason::NotRipe)), "{refused:?}");
    }
    assert_eq!(account.lock_state.failures(), 0, "a code of the staged factor is no guess");
    assert!(granted(&mut account, loud(Origin::Local), &old, T0.plus(120 + DAY)));
    assert!(granted(&mut account, quiet(Origin::Local), &new, T0.plus(150 + DAY)));
    assert!(!granted(&mut account, quiet(Origin::Local), &old, T0.plus(300 + DAY)));
    assert!(account.staged().is_none());
}

#[test]
fn only_a_login_from_a_known_source_shows_notices() {
    let is_shown = |account: &Account| account.staged().unwrap().shown_at.is_some();
    let at = |n: u64| T0.plus(60 * (n + 2));
    // No known source: any login whose messages a program of root shows counts, and no other.
    let (mut account, _) = enrolled();
    let old = secret(&account);
    staged(&mut account, at(0));
    let not_counting = [
        quiet(Origin::Local),
        Attempt { display: None, ..loud(Origin::Local) },
        loud(Origin::OwnProcess),
        loud(Origin::Unproven),
        loud(Origin::Client("shop".into())),
    ];
    for (n, attempt) in (1..).zip(not_counting) {
        assert!(granted(&mut account, attempt, &old, at(n)));
        assert!(!is_shown(&account), "{n}");
    }
    assert!(granted(&mut account, loud(remote(1)), &old, at(9)));
    assert!(is_shown(&account));
    // A known source: only logins from there count.
    let (mut account, _) = enrolled();
    let old = secret(&account);
    assert!(granted(&mut account, loud(remote(1)), &old, at(0)));
    staged(&mut account, at(1));
    let elsewhere = [
        loud(Origin::Local),
        loud(remote(2)),
        loud(Origin::ThisHost),
        // A success does not make it known.
        loud(Origin::ThisHost),
        Attempt { silent: true, ..loud(remote(1)) },
    ];
    for (n, attempt) in (2..).zip(elsewhere) {
        assert!(granted(&mut account, attempt, &old, at(n)));
        assert!(!is_shown(&account), "{n}");
    }
    assert!(granted(&mut account, loud(remote(1)), &old, at(20)));
    assert!(is_shown(&account));
}

#[test]
fn notices_of_changes_are_kept_until_they_count_as_read() {
    let (mut account, _) = enrolled();
    let old = secret(&account);
    assert!(granted(&mut account, loud(remote(1)), &old, T0.plus(60)));
    account.notices.record_change(totp_core::notices::FactorChange::RecoveryCodes, T0.plus(61), "this host");
    let mut shown = |attempt: Attempt, now| {
        let input = Typed::parse(&totp_at(&old, Params::default(), now));
        let judgement = judge(&mut account, &Attempt { input, ..attempt }, now, &SETTINGS);
        judgement.notices.changes().len()
    };
    assert_eq!(shown(loud(remote(9)), T0.plus(120)), 1, "an attacker's login shows it");
    assert_eq!(shown(Attempt { silent: true, ..loud(remote(1)) }, T0.plus(180)), 0);
    assert_eq!(shown(loud(remote(1)), T0.plus(240)), 1, "and the user's login still does");
    assert_eq!(shown(loud(remote(1)), T0.plus(300)), 0);
}

#[test]
fn an_answered_question_counts_and_a_grant_alone_does_not() {
    let (mut account, _) = enrolled();
    let old = secret(&account);
    staged(&mut account, T0.plus(60));
    account.notices.record_change(totp_core::notices::FactorChange::Cancelled, T0.plus(61), "this host");
    let shown = Some(NoticeDisplay { can_ask: true });
    let login = |account: &mut Account, now| {
        let input = Typed::parse(&totp_at(&old, Params::default(), now));
        judge(account, &Attempt { display: shown, input, ..loud(Origin::Local) }, now, &SETTINGS)
    };
    for n in 2..4 {
        // The question was not answered: it is asked again.
        let judgement = login(&mut account, T0.plus(60 * n));
        assert!(
            judgement.unread
                && judgement.notices.staged().is_some()
                && judgement.notices.changes().len() == 1
        );
        assert!(account.staged().unwrap().shown_at.is_none());
    }
    let judgement = login(&mut account, T0.plus(300));
    // A change that was made meanwhile was not shown.
    account.notices.record_change(totp_core::notices::FactorChange::RecoveryCodes, T0.plus(310), "this host");
    account.acknowledge_notices(&judgement.notices, T0.plus(320));
    assert_eq!(account.staged().unwrap().shown_at, Some(T0.plus(320)));
    assert_eq!(account.notices.changes().len(), 1);
    // An answer about a cancelled change does not count for the change that is staged now.
    account.cancel(T0.plus(330), "this host").unwrap();
    staged(&mut account, T0.plus(360));
    account.acknowledge_notices(&judgement.notices, T0.plus(370));
    assert!(account.staged().unwrap().shown_at.is_none());
}

#[test]
fn one_change_at_a_time_and_two_cancels_a_week() {
    let (mut account, _) = enrolled();
    staged(&mut account, T0.plus(60));
    for kind in [ChangeKind::Replace, ChangeKind::Remove, ChangeKind::RecoveryCodes] {
        assert!(matches!(
            account.next_step(kind, None, T0.plus(90)),
            Err(ChangeRefused::AlreadyStaged(Some(_)))
        ));
    }
    account.cancel(T0.plus(120), "this host").unwrap();
    assert!(account.pending.is_none(), "its secret is gone");
    assert_eq!(account.cancel(T0.plus(120), "this host"), Err(ChangeRefused::NothingStaged));
    staged(&mut account, T0.plus(180));
    account.cancel(T0.plus(240), "this host").unwrap();
    assert_eq!(
        account.next_step(ChangeKind::Replace, None, T0.plus(300)),
        Err(ChangeRefused::CancelledTwice)
    );
    // Setting the clock back does not help; waiting for a week does.
    assert_eq!(account.next_step(ChangeKind::Remove, None, T0), Err(ChangeRefused::CancelledTwice));
    assert_eq!(account.next_step(ChangeKind::Replace, None, T0.plus(120 + 7 * DAY)), Ok(NextStep::Stage));
    // The user can neither cancel nor replace what an administrator has staged.
    account.enroll(&new_factor(), T0.plus(300), &mut Counting(7)).unwrap();
    assert_eq!(
        account.next_step(ChangeKind::Replace, None, T0.plus(330)),
        Err(ChangeRefused::AlreadyStaged(None))
    );
    assert_eq!(account.cancel(T0.plus(330), "this host"), Err(ChangeRefused::NothingStaged));
}

#[test]
fn a_removal_needs_a_second_code_and_expires() {
    let (mut account, _) = enrolled();
    let old = secret(&account);
    let change = StagedChange::new(ChangeKind::Remove, T0.plus(60), DAY, DAY, "this host");
    account.stage_change(change, None);
    assert!(granted(&mut account, loud(Origin::Local), &old, T0.plus(90)));
    assert!(account.next_step(ChangeKind::Remove, None, T0.plus(59 + DAY)).is_err());
    assert_eq!(account.next_step(ChangeKind::Remove, None, T0.plus(60 + DAY)), Ok(NextStep::CarryOut));
    assert!(account.next_step(ChangeKind::RecoveryCodes, None, T0.plus(60 + DAY)).is_err(), "another change");
    account.expire_pending(T0.plus(60 + 2 * DAY));
    assert!(account.staged().is_none() && account.active.is_some());
}

#[test]
fn recovery_codes_let_in_until_a_lost_phone_is_replaced() {
    let (mut account, codes) = enrolled();
    let new = staged(&mut account, T0.plus(60));
    let typed = Typed::parse(&codes[0].reveal());
    let attempt = Attempt { input: typed, ..loud(Origin::Local) };
    assert!(matches!(judge(&mut account, &attempt, T0.plus(HOUR), &SETTINGS).outcome, Outcome::Granted(_)));
    assert!(granted(&mut account, loud(Origin::Local), &new, T0.plus(60 + DAY)));
}

#[derive(Clone, Debug)]
enum Act {
    /// The attacker stages a change with the stolen code, once.
    Stage(ChangeKind),
    /// The attacker logs in with the staged secret.
    LoginWithNew(Origin, bool),
    /// The attacker confirms the staged factor alone, as `totpd confirm` does.
    Confirm,
    /// The user logs in.
    Login(Origin, bool),
    /// A process of the user proves a code.
    OwnProcess,
}

fn acts() -> impl Strategy<Value = Act> {
    let origins = || {
        prop_oneof![
            Just(Origin::Local),
            Just(Origin::OwnProcess),
            Just(Origin::Unproven),
            Just(Origin::ThisHost),
            (0u8..3).prop_map(remote),
        ]
    };
    let kinds =
        prop::sample::select(vec![ChangeKind::Replace, ChangeKind::Remove, ChangeKind::RecoveryCodes]);
    prop_oneof![
        kinds.prop_map(Act::Stage),
        (origins(), any::<bool>()).prop_map(|(origin, silent)| Act::LoginWithNew(origin, silent)),
        Just(Act::Confirm),
        (origins(), any::<bool>()).prop_map(|(origin, silent)| Act::Login(origin, silent)),
        Just(Act::OwnProcess),
    ]
}

proptest! {
    /// Whatever an attacker does with one code, the factor stays until the delay is over and a
    /// login has shown the notice.
    #[test]
    fn a_new_secret_needs_the_delay_and_a_login_that_showed_it(
        acts in prop::collection::vec((30u64..30_000, acts()), 1..60)
    ) {
        let (mut account, _) = enrolled();
        let old = secret(&account);
        let (mut now, mut stolen, mut new) = (T0, Some(()), None::<Secret>);
        let (mut staged_at, mut is_shown, mut is_known) = (None, false, false);
        for (seconds, act) in acts {
            now = now.plus(seconds + 90);
            account.expire_pending(now);
            match act {
                Act::Stage(kind) => {
                    if account.next_step(kind, None, now) != Ok(NextStep::Stage) || stolen.take().is_none() {
                        continue;
                    }
                    let change = StagedChange::new(kind, now, DAY, DAY, "this host");
                    if kind == ChangeKind::Replace {
                        account.stage_replacement(&new_factor(), change, now, &mut Counting(now.unix())).unwrap();
                        new = account.pending.as_ref().map(|f| f.secrets.secret().clone());
                    } else {
                        account.stage_change(change, None);
                    }
                    staged_at = Some(now);
                }
                Act::LoginWithNew(origin, silent) => {
                    let Some(new) = &new else { continue };
                    let attempt = Attempt { silent, ..loud(origin) };
                    if granted(&mut account, attempt, new, now) {
                        prop_assert!(is_shown && now >= staged_at.unwrap().plus(DAY));
                        return Ok(());
                    }
                }
                Act::Confirm => {
                    let Some(new) = &new else { continue };
                    let active = account.active.take();
                    let confirmed = granted(&mut account, quiet(Origin::OwnProcess), new, now);
                    if confirmed {
                        prop_assert!(is_shown && now >= staged_at.unwrap().plus(DAY));
                        return Ok(());
                    }
                    account.active = active;
                }
                Act::Login(origin, silent) => {
                    let attempt = Attempt { silent, ..loud(origin.clone()) };
                    let is_remote = matches!(origin, Origin::Remote(_));
                    let was_known = account.lock_state.class(&origin, now).as_str() == "known";
                    if granted(&mut account, attempt, &old, now) {
                        let counts = if is_known { is_remote && was_known } else { matches!(origin, Origin::Local | Origin::ThisHost | Origin::Remote(_)) };
                        is_shown |= staged_at.is_some() && !silent && counts;
                        is_known |= is_remote;
                    }
                }
                Act::OwnProcess => {
                    let _ = granted(&mut account, quiet(Origin::OwnProcess), &old, now);
                }
            }
            prop_assert!(account.active.is_some(), "the factor is gone");
            let stays = account.active.as_ref().unwrap().secrets.secret() == &old;
            prop_assert!(stays);
        }
    }
}
