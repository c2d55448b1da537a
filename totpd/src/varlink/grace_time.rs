//! When sshd ends a login (sshd_config(5), LoginGraceTime).
//!
//! The PAM module may start no program, and sshd tells it nothing of the setting. So the setting is
//! in `totpd.toml` as well (`ssh_grace_time`; `totpd doctor` compares the two). sshd counts from
//! the start of the process that serves the connection, which is the parent of the one that asks.

use crate::audit::EventSource;
use crate::clock;
use crate::config::Config;
use std::time::{Duration, Instant};
use totp_wire::login::{Attempt, Process};

/// `PAM_TTY` in sshd, and nowhere else.
pub(super) const SSHD_TTY: &str = "ssh";

/// Ticks of the kernel's clock in a second, as programs see it (`USER_HZ`; proc_pid_stat(5),
/// starttime). It is 100 on every architecture that systemd and Rust support.
const TICKS_PER_SECOND: u64 = 100;

/// When sshd ends the login. `None` for other programs, and if sshd sets no limit.
pub(super) fn end_of_login(attempt: &Attempt, from: &EventSource, config: &Config) -> Option<Instant> {
    let is_sshd = attempt.tty.as_deref() == Some(SSHD_TTY) && from.rhost.is_some();
    let grace = Duration::from_secs(config.ssh_grace_time);
    if !is_sshd || grace.is_zero() {
        return None;
    }
    Some(Instant::now() + time_left(grace, attempt.parent, clock::since_boot()))
}

/// What is left of the grace time. All of it where the process does not say: another PID or time
/// namespace, or an sshd that asks in the process that serves the connection.
fn time_left(grace: Duration, connection: Option<Process>, since_boot: Duration) -> Duration {
    let started = connection
        .map(|process| Duration::from_millis(process.started.saturating_mul(1000) / TICKS_PER_SECOND));
    let elapsed = started.and_then(|started| since_boot.checked_sub(started)).filter(|age| *age < grace);
    grace.saturating_sub(elapsed.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_mins(2);
    const NOW: Duration = Duration::from_secs(5000);

    fn seconds_left(started: Option<u64>) -> u64 {
        time_left(GRACE, started.map(|started| Process { pid: 7, started }), NOW).as_secs()
    }

    #[test]
    fn the_time_left_counts_from_the_start_of_the_connection() {
        assert_eq!(seconds_left(Some(500_000)), 120);
        assert_eq!(seconds_left(Some(497_000)), 90);
        assert_eq!(seconds_left(Some(488_100)), 1);
    }

    #[test]
    fn an_impossible_start_leaves_the_whole_grace_time() {
        for started in [None, Some(0), Some(488_000), Some(500_100), Some(u64::MAX)] {
            assert_eq!(seconds_left(started), 120, "{started:?}");
        }
    }

    #[test]
    fn only_sshd_ends_logins_and_not_with_a_grace_time_of_zero() {
        let mut config = Config::defaults(std::path::Path::new("/etc/totpd"));
        let sshd = Attempt { tty: Some("ssh".into()), ..Attempt::default() };
        let from = EventSource { rhost: Some("192.0.2.7".into()), ..EventSource::default() };
        assert!(end_of_login(&sshd, &from, &config).is_some());
        assert!(
            end_of_login(&Attempt { tty: Some("tty1".into()), ..sshd.clone() }, &from, &config).is_none()
        );
        assert!(end_of_login(&sshd, &EventSource::default(), &config).is_none());
        config.ssh_grace_time = 0;
        assert!(end_of_login(&sshd, &from, &config).is_none());
    }
}
