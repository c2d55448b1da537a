//! Reads of accounts by their keys.

use crate::seal::SealedAccount;
use crate::store::account::{AccountKey, StoredAccount};
use crate::store::values::{read_int, sql_limit, sql_time};
use rusqlite::{Connection, Row, params};
use totp_core::{Account, Time, UserName};

/// Whether an account has the TOTP `?1`.
pub(super) const HAS_TOTP: &str =
    "active_totp = ?1 OR pending_totp = ?1 OR second_totp = ?1 OR third_totp = ?1";

/// The account with this key.
pub(super) fn load(db: &Connection, key: &AccountKey) -> rusqlite::Result<Option<StoredAccount>> {
    let (condition, value) = match key {
        AccountKey::Name(name) => ("name = ?1", name.as_str()),
        AccountKey::Id(id) => ("id = ?1", id.as_str()),
        AccountKey::Totp(id) => (HAS_TOTP, id.as_str()),
        AccountKey::Email(id) => ("email_id = ?1", id.as_str()),
        AccountKey::Phone(id) => ("phone_id = ?1", id.as_str()),
    };
    let sql = format!("SELECT record, version, id, name FROM account WHERE {condition}");
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query([value])?;
    rows.next()?.map(stored).transpose()
}

/// Accounts that have a name, in the order of their names, after this one.
pub(super) fn page(
    db: &Connection,
    after: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<StoredAccount>> {
    let mut statement = db.prepare_cached(
        "SELECT record, version, id, name FROM account WHERE name > ?1 ORDER BY name LIMIT ?2",
    )?;
    statement.query_map(params![after.unwrap_or_default(), sql_limit(limit)], stored)?.collect()
}

/// Ids of accounts whose pending factor had expired at `now`.
pub(super) fn expired_pending(db: &Connection, now: Time, limit: usize) -> rusqlite::Result<Vec<String>> {
    let mut statement = db.prepare_cached("SELECT id FROM account WHERE pending_until <= ?1 LIMIT ?2")?;
    statement.query_map(params![sql_time(now), sql_limit(limit)], |row| row.get(0))?.collect()
}

/// The accounts of this uid.
pub(super) fn of_uid(db: &Connection, uid: u32) -> rusqlite::Result<Vec<StoredAccount>> {
    let mut statement = db.prepare_cached("SELECT record, version, id, name FROM account WHERE uid = ?1")?;
    statement.query_map(params![uid], stored)?.collect()
}

/// An account from its columns record, version, id and name.
pub(super) fn stored(row: &Row<'_>) -> rusqlite::Result<StoredAccount> {
    let (record, version): (String, i64) = (row.get(0)?, row.get(1)?);
    let version = read_int(version);
    if let Ok(account) = serde_json::from_str::<Box<SealedAccount>>(&record) {
        return Ok(StoredAccount { account, version, damaged: false });
    }
    // The columns still say whose it is, so that one bad row costs one user and can be revoked.
    let (id, name): (String, Option<String>) = (row.get(2)?, row.get(3)?);
    let name = name.map(|name| UserName::parse(&name)).transpose();
    let name = name.map_err(|_| rusqlite::Error::InvalidQuery)?;
    let account = Box::new(Account::blank(id, name, None, Time::default()));
    Ok(StoredAccount { account, version, damaged: true })
}
