//! The store's half of the witness (see [`crate::witness`]): the counter of withdrawals, the last
//! few of them, the generation, and what an older copy must not accept. All are values of `meta`.

use crate::os_random::Kernel;
use crate::store::change::SideWrite;
use crate::store::sqlite::meta::{get, set};
use rusqlite::Connection;
use std::collections::BTreeSet;
use totp_core::Time;
use totp_core::random;
use totp_core::withdrawal::{Entry, Generation, Kind, Refusals, StorePosition, Withdrawal};

/// Withdrawals that the store itself keeps, to write again what the witness lacks after a crash.
pub(super) const KEPT: u64 = 64;

/// The counter of withdrawals.
pub(super) const COUNTER: &str = "withdrawals";
const GENERATION: &str = "generation";
const REFUSED: &str = "refused";
const FLOOR: &str = "floor";

/// The counter of withdrawals and the generation.
pub(super) fn mark(db: &Connection) -> rusqlite::Result<StorePosition> {
    Ok(StorePosition {
        counter: get(db, COUNTER)?.and_then(|text| text.parse().ok()).unwrap_or(0),
        // A damaged value counts as that of a store that was never restored. If the witness lists a
        // restore, the store is then refused as another copy until an administrator accepts it.
        generation: get(db, GENERATION)?.and_then(|text| Generation::parse(&text)).unwrap_or_default(),
    })
}

/// What this copy of the store must not accept.
pub(super) fn refusals(db: &Connection) -> rusqlite::Result<Refusals> {
    let text = get(db, REFUSED)?.unwrap_or_default();
    let floor = get(db, FLOOR)?.and_then(|text| text.parse().ok()).map(Time::from_unix);
    Ok(Refusals { withdrawn: text.lines().filter_map(Entry::parse).map(|e| e.what).collect(), floor })
}

/// Replaces what this copy of the store must not accept. A floor stays once there is one.
pub(super) fn set_refused(db: &Connection, refusals: &Refusals) -> rusqlite::Result<()> {
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
    // Longer values than any of ours, and more than there are, were not written by totpd.
    let query =
        "SELECT value FROM meta WHERE key LIKE 'withdrawal.%' AND octet_length(value) < 1024 LIMIT 10000";
    let mut statement = db.prepare(query)?;
    let lines: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut entries: Vec<Entry> = lines.iter().filter_map(|line| Entry::parse(line)).collect();
    entries.sort_by_key(|entry| entry.counter);
    Ok(entries)
}

/// Counts what a side write withdraws, if anything.
pub(super) fn record(db: &Connection, write: &SideWrite, at: Time) -> rusqlite::Result<Option<Entry>> {
    match write {
        SideWrite::Withdraw(what) => count(db, what.clone(), at).map(Some),
        SideWrite::DeleteClient(id) => count(db, Withdrawal::new(Kind::Client, id), at).map(Some),
        // One daemon alone serves this store, and has removed what it refuses.
        SideWrite::AcceptOlderCopy { token, .. } => {
            let floor = refusals(db)?.floor;
            set_refused(db, &Refusals { withdrawn: BTreeSet::new(), floor })?;
            begin_generation(db, &Generation::default(), token, at).map(Some)
        }
        _ => Ok(None),
    }
}

/// Makes the store a new generation, after its own and `other`.
pub(super) fn begin_generation(
    db: &Connection,
    other: &Generation,
    token: &str,
    at: Time,
) -> rusqlite::Result<Entry> {
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

/// Adds the gap to what is refused. An application's secret is deleted at once: nothing checks it
/// against what is refused.
pub(super) fn refuse(
    db: &Connection,
    refusals: &mut Refusals,
    gap: Vec<Entry>,
    now: Time,
) -> rusqlite::Result<()> {
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
