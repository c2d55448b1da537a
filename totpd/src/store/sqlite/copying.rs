//! SQLite as one end of a copy to another database ([`crate::store::copy`]).

use crate::audit::EventRow;
use crate::store::StoreFuture;
use crate::store::copy::{Cell, CopyEnd, CopyError, PAGE, Row, TABLES, Table, Values};
use crate::store::error::OpenError;
use crate::store::files::database_file;
use crate::store::sqlite::connection::describe;
use crate::store::sqlite::space::checkpoint;
use crate::store::sqlite::{history, meta, schema, withdrawals};
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, ToSql, params_from_iter};
use std::future::ready;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a store that was just closed may take until its readers have ended.
const CLOSING_TIME: Duration = Duration::from_secs(1);

/// The database in a state folder, which no other process uses.
pub(in crate::store) struct SqliteEnd {
    db: Connection,
    name: String,
}

impl SqliteEnd {
    /// Opens the store in `state_dir`.
    ///
    /// # Errors
    /// [`CopyError::Running`] while another process has it open.
    pub(in crate::store) fn open(state_dir: &Path) -> Result<Self, CopyError> {
        let file = database_file(state_dir);
        let name = file.display().to_string();
        if !file.exists() {
            return Err(CopyError::NoStore(state_dir.display().to_string()));
        }
        if !schema::is_ours(&file) {
            return Err(OpenError::Damaged(name, "not written by totpd".to_owned()).into());
        }
        let end = Instant::now() + CLOSING_TIME;
        let mut db = loop {
            match connect(&file) {
                Ok(db) => break db,
                Err(error) if !is_busy(&error) => {
                    return Err(CopyError::Database(name, describe(&error)));
                }
                Err(_) if Instant::now() >= end => return Err(CopyError::Running(name)),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        schema::migrate(&mut db, &name)?;
        Ok(Self { db, name })
    }

    /// Opens the unfinished copy in `state_dir`, or makes an empty database there.
    pub(in crate::store) fn open_or_make(state_dir: &Path) -> Result<Self, CopyError> {
        let file = database_file(state_dir);
        let name = file.display().to_string();
        match std::fs::File::create_new(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Self::open(state_dir),
            Err(error) => return Err(OpenError::Io(name, error).into()),
            Ok(_) => {}
        }
        let mut db = connect(&file)
            .and_then(|db| schema::claim(&db).map(|()| db))
            .map_err(|error| CopyError::Database(name.clone(), describe(&error)))?;
        schema::migrate(&mut db, &name)?;
        Ok(Self { db, name })
    }

    fn run<T>(&mut self, act: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, CopyError> {
        act(&mut self.db).map_err(|error| CopyError::Database(self.name.clone(), describe(&error)))
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Opens a connection that keeps every other process out until it is closed: the log is used
/// without shared memory.
fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(file, flags)?;
    db.busy_timeout(Duration::ZERO)?;
    // The log of a store that was in use stays: a daemon does not serve one that has lost it.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    db.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    for (pragma, value) in
        [("synchronous", "FULL"), ("secure_delete", "ON"), ("trusted_schema", "OFF"), ("foreign_keys", "ON")]
    {
        db.pragma_update(None, pragma, value)?;
    }
    db.execute_batch("BEGIN EXCLUSIVE; COMMIT")?;
    Ok(db)
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Value::Null),
            Self::Number(number) => ToSqlOutput::Owned(Value::Integer(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}

impl rusqlite::types::FromSql for Cell {
    fn column_result(value: ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        match value {
            ValueRef::Null => Ok(Self::Null),
            ValueRef::Integer(number) => Ok(Self::Number(number)),
            ValueRef::Text(_) => value.as_str().map(|text| Self::Text(text.to_owned())),
            _ => Err(rusqlite::types::FromSqlError::InvalidType),
        }
    }
}

/// The column by which the rows of a table are read.
fn order(table: &Table) -> &'static str {
    if table.in_order_of_making { "rowid" } else { table.key() }
}

fn values(db: &Connection) -> rusqlite::Result<Values> {
    // `state` says whose the file is at this moment, which no other store is told.
    let mut statement = db.prepare("SELECT key, value FROM meta WHERE key <> 'state'")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn set_values(db: &mut Connection, values: &Values, event: Option<&EventRow>) -> rusqlite::Result<()> {
    let change = db.transaction()?;
    for (key, value) in values {
        meta::set(&change, key, value)?;
    }
    if let Some(event) = event {
        history::insert(&change, event)?;
    }
    meta::mark(&change, meta::COMPLETE)?;
    change.commit()?;
    checkpoint(db)
}

fn page(db: &Connection, table: &'static Table, after: Option<&Cell>) -> rusqlite::Result<Vec<Row>> {
    let (columns, order) = (table.columns.join(", "), order(table));
    let condition = if after.is_some() { format!("WHERE {order} > ?1") } else { String::new() };
    let sql =
        format!("SELECT {columns}, {order} FROM {} {condition} ORDER BY {order} LIMIT {PAGE}", table.name);
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(after), |row| {
        let cells = (0..table.columns.len()).map(|index| row.get(index)).collect::<Result<_, _>>()?;
        Ok(Row { cells, place: row.get(table.columns.len())? })
    })?;
    rows.collect()
}

fn append(db: &mut Connection, table: &'static Table, rows: &[Row]) -> rusqlite::Result<()> {
    let places: Vec<String> = (1..=table.columns.len()).map(|number| format!("?{number}")).collect();
    let sql =
        format!("INSERT INTO {} ({}) VALUES ({})", table.name, table.columns.join(", "), places.join(", "));
    let change = db.transaction()?;
    for row in rows {
        change.prepare_cached(&sql)?.execute(params_from_iter(&row.cells))?;
    }
    change.commit()
}

impl CopyEnd for SqliteEnd {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn kept_withdrawals(&self) -> u64 {
        withdrawals::KEPT
    }

    fn values(&mut self) -> StoreFuture<'_, Result<Values, CopyError>> {
        Box::pin(ready(self.run(|db| values(db))))
    }

    fn set_values<'a>(&'a mut self, values: &'a Values) -> StoreFuture<'a, Result<(), CopyError>> {
        Box::pin(ready(self.run(|db| set_values(db, values, None))))
    }

    fn complete<'a>(
        &'a mut self,
        values: &'a Values,
        event: &'a EventRow,
    ) -> StoreFuture<'a, Result<(), CopyError>> {
        Box::pin(ready(self.run(|db| set_values(db, values, Some(event)))))
    }

    fn count(&mut self) -> StoreFuture<'_, Result<u64, CopyError>> {
        Box::pin(ready(self.run(|db| {
            let count = |table: &Table| {
                db.query_row(&format!("SELECT count(*) FROM {}", table.name), [], |row| row.get::<_, i64>(0))
            };
            TABLES.iter().map(count).sum::<rusqlite::Result<i64>>().map(i64::unsigned_abs)
        })))
    }

    fn page<'a>(
        &'a mut self,
        table: &'static Table,
        after: Option<&'a Cell>,
    ) -> StoreFuture<'a, Result<Vec<Row>, CopyError>> {
        Box::pin(ready(self.run(|db| page(db, table, after))))
    }

    fn place_of<'a>(
        &'a mut self,
        table: &'static Table,
        key: &'a Cell,
    ) -> StoreFuture<'a, Result<Option<Cell>, CopyError>> {
        let sql = format!("SELECT {} FROM {} WHERE {} = ?1", order(table), table.name, table.key());
        Box::pin(ready(self.run(|db| db.query_row(&sql, [key], |row| row.get(0)).optional())))
    }

    fn last_key(&mut self, table: &'static Table) -> StoreFuture<'_, Result<Option<Cell>, CopyError>> {
        let (key, name, order) = (table.key(), table.name, order(table));
        let sql = format!("SELECT {key} FROM {name} ORDER BY {order} DESC LIMIT 1");
        Box::pin(ready(self.run(|db| db.query_row(&sql, [], |row| row.get(0)).optional())))
    }

    fn append<'a>(
        &'a mut self,
        table: &'static Table,
        rows: &'a [Row],
    ) -> StoreFuture<'a, Result<(), CopyError>> {
        Box::pin(ready(self.run(|db| append(db, table, rows))))
    }
}
