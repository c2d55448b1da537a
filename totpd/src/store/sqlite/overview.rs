//! Counts what a store holds. Each statement has an index of its own, so that a million users cost
//! no more than their keys.

use crate::store::overview::{FIRST_NAMES, LATEST_EVENTS, LATEST_REFUSALS, Overview};
use crate::store::values::{read_int, sql_time};
use rusqlite::{Connection, Params, Row, params};
use totp_core::Time;

/// What the store holds at `now`; refusals not before `since`.
pub(super) fn overview(db: &Connection, now: Time, since: Time) -> rusqlite::Result<Overview> {
    let (now, since) = (sql_time(now), sql_time(since));
    let recent = format!(
        "FROM history WHERE seq > (SELECT max(seq) FROM history) - {LATEST_EVENTS} AND at >= ?1
         AND instr(event, '\"outcome\":\"refused\"') > 0"
    );
    Ok(Overview {
        size: number(db, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", [])?,
        schema: number(db, "SELECT max(version) FROM refinery_schema_history", [])?,
        enrolled: number(db, "SELECT count(*) FROM account WHERE active_totp IS NOT NULL", [])?,
        pending: number(db, "SELECT count(*) FROM account WHERE pending_until > ?1", [now])?,
        locked: number(db, "SELECT count(*) FROM account WHERE locked_until > ?1", [now])?,
        locked_users: texts(
            db,
            "SELECT coalesce(name, id) FROM account WHERE locked_until > ?1 ORDER BY locked_until DESC LIMIT ?2",
            params![now, FIRST_NAMES],
        )?,
        tickets: number(db, "SELECT count(*) FROM account WHERE ticket_until > ?1", [now])?,
        refused_at_least: number(
            db,
            &format!(
                "SELECT count(*) FROM history
                 WHERE seq = (SELECT max(seq) FROM history) - {LATEST_EVENTS} AND at >= ?1"
            ),
            [since],
        )? > 0,
        refused: number(db, &format!("SELECT count(*) {recent}"), [since])?,
        refusals: texts(
            db,
            &format!("SELECT event {recent} ORDER BY seq DESC LIMIT ?2"),
            params![since, LATEST_REFUSALS],
        )?,
    })
}

fn number(db: &Connection, sql: &str, values: impl Params) -> rusqlite::Result<u64> {
    db.prepare_cached(sql)?.query_row(values, |row| row.get(0)).map(read_int)
}

fn texts(db: &Connection, sql: &str, values: impl Params) -> rusqlite::Result<Vec<String>> {
    db.prepare_cached(sql)?.query_map(values, |row: &Row<'_>| row.get(0))?.collect()
}
