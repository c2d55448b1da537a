//! What is written beside an account: sessions, clients, keys, and the latest grant.

use crate::store::change::{OtherNames, SideWrite};
use crate::store::postgres::connection::Connection;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::meta;
use crate::store::values::{read_int, sql_int, sql_time};
use std::collections::BTreeSet;

/// Expired sessions that are deleted at once.
const SWEEP_BATCH: i64 = 500;

/// The key of how often administrators have said that the clock is right.
pub(super) const TRUSTED: &str = "clock_trusted";

/// Moves the latest grant of the slot `$2` ahead to `$1`.
pub(super) const GRANT: &str = "UPDATE latest_grant SET at = $1 WHERE slot = $2 AND at < $1";

/// Writes one; `false` when what it names is not there, or not as it was read. `slot` is where this
/// daemon records its grants.
pub(super) async fn write(db: &Connection, slot: i64, write: &SideWrite) -> Result<bool, Fault> {
    let changed = match write {
        SideWrite::ExpectOtherNames(expected) => u64::from(other_names(db, expected).await?),
        // Its user may have been deleted while it was made: a row that is referred to is missing.
        SideWrite::InsertSession(row) => {
            let sql = "INSERT INTO session (id, account, version, token, expires, record)
                       VALUES ($1, $2, 1, $3, $4, $5)";
            let expires = sql_time(row.expires);
            db.execute(sql, &[&row.id, &row.account, &row.token, &expires, &row.record]).await?
        }
        SideWrite::UpdateSession(row, version) => {
            let sql = "UPDATE session SET version = version + 1, token = $2, expires = $3, record = $4
                       WHERE id = $1 AND version = $5";
            let (expires, version) = (sql_time(row.expires), sql_int(*version));
            db.execute(sql, &[&row.id, &row.token, &expires, &row.record, &version]).await?
        }
        SideWrite::DeleteSession(id) => db.execute("DELETE FROM session WHERE id = $1", &[id]).await?,
        SideWrite::DeleteSessionAt(id, version) => {
            let sql = "DELETE FROM session WHERE id = $1 AND version = $2";
            db.execute(sql, &[id, &sql_int(*version)]).await?
        }
        SideWrite::DeleteSessionsOf(account) => {
            db.execute("DELETE FROM session WHERE account = $1", &[account]).await?;
            1
        }
        SideWrite::DeleteExpiredSessions(now) => {
            let sql = "DELETE FROM session WHERE id IN (SELECT id FROM session WHERE expires <= $1 LIMIT $2)";
            db.execute(sql, &[&sql_time(*now), &SWEEP_BATCH]).await?;
            1
        }
        SideWrite::RecordGrant(at) => {
            db.execute(GRANT, &[&sql_time(*at), &slot]).await?;
            1
        }
        SideWrite::TrustClock(at) => {
            db.execute("UPDATE latest_grant SET at = $1", &[&sql_time(*at)]).await?;
            let trusted = meta::get(db, TRUSTED).await?.and_then(|text| text.parse().ok()).unwrap_or(0_u64);
            meta::set(db, TRUSTED, &trusted.saturating_add(1).to_string()).await?;
            1
        }
        // `withdrawals::record` writes these.
        SideWrite::Withdraw(_) | SideWrite::AcceptOlderCopy(_) => 1,
        SideWrite::InsertClient(row) => {
            let sql = "INSERT INTO client (secret_id, name, record) VALUES ($1, $2, $3)";
            db.execute(sql, &[&row.secret_id, &row.name, &row.record]).await?
        }
        SideWrite::DeleteClient(id) => db.execute("DELETE FROM client WHERE secret_id = $1", &[id]).await?,
        SideWrite::InsertKey(row) => {
            let sql = "INSERT INTO signing_key (id, created, record) VALUES ($1, $2, $3)";
            db.execute(sql, &[&row.id, &sql_time(row.created), &row.record]).await?
        }
        SideWrite::DeleteKey(id) => db.execute("DELETE FROM signing_key WHERE id = $1", &[id]).await?,
    };
    Ok(changed == 1)
}

/// Whether these are the other accounts of the uid. Until the transaction ends no other one that
/// asks about this uid goes on, and what is read afterwards has what the one before it wrote.
async fn other_names(db: &Connection, expected: &OtherNames) -> Result<bool, Fault> {
    let uid = i64::from(expected.uid);
    let lock = "INSERT INTO uid_lock (uid) VALUES ($1) ON CONFLICT (uid) DO UPDATE SET uid = excluded.uid";
    db.execute(lock, &[&uid]).await?;
    let sql = "SELECT id, version FROM account WHERE uid = $1 AND id <> $2";
    let rows = db.rows(sql, &[&uid, &expected.account]).await?;
    let found: BTreeSet<(String, u64)> = rows.iter().map(|row| (row.get(0), read_int(row.get(1)))).collect();
    Ok(found == expected.versions.iter().cloned().collect())
}
