//! Properties that hold for every sequence of inputs and clocks.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::Counting;
use proptest::prelude::*;
use totp_core::judge::forecast;
use totp_core::lock::MAX_LOCK;
use totp_core::new_factor::NewFactor;
use totp_core::otp::totp_at;
use totp_core::otpauth::OtpAuth;
use totp_core::recovery::RecoveryStorage;
use totp_core::{
    Account, Algorithm, Attempt, Digits, JudgeSettings, Origin, Outcome, Params, Period, Reason, Secret,
    Time, Typed, UserName, judge,
};

const T0: u64 = 1_800_000_000;
const SETTINGS: JudgeSettings = JudgeSettings {
    skew: 1,
    not_before: Time::from_unix(T0 - 86_400 * 3650),
    latest_grant: Time::from_unix(0),
};

fn at(offset: u64) -> Time {
    Time::from_unix(T0 + offset)
}

fn enrolled() -> Account {
    let mut random = Counting(1);
    let mut account = Account::new(UserName::parse("alice").ok(), Some(1000), at(0), &mut random).unwrap();
    account.enroll(&NewFactor { lifetime: 3600, ..NewFactor::default() }, at(0), &mut random).unwrap();
    let code = code_of(&account, at(0));
    assert!(matches!(try_code(&mut account, Origin::Local, &code, at(0)), Outcome::Granted(_)));
    account
}

fn code_of(account: &Account, now: Time) -> String {
    let factor = account.active.as_ref().or(account.pending.as_ref()).unwrap();
    totp_at(factor.secrets.secret(), factor.params, now)
}

/// A code of no time step within the window.
fn wrong_code(account: &Account, now: Time) -> String {
    let right: Vec<String> =
        (0..3).map(|i| code_of(account, Time::from_unix(now.unix() + 30 * i - 30))).collect();
    (0..4).map(|n| format!("{n:06}")).find(|c| !right.contains(c)).unwrap()
}

fn try_code(account: &mut Account, origin: Origin, code: &str, now: Time) -> Outcome {
    judge(account, &Attempt::plain(origin, Typed::parse(code)), now, &SETTINGS).outcome
}

fn origins() -> impl Strategy<Value = Origin> {
    prop_oneof![
        Just(Origin::Local),
        Just(Origin::OwnProcess),
        Just(Origin::Unproven),
        Just(Origin::ThisHost),
        (0u8..4).prop_map(|i| Origin::Remote(format!("192.0.2.{i}").parse().unwrap())),
        Just(Origin::Client("app".into())),
    ]
}

proptest! {
    /// However the clock moves, an accepted code is never accepted again.
    #[test]
    fn an_accepted_code_is_never_accepted_again(
        tries in prop::collection::vec((0u64..7200, 0u64..5, origins()), 1..60)
    ) {
        let mut account = enrolled();
        let mut used = std::collections::HashSet::new();
        for (offset, back, origin) in tries {
            account.lock_state.unlock();
            let step = (T0 + offset) / 30 + 2 - back;
            let code = code_of(&account, Time::from_unix(step * 30));
            if let Outcome::Granted(_) = try_code(&mut account, origin, &code, at(offset)) {
                prop_assert!(used.insert(step), "step {step} was accepted twice");
            }
        }
    }

    /// No wrong input from any origin makes a lock end earlier.
    #[test]
    fn no_sequence_of_wrong_inputs_shortens_a_lock(
        tries in prop::collection::vec((0u64..600, origins(), "[0-9]{6}|[a-z]{0,9}|[0-9A-Z]{16}"), 1..80)
    ) {
        let mut account = enrolled();
        let mut now = at(60);
        for _ in 0..10 {
            let wrong = wrong_code(&account, now);
            try_code(&mut account, Origin::Local, &wrong, now);
        }
        let end = |account: &Account, now| {
            account.lock_state.locked(now).into_iter().find(|l| l.class.as_str() == "local").map(|l| l.until)
        };
        let first = end(&account, now);
        prop_assert!(first.is_some());
        for (seconds, origin, text) in tries {
            now = now.plus(seconds);
            let before = end(&account, now);
            let text = if Typed::parse(&text).is_ok() { wrong_code(&account, now) } else { text };
            try_code(&mut account, origin, &text, now);
            let after = end(&account, now);
            prop_assert!(after >= before, "{before:?} became {after:?}");
        }
    }

    /// A stranger's failures never lock a class of the user, whatever their number and times.
    #[test]
    fn a_strangers_failures_never_lock_the_users_classes(
        tries in prop::collection::vec((0u64..100_000, 0u8..255), 1..200)
    ) {
        let mut account = enrolled();
        let home = Origin::Remote("198.51.100.1".parse().unwrap());
        let code = code_of(&account, at(30));
        let is_granted = matches!(try_code(&mut account, home.clone(), &code, at(30)), Outcome::Granted(_));
        prop_assert!(is_granted);
        let mut now = at(60);
        for (seconds, host) in tries {
            now = now.plus(seconds % 20_000);
            let wrong = wrong_code(&account, now);
            let stranger = Origin::Remote(format!("203.0.113.{host}").parse().unwrap());
            try_code(&mut account, stranger, &wrong, now);
        }
        let mut names: Vec<_> = account.lock_state.locked(now).iter().map(|l| l.class.as_str()).collect();
        names.retain(|name| *name != "others");
        prop_assert!(names.is_empty(), "{names:?}");
        for origin in [home, Origin::Local, Origin::OwnProcess] {
            now = now.plus(90);
            let code = code_of(&account, now);
            let granted = matches!(try_code(&mut account, origin, &code, now), Outcome::Granted(_));
            prop_assert!(granted);
        }
    }

    /// After the last jump of the clock, no user waits longer than one lock. (Codes are refused for
    /// as long as the clock is behind a used step; recovery codes work meanwhile.)
    #[test]
    fn after_the_last_clock_jump_nobody_waits_longer_than_one_lock(
        jumps in prop::collection::vec((0u64..400_000_000, 1usize..14), 1..12), origin in origins()
    ) {
        let mut account = enrolled();
        let mut now = at(0);
        for (to, failures) in jumps {
            now = at(to);
            for _ in 0..failures {
                let wrong = wrong_code(&account, now);
                try_code(&mut account, origin.clone(), &wrong, now);
            }
        }
        // From here on the clock runs normally, and the user tries every minute.
        let class = account.lock_state.class(&origin, now);
        let start = now;
        while account.lock_state.remaining(&class, now) > 0 {
            now = now.plus(60);
            prop_assert!(now.since(start) <= MAX_LOCK + 60, "still locked after {} s", now.since(start));
        }
    }

    #[test]
    fn a_printed_uri_reads_back(
        issuer in "\\PC{0,40}", account in "[^\\pC:]{1,40}", key in prop::collection::vec(any::<u8>(), 10..=128),
        digits in 6u8..=8, period in 15u64..=120, algorithm in prop::sample::select(vec!["SHA1", "SHA256", "SHA512"])
    ) {
        let printed = OtpAuth {
            issuer,
            account: account.trim_start_matches(' ').to_owned() + "x",
            secret: Secret::from_bytes(&key).unwrap(),
            params: Params {
                algorithm: algorithm.parse::<Algorithm>().unwrap(),
                digits: Digits::try_from(digits).unwrap(),
                period: Period::try_from(period).unwrap(),
            },
        };
        prop_assume!(!printed.issuer.chars().chain(printed.account.chars()).any(char::is_control));
        prop_assert_eq!(OtpAuth::parse(&printed.to_uri()), Ok(printed));
    }

    #[test]
    fn any_text_is_refused_or_read_without_a_panic(text in "(otpauth://totp/)?\\PC{0,120}") {
        let _ = OtpAuth::parse(&text);
    }

    /// totp-rs, an independent implementation, computes the same codes.
    #[test]
    fn totp_rs_computes_the_same_codes(key in prop::collection::vec(any::<u8>(), 16..=128), time in 0u64..20_000_000_000, period in 15u64..=120) {
        let secret = Secret::from_bytes(&key).unwrap();
        for (ours, theirs) in [("SHA1", totp_rs::Algorithm::SHA1), ("SHA256", totp_rs::Algorithm::SHA256), ("SHA512", totp_rs::Algorithm::SHA512)] {
            for digits in 6u8..=8 {
                let params = Params { algorithm: ours.parse().unwrap(), digits: Digits::try_from(digits).unwrap(), period: Period::try_from(period).unwrap() };
                let oracle = oracle(theirs, digits, period, &key, time);
                prop_assert_eq!(totp_at(&secret, params, Time::from_unix(time)), oracle);
            }
        }
    }
}

fn oracle(algorithm: totp_rs::Algorithm, digits: u8, period: u64, key: &[u8], time: u64) -> String {
    let totp = totp_rs::Builder::new()
        .with_algorithm(algorithm)
        .with_digits(digits)
        .with_step_duration(period)
        .with_secret(key)
        .build_noncompliant();
    totp.generate(time).to_string()
}

#[test]
fn a_locked_class_refuses_right_codes_and_recovery_codes() {
    let mut account = enrolled();
    let codes = account.replace_recovery_codes(RecoveryStorage::Hashed, &mut Counting(5)).unwrap().unwrap();
    let now = at(600);
    for _ in 0..10 {
        let wrong = wrong_code(&account, now);
        try_code(&mut account, Origin::Local, &wrong, now);
    }
    let right = code_of(&account, now);
    for text in [right.as_str(), &codes[0].reveal()] {
        let outcome = try_code(&mut account, Origin::Local, text, now);
        assert!(matches!(outcome, Outcome::Refused(Reason::Locked)), "{outcome:?}");
    }
    // The same codes still work from another class: the refusal used none of them up.
    for text in [right.as_str(), &codes[0].reveal()] {
        assert!(matches!(try_code(&mut account, Origin::OwnProcess, text, now), Outcome::Granted(_)));
    }
}

#[test]
fn a_clock_set_back_accepts_only_recovery_codes() {
    let mut account = enrolled();
    let codes = account.replace_recovery_codes(RecoveryStorage::Hashed, &mut Counting(5)).unwrap().unwrap();
    let back = Time::from_unix(T0 - 3600);
    let code = code_of(&account, back);
    assert!(matches!(try_code(&mut account, Origin::Local, &code, back), Outcome::Refused(Reason::Clock)));
    let before_release = Time::from_unix(SETTINGS.not_before.unix() - 1);
    let code = code_of(&account, before_release);
    let outcome = try_code(&mut account, Origin::Local, &code, before_release);
    assert!(matches!(outcome, Outcome::Refused(Reason::Clock)));
    let outcome = try_code(&mut account, Origin::Local, &codes[0].reveal(), back);
    assert!(matches!(outcome, Outcome::Granted(_)), "{outcome:?}");
    assert_eq!(account.lock_state.failures(), 0);
}

#[test]
fn a_clock_behind_a_grant_accepts_only_recovery_codes() {
    let mut account = enrolled();
    let codes = account.replace_recovery_codes(RecoveryStorage::Hashed, &mut Counting(5)).unwrap().unwrap();
    // Another user was granted an hour later; this account has used no step since.
    let settings = JudgeSettings { latest_grant: at(3600), ..SETTINGS };
    let mut judged = |text: &str, now| {
        judge(&mut account, &Attempt::plain(Origin::Local, Typed::parse(text)), now, &settings).outcome
    };
    let secret = enrolled().active.unwrap().secrets.secret().clone();
    let code = |now| totp_at(&secret, Params::default(), now);
    let refused = judged(&code(at(60)), at(60));
    assert!(matches!(refused, Outcome::Refused(Reason::Clock)), "{refused:?}");
    let refused = judged(&code(at(3569)), at(3569));
    assert!(matches!(refused, Outcome::Refused(Reason::Clock)), "{refused:?}");
    assert!(matches!(judged(&codes[0].reveal(), at(60)), Outcome::Granted(_)));
    // A clock that is behind by less than the window was only adjusted.
    assert!(matches!(judged(&code(at(3570)), at(3570)), Outcome::Granted(_)));
    assert_eq!(account.lock_state.failures(), 0);
    assert_eq!(forecast(Some(&account), &Origin::Local, at(60), &settings), Err(Reason::Clock));
}

#[test]
fn a_used_code_typed_again_does_not_count_as_a_guess() {
    let mut account = enrolled();
    let hour = |n: u64| at(3600 * n);
    let mut codes = vec![code_of(&account, at(0))];
    for n in 1..=16 {
        let code = code_of(&account, hour(n));
        assert!(matches!(try_code(&mut account, Origin::Local, &code, hour(n)), Outcome::Granted(_)));
        codes.push(code);
    }
    let before = account.clone();
    // Two editors send two old codes again and again.
    for n in 0..30 {
        for code in [&codes[3], &codes[16]] {
            let outcome = try_code(&mut account, Origin::Local, code, hour(17 + n % 3));
            assert!(matches!(outcome, Outcome::Refused(Reason::Replayed)), "{outcome:?}");
        }
    }
    assert_eq!(account, before, "nothing is counted or used up");
    // A code that is not among the latest, and one that is too old, count as guesses.
    let outcome = try_code(&mut account, Origin::Local, &codes[0], hour(17));
    assert!(matches!(outcome, Outcome::Refused(Reason::Wrong)), "{outcome:?}");
    let outcome = try_code(&mut account, Origin::Local, &codes[3], hour(3 + 7 * 24 + 1));
    assert!(matches!(outcome, Outcome::Refused(Reason::Wrong)), "{outcome:?}");
}

#[test]
fn editing_the_list_of_used_steps_makes_no_used_code_fresh() {
    let mut account = enrolled();
    let code = code_of(&account, at(60));
    assert!(matches!(try_code(&mut account, Origin::Local, &code, at(60)), Outcome::Granted(_)));
    for used in [vec![], vec![0], vec![u64::MAX; 100]] {
        account.active.as_mut().unwrap().used_steps = used;
        let outcome = try_code(&mut account, Origin::Local, &code, at(60));
        assert!(matches!(outcome, Outcome::Refused(Reason::Replayed)), "{outcome:?}");
    }
}

#[test]
fn the_old_factor_works_until_the_new_one_shows_its_first_code() {
    let mut account = enrolled();
    let old = account.active.clone().unwrap();
    let new = NewFactor { lifetime: 3600, ..NewFactor::default() };
    let staged = account.enroll(&new, at(60), &mut Counting(77)).unwrap();
    // The recovery codes of the staged factor are not accepted yet.
    let outcome = try_code(&mut account, Origin::Local, &staged[0].reveal(), at(61));
    assert!(matches!(outcome, Outcome::Refused(Reason::Wrong)));
    // A code of the old factor is accepted.
    let code = totp_at(old.secrets.secret(), old.params, at(90));
    assert!(matches!(try_code(&mut account, Origin::Local, &code, at(90)), Outcome::Granted(_)));
    // The first code of the new factor replaces the old one.
    let pending = account.pending.clone().unwrap();
    let code = totp_at(pending.secrets.secret(), pending.params, at(120));
    let Outcome::Granted(proof) = try_code(&mut account, Origin::Local, &code, at(120)) else {
        panic!("the new factor's first code was refused")
    };
    assert!(proof.confirmed());
    assert_eq!(account.active.as_ref().map(|f| f.id.as_str()), Some(proof.totp_id()));
    let code = totp_at(old.secrets.secret(), old.params, at(180));
    assert!(matches!(try_code(&mut account, Origin::Local, &code, at(180)), Outcome::Refused(Reason::Wrong)));
}

#[test]
fn an_expired_enrollment_is_refused_and_its_secret_dropped() {
    let mut account = Account::new(UserName::parse("bob").ok(), Some(1), at(0), &mut Counting(2)).unwrap();
    let new = NewFactor { lifetime: 60, ..NewFactor::default() };
    account.enroll(&new, at(0), &mut Counting(3)).unwrap();
    let code = code_of(&account, at(60));
    let outcome = try_code(&mut account, Origin::Local, &code, at(60));
    assert!(matches!(outcome, Outcome::Refused(Reason::Expired)));
    assert!(account.pending.is_none());
    // The reason stays until the user is enrolled again or revoked.
    let outcome = try_code(&mut account, Origin::Local, &code, at(61));
    assert!(matches!(outcome, Outcome::Refused(Reason::Expired)));
    account.revoke();
    let outcome = try_code(&mut account, Origin::Local, &code, at(62));
    assert!(matches!(outcome, Outcome::Refused(Reason::NotEnrolled)));
}

#[test]
fn an_input_that_is_not_a_code_is_refused_and_not_counted() {
    let mut account = enrolled();
    for text in ["", "correct horse", "\u{8}\n\r\u{7f}INCORRECT", "12345"] {
        for _ in 0..20 {
            let outcome = try_code(&mut account, Origin::Local, text, at(60));
            assert!(matches!(outcome, Outcome::Refused(Reason::Rejected(_))));
        }
    }
    assert_eq!(account.lock_state.failures(), 0);
}

#[test]
fn a_process_of_the_user_makes_no_source_known() {
    let mut account = enrolled();
    let code = code_of(&account, at(60));
    assert!(matches!(try_code(&mut account, Origin::OwnProcess, &code, at(60)), Outcome::Granted(_)));
    let stranger = Origin::Remote("192.0.2.1".parse().unwrap());
    assert_eq!(account.lock_state.class(&stranger, at(60)).as_str(), "others");
}
