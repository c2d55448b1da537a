//! The history: rows of it, and when users last passed a login.

use crate::audit::EventRow;
use crate::store::overview::LATEST_EVENTS_OF_ONE;
use crate::store::postgres::connection::{Connection, Row};
use crate::store::postgres::fault::Fault;
use crate::store::postgres::steps::{Step, Value, Wants};
use crate::store::query::{HistoryQuery, HistoryRow};
use crate::store::values::{read_time, sql_limit, sql_time};
use totp_core::Time;

/// The statement that adds a row.
pub(super) fn insert(event: &EventRow) -> Step {
    let (at, name, json) = columns(event);
    let values: Vec<Value> = vec![Box::new(at), Box::new(name), Box::new(json)];
    Step::new(Wants::One, "INSERT INTO history (at, name, event) VALUES ($1, $2, $3)", values)
}

/// The columns of an event. PostgreSQL's texts have no NUL in them.
pub(super) fn columns(event: &EventRow) -> (i64, Option<String>, String) {
    let text = |text: &String| text.replace('\0', "\u{fffd}");
    (sql_time(event.at), event.user.as_ref().map(text), text(&event.json))
}

/// Rows, the latest first.
pub(super) async fn page(db: &Connection, query: &HistoryQuery) -> Result<Vec<HistoryRow>, Fault> {
    let limit = sql_limit(query.limit);
    let before = query.before.unwrap_or(i64::MAX);
    let since = query.since.map_or(0, sql_time);
    // Two statements, so that each has its index.
    let rows = if let Some(user) = &query.user {
        let sql = "SELECT seq, event FROM history WHERE name = $1 AND seq < $2 AND at >= $3
                   ORDER BY seq DESC LIMIT $4";
        let user = user.replace('\0', "\u{fffd}");
        db.rows(sql, &[&user, &before, &since, &limit]).await?
    } else {
        let sql = "SELECT seq, event FROM history WHERE seq < $1 AND at >= $2 ORDER BY seq DESC LIMIT $3";
        db.rows(sql, &[&before, &since, &limit]).await?
    };
    let kept = |row: &Row| HistoryRow { seq: row.get(0), json: row.get(1) };
    Ok(rows.iter().map(kept).collect())
}

/// When each user last passed a login, among the latest events of each. A grant that reached nobody
/// was no login: its attempt has an event that says so.
pub(super) async fn last_logins(db: &Connection, names: &[String]) -> Result<Vec<Option<Time>>, Fault> {
    let sql = "WITH latest AS MATERIALIZED (
                 SELECT seq, at, event, substring(event from '\"id\":\"([^\"]*)\"') AS id
                 FROM history WHERE name = $1 ORDER BY seq DESC LIMIT $2)
               SELECT at FROM latest AS passed
               WHERE strpos(event, '\"event\":\"login\"') > 0
                 AND (strpos(event, '\"outcome\":\"granted\"') > 0 OR strpos(event, '\"outcome\":\"exempt\"') > 0)
                 AND NOT EXISTS (SELECT 1 FROM latest AS lost
                   WHERE strpos(lost.event, '\"outcome\":\"undelivered\"') > 0 AND lost.id = passed.id)
               ORDER BY seq DESC LIMIT 1";
    let statement = db.prepared(sql).await?;
    let limit = i64::from(LATEST_EVENTS_OF_ONE);
    // All of them are sent before the first is answered.
    let last = async |name: &String| {
        let name = name.replace('\0', "\u{fffd}");
        let row = db.client.query_opt(&statement, &[&name, &limit]).await?;
        Ok(row.map(|row| read_time(row.get(0))))
    };
    futures_util::future::try_join_all(names.iter().map(last)).await
}
