//! Watches the servers: whether they answer, accept writes, and show the time that this host shows.
//! What other daemons wrote is fetched on the way.

use crate::clock;
use crate::store::Health;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::pool::{Core, Found, Pool, Pooled, read_only};
use crate::store::postgres::side_writes::TRUSTED;
use crate::store::postgres::withdrawals::Standing;
use crate::store::postgres::{connection::Connection, durable, meta};
use crate::store::values::read_time;
use std::sync::Arc;
use std::time::{Duration, Instant};
use totp_core::Time;

/// How often the servers are looked at: while they serve, and while they do not.
const INTERVAL: Duration = Duration::from_secs(2);
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// For how long a commit may wait for a standby until the store does not serve: a user who is asked
/// for a code then would wait, too, and their code would be spent.
const COMMITS_WAIT: &str = "5 seconds";
/// For how long the standby that commits wait for may be away until the store does not serve.
const MAY_BE_AWAY: Duration = Duration::from_secs(5);
/// How often the servers are looked at that are not used now.
const OTHERS_INTERVAL: Duration = Duration::from_mins(1);
/// By how many seconds a host's clock may differ from the database's.
const MAX_SKEW: u64 = 5;

/// Looks until the store ends.
pub(super) async fn run(core: Arc<Core>, pool: Pool) {
    let mut others = tokio::time::Instant::now();
    let mut blocked = None;
    loop {
        let interval = if core.status.health() == Health::Serving { INTERVAL } else { RETRY_INTERVAL };
        // What failed is looked at soon, but not in a loop.
        let wait = async {
            core.failed.notified().await;
            tokio::time::sleep(RETRY_INTERVAL / 5).await;
        };
        let _ = tokio::time::timeout(interval, wait).await;
        let found = look(&core, &pool, &mut blocked).await;
        core.status.set(found);
        core.known.retry_witness();
        if others <= tokio::time::Instant::now() && core.status.health() == Health::Serving {
            others = tokio::time::Instant::now() + OTHERS_INTERVAL;
            let core = Arc::clone(&core);
            tokio::spawn(async move { core.found(Found::Servers, core.dialer.look_at_others().await) });
        }
    }
}

async fn look(core: &Core, pool: &Pool, blocked: &mut Option<Instant>) -> Health {
    let unavailable = |why: String| Health::Unavailable(format!("the store cannot be used now: {why}"));
    let looked = tokio::time::timeout(TIMEOUT, async {
        let db = core.take(pool).await.map_err(|error| error.0)?;
        let fetched = fetch(core, &db, blocked).await;
        fetched.map_err(|fault| {
            drop(Pooled::take(db));
            fault.to_string()
        })
    });
    match looked.await {
        Ok(Ok(None)) => Health::Serving,
        Ok(Ok(Some(why))) => Health::Unavailable(why),
        Ok(Err(why)) => unavailable(why),
        Err(_) => unavailable(format!("{} does not answer", core.name)),
    }
}

/// Fetches what other daemons wrote. Returns what is wrong with the clocks or the standbys, if
/// logins cannot be judged for it. `blocked`: since when no commit can end.
async fn fetch(core: &Core, db: &Connection, blocked: &mut Option<Instant>) -> Result<Option<String>, Fault> {
    if read_only(db).await? {
        return Err(Fault::ReadOnly);
    }
    if meta::get(db, "store_id").await?.as_ref() != Some(&core.store_id) {
        // It was copied to another place, or replaced. The next connection says which.
        return Err(Fault::Lost("it holds another store now".to_owned()));
    }
    let skew = compare_clocks(db).await?;
    core.known.note_latest_grant(latest_grant(db).await?, trusted(db).await?);
    // Before the store is read: a withdrawal may be witnessed in between.
    let witnessed = core.known.witnessed();
    let here = Standing::read_in_short(db).await?;
    if here.position.counter < witnessed {
        // Put back under the daemon, by a restore that left its connections alone. The next
        // connection is compared with the witness, as each new one is.
        return Err(Fault::Lost("an older copy of the store was put in its place".to_owned()));
    }
    core.known.adopt(here.refusals);
    if core.known.lacks_before(here.position.counter.saturating_add(1)) {
        core.known.note_withdrawals(Standing::read(db).await?.kept);
    }
    let durability = durable::look(db).await?;
    core.found(Found::Durability, durability.findings);
    if durability.blocked.is_none() {
        *blocked = None;
    }
    // A standby that was only started again is waited for.
    let since = durability.blocked.is_some().then(|| blocked.get_or_insert_with(Instant::now).elapsed());
    let is_away = since.is_some_and(|since| since >= MAY_BE_AWAY || core.status.health() != Health::Serving);
    Ok(match skew.or(durability.blocked.filter(|_| is_away)) {
        None => waits_for_standby(db).await?,
        why => why,
    })
}

/// What an administrator has to do about commits that wait for a standby. Those of a connection
/// that is gone wait on, so that this holds until the standby is back. A role sees its own sessions
/// (PostgreSQL's manual, "pg_stat_activity").
async fn waits_for_standby(db: &Connection) -> Result<Option<String>, Fault> {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE usename = current_user AND datname = current_database() AND wait_event = 'SyncRep'
                 AND query_start < clock_timestamp() - CAST($1 AS TEXT)::interval";
    let row = db.row(sql, &[&COMMITS_WAIT]).await?;
    let count: i64 = row.map_or(0, |row| row.get(0));
    Ok((count > 0).then(|| {
        format!(
            "commits wait for a standby of {} that does not answer ({count} of them), so nobody can be let in. Start the \
             standby; docs/how-to/database-recovery.md has more",
            db.server
        )
    }))
}

/// The latest granted code of a phone that any daemon has stored.
pub(super) async fn latest_grant(db: &Connection) -> Result<Time, Fault> {
    let row = db.row("SELECT coalesce(max(at), 0) FROM latest_grant", &[]).await?;
    Ok(row.map_or_else(Time::default, |row| read_time(row.get(0))))
}

/// How often administrators have said that the clock is right.
pub(super) async fn trusted(db: &Connection) -> Result<u64, Fault> {
    Ok(meta::get(db, TRUSTED).await?.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// What is wrong between this host's clock and the database's: codes of two hosts that disagree on
/// the time would be judged by two windows.
pub(super) async fn compare_clocks(db: &Connection) -> Result<Option<String>, Fault> {
    let before = clock::now();
    let sql = "SELECT CAST(floor(extract(epoch FROM clock_timestamp())) AS BIGINT)";
    let row = db.row(sql, &[]).await?;
    let there = row.map_or_else(Time::default, |row| read_time(row.get(0)));
    Ok(skew(before, there, clock::now(), &db.server))
}

/// The database showed `there` at some moment between `before` and `after`.
fn skew(before: Time, there: Time, after: Time, server: &str) -> Option<String> {
    let (ahead, behind) = (before.since(there), there.since(after));
    let (seconds, word) = if ahead > MAX_SKEW {
        (ahead, "ahead of")
    } else if behind > MAX_SKEW {
        (behind, "behind")
    } else {
        return None;
    };
    Some(format!(
        "this host's clock is {seconds} s {word} that of {server}: nothing is judged until they agree. Check both with \
         `timedatectl`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_by_five_seconds() {
        let at = Time::from_unix;
        for there in [995, 1000, 1007] {
            assert_eq!(skew(at(1000), at(there), at(1002), "db1"), None, "{there}");
        }
        assert!(skew(at(1000), at(994), at(1002), "db1").unwrap().contains("6 s ahead of that of db1"));
        assert!(skew(at(1000), at(1008), at(1002), "db1").unwrap().contains("6 s behind that of db1"));
    }
}
