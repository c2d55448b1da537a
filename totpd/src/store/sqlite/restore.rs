//! Prepares a copy of a store to be served in the store's place.

use crate::audit::EventRow;
use crate::seal::{SealedAccount, Sealer};
use crate::store::columns::TotpIds;
use crate::store::copies::Restored;
use crate::store::error::OpenError;
use crate::store::sqlite::accounts::HAS_TOTP;
use crate::store::sqlite::connection::describe;
use crate::store::sqlite::meta::{self, set};
use crate::store::sqlite::withdrawals::{
    COUNTER, begin_generation, mark, refusals, refuse, set_refused, token,
};
use crate::store::sqlite::{history, open};
use crate::store::values::read_int;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeSet;
use std::path::Path;
use totp_core::Time;
use totp_core::withdrawal::{Comparison, Entry, Kind, Refusals, StorePosition, Withdrawal, compare};

/// Prepares a copy of a store; see [`open::prepare_restore`](crate::store::open::prepare_restore).
///
/// # Errors
/// [`OpenError`].
pub(in crate::store) fn prepare_restore(
    folder: &Path,
    sealer: &Sealer,
    witness: &[Entry],
    skew: u8,
    made: Time,
    event: &EventRow,
) -> Result<Restored, OpenError> {
    let now = event.at;
    let failed = |error: rusqlite::Error| OpenError::Database("the backup".to_owned(), describe(&error));
    let (mut db, mine) = open::writer(folder, sealer)?;
    let here = mark(&db).map_err(failed)?;
    let there = StorePosition::of(witness);
    let (gap, unknown) = match compare(&here, witness) {
        Comparison::NoWitness | Comparison::Current => (Vec::new(), 0),
        Comparison::Behind(gap) => (gap, 0),
        Comparison::BehindByMore(gap, missing) => (gap, missing),
        Comparison::Replaced(gap) => {
            let listed = u64::try_from(gap.len()).unwrap_or(u64::MAX);
            (gap, there.counter.saturating_sub(here.counter).saturating_sub(listed))
        }
    };
    let token = token().map_err(|error| OpenError::Database("the backup".to_owned(), error.to_string()))?;
    let change = db.transaction().map_err(failed)?;
    let apply = || -> rusqlite::Result<Restored> {
        let mut refusals = refusals(&change)?;
        // What the store that was backed up refused already, and what came after.
        let before = refusals.withdrawn.iter().map(|what| (what.clone(), Time::default()));
        let after = gap.iter().filter(|entry| entry.what.kind != Kind::Generation);
        let all: Vec<_> = before.chain(after.map(|entry| (entry.what.clone(), entry.at))).collect();
        refuse(&change, &mut refusals, gap.clone(), now.max(made))?;
        let mut withdrawn = Vec::new();
        for (what, at) in all {
            withdrawn.push((strip(&change, sealer, &refusals, &what, skew)?, what, at));
        }
        set_refused(&change, &Refusals { withdrawn: BTreeSet::new(), floor: refusals.floor })?;
        set(&change, COUNTER, &here.counter.max(there.counter).to_string())?;
        let generation = begin_generation(&change, &there.generation, &token, now)?;
        history::insert(&change, event)?;
        Ok(Restored { withdrawn, unknown, generation })
    };
    let restored = apply().map_err(failed)?;
    change.commit().map_err(failed)?;
    meta::close(&db, &mine).map_err(failed)?;
    Ok(restored)
}

/// Takes from a record what was withdrawn. Returns the name or id of its user, if there is such a
/// record.
fn strip(
    db: &Connection,
    sealer: &Sealer,
    refusals: &Refusals,
    what: &Withdrawal,
    skew: u8,
) -> rusqlite::Result<Option<String>> {
    let condition = match what.kind {
        Kind::Ticket | Kind::Passcode => "id = ?1",
        _ => HAS_TOTP,
    };
    let sql = format!("SELECT id, record, version FROM account WHERE {condition}");
    let found =
        db.query_row(&sql, [&what.id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    let Some((id, record, version)): Option<(String, String, i64)> = found else { return Ok(None) };
    let version = read_int(version);
    let sealed: Option<SealedAccount> = serde_json::from_str(&record).ok();
    let label = sealed.as_ref().map_or_else(|| id.clone(), |account| account.display_name().to_owned());
    // A record that cannot be opened grants nothing.
    if let Some(mut account) = sealed.and_then(|sealed| sealer.open(sealed, version).ok()) {
        refusals.apply(&mut account, skew);
        let sealed = sealer.seal(account, version + 1).map_err(|_| rusqlite::Error::InvalidQuery)?;
        let record = serde_json::to_string(&sealed).map_err(|_| rusqlite::Error::InvalidQuery)?;
        let TotpIds { active, second, third, pending } = TotpIds::of(&sealed);
        db.execute(
            "UPDATE account SET version = version + 1, record = ?2, active_totp = ?3, pending_totp = ?4,
               second_totp = ?5, third_totp = ?6,
               pending_until = CASE WHEN ?4 IS NULL THEN NULL ELSE pending_until END WHERE id = ?1",
            params![id, record, active, pending, second, third],
        )?;
    }
    Ok(Some(label))
}
