//! PostgreSQL as one end of a copy to another database ([`crate::store::copy`]).

use crate::audit::EventRow;
use crate::config::server_url::PostgresSettings;
use crate::store::StoreFuture;
use crate::store::copy::{Cell, CopyEnd, CopyError, PAGE, Row, TABLES, Table, Values};
use crate::store::error::OpenError;
use crate::store::postgres::connection::Connection;
use crate::store::postgres::dial::Dialer;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::session::Role;
use crate::store::postgres::{history, meta, schema, withdrawals};
use futures_util::future::try_join_all;
use std::time::{Duration, Instant};
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// The value of SQLite's `meta` that is a table here.
const LATEST_GRANT: &str = "latest_grant";
/// The slot of grants that were copied, beside those of the daemons.
const COPIED_SLOT: i64 = 0;
/// What a store that is copied from must not change meanwhile. `meta` is not read either: each new
/// connection of a daemon reads there whose store this is, and must not find it still open.
const LOCK: &str =
    "LOCK TABLE account, history, session, client, signing_key, latest_grant IN EXCLUSIVE MODE;
                    LOCK TABLE meta IN ACCESS EXCLUSIVE MODE";

/// How long a session may be there after its daemon has ended.
const LEAVING: Duration = Duration::from_secs(2);

/// Events that were copied came with their numbers: the next one follows them.
const SET_SEQUENCE: &str = "SELECT setval(pg_get_serial_sequence('history', 'seq'),
                                          (SELECT coalesce(max(seq), 0) + 1 FROM history), false)";

/// The database of a URL.
pub(in crate::store) struct PostgresEnd {
    db: Connection,
    name: String,
    /// Whether the transaction is open that keeps every other writer out.
    holds_lock: bool,
}

impl PostgresEnd {
    /// Opens a store to copy from. Nobody writes to it until the copy ends.
    ///
    /// # Errors
    /// [`CopyError::Running`] while a daemon is connected.
    pub(in crate::store) async fn open_source(settings: &PostgresSettings) -> Result<Self, CopyError> {
        let mut end = Self::open(settings).await?;
        schema::migrate(&end.db, &end.name).await?;
        let lock = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL idle_in_transaction_session_timeout = 0; {LOCK}"
        );
        match end.db.run(&lock).await {
            Err(Fault::Locked) => return Err(CopyError::Running(end.name)),
            locked => locked.map_err(|fault| end.failed(&fault))?,
        }
        // A daemon that is idle holds no lock. It may have another role, of whose sessions some
        // columns are NULL.
        let others = "SELECT CAST(pid AS BIGINT) FROM pg_stat_activity WHERE datname = current_database()
                      AND pid <> pg_backend_pid() AND coalesce(backend_type, 'client backend') = 'client backend'
                      AND (usename = current_user OR application_name = current_setting('application_name'))";
        let since = Instant::now();
        loop {
            // A transaction is shown the sessions of its first look.
            end.db
                .run("SELECT pg_catalog.pg_stat_clear_snapshot()")
                .await
                .map_err(|fault| end.failed(&fault))?;
            if end.first(others, &[]).await?.is_none() {
                break;
            }
            if since.elapsed() > LEAVING {
                return Err(CopyError::Running(end.name));
            }
            tokio::time::sleep(LEAVING / 20).await;
        }
        end.holds_lock = true;
        Ok(end)
    }

    /// Opens the database to copy into.
    pub(in crate::store) async fn open(settings: &PostgresSettings) -> Result<Self, CopyError> {
        let dialer = Dialer::new(settings.url.clone(), settings.password_file.as_deref());
        let db = dialer.dial(Role::Write).await.map_err(|none| OpenError::Server(none.to_string()))?;
        Ok(Self { db, name: settings.url.to_string(), holds_lock: false })
    }

    fn failed(&self, fault: &Fault) -> CopyError {
        CopyError::Database(self.name.clone(), fault.to_string())
    }

    async fn all(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, CopyError> {
        self.db.client.query(sql, values).await.map_err(|error| self.failed(&error.into()))
    }

    /// The first column of the first row.
    async fn first(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Option<Cell>, CopyError> {
        let rows = self.all(sql, values).await?;
        rows.first().map(|row| row.try_get(0)).transpose().map_err(|error| self.failed(&error.into()))
    }

    /// Sets values, and adds an event to the history if there is one, in one transaction.
    async fn set(&mut self, values: &Values, event: Option<&EventRow>) -> Result<(), CopyError> {
        // Asked before the transaction, which a missing table would end.
        let is_new = schema::version(&self.db).await.map_err(|fault| self.failed(&fault))?.is_none();
        self.commit(async move |db: &Connection| {
            if is_new {
                schema::create(db).await?;
            }
            for (key, value) in values {
                set_value(db, key, value).await?;
            }
            db.run(SET_SEQUENCE).await?;
            if let Some(event) = event {
                history::insert(event).run(db, &mut Vec::new()).await?;
            }
            Ok(())
        })
        .await
    }

    /// Runs statements in one transaction: that of the source, which ends then, or a new one.
    async fn commit(
        &mut self,
        act: impl AsyncFnOnce(&Connection) -> Result<(), Fault>,
    ) -> Result<(), CopyError> {
        if !std::mem::take(&mut self.holds_lock) {
            self.db.run("BEGIN").await.map_err(|fault| self.failed(&fault))?;
        }
        let written = async {
            act(&self.db).await?;
            self.db.commit().await
        };
        let written = written.await;
        if written.is_err() {
            let _ = self.db.run("ROLLBACK").await;
        }
        written.map_err(|fault| self.failed(&fault))
    }
}

impl ToSql for Cell {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Number(number) if *ty == Type::BOOL => (*number != 0).to_sql(ty, out),
            Self::Number(number) => number.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
        }
    }

    accepts!(BOOL, INT8, TEXT);

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Cell {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match *ty {
            Type::BOOL => Self::Number(bool::from_sql(ty, raw)?.into()),
            Type::INT8 => Self::Number(i64::from_sql(ty, raw)?),
            _ => Self::Text(String::from_sql(ty, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self::Null)
    }

    accepts!(BOOL, INT8, TEXT);
}

async fn set_value(db: &Connection, key: &str, value: &str) -> Result<(), Fault> {
    if key != LATEST_GRANT {
        return meta::set(db, key, value).await;
    }
    let at: i64 = value.parse().unwrap_or(0);
    let sql = "INSERT INTO latest_grant (slot, at) VALUES ($1, $2)
               ON CONFLICT (slot) DO UPDATE SET at = excluded.at";
    db.execute(sql, &[&COPIED_SLOT, &at]).await.map(drop)
}

/// The column by which the rows of a table are read.
fn order(table: &Table) -> &'static str {
    if table.in_order_of_making { "made" } else { table.key() }
}

impl CopyEnd for PostgresEnd {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn kept_withdrawals(&self) -> u64 {
        withdrawals::KEPT.unsigned_abs()
    }

    fn values(&mut self) -> StoreFuture<'_, Result<Values, CopyError>> {
        Box::pin(async {
            if schema::version(&self.db).await.map_err(|fault| self.failed(&fault))?.is_none() {
                return Ok(Values::new());
            }
            let rows = self.all("SELECT key, value FROM meta", &[]).await?;
            let mut values: Values = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            if let Some(Cell::Number(at)) = self.first("SELECT max(at) FROM latest_grant", &[]).await? {
                values.insert(LATEST_GRANT.into(), at.to_string());
            }
            Ok(values)
        })
    }

    fn set_values<'a>(&'a mut self, values: &'a Values) -> StoreFuture<'a, Result<(), CopyError>> {
        Box::pin(self.set(values, None))
    }

    fn complete<'a>(
        &'a mut self,
        values: &'a Values,
        event: &'a EventRow,
    ) -> StoreFuture<'a, Result<(), CopyError>> {
        Box::pin(self.set(values, Some(event)))
    }

    fn count(&mut self) -> StoreFuture<'_, Result<u64, CopyError>> {
        let sums: Vec<String> =
            TABLES.iter().map(|table| format!("(SELECT count(*) FROM {})", table.name)).collect();
        Box::pin(async move {
            let count = self.first(&format!("SELECT {}", sums.join(" + ")), &[]).await?;
            Ok(if let Some(Cell::Number(count)) = count { count.unsigned_abs() } else { 0 })
        })
    }

    fn page<'a>(
        &'a mut self,
        table: &'static Table,
        after: Option<&'a Cell>,
    ) -> StoreFuture<'a, Result<Vec<Row>, CopyError>> {
        let (columns, order) = (table.columns.join(", "), order(table));
        let condition = if after.is_some() { format!("WHERE {order} > $1") } else { String::new() };
        let sql = format!(
            "SELECT {columns}, {order} FROM {} {condition} ORDER BY {order} LIMIT {PAGE}",
            table.name
        );
        Box::pin(async move {
            let values: Vec<&(dyn ToSql + Sync)> =
                after.iter().map(|cell| *cell as &(dyn ToSql + Sync)).collect();
            let rows = self.all(&sql, &values).await?;
            let read = |row: &tokio_postgres::Row| {
                let cells =
                    (0..table.columns.len()).map(|index| row.try_get(index)).collect::<Result<_, _>>()?;
                Ok(Row { cells, place: row.try_get(table.columns.len())? })
            };
            rows.iter()
                .map(read)
                .collect::<Result<_, _>>()
                .map_err(|error: tokio_postgres::Error| self.failed(&error.into()))
        })
    }

    fn place_of<'a>(
        &'a mut self,
        table: &'static Table,
        key: &'a Cell,
    ) -> StoreFuture<'a, Result<Option<Cell>, CopyError>> {
        let sql = format!("SELECT {} FROM {} WHERE {} = $1", order(table), table.name, table.key());
        Box::pin(async move { self.first(&sql, &[key]).await })
    }

    fn last_key(&mut self, table: &'static Table) -> StoreFuture<'_, Result<Option<Cell>, CopyError>> {
        let (key, name, order) = (table.key(), table.name, order(table));
        let sql = format!("SELECT {key} FROM {name} ORDER BY {order} DESC LIMIT 1");
        Box::pin(async move { self.first(&sql, &[]).await })
    }

    fn append<'a>(
        &'a mut self,
        table: &'static Table,
        rows: &'a [Row],
    ) -> StoreFuture<'a, Result<(), CopyError>> {
        let places: Vec<String> = (1..=table.columns.len()).map(|number| format!("${number}")).collect();
        let (columns, places) = (table.columns.join(", "), places.join(", "));
        let sql = format!("INSERT INTO {} ({columns}) VALUES ({places})", table.name);
        Box::pin(self.commit(async move |db: &Connection| {
            let statement = db.client.prepare(&sql).await?;
            // Sent one after the other, without waiting for each answer.
            try_join_all(rows.iter().map(async |row| {
                let values: Vec<&(dyn ToSql + Sync)> =
                    row.cells.iter().map(|cell| cell as &(dyn ToSql + Sync)).collect();
                db.client.execute(&statement, &values).await
            }))
            .await?;
            Ok(())
        }))
    }
}
