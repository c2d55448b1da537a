//! The one place that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};
use totp_core::Time;

/// No machine that runs this release has an earlier date: 2026-11-01T00:00:00Z. Moved with each
/// release.
pub const RELEASED: Time = Time::from_unix(1_793_491_200);

/// Now. Read once for each answer that is judged.
#[expect(clippy::disallowed_methods, reason = "this is the edge")]
pub fn now() -> Time {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 is before the release too, and is refused as that.
    Time::from_unix(since_epoch.map_or(0, |d| d.as_secs()))
}

/// `2026-11-23T20:05:00Z`
pub fn rfc3339(time: Time) -> String {
    let at = UNIX_EPOCH.checked_add(std::time::Duration::from_secs(time.unix().min(253_402_300_799)));
    at.map_or_else(String::new, |at| humantime::format_rfc3339_seconds(at).to_string())
}

/// A moment from `2026-11-23T20:05:00Z` or `2026-11-23T21:05:00+01:00`. `None` without a zone.
pub fn from_rfc3339(text: &str) -> Option<Time> {
    let (local, zone) = text.split_at_checked(text.rfind(['Z', 'z', '+', '-']).filter(|at| *at >= 19)?)?;
    let utc = format!("{}Z", local.replacen([' ', 't'], "T", 1));
    let local = humantime::parse_rfc3339(&utc).ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let offset = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign, rest) => {
            let (hours, minutes) = rest.split_once(':')?;
            let two = |digits: &str, most: i64| {
                let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
                digits.parse::<i64>().ok().filter(|n| plain && *n <= most)
            };
            let seconds = two(hours, 23)? * 3600 + two(minutes, 59)? * 60;
            if sign == "-" { -seconds } else { seconds }
        }
    };
    local.checked_add_signed(-offset).map(Time::from_unix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        assert_eq!(rfc3339(RELEASED), "2026-11-01T00:00:00Z");
        assert_eq!(rfc3339(Time::from_unix(u64::MAX)), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn times_are_read_with_their_zone_alone() {
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
