//! One change set, applied inside a transaction: all of it, or nothing and why.

use crate::seal::SealedAccount;
use crate::store::change::{AccountWrite, ChangeSet, SideWrite};
use crate::store::columns::TotpIds;
use crate::store::error::{CommitError, UniqueField};
use crate::store::sqlite::{history, side_writes, withdrawals};
use crate::store::values::{sql_int, sql_time};
use rusqlite::{Connection, ErrorCode, ToSql, params};
use totp_core::withdrawal::Entry;
use totp_core::{Time, UserName};

/// What became of it: `Err(Conflict)` and `Err(Duplicate)` leave nothing of it.
pub(super) type Applied = Result<(), CommitError>;

/// Applies `change`, and adds what it withdraws to `entries`. The outer error is one of the
/// database, and ends the transaction.
pub(super) fn apply(
    db: &Connection,
    change: &ChangeSet,
    entries: &mut Vec<Entry>,
) -> rusqlite::Result<Applied> {
    // Recording a grant refuses nothing, so that a login needs no savepoint.
    if change.side_writes.iter().all(|write| matches!(write, SideWrite::RecordGrant(_))) {
        return apply_parts(db, change, entries, Undo::WholeBatch);
    }
    db.execute_batch("SAVEPOINT change")?;
    let before = entries.len();
    let applied = apply_parts(db, change, entries, Undo::Savepoint)?;
    if applied.is_err() {
        entries.truncate(before);
    }
    db.execute_batch(if applied.is_ok() { "RELEASE change" } else { "ROLLBACK TO change; RELEASE change" })?;
    Ok(applied)
}

/// What undoes a change set that fails in its middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Undo {
    /// Its savepoint.
    Savepoint,
    /// Nothing of its own: an error has to end the transaction of the batch.
    WholeBatch,
}

fn apply_parts(
    db: &Connection,
    change: &ChangeSet,
    entries: &mut Vec<Entry>,
    undo: Undo,
) -> rusqlite::Result<Applied> {
    let written = match write_account(db, &change.write) {
        Err(error) => return duplicate(error).map(Err),
        Ok(written) => written,
    };
    if !written {
        return Ok(Err(CommitError::Conflict));
    }
    for write in &change.side_writes {
        let written = match side_writes::write(db, write) {
            // A row with this id or token exists.
            Err(error)
                if undo == Undo::Savepoint
                    && error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) =>
            {
                false
            }
            written => written?,
        };
        if !written {
            return Ok(Err(CommitError::Conflict));
        }
        let at = change.event.as_ref().map_or_else(Time::default, |event| event.at);
        entries.extend(withdrawals::record(db, write, at)?);
    }
    if let Some(event) = &change.event {
        history::insert(db, event)?;
    }
    Ok(Ok(()))
}

/// Writes the account; `false` when it is not at the version that is named.
fn write_account(db: &Connection, write: &AccountWrite) -> rusqlite::Result<bool> {
    let changed = match write {
        AccountWrite::Nothing => 1,
        AccountWrite::ExpectVersion(id, version) => db
            .prepare_cached("SELECT count(*) FROM account WHERE id = ?1 AND version = ?2")?
            .query_row(params![id, sql_int(*version)], |row| row.get::<_, i64>(0))
            .map(|count| usize::try_from(count).unwrap_or(0))?,
        AccountWrite::Insert(account) => with_columns(account, 0, |values| {
            db.prepare_cached(
                "INSERT INTO account (id, name, version, uid, created, email, phone, awaits, active_totp,
                   pending_totp, pending_until, locked_until, ticket_until, record, second_totp, third_totp,
                   email_id, phone_id)
                 VALUES (?1, ?2, ?3 + 1, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
            )?
            .execute(values)
        })?,
        AccountWrite::Update(account, version) => with_columns(account, *version, |values| {
            // A login changes the record alone. SQLite writes the pages of each index whose column
            // a statement names, also where the value stays: so most updates name none.
            let record_alone = db
                .prepare_cached(
                    "UPDATE account SET version = version + 1, record = ?14
                     WHERE id = ?1 AND version = ?3 AND name IS ?2 AND uid IS ?4 AND created IS ?5
                       AND email IS ?6 AND phone IS ?7 AND awaits IS ?8 AND active_totp IS ?9
                       AND pending_totp IS ?10 AND pending_until IS ?11 AND locked_until IS ?12
                       AND ticket_until IS ?13 AND second_totp IS ?15 AND third_totp IS ?16
                       AND email_id IS ?17 AND phone_id IS ?18",
                )?
                .execute(values)?;
            if record_alone == 1 {
                return Ok(record_alone);
            }
            db.prepare_cached(
                "UPDATE account SET name = ?2, version = version + 1, uid = ?4, created = ?5, email = ?6,
                   phone = ?7, awaits = ?8, active_totp = ?9, pending_totp = ?10, pending_until = ?11,
                   locked_until = ?12, ticket_until = ?13, record = ?14, second_totp = ?15, third_totp = ?16,
                   email_id = ?17, phone_id = ?18
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

/// The columns of an account, in the order of the statements above.
fn with_columns<T>(
    account: &SealedAccount,
    version: u64,
    run: impl FnOnce(&[&dyn ToSql]) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let record = serde_json::to_string(account)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let profile = &account.profile;
    let TotpIds { active, second, third, pending } = TotpIds::of(account);
    run(&[
        &account.id,
        &account.name.as_ref().map(UserName::as_str),
        &sql_int(version),
        &account.uid,
        &sql_time(account.created),
        &profile.email.as_ref().map(|email| email.address.to_lowercase()),
        &profile.phone.as_ref().map(|phone| phone.address.as_str()),
        &profile.pending,
        &active,
        &pending,
        &account.pending_expires().map(sql_time),
        &account.lock_state.locked_until().map(sql_time),
        &account.ticket.as_ref().map(|ticket| sql_time(ticket.expires)),
        &record,
        &second,
        &third,
        &profile.email.as_ref().map(|email| email.id.as_str()),
        &profile.phone.as_ref().map(|phone| phone.id.as_str()),
    ])
}

/// Which value another account has, when that is what the error says.
fn duplicate(error: rusqlite::Error) -> rusqlite::Result<CommitError> {
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
