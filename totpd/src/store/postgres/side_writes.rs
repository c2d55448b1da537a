//! What is written beside an account: sessions, clients, keys, and the latest grant.

use crate::store::change::{OtherNames, SideWrite};
use crate::store::postgres::connection::Connection;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::steps::{Step, Wants};
use crate::store::postgres::withdrawals::counting;
use crate::store::postgres::{meta, slots};
use crate::store::values::{read_int, sql_int, sql_time};
use std::collections::BTreeSet;
use std::sync::LazyLock;
use totp_core::Time;
use totp_core::withdrawal::{Kind, Withdrawal};

/// Expired sessions that are deleted at once.
const SWEEP_BATCH: i64 = 500;

/// The key of how often administrators have said that the clock is right.
pub(super) const TRUSTED: &str = "clock_trusted";

static RECORD_GRANT: LazyLock<String> = LazyLock::new(|| slots::moved("SELECT CAST($1 AS BIGINT)", "$2"));

/// The statements of one; `None` when what it writes depends on what it reads. `slot` is where this
/// daemon records its grants, and `at` is the moment of a withdrawal.
pub(super) fn steps(slot: i64, write: &SideWrite, at: Time) -> Option<Vec<Step>> {
    let one = |sql, values| vec![Step::new(Wants::One, sql, values)];
    let any = |sql, values| vec![Step::new(Wants::Any, sql, values)];
    let text = |text: &String| -> super::steps::Value { Box::new(text.clone()) };
    let number = |number: i64| -> super::steps::Value { Box::new(number) };
    Some(match write {
        SideWrite::ExpectOtherNames(_) | SideWrite::TrustClock(_) | SideWrite::AcceptOlderCopy { .. } => {
            return None;
        }
        // Its user may have been deleted while it was made: a row that is referred to is missing.
        SideWrite::InsertSession(row) => one(
            "INSERT INTO session (id, account, version, token, expires, record) VALUES ($1, $2, 1, $3, $4, $5)",
            vec![
                text(&row.id),
                text(&row.account),
                text(&row.token),
                number(sql_time(row.expires)),
                text(&row.record),
            ],
        ),
        SideWrite::UpdateSession(row, version) => one(
            "UPDATE session SET version = version + 1, token = $2, expires = $3, record = $4
             WHERE id = $1 AND version = $5",
            vec![
                text(&row.id),
                text(&row.token),
                number(sql_time(row.expires)),
                text(&row.record),
                number(sql_int(*version)),
            ],
        ),
        SideWrite::DeleteSession(id) => one("DELETE FROM session WHERE id = $1", vec![text(id)]),
        SideWrite::DeleteSessionAt(id, version) => one(
            "DELETE FROM session WHERE id = $1 AND version = $2",
            vec![text(id), number(sql_int(*version))],
        ),
        SideWrite::DeleteSessionsOf(account) => {
            any("DELETE FROM session WHERE account = $1", vec![text(account)])
        }
        SideWrite::DeleteExpiredSessions(now) => any(
            "DELETE FROM session WHERE id = ANY (ARRAY(SELECT id FROM session WHERE expires <= $1 LIMIT $2))",
            vec![number(sql_time(*now)), number(SWEEP_BATCH)],
        ),
        SideWrite::RecordGrant(at) => any(&RECORD_GRANT, vec![number(sql_time(*at)), number(slot)]),
        SideWrite::Withdraw(what) => vec![counting(what.clone(), at)],
        SideWrite::InsertClient(row) => one(
            "INSERT INTO client (secret_id, name, record) VALUES ($1, $2, $3)",
            vec![text(&row.secret_id), text(&row.name), text(&row.record)],
        ),
        SideWrite::DeleteClient(id) => {
            let mut steps = one("DELETE FROM client WHERE secret_id = $1", vec![text(id)]);
            steps.push(counting(Withdrawal::new(Kind::Client, id), at));
            steps
        }
        SideWrite::InsertKey(row) => one(
            "INSERT INTO signing_key (id, created, record) VALUES ($1, $2, $3)",
            vec![text(&row.id), number(sql_time(row.created)), text(&row.record)],
        ),
        SideWrite::DeleteKey(id) => one("DELETE FROM signing_key WHERE id = $1", vec![text(id)]),
    })
}

/// Sets the latest grant of every daemon, and counts that.
pub(super) async fn trust_clock(db: &Connection, slot: i64, at: Time) -> Result<(), Fault> {
    db.execute("UPDATE latest_grant SET at = $1", &[&sql_time(at)]).await?;
    // Where there is no row, too.
    db.execute(&RECORD_GRANT, &[&sql_time(at), &slot]).await?;
    let trusted = meta::get(db, TRUSTED).await?.and_then(|text| text.parse().ok()).unwrap_or(0_u64);
    meta::set(db, TRUSTED, &trusted.saturating_add(1).to_string()).await
}

/// Whether these are the other accounts of the uid. Until the transaction ends no other one that
/// asks about this uid goes on, and what is read afterwards has what the one before it wrote.
pub(super) async fn other_names(db: &Connection, expected: &OtherNames) -> Result<bool, Fault> {
    let uid = i64::from(expected.uid);
    let lock = "INSERT INTO uid_lock (uid) VALUES ($1) ON CONFLICT (uid) DO UPDATE SET uid = excluded.uid";
    db.execute(lock, &[&uid]).await?;
    let sql = "SELECT id, version FROM account WHERE uid = $1 AND id <> $2";
    let rows = db.rows(sql, &[&uid, &expected.account]).await?;
    let found: BTreeSet<(String, u64)> = rows.iter().map(|row| (row.get(0), read_int(row.get(1)))).collect();
    Ok(found == expected.versions.iter().cloned().collect())
}
