//! A month of attack: thousands of addresses guess whenever the lock allows it, while the user logs
//! in.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::Counting;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use totp_core::lock::{BUDGET, BUDGET_WINDOW};
use totp_core::new_factor::NewFactor;
use totp_core::otp::totp_at;
use totp_core::time::{DAY, HOUR};
use totp_core::{Account, Attempt, JudgeSettings, Origin, Outcome, Reason, Time, Typed, UserName, judge};

const T0: u64 = 1_800_000_000;
const SETTINGS: JudgeSettings =
    JudgeSettings { skew: 1, not_before: Time::from_unix(T0 - DAY), latest_grant: Time::from_unix(0) };
const DAYS: u64 = 30;
/// The number of the attacker's addresses: a prime, so that each time of day meets different ones.
const ADDRESSES: u64 = 4_001;
/// The step of the simulation in seconds: long enough that the user's next code is a new one.
const TICK: u64 = 600;

fn enrolled() -> Account {
    let now = Time::from_unix(T0 - HOUR);
    let mut account = Account::new(UserName::parse("alice").ok(), Some(1000), now, &mut Counting(1)).unwrap();
    account.enroll(&NewFactor { lifetime: HOUR, ..NewFactor::default() }, now, &mut Counting(2)).unwrap();
    let code = code_of(&account, now);
    assert!(granted(&attempt(&mut account, Origin::Local, &code, now)));
    account
}

fn code_of(account: &Account, now: Time) -> String {
    let factor = account.active.as_ref().or(account.pending.as_ref()).unwrap();
    totp_at(factor.secrets.secret(), factor.params, now)
}

fn attempt(account: &mut Account, origin: Origin, code: &str, now: Time) -> Outcome {
    judge(account, &Attempt::plain(origin, Typed::parse(code)), now, &SETTINGS).outcome
}

fn granted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Granted(_))
}

/// Half of the attacker's addresses are IPv4; the IPv6 ones are a /64 each.
fn attackers(number: u64) -> Origin {
    let number = number % ADDRESSES;
    let low = u32::try_from(number).unwrap();
    Origin::Remote(if number.is_multiple_of(2) {
        IpAddr::V4(Ipv4Addr::from_bits(0xcb00_0000 + low))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8_0000_0000 + u128::from(number)) << 64 | 1))
    })
}

/// A source from which the user has never logged in, alternately IPv4 and IPv6.
fn new_source(number: u64) -> Origin {
    let low = u32::try_from(number).unwrap();
    Origin::Remote(if number.is_multiple_of(2) {
        IpAddr::V4(Ipv4Addr::from_bits(0xc633_0000 + low))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db9_0000_0000 + u128::from(number)) << 64 | 1))
    })
}

/// The result of the simulation.
#[derive(Default)]
struct Month {
    /// When guesses were judged, in Unix seconds.
    judged: Vec<u64>,
    refused_unjudged: u64,
    lucky: u64,
    from_new_sources: u64,
}

/// Simulates a month. `user` returns the source from which the user logs in at a tick, before the
/// attacker guesses: the best order for the attacker, since a success has just cleared the failures
/// of strangers.
fn month(user: impl Fn(u64) -> Option<Origin>) -> Month {
    let mut account = enrolled();
    let home = Origin::Remote("192.0.2.1".parse().unwrap());
    let code = code_of(&account, Time::from_unix(T0 - TICK));
    assert!(granted(&attempt(&mut account, home.clone(), &code, Time::from_unix(T0 - TICK))));
    let mut month = Month::default();
    let mut next = 0;
    for tick in 0..DAYS * DAY / TICK {
        let now = Time::from_unix(T0 + tick * TICK);
        if let Some(origin) = user(tick) {
            let code = code_of(&account, now);
            let is_granted = granted(&attempt(&mut account, origin.clone(), &code, now));
            // Strangers never lock a known source of the user; they may lock others.
            assert!(is_granted || origin != home, "the user's known source is locked at tick {tick}");
            month.from_new_sources += u64::from(is_granted && origin != home);
        }
        // They guess until one is refused unjudged. Twice a day, 200 guess anyway: another address
        // might be judged.
        let at_least = if tick.is_multiple_of(12 * HOUR / TICK) { 200 } else { 1 };
        let (mut asked, mut open) = (0, true);
        while open || asked < at_least {
            let guess = format!("{:06}", next * 7919 % 1_000_000);
            let outcome = attempt(&mut account, attackers(next), &guess, now);
            (next, asked) = (next + 1, asked + 1);
            open = match outcome {
                Outcome::Refused(Reason::Wrong) => {
                    month.judged.push(now.unix());
                    true
                }
                Outcome::Refused(Reason::Locked) => {
                    month.refused_unjudged += 1;
                    false
                }
                // A guess that is right was judged too.
                Outcome::Refused(Reason::Replayed) | Outcome::Granted(_) => {
                    month.judged.push(now.unix());
                    month.lucky += 1;
                    true
                }
                Outcome::Refused(other) => unreachable!("{other:?}"),
            };
        }
    }
    assert!(next > ADDRESSES, "every address has guessed");
    month
}

/// Returns the largest number of guesses that were judged within any 24 hours.
fn most_in_a_day(judged: &[u64]) -> usize {
    let within =
        |start: &u64| judged.iter().filter(|at| (*start..start + BUDGET_WINDOW).contains(at)).count();
    judged.iter().map(within).max().unwrap_or(0)
}

#[test]
fn thousands_of_addresses_get_thirty_judged_guesses_a_day() {
    assert_eq!((BUDGET, BUDGET_WINDOW), (30, DAY), "the documents say 30 in 24 hours");
    let hour = HOUR / TICK;
    let month = month(|tick| match tick % hour {
        // Each hour from a new source, and sometimes from home.
        0 => Some(new_source(tick)),
        3 if tick % (8 * hour) == 3 => Some(Origin::Remote("192.0.2.1".parse().unwrap())),
        _ => None,
    });
    let most = most_in_a_day(&month.judged);
    assert_eq!(most, 30, "the bound holds, and the simulation reaches it");
    assert!(month.judged.len() <= 30 * 30, "{}", month.judged.len());
    assert!(month.from_new_sources > 30, "the user succeeded from new sources: {}", month.from_new_sources);
    assert!(month.refused_unjudged > 10_000, "{}", month.refused_unjudged);
    assert_eq!(month.lucky, 0, "no guess is right with these numbers");
}

#[test]
fn without_other_logins_strangers_get_half_of_that() {
    let month = month(|tick| {
        let morning = tick % (DAY / TICK) == 50;
        morning.then(|| Origin::Remote("192.0.2.1".parse().unwrap()))
    });
    assert!(most_in_a_day(&month.judged) <= 15, "{}", most_in_a_day(&month.judged));
}
