//! Logins that ask for no code or for more than one: enrollment during a login, remembered logins,
//! forecasts and notices.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::Counting;
use std::collections::BTreeSet;
use totp_core::judge::{Attempt, forecast};
use totp_core::login_enrollment::AwaitingFirstCode;
use totp_core::new_factor::NewFactor;
use totp_core::otp::totp_at;
use totp_core::policy::{Action, Facts, FirstFactor, Moment, Peer, Policy, RemoteHost, Rule, Ruling};
use totp_core::recovery::RecoveryStorage;
use totp_core::remember::recall;
use totp_core::remembered::{MAX_LENGTH, MAX_REMEMBERED, Remember, RememberBy, RememberKey};
use totp_core::{Account, How, JudgeSettings, Origin, Outcome, Params, Reason, Time, Typed, UserName, judge};

const T0: Time = Time::from_unix(1_800_000_000);
const SETTINGS: JudgeSettings =
    JudgeSettings { skew: 1, not_before: Time::from_unix(1_790_000_000), latest_grant: Time::from_unix(0) };

fn account() -> Account {
    Account::new(UserName::parse("alice").ok(), Some(1000), T0, &mut Counting(1)).unwrap()
}

fn enrolled() -> Account {
    let mut account = account();
    account.enroll(&NewFactor { lifetime: 3600, ..NewFactor::default() }, T0, &mut Counting(2)).unwrap();
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
    judge(account, &attempt, now, &SETTINGS)
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
    match policy.decide(&facts, &BTreeSet::new(), Moment { now: T0, not_before: SETTINGS.not_before }).ruling
    {
        Ruling::Enroll(proof) => proof,
        other => unreachable!("{other:?}"),
    }
}

fn awaiting_first_code(seed: u64) -> AwaitingFirstCode {
    AwaitingFirstCode::new(&proof(), Params::default(), RecoveryStorage::Hashed, T0, &mut Counting(seed))
        .unwrap()
}

fn key(address: &str) -> RememberKey {
    RememberKey::ssh_key(1000, "sshd", address, &["SHA256:x"]).unwrap()
}

#[test]
fn enrollment_needs_a_first_code_and_then_a_recovery_code() {
    let enrolling = awaiting_first_code(5);
    let code = totp_at(enrolling.secret(), enrolling.params(), T0);
    let (enrolling, reason) = enrolling.first_code(&Typed::parse("000000"), T0, &SETTINGS).unwrap_err();
    assert_eq!(reason, Reason::Wrong);
    let (enrolling, reason) =
        enrolling.first_code(&Typed::parse("0000-0000-0000-0000"), T0, &SETTINGS).unwrap_err();
    assert_eq!(reason, Reason::Wrong);
    let (enrolling, reason) =
        enrolling.first_code(&Typed::parse(&code), Time::from_unix(5), &SETTINGS).unwrap_err();
    assert_eq!(reason, Reason::Clock);
    let awaiting = enrolling.first_code(&Typed::parse(&code), T0, &SETTINGS).unwrap();
    let awaiting = awaiting.finish(&Typed::parse(&code), T0).unwrap_err();
    let awaiting = awaiting.finish(&Typed::parse("0000-0000-0000-0000"), T0).unwrap_err();
    let recovery = awaiting.recovery_codes()[4].reveal();
    let ready = awaiting.finish(&Typed::parse(&recovery), T0).unwrap();
    let mut account = account();
    let verified = ready.activate(&mut account, &Origin::Local, None, T0).unwrap();
    assert!(verified.confirmed() && verified.how() == How::Totp { offset: 0 });
    // The step is used, no recovery code is spent, and a second activation is refused.
    assert!(matches!(judged(&mut account, &code, T0, None).outcome, Outcome::Refused(Reason::Replayed)));
    assert_eq!(account.active.as_ref().unwrap().secrets.recovery_left(), 10);
    assert_eq!(ready.activate(&mut account, &Origin::Local, None, T0).map(drop), Err(Reason::Raced));
}

#[test]
fn an_interrupted_enrollment_starts_again_without_its_used_code() {
    let enrolling = awaiting_first_code(8);
    let codes = [T0, T0.plus(30)].map(|at| totp_at(enrolling.secret(), enrolling.params(), at));
    let [first, later] = codes.each_ref().map(|code| Typed::parse(code));
    let awaiting = enrolling.clone().first_code(&first, T0, &SETTINGS).unwrap();
    let again = awaiting.start_again(RecoveryStorage::Hashed, &mut Counting(9)).unwrap();
    assert!(again.secret() == enrolling.secret() && again.totp_id() == enrolling.totp_id());
    let (again, reason) = again.first_code(&first, T0, &SETTINGS).unwrap_err();
    assert_eq!(reason, Reason::Replayed);
    let again = again.first_code(&later, T0.plus(30), &SETTINGS).unwrap();
    let shown_before = awaiting.recovery_codes()[0].reveal();
    let again = again.finish(&Typed::parse(&shown_before), T0.plus(30)).unwrap_err();
    let recovery = again.recovery_codes()[0].reveal();
    let ready = again.finish(&Typed::parse(&recovery), T0.plus(30)).unwrap();
    let mut account = account();
    assert!(ready.activate(&mut account, &Origin::Local, None, T0.plus(30)).is_ok());
    for used in codes {
        let judged = judged(&mut account, &used, T0.plus(30), None);
        assert!(matches!(judged.outcome, Outcome::Refused(Reason::Replayed)));
    }
}

#[test]
fn enrolling_at_login_does_not_replace_a_pending_factor() {
    let enrolling = awaiting_first_code(6);
    let code = totp_at(enrolling.secret(), enrolling.params(), T0);
    let awaiting = enrolling.first_code(&Typed::parse(&code), T0, &SETTINGS).unwrap();
    let recovery = awaiting.recovery_codes()[0].reveal();
    let ready = awaiting.finish(&Typed::parse(&recovery), T0).unwrap();
    let mut account = account();
    account.enroll(&NewFactor { lifetime: 60, ..NewFactor::default() }, T0, &mut Counting(7)).unwrap();
    let before = account.clone();
    assert_eq!(ready.activate(&mut account, &Origin::Local, None, T0).map(drop), Err(Reason::Raced));
    assert_eq!(account, before);
    // When the pending factor has expired, the enrollment succeeds.
    assert!(ready.activate(&mut account, &Origin::Local, None, T0.plus(60)).is_ok());
}

#[test]
fn a_grant_is_recalled_within_its_length_and_the_rules() {
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
    assert_eq!(recalled(T0, &hour), None, "a clock that was set back");
    assert!(recall(&account, &key("b"), now, &hour).is_none());
    let (mut revoked, mut forgotten) = (account.clone(), account.clone());
    revoked.revoke();
    assert_eq!(forgotten.forget_remembered(), 1);
    for ended in [revoked, forgotten] {
        assert!(recall(&ended, &key("a"), now, &hour).is_none());
    }
}

#[test]
fn only_the_latest_grants_are_remembered() {
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
fn a_forecast_predicts_the_judgement_and_changes_nothing() {
    let enrolled = enrolled();
    let predict = |account: Option<&Account>, now: Time| forecast(account, &Origin::Local, now, &SETTINGS);
    assert_eq!(predict(None, T0), Err(Reason::NotEnrolled));
    assert_eq!(predict(Some(&account()), T0), Err(Reason::NotEnrolled));
    assert_eq!(predict(Some(&enrolled), T0), Ok(()));
    assert_eq!(predict(Some(&enrolled), Time::from_unix(T0.unix() - 3600)), Err(Reason::Clock));
    assert_eq!(predict(Some(&enrolled), Time::from_unix(5)), Err(Reason::Clock));
    let mut pending = account();
    pending.enroll(&NewFactor { lifetime: 60, ..NewFactor::default() }, T0, &mut Counting(9)).unwrap();
    assert_eq!(
        (predict(Some(&pending), T0), predict(Some(&pending), T0.plus(60))),
        (Ok(()), Err(Reason::Expired))
    );
    let mut locked = enrolled;
    for _ in 0..10 {
        judged(&mut locked, "000000", T0, None);
    }
    let before = locked.clone();
    assert_eq!(predict(Some(&locked), T0), Err(Reason::Locked));
    assert_eq!(forecast(Some(&locked), &Origin::OwnProcess, T0, &SETTINGS), Ok(()), "another class");
    assert_eq!(locked, before);
}

#[test]
fn notices_are_shown_once_at_the_next_login() {
    let mut account = enrolled();
    for _ in 0..5 {
        judged(&mut account, "000000", T0.plus(60), None);
    }
    let code = code_of(&account, T0.plus(90));
    let notices = judged(&mut account, &code, T0.plus(90), None).notices;
    assert_eq!(
        notices.refused_attempts().map(|(count, last)| (count, last.from.as_str())),
        Some((5, "192.0.2.7"))
    );
    let codes = account.replace_recovery_codes(RecoveryStorage::Hashed, &mut Counting(11)).unwrap().unwrap();
    let notices = judged(&mut account, &codes[0].reveal(), T0.plus(120), None).notices;
    assert!(notices.is_empty(), "notices are shown once, and not in the login that used the code");
    let code = code_of(&account, T0.plus(150));
    let notices = judged(&mut account, &code, T0.plus(150), None).notices;
    assert_eq!(notices.recovery_uses().len(), 1);
    assert_eq!(notices.refused_attempts(), None);
}
