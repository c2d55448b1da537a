//! The store's half of the witness (see [`crate::witness`]): the counter of withdrawals, the last
//! of them, the generation, and what an older copy must not accept. All are values of `meta`.

use crate::os_random::Kernel;
use crate::store::change::SideWrite;
use crate::store::postgres::connection::Connection;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::meta::{get, set};
use crate::store::postgres::steps::{Step, Wants};
use std::collections::{BTreeMap, BTreeSet};
use totp_core::withdrawal::{Entry, Generation, Kind, Refusals, StorePosition, Withdrawal};
use totp_core::{Time, random};

/// Withdrawals that the store itself keeps: a daemon takes those of the others from here, within
/// seconds, and writes again what its witness lacks after a crash.
pub(super) const KEPT: i64 = 1024;

/// The counter of withdrawals.
pub(super) const COUNTER: &str = "withdrawals";
const GENERATION: &str = "generation";
const REFUSED: &str = "refused";
const FLOOR: &str = "floor";
/// A key for each generation follows: the counter of the copy that it began with.
const FORK: &str = "fork.";

/// What a database says of itself, of one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    pub(super) position: StorePosition,
    /// The latest withdrawals, the oldest first.
    pub(super) kept: Vec<Entry>,
    pub(super) refusals: Refusals,
    /// For each generation the counter of the copy that it began with.
    forks: BTreeMap<u64, u64>,
}

impl Standing {
    /// Reads all of it: some hundred short rows.
    pub(super) async fn read(db: &Connection) -> Result<Self, Fault> {
        // Longer values than any of ours, and more than there are, were not written by totpd.
        Self::of(
            db,
            "SELECT key, value FROM meta
                      WHERE key IN ('withdrawals', 'generation', 'refused', 'floor') OR key LIKE 'fork.%'
                         OR (key LIKE 'withdrawal.%' AND length(value) < 1024) LIMIT 10000",
        )
        .await
    }

    /// Reads it without the list of withdrawals.
    pub(super) async fn read_in_short(db: &Connection) -> Result<Self, Fault> {
        Self::of(
            db,
            "SELECT key, value FROM meta WHERE key IN ('withdrawals', 'generation', 'refused', 'floor')",
        )
        .await
    }

    async fn of(db: &Connection, sql: &'static str) -> Result<Self, Fault> {
        let rows = db.rows(sql, &[]).await?;
        let mut standing = Self::default();
        for row in &rows {
            let (key, value): (&str, &str) = (row.get(0), row.get(1));
            match key {
                COUNTER => standing.position.counter = value.parse().unwrap_or(0),
                // A damaged value counts as that of a store that was never restored.
                GENERATION => standing.position.generation = Generation::parse(value).unwrap_or_default(),
                REFUSED => {
                    let lines = value.lines().filter_map(Entry::parse);
                    standing.refusals.withdrawn = lines.map(|entry| entry.what).collect();
                }
                FLOOR => standing.refusals.floor = value.parse().ok().map(Time::from_unix),
                key if key.starts_with(FORK) => {
                    let number = key.strip_prefix(FORK).and_then(|number| number.parse().ok());
                    let fork: Option<(u64, u64)> = number.zip(value.parse().ok());
                    standing.forks.extend(fork);
                }
                _ => standing.kept.extend(Entry::parse(value)),
            }
        }
        standing.kept.sort_by_key(|entry| entry.counter);
        Ok(standing)
    }

    /// The counter from which on the withdrawals of a witness of generation `number` may be missing
    /// here: that of the oldest copy that was put in place since. `None` when there was none.
    pub(super) fn fork_after(&self, number: u64) -> Option<u64> {
        let later = self.forks.range(number.saturating_add(1)..);
        later.map(|(_, counter)| *counter).min()
    }
}

/// Replaces what this copy of the store must not accept. A floor stays once there is one.
pub(super) async fn set_refused(db: &Connection, refusals: &Refusals) -> Result<(), Fault> {
    let line =
        |what: &Withdrawal| format!("{}\n", Entry { counter: 0, what: what.clone(), at: Time::default() });
    set(db, REFUSED, &refusals.withdrawn.iter().map(line).collect::<String>()).await?;
    match refusals.floor {
        Some(at) => set(db, FLOOR, &at.unix().to_string()).await,
        None => Ok(()),
    }
}

/// Waits until this transaction alone may count withdrawals, so that no two transactions wait for
/// each other.
pub(super) async fn lock_counter(db: &Connection) -> Result<(), Fault> {
    db.row("SELECT value FROM meta WHERE key = $1 FOR UPDATE", &[&COUNTER]).await.map(drop)
}

/// Counts one withdrawal, inside the transaction that makes it, and returns its line.
const COUNT: &str = "WITH counted AS (
     UPDATE meta SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE key = 'withdrawals'
     RETURNING CAST(value AS BIGINT) AS number)
   INSERT INTO meta (key, value)
   SELECT 'withdrawal.' || CAST(number % CAST($1 AS BIGINT) AS TEXT),
          CAST(number AS TEXT) || CAST($2 AS TEXT) FROM counted
   ON CONFLICT (key) DO UPDATE SET value = excluded.value RETURNING value";

/// The statement that counts a withdrawal at this moment.
pub(super) fn counting(what: Withdrawal, at: Time) -> Step {
    let line = Entry { counter: 0, what, at }.to_string();
    let rest = line.strip_prefix('0').unwrap_or_default().to_owned();
    Step::new(Wants::Entry, COUNT, vec![Box::new(KEPT), Box::new(rest)])
}

/// Whether a side write counts a withdrawal.
pub(super) fn counts(write: &SideWrite) -> bool {
    matches!(write, SideWrite::Withdraw(_) | SideWrite::DeleteClient(_) | SideWrite::AcceptOlderCopy { .. })
}

/// An administrator accepts this copy: nothing is refused any more, and it is a generation of its
/// own, with this random token. `false` when the copy refuses more than was removed from it.
pub(super) async fn accept(
    db: &Connection,
    (token, removed): (&str, &BTreeSet<Withdrawal>),
    at: Time,
    entries: &mut Vec<Entry>,
) -> Result<bool, Fault> {
    // The counter is locked, under which every daemon adds what its witness knows.
    let here = Standing::read(db).await?;
    if !here.refusals.withdrawn.is_subset(removed) {
        return Ok(false);
    }
    set_refused(db, &Refusals { withdrawn: BTreeSet::new(), floor: here.refusals.floor }).await?;
    let fork = here.position.counter;
    let own = &here.position.generation;
    begin_generation(db, own, (&Generation::default(), token), fork, (at, entries)).await?;
    Ok(true)
}

/// Makes the store a new generation, after its own and `other`, whose copy began at the counter
/// `fork`.
pub(super) async fn begin_generation(
    db: &Connection,
    own: &Generation,
    (other, token): (&Generation, &str),
    fork: u64,
    (at, entries): (Time, &mut Vec<Entry>),
) -> Result<(), Fault> {
    let next = own.after(other, token.to_owned());
    let generation = next.to_string();
    set(db, GENERATION, &generation).await?;
    set(db, &format!("{FORK}{}", next.number), &fork.to_string()).await?;
    counting(Withdrawal::new(Kind::Generation, &generation), at).run(db, entries).await.map(drop)
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
pub(super) async fn refuse(
    db: &Connection,
    refusals: &mut Refusals,
    gap: Vec<Entry>,
    now: Time,
) -> Result<(), Fault> {
    // A clock that is behind must not make fresh what was used before a withdrawal.
    let mut latest = now;
    for Entry { what, at, .. } in gap {
        latest = latest.max(at);
        match what.kind {
            Kind::Generation => {}
            Kind::Client => {
                db.execute("DELETE FROM client WHERE secret_id = $1", &[&what.id]).await?;
            }
            _ => drop(refusals.withdrawn.insert(what)),
        }
    }
    refusals.floor = refusals.floor.max(Some(latest));
    set_refused(db, refusals).await
}

/// Raises the counter: what comes next must not take a number that a witness has.
pub(super) async fn raise_counter(db: &Connection, counter: u64) -> Result<(), Fault> {
    if get(db, COUNTER).await?.and_then(|text| text.parse().ok()) < Some(counter) {
        set(db, COUNTER, &counter.to_string()).await?;
    }
    Ok(())
}
