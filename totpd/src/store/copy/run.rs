//! The steps of a copy, between any two databases.

use super::end::CopyEnd;
use super::end::Values;
use super::error::CopyError;
use super::table::{Row, TABLES, Table};
use super::values::{STORE_ID, State, begin_generation, closed, state_of, unfinished};
use crate::audit::{Event, EventKind, EventSource};
use crate::seal::Sealer;
use totp_core::Time;
use totp_core::withdrawal::Entry;

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The rows.
    pub rows: u64,
    /// The rows that an earlier, interrupted copy had written.
    pub resumed: u64,
    /// The line that the witness has to be given.
    pub generation: Entry,
}

/// Copies every row and value of `source`, whose key is that of `sealer`, to `target`. `progress`
/// is called with the number of rows at first, and then with each number of rows that were written
/// or compared: each row counts twice.
///
/// # Errors
/// [`CopyError`]. The source is as it was, or the target is complete but for its id: the same call
/// goes on from there.
pub(in crate::store) async fn copy(
    source: &mut dyn CopyEnd,
    target: &mut dyn CopyEnd,
    sealer: &Sealer,
    at: Time,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Copied, CopyError> {
    let mut values = source.values().await?;
    let id = sealer.store_id();
    let (from, to) = (state_of(&values, id), state_of(&target.values().await?, id));
    match (&from, &to) {
        (State::Whole | State::Closed, State::Unfinished) | (State::Whole, State::Empty) => {}
        (State::Closed, _) => return Err(CopyError::Closed(source.name(), target.name())),
        (State::Whole, _) => return Err(CopyError::NotEmpty(target.name())),
        (State::Empty, _) => return Err(CopyError::NoStore(source.name())),
        (State::Unfinished, _) => return Err(CopyError::Unfinished(source.name())),
        (State::Other(other), _) => {
            return Err(CopyError::OtherStore(source.name(), other.clone(), id.to_owned()));
        }
    }
    if !values.get("key_check").is_some_and(|check| sealer.opens_check(check)) {
        return Err(CopyError::OtherKey(source.name()));
    }
    if to == State::Empty {
        target.set_values(&Values::from([(STORE_ID.into(), unfinished(id))])).await?;
    }
    let rows = source.count().await?;
    let resumed = target.count().await?;
    progress(Progress::Start(rows.saturating_mul(2)));
    progress(Progress::Done(resumed));
    for table in &TABLES {
        copy_table(source, target, table, progress).await?;
    }
    for table in &TABLES {
        compare_table(source, target, table, progress).await?;
    }
    let generation = begin_generation(&mut values, at, target.kept_withdrawals())?;
    values.insert(STORE_ID.into(), id.into());
    source.set_values(&Values::from([(STORE_ID.into(), closed(id, &target.name()))])).await?;
    let event = Event::new(EventKind::Copy, "", at, EventSource::default());
    target.complete(&values, &event.row(at)).await?;
    Ok(Copied { rows, resumed, generation })
}

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It begins: there are so many steps.
    Start(u64),
    /// So many more steps are done.
    Done(u64),
}

async fn copy_table(
    source: &mut dyn CopyEnd,
    target: &mut dyn CopyEnd,
    table: &'static Table,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<(), CopyError> {
    let mut after = None;
    if let Some(last) = target.last_key(table).await? {
        after = source.place_of(table, &last).await?;
        if after.is_none() {
            return Err(CopyError::Differs(target.name(), table.name));
        }
    }
    loop {
        let rows = source.page(table, after.as_ref()).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.place.clone());
        target.append(table, &rows).await?;
        progress(Progress::Done(count(&rows)));
    }
}

/// Compares every row of a table, in the order of the source.
async fn compare_table(
    source: &mut dyn CopyEnd,
    target: &mut dyn CopyEnd,
    table: &'static Table,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<(), CopyError> {
    let (mut here, mut there) = (None, None);
    loop {
        let rows = source.page(table, here.as_ref()).await?;
        let copies = target.page(table, there.as_ref()).await?;
        let equal = rows.iter().map(|row| &row.cells).eq(copies.iter().map(|row| &row.cells));
        if !equal {
            return Err(CopyError::Differs(target.name(), table.name));
        }
        let (Some(row), Some(copy)) = (rows.last(), copies.last()) else { return Ok(()) };
        (here, there) = (Some(row.place.clone()), Some(copy.place.clone()));
        progress(Progress::Done(count(&rows)));
    }
}

fn count(rows: &[Row]) -> u64 {
    u64::try_from(rows.len()).unwrap_or(u64::MAX)
}
