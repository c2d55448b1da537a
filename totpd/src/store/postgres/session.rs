//! What each connection sets, and reads back: a setting that a role, a database or a pooler between
//! forces to another value must not go unnoticed.

use crate::store::postgres::connection::Connection;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Reads, which end after a time.
    Read,
    /// Commits, whose end nothing may hurry: a `COMMIT` that is cancelled while it waits for its
    /// standby has happened, and is not replicated.
    Write,
}

/// How long a transaction waits for a row that another one holds.
const LOCK_TIMEOUT: &str = "2000";
/// How long a transaction may stay open after its client is gone.
const IDLE_TIMEOUT: &str = "10000";
/// How long a read may take.
const READ_TIMEOUT: &str = "5000";
/// Settings that may end a `COMMIT`, where the server has them (`transaction_timeout`: since 17).
const ENDLESS: [&str; 3] = ["statement_timeout", "transaction_timeout", "idle_session_timeout"];
/// Values of `synchronous_commit` under which a commit is durable, also on the standbys that count.
const DURABLE: [&str; 2] = ["on", "remote_apply"];

/// Sets everything, and checks what the server has made of it.
///
/// # Errors
/// What the server refused or holds against it.
pub(super) async fn set(db: &Connection, role: Role) -> Result<(), String> {
    let failed = |error: tokio_postgres::Error| super::fault::Fault::from(error).to_string();
    let statement_timeout = if role == Role::Read { READ_TIMEOUT } else { "0" };
    // Without notices a commit whose wait for a standby was cancelled would look like any other.
    let wanted = [
        ("client_min_messages", "warning"),
        ("lock_timeout", LOCK_TIMEOUT),
        ("idle_in_transaction_session_timeout", IDLE_TIMEOUT),
        ("statement_timeout", statement_timeout),
        ("default_transaction_isolation", "read committed"),
        ("default_transaction_deferrable", "off"),
        ("standard_conforming_strings", "on"),
    ];
    let mut sql: String = wanted.iter().map(|(name, value)| format!("SET {name} = '{value}';")).collect();
    sql.push_str(&format!(
        "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('{}', '{}');",
        ENDLESS[1], ENDLESS[2]
    ));
    sql.push_str(&format!(
        "SELECT set_config('synchronous_commit', 'on', false)
         WHERE current_setting('synchronous_commit') NOT IN ('{}', '{}');",
        DURABLE[0], DURABLE[1]
    ));
    db.client.batch_execute(&sql).await.map_err(failed)?;
    let rows = db.client.query("SELECT name, setting FROM pg_settings", &[]).await.map_err(failed)?;
    let setting =
        |name: &str| rows.iter().find(|row| row.get::<_, &str>(0) == name).map(|row| row.get::<_, String>(1));
    for (name, value) in wanted {
        if setting(name).as_deref() != Some(value) {
            return Err(format!("its setting {name} cannot be set to {value}. Is a pooler in between?"));
        }
    }
    for name in &ENDLESS[1..] {
        if setting(name).is_some_and(|value| value != "0") {
            return Err(format!("its setting {name} cannot be set to 0"));
        }
    }
    if !setting("synchronous_commit").is_some_and(|value| DURABLE.contains(&value.as_str())) {
        return Err("its setting synchronous_commit cannot be set to on".to_owned());
    }
    Ok(())
}
