use super::*;
use crate::code::Input;
use crate::code::Typed;
use crate::given_secret::{GivenRefused, GivenSecret, ShortSecret};
use crate::judge::{Attempt, Outcome, Reason, judge};
use crate::judge_settings::JudgeSettings;
use crate::lock::{BUDGET, BUDGET_WINDOW, LockState, SourceClass};
use crate::new_factor::{EnrollRefused, NewFactor};
use crate::otp::{Digits, Params, totp_at};
use crate::passcode::Passcode;
use crate::random::testing::Counting;
use crate::recovery::RecoveryCode;
use crate::secret::Secret;
use crate::self_service::{ChangeKind, StagedChange};
use crate::source::Origin;
use crate::time::{DAY, Time};
use crate::withdrawal::{Kind, Refusals, Withdrawal, withdrawn};
use std::collections::BTreeSet;

const NOW: Time = Time::from_unix(1_800_000_000);
const SETTINGS: JudgeSettings = JudgeSettings { skew: 1, not_before: NOW, latest_grant: NOW };

fn name(text: &str) -> AuthenticatorName {
    AuthenticatorName::parse(text).unwrap()
}

fn add(text: &str) -> Placement {
    Placement::Add(name(text))
}

fn code_of(factor: &Factor, at: Time) -> Input {
    Typed::parse(&totp_at(factor.secrets.secret(), factor.params, at))
}

fn judged(account: &mut Account, input: Input, now: Time) -> Result<String, Reason> {
    match judge(account, &Attempt::plain(Origin::Local, input), now, &SETTINGS).outcome {
        Outcome::Granted(proof) => Ok(proof.totp_id().to_owned()),
        Outcome::Refused(reason) => Err(reason),
    }
}

/// Enrolls and confirms at `now`.
fn enroll(
    account: &mut Account,
    placement: Placement,
    now: Time,
) -> Result<Vec<RecoveryCode>, EnrollRefused> {
    let new = NewFactor { placement, ..NewFactor::default() };
    let codes = account.enroll(&new, now, &mut Counting(now.unix()))?;
    let first = code_of(account.pending.as_ref().unwrap(), now);
    judged(account, first, now).unwrap();
    Ok(codes)
}

fn alice() -> (Account, Vec<RecoveryCode>) {
    let mut account = Account::new(None, Some(1000), NOW, &mut Counting(1)).unwrap();
    let codes = enroll(&mut account, Placement::default(), NOW).unwrap();
    (account, codes)
}

fn names(account: &Account) -> Vec<&str> {
    account.authenticators().map(Factor::display_name).collect()
}

#[test]
fn three_authenticators_work_and_a_fourth_is_refused() {
    let (mut account, codes) = alice();
    assert_eq!(codes.len(), 10);
    for (place, later) in [("work phone", 60), ("safe", 120)] {
        assert_eq!(enroll(&mut account, add(place), NOW.plus(later)).unwrap().len(), 0, "the codes stay");
    }
    assert_eq!(names(&account), [UNNAMED, "work phone", "safe"]);
    assert_eq!(account.active.as_ref().unwrap().secrets.recovery_left(), 10);

    let later = NOW.plus(600);
    for index in 0..3 {
        let factor = account.authenticators().nth(index).unwrap().clone();
        assert_eq!(judged(&mut account, code_of(&factor, later), later), Ok(factor.id.clone()));
        assert_eq!(judged(&mut account, code_of(&factor, later), later), Err(Reason::Replayed));
    }
    let refused = |account: &mut Account, placement| enroll(account, placement, later).unwrap_err();
    assert_eq!(refused(&mut account, add("fourth")), EnrollRefused::Place(PlaceRefused::TooMany));
    assert_eq!(refused(&mut account, add("SAFE")), EnrollRefused::Place(PlaceRefused::NameTaken));
    assert_eq!(refused(&mut account, Placement::Replace(None)), EnrollRefused::Place(PlaceRefused::WhichOne));
    let unknown = Placement::Replace(Some(name("home")));
    assert_eq!(refused(&mut account, unknown), EnrollRefused::Place(PlaceRefused::NoSuchName));
    assert_eq!(account.pending, None);
}

#[test]
fn a_replacement_takes_the_place_of_its_name_alone() {
    let (mut account, _) = alice();
    enroll(&mut account, add("safe"), NOW.plus(60)).unwrap();
    let before: Vec<String> = account.authenticators().map(|f| f.id.clone()).collect();

    let codes = enroll(&mut account, Placement::Replace(Some(name("safe"))), NOW.plus(120)).unwrap();
    assert_eq!(codes.len(), 0, "the first one keeps the recovery codes");
    let after: Vec<String> = account.authenticators().map(|f| f.id.clone()).collect();
    assert_eq!((after.len(), &after[0], after[1] == before[1]), (2, &before[0], false));

    let unnamed = Placement::Replace(Some(name(UNNAMED)));
    let codes = enroll(&mut account, unnamed, NOW.plus(180)).unwrap();
    assert_eq!(codes.len(), 10, "the first one has new recovery codes");
    assert_eq!(names(&account), [UNNAMED, "safe"]);
    assert_eq!(account.active.as_ref().unwrap().secrets.recovery_left(), 10);
}

#[test]
fn the_next_authenticator_takes_over_the_recovery_codes() {
    let (mut account, codes) = alice();
    enroll(&mut account, add("safe"), NOW.plus(60)).unwrap();
    let first = account.active.clone().unwrap();
    assert!(account.remove_authenticator(&first.id));
    assert_eq!(names(&account), ["safe"]);
    let later = NOW.plus(600);
    assert_eq!(judged(&mut account, code_of(&first, later), later), Err(Reason::Wrong));
    let id = account.active.as_ref().unwrap().id.clone();
    assert_eq!(judged(&mut account, Typed::parse(&codes[0].reveal()), later), Ok(id.clone()));
    assert!(account.remove_authenticator(&id));
    assert!(!account.has_factor() && !account.remove_authenticator(&id));
}

#[test]
fn other_digits_beside_an_authenticator_are_refused() {
    let (mut account, _) = alice();
    let params = Params { digits: Digits::try_from(8).unwrap(), ..Params::default() };
    let new = NewFactor { params, placement: add("token"), ..NewFactor::default() };
    let refused = account.enroll(&new, NOW, &mut Counting(2)).unwrap_err();
    assert_eq!(refused, EnrollRefused::Place(PlaceRefused::OtherDigits));
    let alone = NewFactor { placement: Placement::default(), ..new };
    account.enroll(&alone, NOW, &mut Counting(2)).unwrap();
}

/// How many guesses a stranger gets in so many days, who tries whenever nothing is locked.
fn guesses(days: u64, authenticators: u32) -> u32 {
    let (mut state, mut guesses) = (LockState::default(), 0);
    for minute in 0..days * DAY / 60 {
        let now = NOW.plus(minute * 60);
        while state.remaining(&SourceClass::Others, now) == 0 {
            state.fail(&SourceClass::Others, authenticators, now);
            guesses += authenticators;
        }
    }
    guesses
}

#[test]
fn more_authenticators_allow_no_more_guesses() {
    for days in [1, 30, 365] {
        let one = guesses(days, 1);
        assert!(one > 10, "{one}");
        for more in 2..=4 {
            // The last failure may begin a lock that reaches beyond these days.
            let limit = one + more - 1;
            assert!(guesses(days, more) <= limit, "{days} days, {more}: {} of {one}", guesses(days, more));
        }
    }
}

#[test]
fn successes_between_guesses_restore_no_budget() {
    for authenticators in 1..=4 {
        let (mut state, mut guesses) = (LockState::default(), 0);
        for minute in 0..BUDGET_WINDOW / 60 {
            let now = NOW.plus(minute * 60);
            if state.remaining(&SourceClass::Local, now) == 0 {
                state.fail(&SourceClass::Local, authenticators, now);
                guesses += authenticators;
                state.succeed(&SourceClass::Local, &Origin::Local, now);
            }
        }
        let budget = u32::try_from(BUDGET).unwrap();
        assert!((budget - 3..=budget).contains(&guesses), "{authenticators}: {guesses}");
    }
}

#[test]
fn a_wrong_code_is_a_guess_at_each_authenticator() {
    let (mut account, _) = alice();
    enroll(&mut account, add("one"), NOW.plus(60)).unwrap();
    enroll(&mut account, add("two"), NOW.plus(120)).unwrap();
    let later = NOW.plus(600);
    // The code of two hours ago, which no authenticator has used and none accepts.
    let wrong = code_of(account.active.as_ref().unwrap(), Time::from_unix(later.unix() - 7200));
    let mut tries = 0;
    while judged(&mut account, wrong.clone(), later) == Err(Reason::Wrong) {
        tries += 1;
    }
    assert_eq!(tries, 3, "ten guesses at one authenticator, three at three");
    assert_eq!(judged(&mut account, wrong, later), Err(Reason::Locked));
}

#[test]
fn names_are_short_and_plain() {
    for good in ["work phone", "Überweg 3", "safe (2nd)", "📱"].iter().take(3) {
        assert!(AuthenticatorName::parse(good).is_some(), "{good}");
    }
    let long = "x".repeat(33);
    for bad in ["аuthenticator", "two  spaces", "", " ", "a\nb", "a:b", "\u{202e}x", "📱", long.as_str()] {
        assert!(AuthenticatorName::parse(bad).is_none(), "{bad:?}");
    }
}

#[test]
fn an_older_copy_does_not_bring_a_revoked_one_back() {
    let (mut account, codes) = alice();
    enroll(&mut account, add("safe"), NOW.plus(60)).unwrap();
    let (before, first) = (account.clone(), account.active.clone().unwrap());
    account.remove_authenticator(&first.id);
    let revoked = withdrawn(&before, Some(&account), NOW.plus(90));
    assert_eq!(revoked, BTreeSet::from([Withdrawal::new(Kind::Factor, &first.id)]));
    // The copy has the first one with its recovery codes: neither works in it.
    let mut copy = before;
    Refusals { withdrawn: revoked, floor: None }.apply(&mut copy, 1);
    assert_eq!(names(&copy), ["safe"]);
    let later = NOW.plus(600);
    assert_eq!(judged(&mut copy, code_of(&first, later), later), Err(Reason::Wrong));
    assert_eq!(judged(&mut copy, Typed::parse(&codes[0].reveal()), later), Err(Reason::Wrong));
    let safe = copy.active.clone().unwrap();
    assert!(judged(&mut copy, code_of(&safe, later), later).is_ok());
}

#[test]
fn set_aside_authenticators_come_back_beside_a_confirmed_one() {
    let (mut account, _) = alice();
    enroll(&mut account, add("safe"), NOW.plus(60)).unwrap();
    let new = NewFactor { placement: add("home"), ..NewFactor::default() };
    account.enroll(&new, NOW, &mut Counting(9)).unwrap();
    let later = NOW.plus(600);
    let of_safe = code_of(&account.added[0], later);
    let of_home = code_of(account.pending.as_ref().unwrap(), later);
    for (input, granted, after) in [(of_safe, false, 2), (of_home, true, 3)] {
        let aside = account.set_aside();
        assert_eq!(judged(&mut account, input, later).is_ok(), granted);
        account.put_back(aside);
        assert_eq!(account.authenticators().count(), after);
    }
    assert_eq!(names(&account), [UNNAMED, "safe", "home"]);
}

/// Stages a further authenticator, as malware with one code would.
fn stage_spare(account: &mut Account, now: Time) {
    let change = StagedChange::new(ChangeKind::Add, now, DAY, DAY, "this host");
    let new = NewFactor { placement: add("spare"), ..NewFactor::default() };
    account.stage_replacement(&new, change, now, &mut Counting(99)).unwrap();
}

#[test]
fn a_revoked_authenticator_takes_what_is_staged_with_it() {
    for others in [0, 1] {
        let (mut account, _) = alice();
        if others == 1 {
            enroll(&mut account, add("safe"), NOW.plus(60)).unwrap();
        }
        stage_spare(&mut account, NOW.plus(90));
        let first = account.active.clone().unwrap();
        assert!(account.remove_authenticator(&first.id));
        assert_eq!((account.pending.clone(), account.authenticators().count()), (None, others));
        assert_eq!(account.staged(), None);
    }
}

#[test]
fn a_staged_factor_without_an_active_one_can_be_cancelled() {
    let (mut account, _) = alice();
    stage_spare(&mut account, NOW);
    account.active = None;
    assert_eq!(account.remove_staged().unwrap().kind, ChangeKind::Add);
    assert_eq!(account.pending, None);
}

#[test]
fn no_revocation_loses_or_doubles_recovery_codes() {
    let replace = |name: &str| Placement::Replace(AuthenticatorName::parse(name));
    for (pending, revoked) in
        [(replace("safe"), UNNAMED), (replace(UNNAMED), UNNAMED), (add("home"), UNNAMED)]
    {
        let (mut account, codes) = alice();
        enroll(&mut account, add("safe"), NOW.plus(60)).unwrap();
        let new = NewFactor { placement: pending.clone(), ..NewFactor::default() };
        account.enroll(&new, NOW.plus(90), &mut Counting(7)).unwrap();
        let id = account.find_authenticator(Some(&name(revoked))).unwrap().unwrap().id.clone();
        account.remove_authenticator(&id);
        let later = NOW.plus(600);
        if let Some(factor) = account.pending.clone() {
            judged(&mut account, code_of(&factor, later), later).unwrap();
        }
        let left = account.active.as_ref().unwrap().secrets.recovery_left();
        assert_eq!(left, 10, "{pending:?}");
        assert!(judged(&mut account, Typed::parse(&codes[0].reveal()), later).is_ok(), "{pending:?}");
    }
}

#[test]
fn a_code_that_one_factor_knows_as_used_is_used() {
    let (mut account, _) = alice();
    enroll(&mut account, add("safe"), NOW.plus(60)).unwrap();
    // Two factors with one secret, as a store of an older release may have them.
    account.added[0].secrets.secret = account.active.as_ref().unwrap().secrets.secret.clone();
    let later = NOW.plus(600);
    let code = code_of(account.active.as_ref().unwrap(), later);
    assert!(judged(&mut account, code.clone(), later).is_ok());
    assert_eq!(judged(&mut account, code, later), Err(Reason::Replayed));
}

#[test]
fn a_given_secret_with_the_same_codes_is_refused() {
    let (mut account, _) = alice();
    let mut bytes = account.active.as_ref().unwrap().secrets.secret.as_bytes().to_vec();
    for extra in [0, 1, 3] {
        bytes.extend(std::iter::repeat_n(0, extra));
        let secret = Secret::from_bytes(&bytes).unwrap();
        let given = GivenSecret::new(secret, ShortSecret::Refuse).unwrap();
        let new = NewFactor { placement: add("token"), ..NewFactor::default() };
        let refused = account.enroll_given(&new, &given, 1, NOW, &mut Counting(3));
        assert_eq!(refused.unwrap_err(), GivenRefused::InUse, "{extra} more zeros");
    }
}

#[test]
fn a_passcode_ends_with_an_authenticator() {
    let open = |account: &mut Account| {
        let (passcode, _) = Passcode::generate(600, NOW, &mut Counting(5)).unwrap();
        account.passcode = Some(passcode);
    };
    let (mut account, _) = alice();
    enroll(&mut account, add("safe"), NOW.plus(60)).unwrap();
    open(&mut account);
    enroll(&mut account, Placement::Replace(Some(name("safe"))), NOW.plus(120)).unwrap();
    assert_eq!(account.passcode, None, "the forgotten phone is back, or another one");
    open(&mut account);
    let id = account.added[0].id.clone();
    account.remove_authenticator(&id);
    assert_eq!(account.passcode, None);
}
