//! The change sets of logins: one statement each, so that many of them are sent together and none
//! undoes another. A record at another version than was read changes nothing, and is told by the
//! count of rows.

use crate::store::change::{AccountWrite, ChangeSet, SideWrite};
use crate::store::postgres::columns::{Columns, UPDATE};
use crate::store::postgres::connection::Connection;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::history;
use crate::store::postgres::steps::Value;
use crate::store::values::sql_time;
use std::sync::LazyLock;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

/// Begins a transaction of logins. The statements are sent with it, and write only where it has
/// begun: were it refused alone (`pg_cancel_backend`), each of them would commit by itself.
pub(super) const BEGIN: &str = "BEGIN; SELECT pg_catalog.set_config('totpd.begun', 'yes', true)";
/// Whether [`BEGIN`] has begun this transaction.
const BEGUN: &str = "pg_catalog.current_setting('totpd.begun', true) = 'yes'";

/// Writes the account, the latest grant and the event, or nothing.
static GRANT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH written AS ({UPDATE} AND {BEGUN} RETURNING 1),
              moved AS (UPDATE latest_grant SET at = $19 WHERE slot = $20 AND at < $19
                        AND EXISTS (SELECT 1 FROM written)),
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
}

impl Logins {
    /// Prepares them, unless that was done before.
    pub(super) async fn prepared(db: &Connection) -> Result<Self, Fault> {
        Ok(Self { grant: db.prepared(&GRANT).await?, note: db.prepared(&NOTE).await? })
    }

    /// Writes one change set; `false` when its account is at another version.
    pub(super) async fn write(&self, db: &Connection, slot: i64, change: &ChangeSet) -> Result<bool, Fault> {
        let event = change.event.as_ref().map(history::columns);
        let count: i64 = match (&change.write, event) {
            (AccountWrite::Update(account, version), event) => {
                let mut values = Columns::of(account, *version)?.into_values();
                let grants = change.side_writes.iter().filter_map(|write| match write {
                    SideWrite::RecordGrant(at) => Some(sql_time(*at)),
                    _ => None,
                });
                // One that lies before every other moves nothing.
                let grant = grants.max().unwrap_or(i64::MIN);
                let (at, name, json) =
                    event.map_or((0, None, None), |(at, name, json)| (at, name, Some(json)));
                let beside: [Value; 5] =
                    [Box::new(grant), Box::new(slot), Box::new(at), Box::new(name), Box::new(json)];
                values.extend(beside);
                let values: Vec<&(dyn ToSql + Sync)> =
                    values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
                db.client.query_one(&self.grant, &values).await?.get(0)
            }
            (_, Some((at, name, json))) => {
                db.client.query_one(&self.note, &[&at, &name, &json]).await?.get(0)
            }
            (_, None) => 1,
        };
        Ok(count == 1)
    }
}
