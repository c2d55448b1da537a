//! What each connection sets, and reads back: a setting that a role, a database or a pooler between
//! forces to another value must not go unnoticed.

use crate::store::postgres::connection::Connection;
use crate::store::postgres::fault::Fault;
use tokio_postgres::SimpleQueryMessage;

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

/// What notices a session must hear: those of a commit whose wait for a standby was cancelled.
const MESSAGES: &str = "warning";
/// Reads back, at the end of a transaction, what makes its `COMMIT` durable and its warnings heard.
/// Triggers that wait for the end run first.
const KEPT: &str = "SET CONSTRAINTS ALL IMMEDIATE;
     SELECT pg_catalog.current_setting('synchronous_commit'), pg_catalog.current_setting('client_min_messages')";

/// Begins a transaction of logins. The statement is sent with it, and writes only where it has
/// begun: were it refused alone (`pg_cancel_backend`), the statement would commit by itself.
///
/// The statement finds its rows by key: to plan that for each login takes longer than to do it, and
/// a plan that was made while the table was small must not read all of it later.
pub(super) const BEGIN: &str = "BEGIN; SELECT pg_catalog.set_config('totpd.begun', 'yes', true),
     pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true),
     pg_catalog.set_config('enable_seqscan', 'off', true)";
/// Whether [`BEGIN`] has begun this transaction.
pub(super) const BEGUN: &str = "pg_catalog.current_setting('totpd.begun', true) = 'yes'";

/// Whether a transaction, as whose last statement this is sent, still has the settings by which its
/// commit is durable: a trigger may change them for it.
///
/// # Errors
/// What was changed.
pub(super) async fn check_kept(db: &Connection) -> Result<(), Fault> {
    let answers = db.client.simple_query(KEPT).await?;
    let row = answers.iter().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => Some((row.get(0).unwrap_or(""), row.get(1).unwrap_or(""))),
        _ => None,
    });
    let changed = match row {
        Some((commit, MESSAGES)) if DURABLE.contains(&commit) => return Ok(()),
        Some((commit, MESSAGES)) => format!("synchronous_commit to {commit}"),
        Some((_, messages)) => format!("client_min_messages to {messages}"),
        None => "settings that cannot be read".to_owned(),
    };
    // Of the connection, so that it is not used again: another one may have what it needs.
    Err(Fault::Lost(format!(
        "a trigger or rule of the database sets {} within the transaction, under which a commit is not safe. Remove it: \
         SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE NOT tgisinternal",
        totp_wire::text::printable(&changed, 100)
    )))
}

/// Sets everything, and checks what the server has made of it.
///
/// # Errors
/// What the server refused or holds against it.
pub(super) async fn set(db: &Connection, role: Role) -> Result<(), String> {
    let failed = |error: tokio_postgres::Error| Fault::from(error).to_string();
    let statement_timeout = if role == Role::Read { READ_TIMEOUT } else { "0" };
    // Without notices a commit whose wait for a standby was cancelled would look like any other.
    let wanted = [
        ("client_min_messages", MESSAGES),
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
    // Set in any case: a session that only inherits it would follow a reload to a weaker value.
    sql.push_str(&format!(
        "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                             WHEN '{1}' THEN '{1}' ELSE '{0}' END, false);",
        DURABLE[0], DURABLE[1]
    ));
    db.client.batch_execute(&sql).await.map_err(failed)?;
    let rows = db.client.query("SELECT name, setting FROM pg_settings", &[]).await.map_err(failed)?;
    let setting =
        |name: &str| rows.iter().find(|row| row.get::<_, &str>(0) == name).map(|row| row.get::<_, String>(1));
    if setting("server_encoding").is_some_and(|encoding| encoding != "UTF8") {
        return Err("the encoding of its database is not UTF8, so that it cannot hold every name. Make \
                    another one: createdb -E UTF8 -T template0 -O USER DATABASE"
            .to_owned());
    }
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
