//! Reads of what is kept for applications: sessions, clients and signing keys.

use crate::store::postgres::accounts::is_foreign;
use crate::store::postgres::connection::{Connection, Row};
use crate::store::postgres::fault::Fault;
use crate::store::query::{MAX_PAGE_BYTES, MAX_SESSIONS};
use crate::store::rows::{ClientRow, KeyRow, SessionKey, SessionRow, StoredSession};
use crate::store::values::{read_int, read_time, sql_limit, sql_time};
use totp_core::Time;

/// The session with this key.
pub(super) async fn session(db: &Connection, key: &SessionKey) -> Result<Option<StoredSession>, Fault> {
    let (sql, value) = match key {
        SessionKey::Id(id) => {
            ("SELECT id, account, token, expires, record, version FROM session WHERE id = $1", id)
        }
        SessionKey::Token(hash) => {
            ("SELECT id, account, token, expires, record, version FROM session WHERE token = $1", hash)
        }
    };
    if is_foreign(value) {
        return Ok(None);
    }
    Ok(db.row(sql, &[&value]).await?.as_ref().map(stored))
}

/// The latest sessions of an account, the oldest of them first.
pub(super) async fn sessions_of(db: &Connection, account: &str) -> Result<Vec<StoredSession>, Fault> {
    if is_foreign(account) {
        return Ok(Vec::new());
    }
    // The server adds up the bytes, so that no more than a page is sent.
    let sql = "SELECT id, account, token, expires, record, version FROM (
                 SELECT *, sum(octet_length(record)) OVER (ORDER BY made DESC) AS bytes FROM (
                   SELECT * FROM session WHERE account = $1 ORDER BY made DESC LIMIT $2) AS latest) AS summed
               WHERE bytes <= $3 ORDER BY made";
    let rows = db.rows(sql, &[&account, &sql_limit(MAX_SESSIONS), &sql_limit(MAX_PAGE_BYTES)]).await?;
    Ok(rows.iter().map(stored).collect())
}

/// Whether any session had expired at `now`.
pub(super) async fn has_expired(db: &Connection, now: Time) -> Result<bool, Fault> {
    let row = db.row("SELECT id FROM session WHERE expires <= $1 LIMIT 1", &[&sql_time(now)]).await?;
    Ok(row.is_some())
}

/// The secret with this id.
pub(super) async fn client(db: &Connection, secret_id: &str) -> Result<Option<ClientRow>, Fault> {
    if is_foreign(secret_id) {
        return Ok(None);
    }
    let sql = "SELECT secret_id, name, record FROM client WHERE secret_id = $1";
    Ok(db.row(sql, &[&secret_id]).await?.as_ref().map(client_row))
}

/// Every secret of every client.
pub(super) async fn clients(db: &Connection) -> Result<Vec<ClientRow>, Fault> {
    let rows = db.rows("SELECT secret_id, name, record FROM client ORDER BY name, made", &[]).await?;
    Ok(rows.iter().map(client_row).collect())
}

/// The signing keys, the oldest first.
pub(super) async fn signing_keys(db: &Connection) -> Result<Vec<KeyRow>, Fault> {
    let rows = db.rows("SELECT id, created, record FROM signing_key ORDER BY created, id", &[]).await?;
    let key = |row: &Row| KeyRow { id: row.get(0), created: read_time(row.get(1)), record: row.get(2) };
    Ok(rows.iter().map(key).collect())
}

fn stored(row: &Row) -> StoredSession {
    let session = SessionRow {
        id: row.get(0),
        account: row.get(1),
        token: row.get(2),
        expires: read_time(row.get(3)),
        record: row.get(4),
    };
    StoredSession { row: session, version: read_int(row.get(5)) }
}

fn client_row(row: &Row) -> ClientRow {
    ClientRow { secret_id: row.get(0), name: row.get(1), record: row.get(2) }
}
