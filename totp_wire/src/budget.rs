//! One monotonic budget for everything a call waits for. Waiting for the person is not counted.

use std::time::{Duration, Instant};

/// How much waiting is left. It runs only while [`Budget::spend`] runs.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    left: Duration,
}

impl Budget {
    /// A budget of `left`.
    pub const fn new(left: Duration) -> Self {
        Self { left }
    }

    /// What is left, in whole milliseconds: what the server is told.
    pub fn remaining_millis(&self) -> u64 {
        u64::try_from(self.left.as_millis()).unwrap_or(u64::MAX)
    }

    /// Runs `work` with the moment at which its time is up, and takes from the budget what it used.
    pub fn spend<T>(&mut self, work: impl FnOnce(Instant) -> T) -> T {
        let start = Instant::now();
        let done = work(start + self.left);
        self.left = self.left.saturating_sub(start.elapsed());
        done
    }
}
