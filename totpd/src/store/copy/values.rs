//! The single values of a store that a copy looks at.

use super::end::Values;
use super::error::CopyError;
use crate::os_random::Kernel;
use totp_core::withdrawal::{Entry, Generation, Kind, Withdrawal};
use totp_core::{Time, random};

/// The id of the store. A store that has another value is refused wherever it is opened.
pub(super) const STORE_ID: &str = "store_id";
const COUNTER: &str = "withdrawals";
const GENERATION: &str = "generation";
/// Withdrawals that a store keeps itself.
const KEPT: u64 = 64;

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
    match values.get(STORE_ID) {
        None => State::Empty,
        Some(found) if found == id => State::Whole,
        Some(found) if *found == unfinished(id) => State::Unfinished,
        Some(found) if found.strip_prefix(id).is_some_and(|rest| rest.starts_with(CLOSED)) => State::Closed,
        Some(found) => State::Other(found.clone()),
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

/// Makes the values those of the next generation, and returns the entry for the witness.
pub(super) fn begin_generation(values: &mut Values, at: Time) -> Result<Entry, CopyError> {
    let token: [u8; 8] = random::bytes(&mut Kernel)?;
    let token = format!("{:016x}", u64::from_be_bytes(token));
    let before = values.get(GENERATION).and_then(|text| Generation::parse(text)).unwrap_or_default();
    let generation = before.after(&Generation::default(), token).to_string();
    let counter =
        values.get(COUNTER).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0).saturating_add(1);
    let entry = Entry { counter, what: Withdrawal::new(Kind::Generation, &generation), at };
    values.insert(GENERATION.into(), generation);
    values.insert(COUNTER.into(), counter.to_string());
    values.insert(format!("withdrawal.{}", counter % KEPT), entry.to_string());
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
