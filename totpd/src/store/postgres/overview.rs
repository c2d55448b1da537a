//! Counts what a store holds. Each statement has an index of its own.

use crate::store::overview::{FIRST_NAMES, LATEST_EVENTS, LATEST_REFUSALS, Overview};
use crate::store::postgres::connection::{Connection, Values};
use crate::store::postgres::fault::Fault;
use crate::store::values::{read_int, sql_time};
use totp_core::Time;

/// What the store holds at `now`; refusals not before `since`.
pub(super) async fn overview(db: &Connection, now: Time, since: Time) -> Result<Overview, Fault> {
    let (now, since) = (sql_time(now), sql_time(since));
    let latest = i64::from(LATEST_EVENTS);
    let (names, refusals) = (i64::from(FIRST_NAMES), i64::from(LATEST_REFUSALS));
    Ok(Overview {
        size: number(db, "SELECT pg_database_size(current_database())", &[]).await?,
        schema: number(db, "SELECT CAST(max(version) AS BIGINT) FROM refinery_schema_history", &[]).await?,
        enrolled: number(db, "SELECT count(*) FROM account WHERE active_totp IS NOT NULL", &[]).await?,
        pending: number(db, "SELECT count(*) FROM account WHERE pending_until > $1", &[&now]).await?,
        locked: number(db, "SELECT count(*) FROM account WHERE locked_until > $1", &[&now]).await?,
        locked_users: texts(
            db,
            "SELECT coalesce(name, id) FROM account WHERE locked_until > $1 ORDER BY locked_until DESC LIMIT $2",
            &[&now, &names],
        )
        .await?,
        tickets: number(db, "SELECT count(*) FROM account WHERE ticket_until > $1", &[&now]).await?,
        refused_at_least: number(
            db,
            "SELECT count(*) FROM (
               SELECT at FROM history WHERE seq <= (SELECT max(seq) FROM history) - $1
               ORDER BY seq DESC LIMIT 1) AS next WHERE at >= $2",
            &[&latest, &since],
        )
        .await?
            > 0,
        refused: number(
            db,
            "SELECT count(*) FROM history WHERE seq > (SELECT max(seq) FROM history) - $1 AND at >= $2
             AND strpos(event, '\"outcome\":\"refused\"') > 0",
            &[&latest, &since],
        )
        .await?,
        refusals: texts(
            db,
            "SELECT event FROM history WHERE seq > (SELECT max(seq) FROM history) - $1 AND at >= $2
             AND strpos(event, '\"outcome\":\"refused\"') > 0 ORDER BY seq DESC LIMIT $3",
            &[&latest, &since, &refusals],
        )
        .await?,
    })
}

async fn number(db: &Connection, sql: &'static str, values: Values<'_>) -> Result<u64, Fault> {
    let row = db.row(sql, values).await?;
    Ok(row.and_then(|row| row.get::<_, Option<i64>>(0)).map_or(0, read_int))
}

async fn texts(db: &Connection, sql: &'static str, values: Values<'_>) -> Result<Vec<String>, Fault> {
    Ok(db.rows(sql, values).await?.iter().map(|row| row.get(0)).collect())
}
