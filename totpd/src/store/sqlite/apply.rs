//! One change, applied inside a transaction: all of it, or nothing and why.

use super::{sql_time, withdrawals};
use crate::audit::EventRow;
use crate::seal::SealedAccount;
use crate::store::{AccountWrite, ChangeSet, CommitError, SideWrite, UniqueField};
use rusqlite::{Connection, ErrorCode, ToSql, params};
use totp_core::withdrawal::Entry;
use totp_core::{Time, UserName};

/// Sessions that are swept out at once.
const SWEPT: i64 = 500;

/// What became of it: `Err(Conflict)` or `Err(Taken)` leave nothing of it.
pub(super) type Applied = Result<(), CommitError>;

/// Applies `change`. The outer error is one of the database, and ends the transaction.
/// Withdrawals are added to `entries`.
pub(super) fn apply(
    db: &Connection,
    change: &ChangeSet,
    entries: &mut Vec<Entry>,
) -> rusqlite::Result<Applied> {
    // What marks a grant refuses nothing, so that a login needs no savepoint.
    if change.side_writes.iter().all(|also| matches!(also, SideWrite::RecordGrant(_))) {
        return whole(db, change, entries);
    }
    db.execute_batch("SAVEPOINT change")?;
    let before = entries.len();
    let applied = whole(db, change, entries)?;
    if applied.is_err() {
        entries.truncate(before);
    }
    db.execute_batch(if applied.is_ok() { "RELEASE change" } else { "ROLLBACK TO change; RELEASE change" })?;
    Ok(applied)
}

fn whole(db: &Connection, change: &ChangeSet, entries: &mut Vec<Entry>) -> rusqlite::Result<Applied> {
    let written = match record_written(db, &change.write) {
        Err(error) => return taken(error).map(Err),
        Ok(written) => written,
    };
    if !written {
        return Ok(Err(CommitError::Conflict));
    }
    for also in &change.side_writes {
        if !also_written(db, also)? {
            return Ok(Err(CommitError::Conflict));
        }
        let at = change.event.as_ref().map_or_else(Time::default, |event| event.at);
        entries.extend(withdrawals::record(db, also, at)?);
    }
    if let Some(event) = &change.event {
        insert_event(db, event)?;
    }
    Ok(Ok(()))
}

/// Adds a row to the history.
pub(super) fn insert_event(db: &Connection, event: &EventRow) -> rusqlite::Result<()> {
    let EventRow { at, user, json } = event;
    db.prepare_cached("INSERT INTO history (at, name, event) VALUES (?1, ?2, ?3)")?.execute(params![
        sql_time(*at),
        user,
        json
    ])?;
    Ok(())
}

/// Writes the record; `false` when it is not at the version it was read at.
fn record_written(db: &Connection, write: &AccountWrite) -> rusqlite::Result<bool> {
    let changed = match write {
        AccountWrite::Nothing => 1,
        AccountWrite::ExpectVersion(id, version) => db
            .prepare_cached("SELECT count(*) FROM account WHERE id = ?1 AND version = ?2")?
            .query_row(params![id, sql_int(*version)], |row| row.get::<_, i64>(0))
            .map(|count| usize::try_from(count).unwrap_or(0))?,
        AccountWrite::Insert(account) => with_columns(account, 0, |values| {
            db.prepare_cached(
                "INSERT INTO account (id, name, version, uid, created, email, phone, awaits, active_totp,
                   pending_totp, pending_until, locked_until, ticket_until, record)
                 VALUES (?1, ?2, ?3 + 1, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .execute(values)
        })?,
        AccountWrite::Update(account, version) => with_columns(account, *version, |values| {
            db.prepare_cached(
                "UPDATE account SET name = ?2, version = version + 1, uid = ?4, created = ?5, email = ?6,
                   phone = ?7, awaits = ?8, active_totp = ?9, pending_totp = ?10, pending_until = ?11,
                   locked_until = ?12, ticket_until = ?13, record = ?14
                 WHERE id = ?1 AND version = ?3",
            )?
            .execute(values)
        })?,
        AccountWrite::Delete(id, version) => db
            .prepare_cached("DELETE FROM account WHERE id = ?1 AND version = ?2")?
            .execute(params![id, sql_int(*version)])?,
    };
    Ok(changed == 1)
}

/// The columns of a record, in the order of the statements above.
fn with_columns<T>(
    account: &SealedAccount,
    version: u64,
    run: impl FnOnce(&[&dyn ToSql]) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let record = serde_json::to_string(account)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let profile = &account.profile;
    run(&[
        &account.id,
        &account.name.as_ref().map(UserName::as_str),
        &sql_int(version),
        &account.uid,
        &sql_time(account.created),
        &profile.email.as_ref().map(|email| email.address.to_lowercase()),
        &profile.phone.as_ref().map(|phone| phone.address.as_str()),
        &profile.pending,
        &account.active.as_ref().map(|factor| factor.id.as_str()),
        &account.pending.as_ref().map(|factor| factor.id.as_str()),
        &account.pending_expires().map(sql_time),
        &account.lock_state.locked_until().map(sql_time),
        &account.ticket.as_ref().map(|ticket| sql_time(ticket.expires)),
        &record,
    ])
}

/// Writes what belongs to a record; `false` when it is not as it was read.
fn also_written(db: &Connection, also: &SideWrite) -> rusqlite::Result<bool> {
    let changed = match also {
        SideWrite::InsertSession(row) => {
            // Its user may have gone while it was made.
            let there = db
                .prepare_cached("SELECT count(*) FROM account WHERE id = ?1")?
                .query_row([&row.account], |found| found.get::<_, i64>(0))?;
            if there == 0 {
                return Ok(false);
            }
            db.prepare_cached(
                "INSERT INTO session (id, account, version, token, expires, record) VALUES (?1, ?2, 1, ?3, ?4, ?5)",
            )?
            .execute(params![row.id, row.account, row.token, sql_time(row.expires), row.record])?
        }
        SideWrite::UpdateSession(row, version) => db
            .prepare_cached(
                "UPDATE session SET version = version + 1, token = ?2, expires = ?3, record = ?4
                 WHERE id = ?1 AND version = ?5",
            )?
            .execute(params![row.id, row.token, sql_time(row.expires), row.record, sql_int(*version)])?,
        SideWrite::DeleteSession(id) => {
            db.prepare_cached("DELETE FROM session WHERE id = ?1")?.execute([id])?
        }
        SideWrite::DeleteSessionAt(id, version) => db
            .prepare_cached("DELETE FROM session WHERE id = ?1 AND version = ?2")?
            .execute(params![id, sql_int(*version)])?,
        SideWrite::DeleteSessionsOf(account) => {
            db.prepare_cached("DELETE FROM session WHERE account = ?1")?.execute([account])?;
            1
        }
        SideWrite::DeleteExpiredSessions(now) => {
            db.prepare_cached(
                "DELETE FROM session WHERE id IN (SELECT id FROM session WHERE expires <= ?1 LIMIT ?2)",
            )?
            .execute(params![sql_time(*now), SWEPT])?;
            1
        }
        SideWrite::RecordGrant(at) => {
            db.prepare_cached(
                "INSERT INTO meta (key, value) VALUES ('latest_grant', ?1)
                 ON CONFLICT (key) DO UPDATE SET value = ?1 WHERE CAST(value AS INTEGER) < CAST(?1 AS INTEGER)",
            )?
            .execute([sql_time(*at).to_string()])?;
            1
        }
        SideWrite::TrustClock(at) => db
            .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('latest_grant', ?1)")?
            .execute([sql_time(*at).to_string()])?,
        // `withdrawals::record` writes these.
        SideWrite::Withdraw(_) | SideWrite::AcceptOlderCopy(_) => 1,
        SideWrite::InsertClient(row) => db
            .prepare_cached("INSERT INTO client (secret_id, name, record) VALUES (?1, ?2, ?3)")?
            .execute(params![row.secret_id, row.name, row.record])?,
        SideWrite::DeleteClient(id) => {
            db.prepare_cached("DELETE FROM client WHERE secret_id = ?1")?.execute([id])?
        }
        SideWrite::InsertKey(row) => db
            .prepare_cached("INSERT INTO signing_key (id, created, record) VALUES (?1, ?2, ?3)")?
            .execute(params![row.id, sql_time(row.created), row.record])?,
        SideWrite::DeleteKey(id) => {
            db.prepare_cached("DELETE FROM signing_key WHERE id = ?1")?.execute([id])?
        }
    };
    Ok(changed == 1)
}

/// Which value another record has, when that is what the error says.
fn taken(error: rusqlite::Error) -> rusqlite::Result<CommitError> {
    let (Some(ErrorCode::ConstraintViolation), rusqlite::Error::SqliteFailure(_, Some(text))) =
        (error.sqlite_error_code(), &error)
    else {
        return Err(error);
    };
    // "UNIQUE constraint failed: account.email": the names of our own columns.
    Ok(if text.ends_with("account.email") {
        CommitError::Duplicate(UniqueField::Email)
    } else if text.ends_with("account.phone") {
        CommitError::Duplicate(UniqueField::Phone)
    } else if text.ends_with("account.name") {
        CommitError::Duplicate(UniqueField::Name)
    } else {
        CommitError::Conflict
    })
}

fn sql_int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
