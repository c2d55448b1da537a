use super::*;
use crate::account::Account;
use crate::code::Typed;
use crate::judge::{Attempt, NoticeDisplay, Reason};
use crate::judge_settings::JudgeSettings;
use crate::lock::FAILURES_TO_LOCK;
use crate::new_factor::NewFactor;
use crate::notices::{Occurrence, PasscodeNotice};
use crate::random::testing::Counting;
use crate::remembered::RememberKey;
use crate::verified::How;
use crate::withdrawal::{Kind, Refusals, Withdrawal, withdrawn};
use crate::{Origin, Outcome, UserName, judge, otp};
use std::collections::BTreeSet;

const NOW: Time = Time::from_unix(1_800_000_000);
const SETTINGS: JudgeSettings =
    JudgeSettings { skew: 1, not_before: Time::from_unix(0), latest_grant: Time::from_unix(0) };

/// An account with an active factor and a passcode for an hour, and the passcode.
fn alice() -> (Account, RecoveryCode) {
    let mut account = Account::new(UserName::parse("alice").ok(), Some(1), NOW, &mut Counting(1)).unwrap();
    let new = NewFactor { lifetime: 60, ..NewFactor::default() };
    account.enroll(&new, NOW, &mut Counting(2)).unwrap();
    let factor = account.pending.as_ref().unwrap();
    let code = otp::totp_at(factor.secrets.secret(), factor.params, NOW);
    let first = judge(&mut account, &typed(&code), NOW, &SETTINGS);
    assert!(matches!(first.outcome, Outcome::Granted(_)));
    let code = give(&mut account, 7);
    (account, code)
}

fn give(account: &mut Account, seed: u64) -> RecoveryCode {
    let (passcode, code) = Passcode::generate(HOUR, NOW, &mut Counting(seed)).unwrap();
    account.set_passcode(passcode);
    code
}

/// A login on the console, which shows messages.
fn typed(text: &str) -> Attempt {
    Attempt {
        silent: false,
        display: Some(NoticeDisplay::default()),
        accepts_passcode: true,
        from: "here".into(),
        ..Attempt::plain(Origin::Console, Typed::parse(text))
    }
}

fn refused(account: &mut Account, attempt: &Attempt, now: Time, settings: &JudgeSettings) -> Reason {
    match judge(account, attempt, now, settings).outcome {
        Outcome::Refused(reason) => reason,
        Outcome::Granted(proof) => panic!("granted by {}", proof.how().as_str()),
    }
}

#[test]
fn a_passcode_lets_in_once_and_is_told() {
    let (mut account, code) = alice();
    let key = RememberKey::ssh_key(1, "sshd", "192.0.2.1", &["SHA256:x"]).unwrap();
    let attempt = Attempt { remember: Some((key, HOUR)), ..typed(&code.reveal()) };
    let judgement = judge(&mut account, &attempt, NOW.plus(9), &SETTINGS);
    let Outcome::Granted(proof) = judgement.outcome else { panic!("{judgement:?}") };
    assert_eq!((proof.how(), proof.totp_id()), (How::Passcode { made: NOW }, ""));
    let told = |used| PasscodeNotice { made: NOW, used };
    assert_eq!(judgement.notices.passcodes(), [told(None)]);
    assert!(account.active.as_ref().unwrap().remembered.is_empty(), "one login is one login");
    assert_eq!(refused(&mut account, &typed(&code.reveal()), NOW.plus(9), &SETTINGS), Reason::Wrong);
    let factor = account.active.as_ref().unwrap();
    let phone = typed(&otp::totp_at(factor.secrets.secret(), factor.params, NOW.plus(60)));
    let next = |attempt: &Attempt| {
        let judgement = judge(&mut account.clone(), attempt, NOW.plus(60), &SETTINGS);
        judgement.notices.passcodes().to_vec()
    };
    let used = told(Some(Occurrence { at: NOW.plus(9), from: "here".into() }));
    assert_eq!(next(&phone), [used]);
    assert_eq!(next(&Attempt { silent: true, ..phone }), []);
}

#[test]
fn only_a_login_that_counts_ends_the_notice_of_a_passcode() {
    let (mut account, _) = alice();
    let factor = account.active.clone().unwrap();
    let mut shown = |display, after| {
        let code = otp::totp_at(factor.secrets.secret(), factor.params, NOW.plus(after));
        let attempt = Attempt { display, ..typed(&code) };
        judge(&mut account, &attempt, NOW.plus(after), &SETTINGS).notices.passcodes().len()
    };
    assert_eq!(shown(None, 60), 1, "the user's own process shows it, or hides it");
    assert_eq!(shown(Some(NoticeDisplay::default()), 120), 1);
    assert_eq!(shown(Some(NoticeDisplay::default()), 180), 0);
}

#[test]
fn a_passcode_ends_by_expiry_a_newer_one_cancel_or_revoke() {
    let (account, code) = alice();
    let attempt = typed(&code.reveal());
    let last = NOW.plus(HOUR - 1);
    assert!(matches!(judge(&mut account.clone(), &attempt, last, &SETTINGS).outcome, Outcome::Granted(_)));
    let mut expired = account.clone();
    assert_eq!(expired.passcode_expires(last), Some(NOW.plus(HOUR)));
    assert_eq!(expired.passcode_expires(NOW.plus(HOUR)), None);
    assert_eq!(refused(&mut expired, &attempt, NOW.plus(HOUR), &SETTINGS), Reason::Wrong);
    assert_eq!(expired.passcode, None);
    let mut replaced = account.clone();
    let newer = give(&mut replaced, 90);
    assert_eq!(refused(&mut replaced, &attempt, NOW, &SETTINGS), Reason::Wrong);
    let newer = judge(&mut replaced, &typed(&newer.reveal()), NOW, &SETTINGS).outcome;
    assert!(matches!(newer, Outcome::Granted(_)));
    let mut cancelled = account.clone();
    assert!(cancelled.cancel_passcode(NOW) && !cancelled.cancel_passcode(NOW));
    assert_eq!(refused(&mut cancelled, &attempt, NOW, &SETTINGS), Reason::Wrong);
    let mut revoked = account;
    assert!(revoked.revoke());
    assert_eq!(revoked.passcode, None);
}

#[test]
fn a_passcode_does_nothing_but_let_in() {
    let (account, code) = alice();
    // A change of the factor, a confirmation, an application.
    for origin in [Origin::OwnProcess, Origin::Client("shop".into())] {
        let attempt = Attempt::plain(origin, Typed::parse(&code.reveal()));
        assert_eq!(refused(&mut account.clone(), &attempt, NOW, &SETTINGS), Reason::Wrong);
    }
    // A factor that waits for its first code, after the active one is gone.
    let mut pending = account;
    pending.pending = pending.active.take();
    assert_eq!(refused(&mut pending, &typed(&code.reveal()), NOW, &SETTINGS), Reason::Wrong);
}

#[test]
fn wrong_passcodes_count_and_a_lock_refuses_the_right_one() {
    let (mut account, code) = alice();
    let wrong = typed("AAAA-AAAA-AAAA-AAAA");
    for _ in 0..FAILURES_TO_LOCK {
        assert_eq!(refused(&mut account, &wrong, NOW, &SETTINGS), Reason::Wrong);
    }
    assert_eq!(refused(&mut account, &typed(&code.reveal()), NOW, &SETTINGS), Reason::Locked);
    account.lock_state.unlock();
    let right = judge(&mut account, &typed(&code.reveal()), NOW, &SETTINGS).outcome;
    assert!(matches!(right, Outcome::Granted(_)), "the lock used it up");
}

#[test]
fn a_clock_that_was_set_back_revives_no_passcode() {
    let (mut account, code) = alice();
    let set_back = JudgeSettings { latest_grant: NOW.plus(2 * HOUR), ..SETTINGS };
    let attempt = typed(&code.reveal());
    assert_eq!(refused(&mut account, &attempt, NOW.plus(9), &set_back), Reason::Clock);
    let before = Time::from_unix(NOW.unix() - 61);
    assert_eq!(account.lock_state.failures(), 0, "a right one is no guess");
    assert_eq!(refused(&mut account, &attempt, before, &SETTINGS), Reason::Wrong);
    let adjusted = Time::from_unix(NOW.unix() - 60);
    assert!(matches!(judge(&mut account, &attempt, adjusted, &SETTINGS).outcome, Outcome::Granted(_)));
}

#[test]
fn every_way_to_lose_a_passcode_is_recorded() {
    let (account, code) = alice();
    let only = BTreeSet::from([Withdrawal::new(Kind::Passcode, &account.id)]);
    let after = |change: &dyn Fn(&mut Account), now| {
        let mut after = account.clone();
        change(&mut after);
        withdrawn(&account, Some(&after), now)
    };
    assert_eq!(after(&|_| (), NOW), BTreeSet::new());
    assert_eq!(after(&|a| drop(judge(a, &typed(&code.reveal()), NOW, &SETTINGS)), NOW), only);
    assert_eq!(after(&|a| drop(give(a, 90)), NOW), only);
    assert_eq!(after(&|a| assert!(a.cancel_passcode(NOW)), NOW), only);
    assert_eq!(after(&|a| a.passcode = None, NOW.plus(HOUR)), BTreeSet::new(), "expired");
    let mut older = account.clone();
    let refusals = Refusals { withdrawn: only, floor: None };
    refusals.apply(&mut older, 1);
    assert_eq!(older.passcode, None);
    assert!(refusals.explains(&account, &typed(&code.reveal()).input, Reason::Wrong));
}

#[test]
fn lifetimes_are_bounded() {
    for (asked, given) in [(0, MIN_LIFETIME), (HOUR, HOUR), (u64::MAX, MAX_LIFETIME)] {
        let (passcode, _) = Passcode::generate(asked, NOW, &mut Counting(1)).unwrap();
        assert_eq!((passcode.made, passcode.expires), (NOW, NOW.plus(given)));
    }
}

#[test]
fn the_stored_form_holds_no_hash_and_opens_again() {
    let (passcode, code) = Passcode::generate(HOUR, NOW, &mut Counting(1)).unwrap();
    let mut hash = Vec::new();
    let encrypt = |bytes: &[u8]| {
        hash.extend_from_slice(bytes);
        Ok::<_, ()>("ciphertext".to_owned())
    };
    let sealed = passcode.clone().seal(encrypt).unwrap();
    assert_eq!(hash.len(), 64);
    let text = serde_json::to_string(&sealed).unwrap();
    assert_eq!(text, r#"{"made":1800000000,"expires":1800003600,"sealed":"ciphertext"}"#);
    let sealed: Passcode = serde_json::from_str(&text).unwrap();
    let opened = sealed.clone().open(|_| Ok::<_, ()>(Zeroizing::new(hash.clone()))).unwrap();
    assert_eq!(opened, Some(passcode.clone()));
    assert_eq!(sealed.clone().open(|_| Ok::<_, ()>(Zeroizing::new(hash[..32].to_vec()))), Ok(None));
    assert_eq!(sealed.open(|_| Err(())), Err(()));
    assert!(!format!("{passcode:?}").contains(&*code.reveal()));
}
