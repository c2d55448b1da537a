//! Time as an argument: whole seconds since the Unix epoch, handed in by whoever has a clock.

use serde::{Deserialize, Serialize};

/// One minute, hour and day in seconds.
pub const MINUTE: u64 = 60;
/// One hour in seconds.
pub const HOUR: u64 = 60 * MINUTE;
/// One day in seconds.
pub const DAY: u64 = 24 * HOUR;

/// A moment in whole seconds since 1970-01-01T00:00:00Z. Never negative: RFC 6238 counts from the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// The moment `seconds` after the epoch.
    pub const fn from_unix(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the epoch.
    pub const fn unix(self) -> u64 {
        self.0
    }

    /// This moment plus `seconds`, at the latest the end of time.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds since `earlier`; 0 when `earlier` is in the future (the clock was set back).
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
