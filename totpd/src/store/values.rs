//! Numbers of ours as those of a database, which are signed, and back.

use totp_core::Time;

/// A moment. One beyond the database's integers is the end of time.
pub(super) fn sql_time(time: Time) -> i64 {
    sql_int(time.unix())
}

/// A moment that was stored. A negative one, which we never store, is the epoch.
pub(super) fn read_time(seconds: i64) -> Time {
    Time::from_unix(read_int(seconds))
}

/// A version or a count.
pub(super) fn sql_int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A version or a count that was stored.
pub(super) fn read_int(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// How many rows at most.
pub(super) fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
