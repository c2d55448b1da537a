//! Deletes old events, in the rhythm in which new ones are written.

use crate::store::postgres::connection::Connection;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::pool::{Core, Pool};
use crate::store::values::sql_int;
use crate::sync::ignore_poison;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Events that are deleted at once.
const AT_ONCE: i64 = 10_000;
/// Of so many kept events, one more may be there before the oldest are deleted.
const SLACK: u64 = 100;
/// But never fewer than this.
const LEAST: u64 = 64;
/// How long a deletion may take: to count a hundred million events takes half a minute.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Keeps the history to its bound.
#[derive(Debug)]
pub(super) struct Trim {
    core: Arc<Core>,
    pool: Pool,
    keep: u64,
    /// Events of this daemon since the last deletion; many at its start, when one is due.
    written: AtomicU64,
    last: Mutex<Option<JoinHandle<()>>>,
}

impl Trim {
    /// Keeps so many events.
    pub(super) fn new(core: &Arc<Core>, pool: Pool, keep: u64) -> Self {
        let written = AtomicU64::new(due(keep));
        Self { core: Arc::clone(core), pool, keep, written, last: Mutex::new(None) }
    }

    /// So many events were written. Deletes old ones when that is due, beside the commits that
    /// follow: none of them waits for it.
    pub(super) fn wrote(&self, events: u64) {
        if self.written.fetch_add(events, Ordering::AcqRel).saturating_add(events) < due(self.keep) {
            return;
        }
        let mut last = ignore_poison(self.last.lock());
        if last.as_ref().is_some_and(|last| !last.is_finished()) {
            return;
        }
        self.written.store(0, Ordering::Release);
        let (core, pool, keep) = (Arc::clone(&self.core), self.pool.clone(), sql_int(self.keep));
        *last = Some(tokio::spawn(async move { delete(&core, &pool, keep).await }));
    }
}

/// After how many new events a deletion is due: to count the kept ones takes its time.
fn due(keep: u64) -> u64 {
    (keep / SLACK).max(LEAST)
}

/// Deletes what is older than the events that are kept.
async fn delete(core: &Core, pool: &Pool, keep: i64) {
    let Ok(db) = core.take(pool).await else { return };
    match tokio::time::timeout(TIMEOUT, delete_on(&db, keep)).await {
        Ok(Ok(())) => return,
        // Another daemon deletes them, or the next try is on another connection.
        Ok(Err(Fault::Conflict | Fault::Locked | Fault::Lost(_) | Fault::ReadOnly)) | Err(_) => {}
        Ok(Err(fault)) => {
            tracing::warn!("old events of the history cannot be deleted, so that it grows: {fault}");
        }
    }
    // A transaction may be open on it.
    core.discard(db);
}

/// The kept events are counted, since numbers of events that were not committed are missing. An
/// array is looked up in the index, however many rows the server expects.
async fn delete_on(db: &Connection, keep: i64) -> Result<(), Fault> {
    let oldest = "SELECT min(seq) FROM (SELECT seq FROM history ORDER BY seq DESC LIMIT $1) AS kept";
    let oldest: Option<i64> = db.row(oldest, &[&keep]).await?.and_then(|row| row.get(0));
    let Some(oldest) = oldest else { return Ok(()) };
    let older = "DELETE FROM history WHERE seq = ANY (ARRAY(
                   SELECT seq FROM history WHERE seq < $1 ORDER BY seq LIMIT $2))";
    loop {
        // In a transaction of its own: how long a session waits for its standby is counted from its
        // last statement on.
        db.run("BEGIN").await?;
        let deleted = db.execute(older, &[&oldest, &AT_ONCE]).await?;
        db.run("COMMIT").await?;
        if deleted < AT_ONCE.cast_unsigned() {
            return Ok(());
        }
    }
}
