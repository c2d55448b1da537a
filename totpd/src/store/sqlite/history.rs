//! The history: rows of it, and when users last passed a login.

use crate::audit::EventRow;
use crate::store::overview::LATEST_EVENTS_OF_ONE;
use crate::store::query::{HistoryQuery, HistoryRow};
use crate::store::values::{read_time, sql_limit, sql_time};
use rusqlite::{Connection, OptionalExtension, Row, params};
use totp_core::Time;

/// Adds a row.
pub(super) fn insert(db: &Connection, event: &EventRow) -> rusqlite::Result<()> {
    let EventRow { at, user, json } = event;
    db.prepare_cached("INSERT INTO history (at, name, event) VALUES (?1, ?2, ?3)")?.execute(params![
        sql_time(*at),
        user,
        json
    ])?;
    Ok(())
}

/// Rows, the latest first.
pub(super) fn page(db: &Connection, query: &HistoryQuery) -> rusqlite::Result<Vec<HistoryRow>> {
    let limit = sql_limit(query.limit);
    let before = query.before.unwrap_or(i64::MAX);
    let since = query.since.map_or(0, sql_time);
    let kept = |row: &Row<'_>| Ok(HistoryRow { seq: row.get(0)?, json: row.get(1)? });
    // Two statements, so that each has its index.
    match &query.user {
        Some(user) => db
            .prepare_cached(
                "SELECT seq, event FROM history WHERE name = ?1 AND seq < ?2 AND at >= ?3
                 ORDER BY seq DESC LIMIT ?4",
            )?
            .query_map(params![user, before, since, limit], kept)?
            .collect(),
        None => db
            .prepare_cached(
                "SELECT seq, event FROM history WHERE seq < ?1 AND at >= ?2 ORDER BY seq DESC LIMIT ?3",
            )?
            .query_map(params![before, since, limit], kept)?
            .collect(),
    }
}

/// When each user last passed a login, among the latest events of each. A grant that reached nobody
/// was no login: its attempt has an event that says so.
pub(super) fn last_logins(db: &Connection, names: &[String]) -> rusqlite::Result<Vec<Option<Time>>> {
    let mut statement = db.prepare_cached(
        "WITH latest AS MATERIALIZED (
           SELECT seq, at, event FROM history WHERE name = ?1 ORDER BY seq DESC LIMIT ?2)
         SELECT at FROM latest AS passed
         WHERE instr(event, '\"event\":\"login\"') > 0
           AND (instr(event, '\"outcome\":\"granted\"') > 0 OR instr(event, '\"outcome\":\"exempt\"') > 0)
           AND NOT EXISTS (SELECT 1 FROM latest AS lost
             WHERE instr(lost.event, '\"outcome\":\"undelivered\"') > 0
               AND lost.event ->> 'id' = passed.event ->> 'id')
         ORDER BY seq DESC LIMIT 1",
    )?;
    let mut last = |name: &String| {
        let at = statement.query_row(params![name, LATEST_EVENTS_OF_ONE], |row| row.get(0)).optional()?;
        Ok(at.map(read_time))
    };
    names.iter().map(&mut last).collect()
}
