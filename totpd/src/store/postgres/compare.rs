//! The comparison of the database with this host's witness, at each new connection: a failover, or
//! a restore of the database, may have put an older copy in place while the daemon ran.
//!
//! Several daemons share the database, and each has a witness of its own. The first one that finds
//! an older copy begins a new generation, and writes down at which counter that copy stood; the
//! others learn from the generation that they have to compare theirs from there, too.

use crate::clock;
use crate::store::copies::OlderCopy;
use crate::store::error::OpenError;
use crate::store::postgres::connection::Connection;
use crate::store::postgres::durable;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::known::Known;
use crate::store::postgres::withdrawals::{
    Standing, begin_generation, lock_counter, raise_counter, refuse, token,
};
use totp_core::withdrawal::{Comparison, Entry, Kind, Refusals, StorePosition, compare};

/// Withdrawals that the log names when an older copy is found.
const NAMED: usize = 20;

/// What a comparison found.
enum Found {
    /// The database has made every withdrawal of the witness.
    Current,
    /// There is no witness, though there were withdrawals.
    NoWitness,
    /// It lacks these. An older copy was put in place, and this daemon is the first to see it.
    Behind(Vec<Entry>),
    /// It lacks these, since an older copy that another daemon has found already.
    BehindSince(Vec<Entry>),
    /// It lacks these, and something that is not known; why.
    Unknown(Vec<Entry>, String),
}

fn find(here: &Standing, witness: &[Entry], path: &str) -> Found {
    let there = StorePosition::of(witness);
    if !witness.is_empty() && here.position.generation.number > there.generation.number {
        let Some(fork) = here.fork_after(there.generation.number) else { return Found::Current };
        let gap: Vec<Entry> = witness.iter().filter(|entry| entry.counter > fork).cloned().collect();
        return if gap.is_empty() { Found::Current } else { Found::BehindSince(gap) };
    }
    match compare(&here.position, witness) {
        Comparison::NoWitness if here.position.counter == 0 => Found::Current,
        Comparison::NoWitness => Found::NoWitness,
        Comparison::Current => Found::Current,
        Comparison::Behind(gap) => Found::Behind(gap),
        Comparison::BehindByMore(gap, missing) => {
            Found::Unknown(gap, format!("it lacks {missing} withdrawals that {path} does not list any more"))
        }
        Comparison::Replaced(gap) => {
            Found::Unknown(gap, format!("{path} says that it was restored since, and this is another copy"))
        }
    }
}

/// Compares the database with the witness: catches the witness up, or refuses what was withdrawn
/// after this copy was made.
///
/// # Errors
/// [`OpenError::Older`] when not everything that was withdrawn is known, until that is accepted.
pub(super) async fn with_witness(
    db: &Connection,
    known: &Known,
    name: &str,
    older: OlderCopy,
) -> Result<(), OpenError> {
    let failed = |fault: Fault| OpenError::Database(name.to_owned(), fault.to_string());
    let path = known.witness_path();
    let entries = match known.witness_entries() {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(
                "{path} cannot be read ({error}): an older copy of the store would not be noticed"
            );
            known.follow(&Standing::read(db).await.map_err(failed)?);
            return Ok(());
        }
    };
    let here = Standing::read(db).await.map_err(failed)?;
    let unknown = match find(&here, &entries, &path) {
        Found::Current => {
            known.catch_up(&here, &entries);
            return Ok(());
        }
        Found::NoWitness => {
            // The first withdrawal of all may have been made, and witnessed, between the two reads.
            let entries = known.witness_entries().unwrap_or_default();
            if entries.is_empty() && !known.was_new() {
                tracing::warn!(
                    "{path} is missing: whether the store is an older copy cannot be known. It is written again from now on"
                );
            }
            known.catch_up(&here, &entries);
            return Ok(());
        }
        Found::Behind(_) | Found::BehindSince(_) => None,
        Found::Unknown(_, why) => Some(why),
    };
    if let Some(why) = unknown
        && older == OlderCopy::Refuse
    {
        return Err(OpenError::Older(name.to_owned(), why));
    }
    // No commit would end, and the daemon would hang at its start.
    if let Some(why) = durable::look(db).await.map_err(failed)?.blocked {
        return Err(OpenError::Server(why));
    }
    let token = token().map_err(|error| OpenError::Database(name.to_owned(), error.to_string()))?;
    db.run("BEGIN").await.map_err(failed)?;
    let adopted = match adopt(db, &entries, &path, &token).await {
        Ok(adopted) => db.commit().await.map(|()| adopted),
        Err(fault) => Err(fault),
    };
    if adopted.is_err() {
        let _ = db.run("ROLLBACK").await;
    }
    let (refusals, withdrawn) = adopted.map_err(failed)?;
    let here = Standing::read(db).await.map_err(failed)?;
    known.catch_up(&here, &entries);
    known.adopt(refusals);
    if withdrawn > 0 {
        tracing::warn!(
            "the store is an older copy: {path} lists {withdrawn} later withdrawals, and what they withdrew is refused. Put \
             the newer store back, or take this one as it is: `totpd restore --accept`"
        );
    }
    Ok(())
}

/// Refuses what the witness lists and this copy lacks, inside a transaction. Another daemon may
/// have done the same for its witness since the first look. Returns what is refused, and how many
/// withdrawals that was about.
async fn adopt(
    db: &Connection,
    entries: &[Entry],
    path: &str,
    token: &str,
) -> Result<(Refusals, usize), Fault> {
    lock_counter(db).await?;
    let here = Standing::read(db).await?;
    let there = StorePosition::of(entries);
    let found = find(&here, entries, path);
    let is_first = !matches!(found, Found::BehindSince(_));
    let gap = match found {
        Found::Current | Found::NoWitness => return Ok((here.refusals, 0)),
        Found::Behind(gap) | Found::BehindSince(gap) | Found::Unknown(gap, _) => gap,
    };
    let named = gap.iter().filter(|entry| entry.what.kind != Kind::Generation);
    for entry in named.clone().rev().take(NAMED) {
        tracing::warn!("withdrawn after this copy of the store: {entry}");
    }
    let withdrawn = named.count();
    let (mut refusals, now) = (here.refusals.clone(), clock::now());
    refuse(db, &mut refusals, gap, now).await?;
    raise_counter(db, here.position.counter.max(there.counter)).await?;
    if is_first {
        let own = &here.position.generation;
        let fork = here.position.counter;
        begin_generation(db, own, (&there.generation, token), fork, (now, &mut Vec::new())).await?;
    }
    Ok((refusals, withdrawn))
}
