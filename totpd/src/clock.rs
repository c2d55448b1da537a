//! The one place that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};
use totp_core::Time;

/// No machine that runs this release has an earlier date: 2026-11-01T00:00:00Z. Moved with each release.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        assert_eq!(rfc3339(RELEASED), "2026-11-01T00:00:00Z");
        assert_eq!(rfc3339(Time::from_unix(u64::MAX)), "9999-12-31T23:59:59Z");
    }
}
