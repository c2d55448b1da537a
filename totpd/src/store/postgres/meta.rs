//! The `meta` table: single values, and whose the database is.

use crate::seal::Sealer;
use crate::store::copy::another_store;
use crate::store::error::OpenError;
use crate::store::postgres::connection::Connection;
use crate::store::postgres::fault::Fault;

/// The value of a key that may be missing.
pub(super) async fn get(db: &Connection, key: &str) -> Result<Option<String>, Fault> {
    let row = db.row("SELECT value FROM meta WHERE key = $1", &[&key]).await?;
    Ok(row.map(|row| row.get(0)))
}

/// Sets a value.
pub(super) async fn set(db: &Connection, key: &str, value: &str) -> Result<(), Fault> {
    let sql = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    db.execute(sql, &[&key, &value]).await.map(drop)
}

/// Sets a value unless there is one.
pub(super) async fn set_if_missing(db: &Connection, key: &str, value: &str) -> Result<(), Fault> {
    let sql = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
    db.execute(sql, &[&key, &value]).await.map(drop)
}

/// Checks that the store is the one of this key.
///
/// # Errors
/// [`OpenError`]: whose it is, or that the key does not open it.
pub(super) async fn check_key(db: &Connection, name: &str, sealer: &Sealer) -> Result<(), OpenError> {
    let failed = |fault: Fault| OpenError::Database(name.to_owned(), fault.to_string());
    let store_id = get(db, "store_id").await.map_err(failed)?.unwrap_or_default();
    if store_id != sealer.store_id() {
        return Err(another_store(name, store_id, sealer.store_id()));
    }
    let check = get(db, "key_check").await.map_err(failed)?.unwrap_or_default();
    if sealer.opens_check(&check) { Ok(()) } else { Err(OpenError::OtherKey(name.to_owned())) }
}
