//! A month under siege: thousands of addresses guess whenever they may, while the user logs in as people do.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use totp_core::account::NewFactor;
use totp_core::lock::{BUDGET, BUDGET_WINDOW};
use totp_core::otp::totp_at;
use totp_core::recovery::RecoveryStorage;
use totp_core::time::{DAY, HOUR};
use totp_core::{
    Account, Attempt, JudgeSettings, Origin, Outcome, Params, Random, RandomFailed, Reason, Time, Typed,
    UserName, judge,
};

const T0: u64 = 1_800_000_000;
const RULES: JudgeSettings =
    JudgeSettings { skew: 1, not_before: Time::from_unix(T0 - DAY), latest_grant: Time::from_unix(0) };
const DAYS: u64 = 30;
/// Addresses of the attacker; a prime, so that no rhythm of the day meets the same ones again.
const ADDRESSES: u64 = 4_001;
/// Long enough that no code of the user is one of before.
const TICK: u64 = 600;

struct Bytes(u8);

impl Random for Bytes {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomFailed> {
        for byte in out {
            self.0 = self.0.wrapping_mul(5).wrapping_add(77);
            *byte = self.0;
        }
        Ok(())
    }
}

fn enrolled() -> Account {
    let now = Time::from_unix(T0 - HOUR);
    let mut account = Account::new(UserName::parse("alice").ok(), Some(1000), now, &mut Bytes(1)).unwrap();
    account
        .enroll(
            &NewFactor {
                params: Params::default(),
                lifetime: HOUR,
                recovery_storage: RecoveryStorage::Hashed,
            },
            now,
            &mut Bytes(2),
        )
        .unwrap();
    let code = code_of(&account, now);
    assert!(granted(&attempt(&mut account, Origin::Local, &code, now)));
    account
}

fn code_of(account: &Account, now: Time) -> String {
    let factor = account.active.as_ref().or(account.pending.as_ref()).unwrap();
    totp_at(factor.secrets.secret(), factor.params, now)
}

fn attempt(account: &mut Account, origin: Origin, code: &str, now: Time) -> Outcome {
    judge(account, &Attempt::plain(origin, Typed::parse(code)), now, &RULES).outcome
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

/// Where the user has never been: hotels and trains, IPv4 and IPv6 in turn.
fn new_source(number: u64) -> Origin {
    let low = u32::try_from(number).unwrap();
    Origin::Remote(if number.is_multiple_of(2) {
        IpAddr::V4(Ipv4Addr::from_bits(0xc633_0000 + low))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db9_0000_0000 + u128::from(number)) << 64 | 1))
    })
}

/// What a month came to.
#[derive(Default)]
struct Month {
    /// When a guess was judged.
    judged: Vec<u64>,
    refused_unjudged: u64,
    lucky: u64,
    from_new_sources: u64,
}

/// `user` says in each tick from where she logs in, before the attacker tries: the kindest order for him, since
/// her success has just cleared what was counted against strangers.
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
            let inside = granted(&attempt(&mut account, origin.clone(), &code, now));
            // What the strangers do never concerns where she is known; elsewhere it may.
            assert!(inside || origin != home, "locked out of her own source in tick {tick}");
            month.from_new_sources += u64::from(inside && origin != home);
        }
        // They go on until one is refused unjudged; twice a day two hundred ask, lest another address be luckier.
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
                // A guess that hits is a judged one too.
                Outcome::Refused(Reason::Replayed) | Outcome::Granted(_) => {
                    month.judged.push(now.unix());
                    month.lucky += 1;
                    true
                }
                Outcome::Refused(other) => unreachable!("{other:?}"),
            };
        }
    }
    assert!(next > ADDRESSES, "every address had its turn");
    month
}

/// The most that was judged within any window of a day, wherever it begins.
fn most_in_a_day(judged: &[u64]) -> usize {
    let within =
        |start: &u64| judged.iter().filter(|at| (*start..start + BUDGET_WINDOW).contains(at)).count();
    judged.iter().map(within).max().unwrap_or(0)
}

#[test]
fn of_thousands_of_addresses_thirty_guesses_a_day_are_judged_whoever_logs_in_meanwhile() {
    assert_eq!((BUDGET, BUDGET_WINDOW), (30, DAY), "the documents say 30 in 24 hours");
    let hour = HOUR / TICK;
    let month = month(|tick| match tick % hour {
        // Each hour from somewhere else, and now and then from home.
        0 => Some(new_source(tick)),
        3 if tick % (8 * hour) == 3 => Some(Origin::Remote("192.0.2.1".parse().unwrap())),
        _ => None,
    });
    let most = most_in_a_day(&month.judged);
    assert_eq!(most, 30, "the bound holds, and the simulation reaches it");
    assert!(month.judged.len() <= 30 * 30, "{}", month.judged.len());
    assert!(
        month.from_new_sources > 30,
        "her successes were there to profit from: {}",
        month.from_new_sources
    );
    assert!(month.refused_unjudged > 10_000, "{}", month.refused_unjudged);
    assert_eq!(month.lucky, 0, "with these numbers nobody guesses right");
}

#[test]
fn strangers_alone_get_half_of_that() {
    let month = month(|tick| {
        let morning = tick % (DAY / TICK) == 50;
        morning.then(|| Origin::Remote("192.0.2.1".parse().unwrap()))
    });
    assert!(most_in_a_day(&month.judged) <= 15, "{}", most_in_a_day(&month.judged));
}
