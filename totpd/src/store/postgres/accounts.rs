//! Reads of accounts by their keys.

use crate::seal::SealedAccount;
use crate::store::account::{AccountKey, StoredAccount};
use crate::store::postgres::connection::{Connection, Row};
use crate::store::postgres::fault::Fault;
use crate::store::values::{read_int, sql_limit, sql_time};
use totp_core::{Account, Time, UserName};

/// The account with this key.
pub(super) async fn load(db: &Connection, key: &AccountKey) -> Result<Option<StoredAccount>, Fault> {
    let (sql, value) = match key {
        AccountKey::Name(name) => {
            ("SELECT record, version, id, name FROM account WHERE name = $1", name.as_str())
        }
        AccountKey::Id(id) => ("SELECT record, version, id, name FROM account WHERE id = $1", id.as_str()),
        AccountKey::Totp(id) => (
            "SELECT record, version, id, name FROM account
             WHERE active_totp = $1 OR pending_totp = $1 OR second_totp = $1 OR third_totp = $1 LIMIT 1",
            id.as_str(),
        ),
        AccountKey::Email(id) => {
            ("SELECT record, version, id, name FROM account WHERE email_id = $1 LIMIT 1", id.as_str())
        }
        AccountKey::Phone(id) => {
            ("SELECT record, version, id, name FROM account WHERE phone_id = $1 LIMIT 1", id.as_str())
        }
    };
    if is_foreign(value) {
        return Ok(None);
    }
    db.row(sql, &[&value]).await?.as_ref().map(stored).transpose()
}

/// Whether no text of the database can be this one: it has a NUL in it, which PostgreSQL's texts
/// cannot have.
pub(super) fn is_foreign(text: &str) -> bool {
    text.contains('\0')
}

/// Accounts that have a name, in the byte order of their names, after this one.
pub(super) async fn page(
    db: &Connection,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<StoredAccount>, Fault> {
    let sql = "SELECT record, version, id, name FROM account WHERE name > $1 ORDER BY name LIMIT $2";
    let after = after.unwrap_or_default().replace('\0', "");
    db.rows(sql, &[&after, &sql_limit(limit)]).await?.iter().map(stored).collect()
}

/// Ids of accounts whose pending factor had expired at `now`.
pub(super) async fn expired_pending(db: &Connection, now: Time, limit: usize) -> Result<Vec<String>, Fault> {
    let sql = "SELECT id FROM account WHERE pending_until <= $1 LIMIT $2";
    let rows = db.rows(sql, &[&sql_time(now), &sql_limit(limit)]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The accounts of this uid.
pub(super) async fn of_uid(db: &Connection, uid: u32) -> Result<Vec<StoredAccount>, Fault> {
    let sql = "SELECT record, version, id, name FROM account WHERE uid = $1";
    db.rows(sql, &[&i64::from(uid)]).await?.iter().map(stored).collect()
}

/// An account from its columns record, version, id and name.
pub(super) fn stored(row: &Row) -> Result<StoredAccount, Fault> {
    let (record, version): (&str, i64) = (row.get(0), row.get(1));
    let version = read_int(version);
    if let Ok(account) = serde_json::from_str::<Box<SealedAccount>>(record) {
        return Ok(StoredAccount { account, version, damaged: false });
    }
    // The columns still say whose it is, so that one bad row costs one user and can be revoked.
    let (id, name): (String, Option<String>) = (row.get(2), row.get(3));
    let name = name.map(|name| UserName::parse(&name)).transpose();
    let name = name.map_err(|_| Fault::Other("a record cannot be read".to_owned()))?;
    let account = Box::new(Account::blank(id, name, None, Time::default()));
    Ok(StoredAccount { account, version, damaged: true })
}
