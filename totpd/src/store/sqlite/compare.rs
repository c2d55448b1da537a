//! The comparison of a store with its witness, when it is opened.

use crate::store::copies::OlderCopy;
use crate::store::error::OpenError;
use crate::store::sqlite::connection::describe;
use crate::store::sqlite::meta::set;
use crate::store::sqlite::withdrawals::{COUNTER, begin_generation, kept, mark, refusals, refuse, token};
use crate::witness::Witness;
use rusqlite::Connection;
use totp_core::Time;
use totp_core::withdrawal::{Comparison, Entry, Refusals, StorePosition, compare};

/// Withdrawals that the log names when an older copy is found.
const NAMED: usize = 20;

/// When a store is opened, and what becomes of one that is older than its witness.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct Start {
    /// The moment.
    pub(in crate::store) now: Time,
    /// What becomes of an older copy.
    pub(in crate::store) older: OlderCopy,
}

/// Compares the store with its witness at a start: catches the witness up, or refuses what was
/// withdrawn after this copy was made.
///
/// # Errors
/// [`OpenError::Older`] when not everything that was withdrawn is known, until that is accepted.
pub(super) fn with_witness(
    db: &mut Connection,
    witness: &mut Witness,
    start: Start,
) -> Result<Refusals, OpenError> {
    let path = witness.path().display().to_string();
    let failed = |error: rusqlite::Error| OpenError::Database("totpd.db".to_owned(), describe(&error));
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
        && start.older == OlderCopy::Refuse
    {
        return Err(OpenError::Older("the store".to_owned(), why.clone()));
    }
    for entry in gap.iter().rev().take(NAMED) {
        tracing::warn!("withdrawn after this copy of the store: {entry}");
    }
    let withdrawn = gap.len();
    let token = token().map_err(|error| OpenError::Database(path.clone(), error.to_string()))?;
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
