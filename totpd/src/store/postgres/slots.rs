//! Where this daemon records its grants: rows of `latest_grant`, one for each transaction under
//! way. A row that another transaction holds, or that a lost connection left locked, delays one try
//! at most.

use crate::sync::ignore_poison;
use std::collections::VecDeque;
use std::sync::Mutex;

/// Rows of one daemon: more than it has transactions that write at once.
const OF_ONE: i64 = 16;
/// Groups of rows: more than there are daemons, so that two of them seldom share one.
const GROUPS: i64 = 256;

/// The statement that moves the row `slot` up to the time that the query `at` has, if it has one.
/// It makes the row where it is missing: a database that was put back may be older than the daemon.
pub(super) fn moved(at: &str, slot: &str) -> String {
    format!(
        "INSERT INTO latest_grant (slot, at)
         SELECT CAST({slot} AS BIGINT), latest.at FROM ({at}) AS latest (at) WHERE latest.at >= 0
         ON CONFLICT (slot) DO UPDATE SET at = excluded.at WHERE latest_grant.at < excluded.at"
    )
}

/// The rows of this daemon that no transaction uses now.
#[derive(Debug)]
pub(super) struct Slots {
    first: i64,
    free: Mutex<VecDeque<i64>>,
}

impl Slots {
    /// Those of the group that a random number names.
    pub(super) fn new(random: u16) -> Self {
        let first = i64::from(random) % GROUPS * OF_ONE;
        Self { first, free: Mutex::new((first..first + OF_ONE).collect()) }
    }

    /// The one that succeeded last. When all are in use, one is shared.
    pub(super) fn take(&self) -> i64 {
        ignore_poison(self.free.lock()).pop_front().unwrap_or(self.first)
    }

    /// Gives one back. After a failure it is used last.
    pub(super) fn give_back(&self, slot: i64, end: End) {
        let mut free = ignore_poison(self.free.lock());
        if free.contains(&slot) {
            return;
        }
        match end {
            End::Committed => free.push_front(slot),
            End::Failed => free.push_back(slot),
        }
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Committed,
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_after_a_failure_is_used_last() {
        let slots = Slots::new(257);
        let first = slots.take();
        assert_eq!(first, 16);
        slots.give_back(first, End::Committed);
        assert_eq!(slots.take(), first);
        slots.give_back(first, End::Failed);
        let taken: Vec<i64> = (0..OF_ONE).map(|_| slots.take()).collect();
        assert_eq!(taken.last(), Some(&first));
        assert_eq!(slots.take(), 16, "all are in use");
    }
}
