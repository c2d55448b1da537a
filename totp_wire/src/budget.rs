//! A time budget for all calls of a login attempt to the daemon. The time in which the user types
//! is not counted.

use std::time::{Duration, Instant};

/// The time that is left for calls. It decreases only while [`Budget::spend`] runs.
///
/// ```
/// use std::time::Duration;
/// use totp_wire::Budget;
///
/// let mut budget = Budget::new(Duration::from_secs(10));
/// std::thread::sleep(Duration::from_millis(20)); // The user types.
/// assert_eq!(budget.remaining_millis(), 10_000);
/// budget.spend(|deadline| {
///     // A call to the daemon, which ends at the deadline.
///     std::thread::sleep(Duration::from_millis(20));
/// });
/// assert!(budget.remaining_millis() <= 9_980);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    left: Duration,
}

impl Budget {
    /// Returns a budget of this length.
    pub const fn new(length: Duration) -> Self {
        Self { left: length }
    }

    /// Returns the time that is left in whole milliseconds, as it is sent to the daemon.
    pub fn remaining_millis(&self) -> u64 {
        u64::try_from(self.left.as_millis()).unwrap_or(u64::MAX)
    }

    /// Runs `work`, which must end by the deadline that it is passed, and subtracts the time that
    /// it took. The clock is monotonic.
    pub fn spend<T>(&mut self, work: impl FnOnce(Instant) -> T) -> T {
        let start = Instant::now();
        let result = work(start + self.left);
        self.left = self.left.saturating_sub(start.elapsed());
        result
    }
}
