//! Decides between a commit that begins and a caller that gives up: one atomic state that both
//! change.
//!
//! ```text
//! waiting ── the store claims it, before the deadline ──▶ begun (its result stands)
//!    └────── the client hung up, or time ran out ───────▶ cancelled (nothing is written)
//! ```

use super::atomic::{AtomicU8, Ordering};
use std::time::Instant;

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const CANCELLED: u8 = 2;

/// The guard of one commit: it begins before its deadline, or it is cancelled, and never both.
#[derive(Debug)]
pub struct CommitGuard {
    deadline: Instant,
    state: AtomicU8,
}

impl CommitGuard {
    /// A guard for a commit that has to begin before `deadline`.
    pub fn new(deadline: Instant) -> Self {
        Self { deadline, state: AtomicU8::new(WAITING) }
    }

    /// The moment before which the commit has to begin.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Begins the commit. `false`: it is too late, and nothing may be written. A second claim, as
    /// of a store that tries again, succeeds like the first.
    pub fn claim(&self) -> bool {
        if Instant::now() >= self.deadline && self.cancel() {
            return false;
        }
        match self.state.compare_exchange(WAITING, BEGUN, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(BEGUN) => true,
            Err(_) => false,
        }
    }

    /// Takes the claim back: the store has written nothing, and the commit may be cancelled again.
    pub fn release(&self) {
        // Only the store leaves this state, and only here.
        let _ = self.state.compare_exchange(BEGUN, WAITING, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Cancels the commit. `false`: it has begun, and its result stands.
    pub fn cancel(&self) -> bool {
        match self.state.compare_exchange(WAITING, CANCELLED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(CANCELLED) => true,
            Err(_) => false,
        }
    }
}
