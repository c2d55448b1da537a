//! The schema: its migrations, which one daemon at a time runs, whole or not at all.

use crate::store::error::OpenError;
use crate::store::postgres::connection::Connection;
use crate::store::postgres::fault::Fault;
use refinery::{Migration, embed_migrations};

embed_migrations!("src/store/postgres/migrations");

/// refinery's own table, as it makes it.
const TABLE: &str = "CREATE TABLE refinery_schema_history (
  version INT4 PRIMARY KEY, name VARCHAR(255), applied_on VARCHAR(255), checksum VARCHAR(255))";

/// The migrations of this release, in their order.
fn known() -> Vec<Migration> {
    let mut known = migrations::runner().get_migrations().clone();
    known.sort_by_key(Migration::version);
    known
}

fn latest(known: &[Migration]) -> i64 {
    known.last().map_or(0, |migration| i64::from(migration.version()))
}

/// The version of the schema in the database; `None` without tables of a store.
pub(super) async fn version(db: &Connection) -> Result<Option<i64>, Fault> {
    let sql = "SELECT CAST(max(version) AS BIGINT) FROM refinery_schema_history";
    match db.row(sql, &[]).await {
        Ok(row) => Ok(row.and_then(|row| row.get(0))),
        Err(Fault::NoTables) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Checks that this release knows the schema, without changing it.
///
/// # Errors
/// [`OpenError::Newer`], [`OpenError::Missing`], or the database's error.
pub(super) async fn check(db: &Connection, name: &str) -> Result<i64, OpenError> {
    let found = version(db).await.map_err(|fault| OpenError::Database(name.to_owned(), fault.to_string()))?;
    let known = latest(&known());
    match found {
        None => Err(OpenError::NoStore(name.to_owned(), crate::units::init_command())),
        Some(version) if version > known => Err(OpenError::Newer(name.to_owned(), version, known)),
        Some(version) => Ok(version),
    }
}

/// Makes the tables in a database that has none of a store, inside the caller's transaction.
pub(super) async fn create(db: &Connection) -> Result<(), Fault> {
    db.run(TABLE).await?;
    apply(db, 0).await
}

/// Brings the database to this release's schema. Daemons that start together wait for each other
/// at a row that every store has.
///
/// # Errors
/// [`OpenError::Newer`] when a newer release wrote it, or the database's error.
pub(super) async fn migrate(db: &Connection, name: &str) -> Result<(), OpenError> {
    if check(db, name).await? == latest(&known()) {
        return Ok(());
    }
    let migrate = async {
        // Another daemon's migration may take its time.
        db.run(
            "BEGIN; SET LOCAL lock_timeout = 0; SELECT value FROM meta WHERE key = 'store_id' FOR UPDATE;",
        )
        .await?;
        let applied = version(db).await?.unwrap_or(0);
        apply(db, applied).await?;
        db.commit().await
    };
    let migrated = migrate.await;
    if migrated.is_err() {
        let _ = db.run("ROLLBACK").await;
    }
    migrated.map_err(|fault| OpenError::Database(name.to_owned(), fault.to_string()))
}

/// Applies what comes after the version `applied`.
async fn apply(db: &Connection, applied: i64) -> Result<(), Fault> {
    for migration in known().iter().filter(|migration| i64::from(migration.version()) > applied) {
        db.run(migration.sql().unwrap_or_default()).await?;
        let sql = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
                   VALUES (CAST($1 AS BIGINT), $2, $3, $4)";
        let checksum = migration.checksum().to_string();
        let now = crate::clock::rfc3339(crate::clock::now());
        db.execute(sql, &[&i64::from(migration.version()), &migration.name(), &now, &checksum]).await?;
    }
    Ok(())
}
