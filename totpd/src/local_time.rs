//! Times as people read them, in the zone of the host (or of `TZ`, or in UTC, for a command). Logs,
//! histories and JSON have RFC 3339 in UTC.

use crate::clock::rfc3339;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::sync::OnceLock;
use totp_core::Time;

/// The zone that a command was asked for. The daemon never sets it.
static ZONE: OnceLock<TimeZone> = OnceLock::new();

/// Shows all times of this process in UTC (`--utc`).
pub(crate) fn use_utc() {
    // A second call would set the same.
    let _ = ZONE.set(TimeZone::UTC);
}

fn zone() -> TimeZone {
    ZONE.get().cloned().unwrap_or_else(TimeZone::system)
}

/// `2026-11-26 14:05 CET`
pub(crate) fn local(time: Time) -> String {
    in_zone(time, zone())
}

/// `2026-11-26 14:05:10 CET`, for what is compared with a log.
pub(crate) fn local_second(time: Time) -> String {
    formatted(time, zone(), "%Y-%m-%d %H:%M:%S %Z")
}

/// `2026-11-26`
pub(crate) fn local_day(time: Time) -> String {
    formatted(time, zone(), "%Y-%m-%d")
}

/// `14:05`, or `2026-11-27 08:05 CET` on another day than `now`.
pub(crate) fn local_from(time: Time, now: Time) -> String {
    from_in_zone(time, now, zone())
}

fn in_zone(time: Time, zone: TimeZone) -> String {
    formatted(time, zone, "%Y-%m-%d %H:%M %Z")
}

fn formatted(time: Time, zone: TimeZone, format: &str) -> String {
    zoned(time, zone).map_or_else(|| rfc3339(time), |at| at.strftime(format).to_string())
}

fn from_in_zone(time: Time, now: Time, zone: TimeZone) -> String {
    match (zoned(time, zone.clone()), zoned(now, zone.clone())) {
        (Some(at), Some(now)) if at.date() == now.date() => at.strftime("%H:%M").to_string(),
        _ => in_zone(time, zone),
    }
}

fn zoned(time: Time, zone: TimeZone) -> Option<Zoned> {
    let seconds = i64::try_from(time.unix()).ok()?;
    Timestamp::from_second(seconds).ok().map(|at| at.to_zoned(zone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::RELEASED;

    #[test]
    fn times_are_shown_in_the_zone_of_the_host() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(in_zone(RELEASED, berlin.clone()), "2026-11-01 01:00 CET");
        let summer = Time::from_unix(RELEASED.unix() - 30 * 86_400);
        assert_eq!(in_zone(summer, berlin.clone()), "2026-10-02 02:00 CEST");
        let at =
            |seconds: u64| from_in_zone(Time::from_unix(RELEASED.unix() + seconds), RELEASED, berlin.clone());
        assert_eq!((at(3 * 3600).as_str(), at(86_400).as_str()), ("04:00", "2026-11-02 01:00 CET"));
        let second = formatted(Time::from_unix(RELEASED.unix() + 7), berlin.clone(), "%Y-%m-%d %H:%M:%S %Z");
        assert_eq!(second, "2026-11-01 01:00:07 CET");
        assert_eq!(in_zone(RELEASED, TimeZone::UTC), "2026-11-01 00:00 UTC");
        assert_eq!(in_zone(Time::from_unix(u64::MAX), berlin), "9999-12-31T23:59:59Z");
    }
}
