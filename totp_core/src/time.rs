//! Time as an argument: whole seconds since the Unix epoch. The caller reads the clock.

use serde::{Deserialize, Serialize};

/// One minute in seconds.
pub const MINUTE: u64 = 60;
/// One hour in seconds.
pub const HOUR: u64 = 60 * MINUTE;
/// One day in seconds.
pub const DAY: u64 = 24 * HOUR;

/// A point in time: whole seconds since 1970-01-01T00:00:00Z, without leap seconds. It is never
/// negative, because TOTP counts from the epoch (RFC 6238 section 4.1).
///
/// ```
/// use totp_core::Time;
/// let start = Time::from_unix(1_800_000_000);
/// assert_eq!(start.plus(60).since(start), 60);
/// assert_eq!(start.since(start.plus(60)), 0, "the clock was set back");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// Returns the time `seconds` after the epoch.
    pub const fn from_unix(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Returns the seconds since the epoch.
    pub const fn unix(self) -> u64 {
        self.0
    }

    /// Returns this time plus `seconds`, saturated at `u64::MAX`.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Returns the seconds since `earlier`; 0 when `earlier` is in the future (the clock was set
    /// back).
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
