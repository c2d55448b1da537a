//! The change sets of logins, of which one statement writes one or many, and none undoes another. A
//! record at another version than was read changes nothing, and is told by what was written.

use crate::store::change::{AccountWrite, ChangeSet, SideWrite};
use crate::store::postgres::columns::{Columns, UPDATE};
use crate::store::postgres::connection::Connection;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::history;
use crate::store::postgres::session::BEGUN;
use crate::store::postgres::slots;
use crate::store::postgres::steps::Value;
use crate::store::postgres::together::{self, Row};
use crate::store::values::sql_time;
use std::sync::LazyLock;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

/// Writes the account, the latest grant and the event, or nothing.
static GRANT: LazyLock<String> = LazyLock::new(|| {
    let moved = slots::moved("SELECT CAST($19 AS BIGINT) WHERE EXISTS (SELECT 1 FROM written)", "$20");
    format!(
        "WITH written AS ({UPDATE} AND {BEGUN} RETURNING 1),
              moved AS ({moved}),
              noted AS (INSERT INTO history (at, name, event)
                        SELECT CAST($21 AS BIGINT), CAST($22 AS TEXT), CAST($23 AS TEXT)
                        WHERE CAST($23 AS TEXT) IS NOT NULL AND EXISTS (SELECT 1 FROM written))
         SELECT count(*) FROM written"
    )
});

/// Writes an event alone.
static NOTE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH noted AS (INSERT INTO history (at, name, event)
                        SELECT CAST($1 AS BIGINT), CAST($2 AS TEXT), CAST($3 AS TEXT) WHERE {BEGUN}
                        RETURNING 1)
         SELECT count(*) FROM noted"
    )
});

/// Whether a change set is one of these: an account that was read, or none, and nothing but grants
/// beside it.
pub(super) fn is_one(change: &ChangeSet) -> bool {
    match change.write {
        AccountWrite::Update(..) => {
            change.side_writes.iter().all(|write| matches!(write, SideWrite::RecordGrant(_)))
        }
        AccountWrite::Nothing => change.side_writes.is_empty(),
        _ => false,
    }
}

/// The statements of logins, prepared on one connection.
pub(super) struct Logins {
    grant: Statement,
    note: Statement,
    together: Statement,
}

impl Logins {
    /// Prepares them, unless that was done before.
    pub(super) async fn prepared(db: &Connection) -> Result<Self, Fault> {
        Ok(Self {
            grant: db.prepared(&GRANT).await?,
            note: db.prepared(&NOTE).await?,
            together: together::prepared(db).await?,
        })
    }

    /// Writes change sets, in this order; for each of them `false` when its account is at another
    /// version.
    pub(super) async fn write_all(
        &self,
        db: &Connection,
        slot: i64,
        changes: &[&ChangeSet],
    ) -> Result<Vec<bool>, Fault> {
        if let [change] = changes {
            // The statement for many takes the server twice as long.
            return Ok(vec![self.write(db, slot, change).await?]);
        }
        let row = |change: &&ChangeSet| {
            let account = columns_of(change)?;
            let (at, name, json) = event_of(change);
            Ok(Row::new(
                account,
                [Box::new(latest_grant(change)), Box::new(at), Box::new(name), Box::new(json)],
            ))
        };
        let rows: Vec<Row> = changes.iter().map(row).collect::<Result<_, Fault>>()?;
        together::write(db, &self.together, slot, &rows).await
    }

    /// Writes one change set; `false` when its account is at another version.
    pub(super) async fn write(&self, db: &Connection, slot: i64, change: &ChangeSet) -> Result<bool, Fault> {
        let (at, name, json) = event_of(change);
        let (statement, mut values) = match columns_of(change)? {
            Some(mut values) => {
                let beside: [Value; 2] = [Box::new(latest_grant(change)), Box::new(slot)];
                values.extend(beside);
                (&self.grant, values)
            }
            None if json.is_none() => return Ok(true),
            None => (&self.note, Vec::new()),
        };
        let event: [Value; 3] = [Box::new(at), Box::new(name), Box::new(json)];
        values.extend(event);
        let values: Vec<&(dyn ToSql + Sync)> =
            values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
        let count: i64 = db.client.query_one(statement, &values).await?.get(0);
        Ok(count == 1)
    }
}

/// The columns of the account that is written, if there is one.
fn columns_of(change: &ChangeSet) -> Result<Option<Vec<Value>>, Fault> {
    let AccountWrite::Update(account, version) = &change.write else { return Ok(None) };
    Ok(Some(Columns::of(account, *version)?.into_values()))
}

/// The grant that is recorded. One that lies before every other moves nothing.
fn latest_grant(change: &ChangeSet) -> i64 {
    let grants = change.side_writes.iter().filter_map(|write| match write {
        SideWrite::RecordGrant(at) => Some(sql_time(*at)),
        _ => None,
    });
    grants.max().unwrap_or(i64::MIN)
}

/// The time, the name and the text of the event. A change without an event has no text.
fn event_of(change: &ChangeSet) -> (i64, Option<String>, Option<String>) {
    let event = change.event.as_ref().map(history::columns);
    event.map_or((0, None, None), |(at, name, json)| (at, name, Some(json)))
}
