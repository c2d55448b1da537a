//! The store's half of the witness (see [`crate::witness`]): the counter of withdrawals, the last few of them, the
//! generation, and what an older copy must not accept. All are rows of `meta`.

use super::Start;
use super::apply;
use super::open::{self, OpenError, describe};
use crate::audit::EventRow;
use crate::os_random::Kernel;
use crate::seal::{SealedAccount, Sealer};
use crate::store::SideWrite;
use crate::witness::Witness;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeSet;
use std::path::Path;
use totp_core::Time;
use totp_core::random;
use totp_core::withdrawal::{
    Comparison, Entry, Generation, Kind, Refusals, StorePosition, Withdrawal, compare,
};

/// Withdrawals that the store itself keeps, to write again what the witness lacks after a crash.
const KEPT: u64 = 64;

/// Withdrawals that the log names when an older copy is found.
const NAMED: usize = 20;

const COUNTER: &str = "withdrawals";
const GENERATION: &str = "generation";
const REFUSED: &str = "refused";
const FLOOR: &str = "floor";

fn get(db: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    let mut statement = db.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    statement.query_row([key], |row| row.get(0)).optional()
}

fn set(db: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?.execute([key, value])?;
    Ok(())
}

/// Where the store stands.
pub(super) fn mark(db: &Connection) -> rusqlite::Result<StorePosition> {
    Ok(StorePosition {
        counter: get(db, COUNTER)?.and_then(|text| text.parse().ok()).unwrap_or(0),
        generation: get(db, GENERATION)?.map_or_else(Generation::default, |text| Generation::parse(&text)),
    })
}

/// What this copy of the store must not accept.
pub(super) fn refusals(db: &Connection) -> rusqlite::Result<Refusals> {
    let text = get(db, REFUSED)?.unwrap_or_default();
    let floor = get(db, FLOOR)?.and_then(|text| text.parse().ok()).map(Time::from_unix);
    Ok(Refusals { withdrawn: text.lines().filter_map(Entry::parse).map(|e| e.what).collect(), floor })
}

fn set_refused(db: &Connection, refusals: &Refusals) -> rusqlite::Result<()> {
    let line =
        |what: &Withdrawal| format!("{}\n", Entry { counter: 0, what: what.clone(), at: Time::default() });
    set(db, REFUSED, &refusals.withdrawn.iter().map(line).collect::<String>())?;
    match refusals.floor {
        Some(at) => set(db, FLOOR, &at.unix().to_string()),
        None => Ok(()),
    }
}

/// Counts one withdrawal, inside the transaction that makes it.
fn count(db: &Connection, what: Withdrawal, at: Time) -> rusqlite::Result<Entry> {
    let counter = mark(db)?.counter.saturating_add(1);
    let entry = Entry { counter, what, at };
    set(db, COUNTER, &counter.to_string())?;
    set(db, &format!("withdrawal.{}", counter % KEPT), &entry.to_string())?;
    Ok(entry)
}

/// The latest withdrawals, the oldest first.
pub(super) fn kept(db: &Connection) -> rusqlite::Result<Vec<Entry>> {
    // Longer than any, and more than there are: somebody else wrote those.
    let query =
        "SELECT value FROM meta WHERE key LIKE 'withdrawal.%' AND octet_length(value) < 1024 LIMIT 10000";
    let mut statement = db.prepare(query)?;
    let lines: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut entries: Vec<Entry> = lines.iter().filter_map(|line| Entry::parse(line)).collect();
    entries.sort_by_key(|entry| entry.counter);
    Ok(entries)
}

/// What a change withdraws, counted.
pub(super) fn record(db: &Connection, also: &SideWrite, at: Time) -> rusqlite::Result<Option<Entry>> {
    match also {
        SideWrite::Withdraw(what) => count(db, what.clone(), at).map(Some),
        SideWrite::DeleteClient(id) => count(db, Withdrawal::new(Kind::Client, id), at).map(Some),
        SideWrite::AcceptOlderCopy(token) => {
            let floor = refusals(db)?.floor;
            set_refused(db, &Refusals { withdrawn: BTreeSet::new(), floor })?;
            begin_generation(db, &Generation::default(), token, at).map(Some)
        }
        _ => Ok(None),
    }
}

/// The store goes on as a new generation, after its own and `other`.
fn begin_generation(db: &Connection, other: &Generation, token: &str, at: Time) -> rusqlite::Result<Entry> {
    let generation = mark(db)?.generation.after(other, token.to_owned()).to_string();
    set(db, GENERATION, &generation)?;
    count(db, Withdrawal::new(Kind::Generation, &generation), at)
}

/// A random token for a generation.
///
/// # Errors
/// When the kernel's random source fails.
pub(super) fn token() -> Result<String, totp_core::RandomFailed> {
    let bytes: [u8; 8] = random::bytes(&mut Kernel)?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

/// Compares the store with its witness at a start: catches the witness up, or refuses what was withdrawn after this copy
/// was made.
///
/// # Errors
/// [`OpenError::Older`] when not everything that was withdrawn is known, until that is accepted.
pub(super) fn settle(
    db: &mut Connection,
    witness: &mut Witness,
    start: Start,
) -> Result<Refusals, OpenError> {
    let path = witness.path().display().to_string();
    let failed = |error: rusqlite::Error| OpenError::Sqlite("totpd.db".to_owned(), describe(&error));
    let here = mark(db).map_err(failed)?;
    let entries = match witness.read() {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(
                "{path} cannot be read ({error}): an older copy of the store would not be noticed"
            );
            return refusals(db).map_err(failed);
        }
    };
    let there = StorePosition::of(&entries);
    let (gap, unknown) = match compare(&here, &entries) {
        Comparison::NoWitness if here.counter == 0 => return refusals(db).map_err(failed),
        Comparison::NoWitness => {
            tracing::warn!(
                "{path} is missing: whether the store is an older copy cannot be known. It is written again from now on"
            );
            witness.write(kept(db).map_err(failed)?);
            return refusals(db).map_err(failed);
        }
        Comparison::Current => {
            let kept = kept(db).map_err(failed)?.into_iter();
            witness.write(kept.filter(|entry| entry.counter > there.counter));
            return refusals(db).map_err(failed);
        }
        Comparison::Behind(gap) => (gap, None),
        Comparison::BehindByMore(gap, missing) => {
            (gap, Some(format!("it lacks {missing} withdrawals that {path} does not list any more")))
        }
        Comparison::Replaced(gap) => {
            (gap, Some(format!("{path} says that it was restored since, and this is another copy")))
        }
    };
    if let Some(why) = &unknown
        && !start.accept
    {
        return Err(OpenError::Older("the store".to_owned(), why.clone()));
    }
    for entry in gap.iter().rev().take(NAMED) {
        tracing::warn!("withdrawn after this copy of the store: {entry}");
    }
    let withdrawn = gap.len();
    let token = token().map_err(|error| OpenError::Sqlite(path.clone(), error.to_string()))?;
    let adopt = || -> rusqlite::Result<(Refusals, Option<Entry>)> {
        let change = db.transaction()?;
        let mut refusals = refusals(&change)?;
        refuse(&change, &mut refusals, gap, start.now)?;
        set(&change, COUNTER, &here.counter.max(there.counter).to_string())?;
        let generation = match unknown {
            Some(_) => Some(begin_generation(&change, &there.generation, &token, start.now)?),
            None => None,
        };
        change.commit()?;
        Ok((refusals, generation))
    };
    let (refusals, generation) = adopt().map_err(failed)?;
    witness.write(generation);
    tracing::warn!(
        "the store is an older copy: {path} lists {withdrawn} later withdrawals, and what they withdrew is refused. Put \
         the newer store back, or take this one as it is: `totpd restore --accept`"
    );
    Ok(refusals)
}

/// Adds the gap to what is refused. An application's secret is deleted at once: it is not looked at again.
fn refuse(db: &Connection, refusals: &mut Refusals, gap: Vec<Entry>, now: Time) -> rusqlite::Result<()> {
    // A clock that is behind must not make fresh what was used before a withdrawal.
    let mut latest = now;
    for Entry { what, at, .. } in gap {
        latest = latest.max(at);
        match what.kind {
            Kind::Generation => {}
            Kind::Client => {
                db.execute("DELETE FROM client WHERE secret_id = ?1", [&what.id])?;
            }
            _ => drop(refusals.withdrawn.insert(what)),
        }
    }
    refusals.floor = refusals.floor.max(Some(latest));
    set_refused(db, refusals)
}

/// What [`restored`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What was withdrawn after the backup and is refused in it, and from whom if the backup knows.
    pub withdrawn: Vec<(Option<String>, Withdrawal, Time)>,
    /// Withdrawals after the backup of which nothing is known.
    pub unknown: u64,
    /// What the witness has to be told.
    pub generation: Entry,
}

/// Prepares a copy of a store, in a folder of this process alone, to be served in the store's place: nothing that the
/// witness lists is accepted again, no code that may have been used is fresh, and it is a generation of its own. `made` is
/// when the copy was made.
///
/// # Errors
/// [`OpenError`].
pub fn restored(
    folder: &Path,
    sealer: &Sealer,
    witness: &[Entry],
    skew: u8,
    made: Time,
    event: &EventRow,
) -> Result<Restored, OpenError> {
    let now = event.at;
    let failed = |error: rusqlite::Error| OpenError::Sqlite("the backup".to_owned(), describe(&error));
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
    let token = token().map_err(|error| OpenError::Sqlite("the backup".to_owned(), error.to_string()))?;
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
        apply::insert_event(&change, event)?;
        Ok(Restored { withdrawn, unknown, generation })
    };
    let restored = apply().map_err(failed)?;
    change.commit().map_err(failed)?;
    open::close(&db, &mine).map_err(failed)?;
    Ok(restored)
}

/// Takes from a record what was withdrawn; whose it is, if there is such a record.
fn strip(
    db: &Connection,
    sealer: &Sealer,
    refusals: &Refusals,
    what: &Withdrawal,
    skew: u8,
) -> rusqlite::Result<Option<String>> {
    let condition = match what.kind {
        Kind::Ticket => "id = ?1",
        _ => "active_totp = ?1 OR pending_totp = ?1",
    };
    let sql = format!("SELECT id, record FROM account WHERE {condition}");
    let found = db.query_row(&sql, [&what.id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((id, record)): Option<(String, String)> = found else { return Ok(None) };
    let sealed: Option<SealedAccount> = serde_json::from_str(&record).ok();
    let label = sealed.as_ref().map_or_else(|| id.clone(), |account| account.display_name().to_owned());
    // A record that cannot be opened lets nobody in.
    if let Some(mut account) = sealed.and_then(|sealed| sealer.open(sealed).ok()) {
        refusals.apply(&mut account, skew);
        let sealed = sealer.seal(account).map_err(|_| rusqlite::Error::InvalidQuery)?;
        let record = serde_json::to_string(&sealed).map_err(|_| rusqlite::Error::InvalidQuery)?;
        let factor = |factor: &Option<totp_core::Factor<_>>| {
            factor.as_ref().map(|f: &totp_core::Factor<crate::seal::Sealed>| f.id.clone())
        };
        db.execute(
            "UPDATE account SET version = version + 1, record = ?2, active_totp = ?3, pending_totp = ?4,
               pending_until = CASE WHEN ?4 IS NULL THEN NULL ELSE pending_until END WHERE id = ?1",
            params![id, record, factor(&sealed.active), factor(&sealed.pending)],
        )?;
    }
    Ok(Some(label))
}
