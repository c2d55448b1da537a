//! The wall clock, which only this file reads, and its text form; and the time since the host
//! booted.

use nix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use totp_core::Time;

/// When this release was made: 2026-11-01T00:00:00Z. A clock that shows an earlier time is wrong.
/// Each release updates it.
pub const RELEASED: Time = Time::from_unix(1_793_491_200);

/// Returns the current time, in whole seconds. A caller that judges a code reads it once, so that
/// every part of the decision uses the same time.
#[expect(clippy::disallowed_methods, reason = "the only place that reads the clock")]
pub fn now() -> Time {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 becomes 0, which is before RELEASED and refused like any such time.
    Time::from_unix(since_epoch.map_or(0, |d| d.as_secs()))
}

/// Returns the time since the host booted (`CLOCK_BOOTTIME`, clock_gettime(2)). Nobody can set it,
/// and it goes on while the host sleeps. The kernel counts the starts of processes by it
/// (proc_pid_stat(5), starttime).
pub fn since_boot() -> Duration {
    // The clock is there since Linux 2.6.39.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

/// Formats a time by RFC 3339 in UTC: `2026-11-23T20:05:00Z`. A time after the year 9999 is
/// formatted as the end of that year.
pub fn rfc3339(time: Time) -> String {
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(time.unix().min(253_402_300_799)));
    at.map_or_else(String::new, |at| humantime::format_rfc3339_seconds(at).to_string())
}

/// Parses a time by RFC 3339, such as `2026-11-23T20:05:00Z` or `2026-11-23T21:05:00+01:00`, and
/// drops fractions of a second. Returns `None` for any other text, and without a time zone.
pub fn from_rfc3339(text: &str) -> Option<Time> {
    let (local, zone) = text.split_at_checked(text.rfind(['Z', 'z', '+', '-']).filter(|at| *at >= 19)?)?;
    let utc = format!("{}Z", local.replacen([' ', 't'], "T", 1));
    let local = humantime::parse_rfc3339(&utc).ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let offset = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign, rest) => {
            let (hours, minutes) = rest.split_once(':')?;
            let two_digits = |digits: &str, max: i64| {
                let is_plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
                digits.parse::<i64>().ok().filter(|n| is_plain && *n <= max)
            };
            let seconds = two_digits(hours, 23)? * 3600 + two_digits(minutes, 59)? * 60;
            if sign == "-" { -seconds } else { seconds }
        }
    };
    local.checked_add_signed(-offset).map(Time::from_unix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted_by_rfc_3339() {
        assert_eq!(rfc3339(RELEASED), "2026-11-01T00:00:00Z");
        assert_eq!(rfc3339(Time::from_unix(u64::MAX)), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn times_are_parsed_only_with_a_time_zone() {
        for (text, utc) in [
            ("2027-01-31T08:00:00Z", "2027-01-31T08:00:00Z"),
            ("2027-01-31T08:00:00+01:00", "2027-01-31T07:00:00Z"),
            ("2027-01-31t08:00:00-05:30", "2027-01-31T13:30:00Z"),
            ("2027-01-31 08:00:00.5z", "2027-01-31T08:00:00Z"),
        ] {
            assert_eq!(from_rfc3339(text).map(rfc3339).as_deref(), Some(utc), "{text}");
        }
        for bad in [
            "",
            "2027-01-31",
            "2027-01-31T08:00:00",
            "tomorrow",
            "2027-13-31T08:00:00Z",
            "2027-01-31T08:00:00+1",
        ] {
            assert_eq!(from_rfc3339(bad), None, "{bad}");
        }
    }
}
