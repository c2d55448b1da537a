//! What is written beside an account: sessions, clients, keys, and the latest grant.

use crate::store::change::SideWrite;
use crate::store::sqlite::meta;
use crate::store::values::{read_int, sql_int, sql_time};
use rusqlite::{Connection, params};
use std::collections::BTreeSet;

/// Expired sessions that are deleted at once.
const SWEEP_BATCH: i64 = 500;

/// Writes one; `false` when what it names is not there, or not as it was read.
pub(super) fn write(db: &Connection, write: &SideWrite) -> rusqlite::Result<bool> {
    let changed = match write {
        SideWrite::ExpectOtherNames(expected) => {
            let found: BTreeSet<(String, u64)> = db
                .prepare_cached("SELECT id, version FROM account WHERE uid = ?1 AND id <> ?2")?
                .query_map(params![expected.uid, expected.account], |row| {
                    Ok((row.get(0)?, read_int(row.get(1)?)))
                })?
                .collect::<rusqlite::Result<_>>()?;
            usize::from(found == expected.versions.iter().cloned().collect())
        }
        SideWrite::InsertSession(row) => {
            // Its user may have been deleted while it was made.
            let accounts = db
                .prepare_cached("SELECT count(*) FROM account WHERE id = ?1")?
                .query_row([&row.account], |found| found.get::<_, i64>(0))?;
            if accounts == 0 {
                return Ok(false);
            }
            db.prepare_cached(
                "INSERT INTO session (id, account, version, token, expires, record) VALUES (?1, ?2, 1, ?3, ?4, ?5)",
            )?
            .execute(params![row.id, row.account, row.token, sql_time(row.expires), row.record])?
        }
        SideWrite::UpdateSession(row, version) => db
            .prepare_cached(
                "UPDATE session SET version = version + 1, token = ?2, expires = ?3, record = ?4
                 WHERE id = ?1 AND version = ?5",
            )?
            .execute(params![row.id, row.token, sql_time(row.expires), row.record, sql_int(*version)])?,
        SideWrite::DeleteSession(id) => {
            db.prepare_cached("DELETE FROM session WHERE id = ?1")?.execute([id])?
        }
        SideWrite::DeleteSessionAt(id, version) => db
            .prepare_cached("DELETE FROM session WHERE id = ?1 AND version = ?2")?
            .execute(params![id, sql_int(*version)])?,
        SideWrite::DeleteSessionsOf(account) => {
            db.prepare_cached("DELETE FROM session WHERE account = ?1")?.execute([account])?;
            1
        }
        SideWrite::DeleteExpiredSessions(now) => {
            db.prepare_cached(
                "DELETE FROM session WHERE id IN (SELECT id FROM session WHERE expires <= ?1 LIMIT ?2)",
            )?
            .execute(params![sql_time(*now), SWEEP_BATCH])?;
            1
        }
        SideWrite::RecordGrant(at) => {
            db.prepare_cached(
                "INSERT INTO meta (key, value) VALUES ('latest_grant', ?1)
                 ON CONFLICT (key) DO UPDATE SET value = ?1 WHERE CAST(value AS INTEGER) < CAST(?1 AS INTEGER)",
            )?
            .execute([sql_time(*at).to_string()])?;
            1
        }
        SideWrite::TrustClock(at) => {
            meta::set(db, "latest_grant", &sql_time(*at).to_string())?;
            1
        }
        // `withdrawals::record` writes these.
        SideWrite::Withdraw(_) | SideWrite::AcceptOlderCopy { .. } => 1,
        SideWrite::InsertClient(row) => db
            .prepare_cached("INSERT INTO client (secret_id, name, record) VALUES (?1, ?2, ?3)")?
            .execute(params![row.secret_id, row.name, row.record])?,
        SideWrite::DeleteClient(id) => {
            db.prepare_cached("DELETE FROM client WHERE secret_id = ?1")?.execute([id])?
        }
        SideWrite::InsertKey(row) => db
            .prepare_cached("INSERT INTO signing_key (id, created, record) VALUES (?1, ?2, ?3)")?
            .execute(params![row.id, sql_time(row.created), row.record])?,
        SideWrite::DeleteKey(id) => {
            db.prepare_cached("DELETE FROM signing_key WHERE id = ?1")?.execute([id])?
        }
    };
    Ok(changed == 1)
}
