//! One change set, applied inside a transaction: all of it, or nothing and why.

use crate::store::change::{AccountWrite, ChangeSet, SideWrite};
use crate::store::error::{CommitError, UniqueField};
use crate::store::postgres::columns::{Columns, INSERT, UPDATE};
use crate::store::postgres::connection::Connection;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::steps::{Step, Value, Wants, run_together};
use crate::store::postgres::{history, side_writes, withdrawals};
use crate::store::values::sql_int;
use totp_core::Time;
use totp_core::withdrawal::Entry;

/// What a change that fails is rolled back to.
const SAVEPOINT: &str = "SAVEPOINT change";

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
    let before = entries.len();
    let written = match steps(slot, change)? {
        Some(steps) => run_together(db, SAVEPOINT, &steps, entries).await,
        None => one_by_one(db, slot, change, entries).await,
    };
    let applied = match written {
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

/// The moment of a change.
fn at(change: &ChangeSet) -> Time {
    change.event.as_ref().map_or_else(Time::default, |event| event.at)
}

/// All statements of a change; `None` when what one writes depends on what it reads.
fn steps(slot: i64, change: &ChangeSet) -> Result<Option<Vec<Step>>, Fault> {
    let mut steps: Vec<Step> = account(&change.write)?.into_iter().collect();
    for write in &change.side_writes {
        let Some(beside) = side_writes::steps(slot, write, at(change)) else { return Ok(None) };
        steps.extend(beside);
    }
    steps.extend(change.event.as_ref().map(history::insert));
    Ok(Some(steps))
}

/// Applies the parts one after the other; `false` on a conflict.
async fn one_by_one(
    db: &Connection,
    slot: i64,
    change: &ChangeSet,
    entries: &mut Vec<Entry>,
) -> Result<bool, Fault> {
    db.run(SAVEPOINT).await?;
    let mut steps: Vec<Step> = account(&change.write)?.into_iter().collect();
    for write in &change.side_writes {
        if let Some(beside) = side_writes::steps(slot, write, at(change)) {
            steps.extend(beside);
            continue;
        }
        if !run_all(db, &mut steps, entries).await? {
            return Ok(false);
        }
        match write {
            SideWrite::ExpectOtherNames(expected) => {
                if !side_writes::other_names(db, expected).await? {
                    return Ok(false);
                }
            }
            SideWrite::TrustClock(now) => side_writes::trust_clock(db, slot, *now).await?,
            SideWrite::AcceptOlderCopy { token, removed } => {
                if !withdrawals::accept(db, (token, removed), at(change), entries).await? {
                    return Ok(false);
                }
            }
            _ => return Err(Fault::Other("a part of a change has no statement".to_owned())),
        }
    }
    steps.extend(change.event.as_ref().map(history::insert));
    run_all(db, &mut steps, entries).await
}

async fn run_all(db: &Connection, steps: &mut Vec<Step>, entries: &mut Vec<Entry>) -> Result<bool, Fault> {
    for step in steps.drain(..) {
        if !step.run(db, entries).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The statement that writes the account, if one is written.
fn account(write: &AccountWrite) -> Result<Option<Step>, Fault> {
    let version_of =
        |id: &String, version: u64| -> Vec<Value> { vec![Box::new(id.clone()), Box::new(sql_int(version))] };
    let (sql, values) = match write {
        AccountWrite::Nothing => return Ok(None),
        // The lock keeps it at this version until the transaction ends.
        AccountWrite::ExpectVersion(id, version) => {
            ("SELECT id FROM account WHERE id = $1 AND version = $2 FOR UPDATE", version_of(id, *version))
        }
        AccountWrite::Insert(account) => (INSERT, Columns::of(account, 0)?.into_values()),
        AccountWrite::Update(account, version) => (UPDATE, Columns::of(account, *version)?.into_values()),
        AccountWrite::Delete(id, version) => {
            ("DELETE FROM account WHERE id = $1 AND version = $2", version_of(id, *version))
        }
    };
    Ok(Some(Step::new(Wants::One, sql, values)))
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
