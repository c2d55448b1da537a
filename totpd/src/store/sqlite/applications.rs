//! Reads of what is kept for applications: sessions, clients and signing keys.

use crate::store::query::{MAX_PAGE_BYTES, MAX_SESSIONS};
use crate::store::rows::{ClientRow, KeyRow, SessionKey, SessionRow, StoredSession};
use crate::store::values::{read_int, read_time, sql_limit, sql_time};
use rusqlite::{Connection, Row, params};
use totp_core::Time;

/// The session with this key.
pub(super) fn session(db: &Connection, key: &SessionKey) -> rusqlite::Result<Option<StoredSession>> {
    let (condition, value) = match key {
        SessionKey::Id(id) => ("id = ?1", id),
        SessionKey::Token(hash) => ("token = ?1", hash),
    };
    let sql = format!("SELECT id, account, token, expires, record, version FROM session WHERE {condition}");
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query([value])?;
    rows.next()?.map(stored).transpose()
}

/// The latest sessions of an account, the oldest of them first.
pub(super) fn sessions_of(db: &Connection, account: &str) -> rusqlite::Result<Vec<StoredSession>> {
    let mut statement = db.prepare_cached(
        "SELECT id, account, token, expires, record, version FROM session WHERE account = ?1
         ORDER BY rowid DESC LIMIT ?2",
    )?;
    let (mut sessions, mut bytes) = (Vec::new(), 0);
    for session in statement.query_map(params![account, sql_limit(MAX_SESSIONS)], stored)? {
        let session = session?;
        bytes += session.row.record.len();
        if bytes > MAX_PAGE_BYTES {
            break;
        }
        sessions.push(session);
    }
    sessions.reverse();
    Ok(sessions)
}

/// Whether any session had expired at `now`.
pub(super) fn has_expired(db: &Connection, now: Time) -> rusqlite::Result<bool> {
    let mut statement = db.prepare_cached("SELECT 1 FROM session WHERE expires <= ?1 LIMIT 1")?;
    statement.exists([sql_time(now)])
}

/// The secret with this id.
pub(super) fn client(db: &Connection, secret_id: &str) -> rusqlite::Result<Option<ClientRow>> {
    let mut statement =
        db.prepare_cached("SELECT secret_id, name, record FROM client WHERE secret_id = ?1")?;
    let mut rows = statement.query([secret_id])?;
    rows.next()?.map(client_row).transpose()
}

/// Every secret of every client.
pub(super) fn clients(db: &Connection) -> rusqlite::Result<Vec<ClientRow>> {
    let mut statement =
        db.prepare_cached("SELECT secret_id, name, record FROM client ORDER BY name, rowid")?;
    statement.query_map([], client_row)?.collect()
}

/// The signing keys, the oldest first.
pub(super) fn signing_keys(db: &Connection) -> rusqlite::Result<Vec<KeyRow>> {
    let mut statement =
        db.prepare_cached("SELECT id, created, record FROM signing_key ORDER BY created, id")?;
    let key =
        |row: &Row<'_>| Ok(KeyRow { id: row.get(0)?, created: read_time(row.get(1)?), record: row.get(2)? });
    statement.query_map([], key)?.collect()
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredSession> {
    let session = SessionRow {
        id: row.get(0)?,
        account: row.get(1)?,
        token: row.get(2)?,
        expires: read_time(row.get(3)?),
        record: row.get(4)?,
    };
    Ok(StoredSession { row: session, version: read_int(row.get(5)?) })
}

fn client_row(row: &Row<'_>) -> rusqlite::Result<ClientRow> {
    Ok(ClientRow { secret_id: row.get(0)?, name: row.get(1)?, record: row.get(2)? })
}
