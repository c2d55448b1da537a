//! Logins that go on while a server dies. Each user has one code, and tries it again, at the next
//! daemon, for as long as nobody has decided.

use super::count_reason;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use totp_wire::CallError;
use totp_wire::login::{STORE_UNAVAILABLE, Verdict};
use totpd_e2e::peer::{begin, from_host};
use totpd_e2e::phone::Phone;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Fleet, Site};

/// Logins that are under way at a time.
const THREADS: usize = 8;
const USERS: u8 = 48;
const FIRST_UID: u32 = 6000;
/// How long the users go on trying, together: a code works for 50 s at least.
const PATIENCE: Duration = Duration::from_secs(40);

/// The users, each with a phone.
pub(super) struct Load(BTreeMap<String, Phone>);

/// What became of the codes.
#[derive(Default)]
pub(super) struct Logins {
    /// The users who were let in, and their codes.
    granted: BTreeMap<String, String>,
    /// Tries that nobody decided.
    pub(super) undecided: usize,
    /// What the history had of each user's logins before.
    before: BTreeMap<String, usize>,
}

/// What became of one code.
struct Login {
    verdict: Verdict,
    undecided: usize,
    /// Nobody said whether a try was the first one: the code may be spent.
    in_doubt: bool,
}

impl Load {
    /// Makes the users known to every host, and enrolls them.
    pub(super) fn new(fleet: &Fleet) -> Self {
        // None of them can be read as hex as well.
        let key = |n: u8| data_encoding::BASE32.encode(&[n | 0x80; 20]);
        let users: BTreeMap<String, Phone> =
            (0..USERS).map(|n| (format!("load{n}"), Phone::with_key(&key(n)))).collect();
        let lines = users.keys().zip(FIRST_UID..);
        let lines: String = lines.map(|(name, uid)| format!("{name}:x:{uid}:{uid}::/:/bin/sh\n")).collect();
        fleet.sites.iter().for_each(|site| site.append("etc/passwd", &lines));
        let rows = users.iter().map(|(name, phone)| format!("{name},{}\n", phone.secret));
        let table = format!("user,secret\n{}", rows.collect::<String>());
        fleet.sites[0].totpd_with(&["import", "csv", "-"], &table).assert_success();
        // Codes of around the import may have been used elsewhere.
        for _ in 0..3 {
            fleet.next_step();
        }
        Self(users)
    }

    /// Logs every user in. Once `after` of them are in, `fault` happens, beside the logins that are
    /// under way, and then `repair`, beside the others.
    pub(super) fn log_in_during(
        &self,
        fleet: &Fleet,
        after: usize,
        fault: impl FnOnce(),
        repair: impl FnOnce(),
    ) -> Logins {
        let codes: Vec<(&String, String)> =
            self.0.iter().map(|(user, phone)| (user, phone.code(&fleet.sites[0]))).collect();
        let (count, before) = (AtomicUsize::new(0), recorded(fleet));
        let (is_broken, until) = (AtomicBool::new(false), Instant::now() + PATIENCE);
        let ends: Vec<Login> = std::thread::scope(|scope| {
            let share = codes.len().div_ceil(THREADS);
            let threads: Vec<_> = codes
                .chunks(share)
                .enumerate()
                .map(|(number, codes)| {
                    let (count, mut sites) = (&count, fleet.sites.iter().cycle().skip(number));
                    let is_broken = &is_broken;
                    let log_in = move |(user, code): &(&String, String)| {
                        wait_until("the fault", || {
                            count.load(Ordering::Acquire) < after || is_broken.load(Ordering::Acquire)
                        });
                        let login = log_in(&mut sites, user, code, until);
                        count.fetch_add(1, Ordering::AcqRel);
                        login
                    };
                    scope.spawn(move || codes.iter().map(log_in).collect::<Vec<_>>())
                })
                .collect();
            wait_until("the load is under way", || count.load(Ordering::Acquire) >= after);
            fault();
            is_broken.store(true, Ordering::Release);
            repair();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let mut logins = Logins { before, ..Logins::default() };
        for ((user, code), Login { verdict, undecided, in_doubt }) in codes.into_iter().zip(ends) {
            logins.undecided += undecided;
            if verdict == Verdict::Granted {
                logins.granted.insert(user.clone(), code);
            } else {
                assert!(in_doubt, "{user}'s code was spent, though no try of it was in doubt");
            }
        }
        logins
    }

    /// Asserts that the servers agree on who was let in, that no code works again on any of them,
    /// and that each user's next one does.
    pub(super) fn assert_single_use(&self, fleet: &Fleet, logins: &Logins) {
        fleet.sites.iter().for_each(Site::wait_until_serving);
        let recorded = recorded(fleet);
        for user in self.0.keys() {
            let of = |logins: &BTreeMap<String, usize>| logins.get(user).copied().unwrap_or(0);
            let new = of(&recorded) - of(&logins.before);
            // One that nobody was told of may be there.
            assert!(
                new == 1 || new == 0 && !logins.granted.contains_key(user),
                "{user} logged in {new} times"
            );
        }
        let replayed = count_reason(&fleet.sites, "replayed");
        std::thread::scope(|scope| {
            for (user, code) in &logins.granted {
                for site in &fleet.sites {
                    scope.spawn(move || {
                        let verdict = decided(site, user, code);
                        assert_eq!(verdict, Ok(Verdict::Denied), "{user}'s code was accepted twice");
                    });
                }
            }
        });
        let tries = logins.granted.len() * fleet.sites.len();
        assert_eq!(count_reason(&fleet.sites, "replayed") - replayed, tries, "refused for another reason");
        fleet.next_step();
        for ((user, phone), site) in self.0.iter().zip(fleet.sites.iter().cycle()) {
            let verdict = decided(site, user, &phone.code(site));
            assert_eq!(verdict, Ok(Verdict::Granted), "{user}: {}", site.log());
        }
        fleet.next_step();
    }
}

/// How many logins of each user the history has.
fn recorded(fleet: &Fleet) -> BTreeMap<String, usize> {
    let history = fleet.sites[0].totpd(&["history", "-n", "20000", "--json"]).assert_success().json();
    let mut logins = BTreeMap::new();
    for event in history["events"].as_array().unwrap().iter().filter(|event| event["outcome"] == "granted") {
        *logins.entry(event["user"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    logins
}

/// Tries a code until somebody decides, each time at the next site.
fn log_in<'a>(sites: &mut impl Iterator<Item = &'a Site>, user: &str, code: &str, until: Instant) -> Login {
    let mut in_doubt = false;
    for (undecided, site) in sites.enumerate() {
        match try_once(site, user, code) {
            Ok(verdict) => return Login { verdict, undecided, in_doubt },
            Err(Undecided::NothingUsed) => {}
            Err(Undecided::InDoubt) => in_doubt = true,
        }
        assert!(Instant::now() < until, "{user} was not let in: {}", site.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    unreachable!("the sites come in turn")
}

/// Why a try was not decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Undecided {
    /// It was refused before the code was looked at.
    NothingUsed,
    /// The code may be used.
    InDoubt,
}

/// Tries a code for as long as the daemon does not look at it: on a busy machine its database may
/// answer too slowly.
fn decided(site: &Site, user: &str, code: &str) -> Result<Verdict, Undecided> {
    let until = Instant::now() + PATIENCE;
    loop {
        match try_once(site, user, code) {
            Err(Undecided::NothingUsed) if Instant::now() < until => site.wait_until_serving(),
            decided => return decided,
        }
    }
}

/// Logs in once, from a host of the user's own.
fn try_once(site: &Site, user: &str, code: &str) -> Result<Verdict, Undecided> {
    let from = user.replace("load", "192.0.2.");
    let waiting = begin(site, from_host(user, &from)).map_err(|_| Undecided::NothingUsed)?;
    waiting.answer(code).map_err(|error| match error {
        CallError::Error { name, .. } if name == STORE_UNAVAILABLE => Undecided::NothingUsed,
        _ => Undecided::InDoubt,
    })
}
