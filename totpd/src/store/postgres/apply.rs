//! One change set, applied inside a transaction: all of it, or nothing and why.

use crate::store::change::{AccountWrite, ChangeSet};
use crate::store::error::{CommitError, UniqueField};
use crate::store::postgres::columns::{Columns, INSERT, UPDATE};
use crate::store::postgres::connection::Connection;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::{history, side_writes, withdrawals};
use crate::store::values::sql_int;
use totp_core::Time;
use totp_core::withdrawal::Entry;

/// What became of it: `Err(Conflict)` and `Err(Duplicate)` leave nothing of it.
pub(super) type Applied = Result<(), CommitError>;

/// Applies `change` under a savepoint, and adds what it withdraws to `entries`. The outer error
/// ends the transaction.
pub(super) async fn apply(
    db: &Connection,
    slot: i64,
    change: &ChangeSet,
    entries: &mut Vec<Entry>,
) -> Result<Applied, Fault> {
    db.run("SAVEPOINT change").await?;
    let before = entries.len();
    let applied = match apply_parts(db, slot, change, entries).await {
        Ok(true) => Ok(()),
        Ok(false) | Err(Fault::Missing) => Err(CommitError::Conflict),
        Err(Fault::Unique(index)) => Err(duplicate(&index)),
        Err(fault) => return Err(fault),
    };
    if applied.is_err() {
        entries.truncate(before);
    }
    let end = if applied.is_ok() {
        "RELEASE SAVEPOINT change"
    } else {
        "ROLLBACK TO SAVEPOINT change; RELEASE SAVEPOINT change"
    };
    db.run(end).await?;
    Ok(applied)
}

/// Applies the parts one after the other; `false` when one of them finds another version than the
/// change set names.
async fn apply_parts(
    db: &Connection,
    slot: i64,
    change: &ChangeSet,
    entries: &mut Vec<Entry>,
) -> Result<bool, Fault> {
    if !write_account(db, &change.write).await? {
        return Ok(false);
    }
    for write in &change.side_writes {
        if !side_writes::write(db, slot, write).await? {
            return Ok(false);
        }
        let at = change.event.as_ref().map_or_else(Time::default, |event| event.at);
        entries.extend(withdrawals::record(db, write, at).await?);
    }
    if let Some(event) = &change.event {
        history::insert(db, event).await?;
    }
    Ok(true)
}

/// Writes the account; `false` when it is not at the version that is named.
async fn write_account(db: &Connection, write: &AccountWrite) -> Result<bool, Fault> {
    let changed = match write {
        AccountWrite::Nothing => 1,
        // The lock keeps it at this version until the transaction ends.
        AccountWrite::ExpectVersion(id, version) => {
            let sql = "SELECT id FROM account WHERE id = $1 AND version = $2 FOR UPDATE";
            u64::from(db.row(sql, &[id, &sql_int(*version)]).await?.is_some())
        }
        AccountWrite::Insert(account) => db.execute(INSERT, &Columns::of(account, 0)?.values()).await?,
        AccountWrite::Update(account, version) => {
            db.execute(UPDATE, &Columns::of(account, *version)?.values()).await?
        }
        AccountWrite::Delete(id, version) => {
            db.execute("DELETE FROM account WHERE id = $1 AND version = $2", &[id, &sql_int(*version)])
                .await?
        }
    };
    Ok(changed == 1)
}

/// Which value another row has, by the name of the index.
pub(super) fn duplicate(index: &str) -> CommitError {
    match index {
        "account_name" => CommitError::Duplicate(UniqueField::Name),
        "account_email" => CommitError::Duplicate(UniqueField::Email),
        "account_phone" => CommitError::Duplicate(UniqueField::Phone),
        _ => CommitError::Conflict,
    }
}
