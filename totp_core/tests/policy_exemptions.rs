//! Enrolling inside a login, remembering, forecasts and news: the parts of a login that ask for no code, or for
//! more than one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::Counting;
use std::collections::BTreeSet;
use totp_core::account::NewFactor;
use totp_core::judge::{Attempt, forecast};
use totp_core::login_enrollment::AwaitingFirstCode;
use totp_core::otp::totp_at;
use totp_core::policy::{Action, Facts, FirstFactor, Peer, Policy, RemoteHost, Rule, Ruling};
use totp_core::recovery::RecoveryStorage;
use totp_core::remembered::{MAX_LENGTH, MAX_REMEMBERED, Remember, RememberBy, RememberKey, recall};
use totp_core::{Account, How, JudgeSettings, Origin, Outcome, Params, Reason, Time, Typed, UserName, judge};

const T0: Time = Time::from_unix(1_800_000_000);
const RULES: JudgeSettings =
    JudgeSettings { skew: 1, not_before: Time::from_unix(1_790_000_000), latest_grant: Time::from_unix(0) };

fn account() -> Account {
    Account::new(UserName::parse("alice").ok(), Some(1000), T0, &mut Counting(1)).unwrap()
}

fn enrolled() -> Account {
    let mut account = account();
    account
        .enroll(
            &NewFactor {
                params: Params::default(),
                lifetime: 3600,
                recovery_storage: RecoveryStorage::Hashed,
            },
            T0,
            &mut Counting(2),
        )
        .unwrap();
    let code = code_of(&account, T0);
    assert!(matches!(judged(&mut account, &code, T0, None).outcome, Outcome::Granted(_)));
    account
}

fn code_of(account: &Account, now: Time) -> String {
    let factor = account.active.as_ref().or(account.pending.as_ref()).unwrap();
    totp_at(factor.secrets.secret(), factor.params, now)
}

fn judged(
    account: &mut Account,
    code: &str,
    now: Time,
    remember: Option<(RememberKey, u64)>,
) -> totp_core::Judgement {
    let from = "192.0.2.7".to_owned();
    let attempt =
        Attempt { from, remember, silent: false, ..Attempt::plain(Origin::Local, Typed::parse(code)) };
    judge(account, &attempt, now, &RULES)
}

/// A proof of a first factor, as the policy makes it.
fn proof() -> FirstFactor {
    let policy = Policy { rules: vec![Rule { action: Action::Enroll, ..Rule::default() }] };
    let facts = Facts {
        user: "alice".into(),
        caller: None,
        ruser: None,
        service: Some("su".into()),
        rhost: RemoteHost::Local,
        peer: Peer::Root,
        ssh: vec![],
        first_factor_passed: true,
    };
    match policy.decide(&facts, &BTreeSet::new(), T0, RULES.not_before).ruling {
        Ruling::Enroll(proof) => proof,
        other => unreachable!("{other:?}"),
    }
}

fn enrolling(seed: u64) -> AwaitingFirstCode {
    AwaitingFirstCode::new(&proof(), Params::default(), RecoveryStorage::Hashed, T0, &mut Counting(seed))
        .unwrap()
}

fn key(address: &str) -> RememberKey {
    RememberKey::ssh_key(1000, "sshd", address, &["SHA256:x"]).unwrap()
}

#[test]
fn an_enrollment_is_made_by_its_first_code_and_one_of_its_recovery_codes_in_this_order() {
    let enrolling = enrolling(5);
    let code = totp_at(enrolling.secret(), enrolling.params(), T0);
    let (enrolling, reason) = enrolling.first_code(&Typed::parse("000000"), T0, &RULES).unwrap_err();
    assert_eq!(reason, Reason::Wrong);
    let (enrolling, reason) =
        enrolling.first_code(&Typed::parse("0000-0000-0000-0000"), T0, &RULES).unwrap_err();
    assert_eq!(reason, Reason::Wrong);
    let (enrolling, reason) =
        enrolling.first_code(&Typed::parse(&code), Time::from_unix(5), &RULES).unwrap_err();
    assert_eq!(reason, Reason::Clock);
    let noted = enrolling.first_code(&Typed::parse(&code), T0, &RULES).unwrap();
    let noted = noted.finish(&Typed::parse(&code), T0).unwrap_err();
    let noted = noted.finish(&Typed::parse("0000-0000-0000-0000"), T0).unwrap_err();
    let recovery = noted.recovery_codes()[4].reveal();
    let finished = noted.finish(&Typed::parse(&recovery), T0).unwrap();
    let mut account = account();
    let verified = finished.activate(&mut account, &Origin::Local, None, T0).unwrap();
    assert!(verified.confirmed() && verified.how() == How::Totp { offset: 0 });
    // The step is used up, the recovery codes are all there, and a second one finds the place taken.
    assert!(matches!(judged(&mut account, &code, T0, None).outcome, Outcome::Refused(Reason::Replayed)));
    assert_eq!(account.active.as_ref().unwrap().secrets.recovery_left(), 10);
    assert_eq!(finished.activate(&mut account, &Origin::Local, None, T0).map(drop), Err(Reason::Raced));
}

#[test]
fn what_an_administrator_staged_is_not_overwritten_by_an_enrollment() {
    let enrolling = enrolling(6);
    let code = totp_at(enrolling.secret(), enrolling.params(), T0);
    let noted = enrolling.first_code(&Typed::parse(&code), T0, &RULES).unwrap();
    let recovery = noted.recovery_codes()[0].reveal();
    let finished = noted.finish(&Typed::parse(&recovery), T0).unwrap();
    let mut account = account();
    account
        .enroll(
            &NewFactor { params: Params::default(), lifetime: 60, recovery_storage: RecoveryStorage::Hashed },
            T0,
            &mut Counting(7),
        )
        .unwrap();
    let before = account.clone();
    assert_eq!(finished.activate(&mut account, &Origin::Local, None, T0).map(drop), Err(Reason::Raced));
    assert_eq!(account, before);
    // Once it has expired the place is free.
    assert!(finished.activate(&mut account, &Origin::Local, None, T0.plus(60)).is_ok());
}

#[test]
fn a_grant_is_recalled_for_as_long_as_both_it_and_the_rule_say() {
    let mut account = enrolled();
    let hour = Remember { length: 3600, by: RememberBy::SshKey };
    let code = code_of(&account, T0.plus(30));
    let now = T0.plus(30);
    assert!(matches!(judged(&mut account, &code, now, Some((key("a"), 3600))).outcome, Outcome::Granted(_)));
    let recalled = |at: Time, rule: &Remember| recall(&account, &key("a"), at, rule).map(|proof| proof.how());
    assert_eq!(recalled(now.plus(3599), &hour), Some(How::Remembered { age: 3599 }));
    assert_eq!(recalled(now.plus(3600), &hour), None);
    assert_eq!(recalled(now.plus(60), &Remember { length: 60, ..hour }), None, "the rule was shortened");
    assert_eq!(recalled(now.plus(7200), &Remember { length: MAX_LENGTH, ..hour }), None, "and lengthened");
    assert_eq!(recalled(T0, &hour), None, "a clock that went back");
    assert!(recall(&account, &key("b"), now, &hour).is_none());
    let (mut revoked, mut forgotten) = (account.clone(), account.clone());
    revoked.revoke();
    assert_eq!(forgotten.forget_remembered(), 1);
    for ended in [revoked, forgotten] {
        assert!(recall(&ended, &key("a"), now, &hour).is_none());
    }
}

#[test]
fn a_refused_code_is_not_remembered_and_only_the_latest_grants_are() {
    let mut account = enrolled();
    judged(&mut account, "000000", T0, Some((key("a"), 3600)));
    assert!(account.active.as_ref().unwrap().remembered.is_empty());
    for n in 1..=u64::try_from(MAX_REMEMBERED).unwrap() + 3 {
        let now = T0.plus(30 * n);
        let code = code_of(&account, now);
        judged(&mut account, &code, now, Some((key(&n.to_string()), MAX_LENGTH)));
    }
    let kept = &account.active.as_ref().unwrap().remembered;
    assert_eq!(kept.len(), MAX_REMEMBERED);
    assert!(kept.iter().all(|grant| grant.key != key("3")) && kept.iter().any(|grant| grant.key == key("4")));
}

#[test]
fn a_forecast_changes_nothing_and_says_what_judging_would() {
    let enrolled = enrolled();
    let say = |account: Option<&Account>, now: Time| forecast(account, &Origin::Local, now, &RULES);
    assert_eq!(say(None, T0), Err(Reason::NotEnrolled));
    assert_eq!(say(Some(&account()), T0), Err(Reason::NotEnrolled));
    assert_eq!(say(Some(&enrolled), T0), Ok(()));
    assert_eq!(say(Some(&enrolled), Time::from_unix(T0.unix() - 3600)), Err(Reason::Clock));
    assert_eq!(say(Some(&enrolled), Time::from_unix(5)), Err(Reason::Clock));
    let mut pending = account();
    pending
        .enroll(
            &NewFactor { params: Params::default(), lifetime: 60, recovery_storage: RecoveryStorage::Hashed },
            T0,
            &mut Counting(9),
        )
        .unwrap();
    assert_eq!((say(Some(&pending), T0), say(Some(&pending), T0.plus(60))), (Ok(()), Err(Reason::Expired)));
    let mut locked = enrolled;
    for _ in 0..10 {
        judged(&mut locked, "000000", T0, None);
    }
    let before = locked.clone();
    assert_eq!(say(Some(&locked), T0), Err(Reason::Locked));
    assert_eq!(forecast(Some(&locked), &Origin::OwnProcess, T0, &RULES), Ok(()), "another class");
    assert_eq!(locked, before);
}

#[test]
fn news_is_told_once_and_a_recovery_code_at_the_login_after_it() {
    let mut account = enrolled();
    for _ in 0..5 {
        judged(&mut account, "000000", T0.plus(60), None);
    }
    let code = code_of(&account, T0.plus(90));
    let told = judged(&mut account, &code, T0.plus(90), None).notices;
    assert_eq!(
        told.refused_attempts().map(|(count, last)| (count, last.from.as_str())),
        Some((5, "192.0.2.7"))
    );
    let codes = account.replace_recovery_codes(RecoveryStorage::Hashed, &mut Counting(11)).unwrap().unwrap();
    let told = judged(&mut account, &codes[0].reveal(), T0.plus(120), None).notices;
    assert!(told.is_empty(), "neither twice, nor in the login itself");
    let code = code_of(&account, T0.plus(150));
    let told = judged(&mut account, &code, T0.plus(150), None).notices;
    assert_eq!(told.recovery_uses().len(), 1);
    assert_eq!(told.refused_attempts(), None);
}
