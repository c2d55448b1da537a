//! Deletes old events, in the rhythm in which new ones are written.

use crate::store::postgres::pool::{Core, Pool};
use crate::store::values::sql_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// Events that are deleted at once.
const AT_ONCE: i64 = 10_000;
/// Of so many kept events, one more may be there before the oldest are deleted.
const SLACK: u64 = 100;
/// But never fewer than this.
const LEAST: u64 = 64;
/// How long a deletion may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Keeps the history to its bound.
#[derive(Debug)]
pub(super) struct Trim {
    core: Arc<Core>,
    pool: Pool,
    keep: u64,
    /// Events of this daemon since the last deletion.
    written: AtomicU64,
    /// The last deletion: the next one waits for it.
    last: Mutex<Option<JoinHandle<()>>>,
}

impl Trim {
    /// Keeps so many events.
    pub(super) fn new(core: &Arc<Core>, pool: Pool, keep: u64) -> Self {
        Self { core: Arc::clone(core), pool, keep, written: AtomicU64::new(0), last: Mutex::new(None) }
    }

    /// So many events were written. Deletes old ones when that is due, beside the commits that
    /// follow.
    pub(super) async fn wrote(&self, events: u64) {
        let due = (self.keep / SLACK).max(LEAST);
        if self.written.fetch_add(events, Ordering::AcqRel).saturating_add(events) < due {
            return;
        }
        let mut last = self.last.lock().await;
        self.written.store(0, Ordering::Release);
        if let Some(last) = last.take() {
            let _ = last.await;
        }
        let (core, pool, keep) = (Arc::clone(&self.core), self.pool.clone(), sql_int(self.keep));
        *last = Some(tokio::spawn(async move { delete(&core, &pool, keep).await }));
    }
}

/// Deletes what is older than the events that are kept. They are counted, since numbers of events
/// that were not committed are missing. An array is looked up in the index, however many rows the
/// server expects.
async fn delete(core: &Core, pool: &Pool, keep: i64) {
    let Ok(db) = core.take(pool).await else { return };
    let sql = "DELETE FROM history WHERE seq = ANY (ARRAY(
                 SELECT seq FROM history
                 WHERE seq < (SELECT min(seq) FROM (SELECT seq FROM history ORDER BY seq DESC LIMIT $1) AS kept)
                 ORDER BY seq LIMIT $2))";
    match tokio::time::timeout(TIMEOUT, db.execute(sql, &[&keep, &AT_ONCE])).await {
        Ok(Ok(_)) => {}
        Ok(Err(fault)) if !fault.is_of_connection() => {
            tracing::debug!("old events are kept for now: {fault}");
        }
        Ok(Err(_)) | Err(_) => core.discard(db),
    }
}
