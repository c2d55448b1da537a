//! The single values of a store that a copy looks at.

use super::end::Values;
use super::error::CopyError;
use crate::os_random::Kernel;
use crate::store::error::OpenError;
use totp_core::withdrawal::{Entry, Generation, Kind, Withdrawal};
use totp_core::{Time, random};

/// The id of the store. A store that has another value is refused wherever it is opened.
pub(super) const STORE_ID: &str = "store_id";
const COUNTER: &str = "withdrawals";
const GENERATION: &str = "generation";
/// What the names of withdrawals begin with, which a store keeps itself.
const WITHDRAWAL: &str = "withdrawal.";

const UNFINISHED: &str = "unfinished copy of ";
const CLOSED: &str = ", copied to ";

/// What the id of a store says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There is no store.
    Empty,
    /// The store with the id that was asked for.
    Whole,
    /// A copy of it that was not finished.
    Unfinished,
    /// It was copied, and is not served any more.
    Closed,
    /// Another store, with this id.
    Other(String),
}

/// The state of a store with these values. `id` is that of the key.
pub(super) fn state_of(values: &Values, id: &str) -> State {
    let Some(found) = values.get(STORE_ID) else { return State::Empty };
    match found.strip_prefix(id) {
        Some("") => State::Whole,
        Some(rest) if rest.starts_with(CLOSED) => State::Closed,
        _ if *found == unfinished(id) => State::Unfinished,
        _ => State::Other(found.clone()),
    }
}

/// Why a daemon does not serve the store `name`, whose id was `found` where that of the key is
/// `id`.
pub(in crate::store) fn another_store(name: &str, found: String, id: &str) -> OpenError {
    let name = name.to_owned();
    match found.strip_prefix(id).and_then(|rest| rest.strip_prefix(CLOSED)) {
        Some(copy) => OpenError::Copied(name, copy.to_owned()),
        None if found == unfinished(id) => OpenError::UnfinishedCopy(name),
        None => OpenError::OtherStore(name, found, id.to_owned()),
    }
}

/// The id of an unfinished copy of this store.
pub(super) fn unfinished(id: &str) -> String {
    format!("{UNFINISHED}{id}")
}

/// The id of this store after it was copied.
pub(super) fn closed(id: &str, target: &str) -> String {
    format!("{id}{CLOSED}{target}")
}

/// Makes the values those of the next generation, in a database that keeps this many withdrawals,
/// and returns the entry for the witness.
pub(super) fn begin_generation(values: &mut Values, at: Time, kept: u64) -> Result<Entry, CopyError> {
    let token: [u8; 8] = random::bytes(&mut Kernel)?;
    let token = format!("{:016x}", u64::from_be_bytes(token));
    let before = values.get(GENERATION).and_then(|text| Generation::parse(text)).unwrap_or_default();
    let generation = before.after(&Generation::default(), token).to_string();
    let counter =
        values.get(COUNTER).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0).saturating_add(1);
    let entry = Entry { counter, what: Withdrawal::new(Kind::Generation, &generation), at };
    values.insert(GENERATION.into(), generation);
    values.insert(COUNTER.into(), counter.to_string());
    // Each database has its own number of places for them.
    let mut entries: Vec<Entry> = values
        .iter()
        .filter(|(name, _)| name.starts_with(WITHDRAWAL))
        .filter_map(|(_, text)| Entry::parse(text))
        .filter(|entry| entry.counter + kept > counter)
        .collect();
    entries.push(entry.clone());
    values.retain(|name, _| !name.starts_with(WITHDRAWAL));
    for entry in entries {
        values.insert(format!("{WITHDRAWAL}{}", entry.counter % kept), entry.to_string());
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_tells_what_became_of_a_store() {
        let state = |found: &str| state_of(&Values::from([(STORE_ID.into(), found.into())]), "12ab");
        assert_eq!(state_of(&Values::new(), "12ab"), State::Empty);
        assert_eq!(state("12ab"), State::Whole);
        assert_eq!(state(&unfinished("12ab")), State::Unfinished);
        assert_eq!(state(&closed("12ab", "/var/lib/totpd")), State::Closed);
        for other in ["12abc", "", &unfinished("12"), &closed("12", "x")] {
            assert_eq!(state(other), State::Other(other.into()));
        }
    }
}
