//! The chance of guessing a code, by simulation of the engine's own lock:
//! `cargo run --example guessing`.
//!
//! The attacker tries whenever the lock allows it, and sees every success of the user: from
//! addresses nobody knows, while the user logs in from a new one each time (the kindest case for
//! them), from behind the very address that the user logs in from, as other users of the machine,
//! or at its console.
#![expect(clippy::print_stdout, reason = "it prints a table")]

use totp_core::lock::{LockState, SourceClass};
use totp_core::time::{DAY, HOUR};
use totp_core::{Origin, Time};

/// Codes that are right at any moment: previous, current and next step, of a million.
const CHANCE: f64 = 3.0 / 1_000_000.0;

fn main() {
    println!("{:<44} {:>10} {:>10} {:>9} {:>9}", "attacker", "tries/day", "tries/year", "day", "year");
    for (name, at, rest, logins, authenticators) in [
        ("strangers, user logs in from known sources", AttackSource::Elsewhere, 0, 0, 1),
        ("strangers who wait out each escalation", AttackSource::Elsewhere, DAY, 0, 1),
        ("strangers, 24 logins a day from new sources", AttackSource::Elsewhere, 0, 24, 1),
        ("behind the user's address, no login", AttackSource::Beside, 0, 0, 1),
        ("behind the user's address, 24 logins a day", AttackSource::Beside, 0, 24, 1),
        ("another local user, by su or polkit's helper", AttackSource::Local(1), 0, 0, 1),
        ("a hundred local users together", AttackSource::Local(100), 0, 24, 1),
        ("at the console, 24 logins a day there", AttackSource::Console, 0, 24, 1),
        ("strangers, user has three authenticators", AttackSource::Elsewhere, 0, 0, 3),
        ("three, 24 logins a day from new sources", AttackSource::Elsewhere, 0, 24, 3),
    ] {
        let attack = Attack { at, rest, logins_per_day: logins, authenticators };
        let (day, year) = (simulate(1, attack), simulate(365, attack));
        println!(
            "{name:<44} {day:>10} {year:>10} {:>8.4}% {:>8.3}%",
            100.0 * chance(day),
            100.0 * chance(year)
        );
    }
}

/// Where the attacker is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AttackSource {
    /// Where the user never was.
    Elsewhere,
    /// Behind the user's own address.
    Beside,
    /// On the same machine, as so many other users.
    Local(u32),
    /// At the machine's own console.
    Console,
}

impl AttackSource {
    /// The class of the next guess.
    fn class(self, guard: &mut LockState, home: &Origin, now: Time) -> SourceClass {
        match self {
            Self::Elsewhere => SourceClass::Others,
            Self::Beside => guard.class(home, now),
            Self::Console => SourceClass::Console,
            Self::Local(users) => {
                let free =
                    (0..users).map(SourceClass::LocalStranger).find(|class| guard.remaining(class, now) == 0);
                free.unwrap_or(SourceClass::LocalStranger(0))
            }
        }
    }
}

/// How the attacker guesses, and what the user does.
#[derive(Clone, Copy)]
struct Attack {
    /// Where the attacker is.
    at: AttackSource,
    /// Seconds that the attacker rests after a lock.
    rest: u64,
    /// The user's logins.
    logins_per_day: u64,
    /// How many authenticators the user has: each failure is a guess at each.
    authenticators: u32,
}

/// Judged guesses within `days`.
fn simulate(days: u64, attack: Attack) -> u32 {
    let Attack { at, rest, logins_per_day, authenticators } = attack;
    let mut guard = LockState::default();
    let start = Time::from_unix(1_800_000_000);
    let home = Origin::Remote(std::net::Ipv4Addr::new(192, 0, 2, 1).into());
    guard.succeed(&SourceClass::Others, &home, start);
    let (mut guesses, mut rest_until) = (0, start);
    for minute in 0..days * DAY / 60 {
        let now = start.plus(minute * 60);
        let class = at.class(&mut guard, &home, now);
        if logins_per_day > 0 && (minute * 60) % (24 * HOUR / logins_per_day) == 0 {
            let fresh = std::net::Ipv4Addr::from_bits(u32::try_from(minute).unwrap_or(0));
            let (class, origin) = match at {
                AttackSource::Elsewhere => (class.clone(), Origin::Remote(fresh.into())),
                AttackSource::Beside => (class.clone(), home.clone()),
                AttackSource::Local(_) => (SourceClass::Local, Origin::Local),
                AttackSource::Console => (class.clone(), Origin::Console),
            };
            if at == AttackSource::Elsewhere || guard.remaining(&class, now) == 0 {
                guard.succeed(&class, &origin, now);
            }
        }
        let mut class = class;
        while now >= rest_until && guard.remaining(&class, now) == 0 {
            guesses += authenticators;
            if guard.fail(&class, authenticators, now) {
                rest_until = now.plus(rest);
                class = at.class(&mut guard, &home, now);
            }
        }
    }
    guesses
}

fn chance(guesses: u32) -> f64 {
    1.0 - (1.0 - CHANCE).powf(f64::from(guesses))
}
