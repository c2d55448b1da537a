//! Whether work may still be dropped: one word that the waiting side and the writer both want to change.
//!
//! ```text
//! waiting ── writer claims it, before the deadline ──▶ begun (its result stands)
//!    └────── the client hung up, or time ran out ────▶ dropped (nothing was judged)
//! ```

use super::atomic::{AtomicU8, Ordering};
use std::time::Instant;

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const DROPPED: u8 = 2;

/// One piece of work.
#[derive(Debug)]
pub struct CommitGuard {
    deadline: Instant,
    state: AtomicU8,
}

impl CommitGuard {
    /// For work that has to begin before `deadline`.
    pub fn new(deadline: Instant) -> Self {
        Self { deadline, state: AtomicU8::new(WAITING) }
    }

    /// When it has to have begun.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The writer begins. `false`: too late, nothing may be written. A second claim (the writer's own retry)
    /// succeeds like the first.
    pub fn claim(&self) -> bool {
        if Instant::now() >= self.deadline && self.cancel() {
            return false;
        }
        match self.state.compare_exchange(WAITING, BEGUN, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(BEGUN) => true,
            Err(_) => false,
        }
    }

    /// The writer has written nothing of it after all: it waits again.
    pub fn release(&self) {
        // Only the writer leaves this state, and only here.
        let _ = self.state.compare_exchange(BEGUN, WAITING, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The waiting side gives up. `false`: the commit has begun and its result stands.
    pub fn cancel(&self) -> bool {
        match self.state.compare_exchange(WAITING, DROPPED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(DROPPED) => true,
            Err(_) => false,
        }
    }
}
