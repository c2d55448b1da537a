//! Several daemons over one PostgreSQL are one system, and refuse whatever happens to it.

mod cancelled_wait;
mod copy;
mod failover;
mod full_disk;
mod load;
mod network;
mod older_copy;
mod one_system;
mod refused;
mod single_use;
mod standbys;

use std::sync::Barrier;
use std::time::Duration;
use totp_wire::CallError;
use totp_wire::login::Verdict;
use totpd_e2e::Site;
use totpd_e2e::peer::{begin, local};

/// How long a login may take that meets a fault of the database.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Starts `count` logins of a user, in turn on each site, and answers all prompts at the same time.
fn answer_together(sites: &[Site], user: &str, count: usize, code: &str) -> Vec<Result<Verdict, CallError>> {
    let sites: Vec<&Site> = sites.iter().cycle().take(count).collect();
    sites.iter().take(3).for_each(|site| site.wait_until_serving());
    let waiting: Vec<_> = sites.iter().map(|site| begin(site, local(user)).unwrap()).collect();
    let barrier = Barrier::new(count);
    std::thread::scope(|scope| {
        let barrier = &barrier;
        let start = |waiting: totpd_e2e::peer::Waiting| {
            scope.spawn(move || {
                barrier.wait();
                waiting.answer_within(code, LOGIN_TIMEOUT)
            })
        };
        let threads: Vec<_> = waiting.into_iter().map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Counts the logins that were granted.
fn granted(verdicts: &[Result<Verdict, CallError>]) -> usize {
    verdicts.iter().filter(|verdict| **verdict == Ok(Verdict::Granted)).count()
}

/// Counts the events of all sites that have this reason.
fn count_reason(sites: &[Site], reason: &str) -> usize {
    let events = sites.iter().flat_map(Site::events);
    events.filter(|event| event["reason"] == reason).count()
}
