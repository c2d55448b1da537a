//! What the writer changes and everybody reads without waiting for it.

use crate::store::change::SideWrite;
use crate::sync::ignore_poison;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use totp_core::Time;
use totp_core::withdrawal::Refusals;

/// How the latest grant may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// Only ahead.
    Ahead,
    /// Also back: an administrator trusts the clock.
    Anywhere,
}

/// The latest grant and the refusals of an open store.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    /// The latest granted code of a phone that is on stable storage, in Unix seconds.
    latest_grant: Arc<AtomicU64>,
    refusals: Arc<RwLock<Arc<Refusals>>>,
}

impl Shared {
    /// What was found when the store was opened.
    pub(super) fn new(latest_grant: u64, refusals: Refusals) -> Self {
        let refusals = Arc::new(RwLock::new(Arc::new(refusals)));
        Self { latest_grant: Arc::new(AtomicU64::new(latest_grant)), refusals }
    }

    /// The latest granted code of a phone.
    pub(super) fn latest_grant(&self) -> Time {
        Time::from_unix(self.latest_grant.load(Ordering::Acquire))
    }

    /// Takes over the grants of a change that was committed.
    pub(super) fn note_grants(&self, side_writes: &[SideWrite]) {
        for write in side_writes {
            match write {
                SideWrite::RecordGrant(at) => {
                    self.latest_grant.fetch_max(at.unix(), Ordering::AcqRel);
                }
                SideWrite::TrustClock(at) => self.latest_grant.store(at.unix(), Ordering::Release),
                _ => {}
            }
        }
    }

    /// Takes over a grant that was found in the store.
    pub(super) fn found_grant(&self, at: Time, moved: Moved) {
        match moved {
            Moved::Ahead => drop(self.latest_grant.fetch_max(at.unix(), Ordering::AcqRel)),
            Moved::Anywhere => self.latest_grant.store(at.unix(), Ordering::Release),
        }
    }

    /// What this copy of the store refuses.
    pub(super) fn refusals(&self) -> Arc<Refusals> {
        let refusals = ignore_poison(self.refusals.read());
        Arc::clone(&refusals)
    }

    /// Replaces what this copy of the store refuses.
    pub(super) fn set_refusals(&self, refusals: Refusals) {
        *ignore_poison(self.refusals.write()) = Arc::new(refusals);
    }
}
