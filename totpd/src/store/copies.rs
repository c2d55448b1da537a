//! Copies of a store: the one that a backup takes, and what a restore finds in it.

use totp_core::Time;
use totp_core::withdrawal::{Entry, StorePosition, Withdrawal};

/// What becomes of a store that is older than its witness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OlderCopy {
    /// It is not opened while something that it lacks is not known.
    #[default]
    Refuse,
    /// An administrator takes it as it is (`totpd restore --accept`).
    Accept,
}

/// A copy of the store that was made while it was served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The name of its file in the state folder.
    pub file: &'static str,
    /// The bytes of the file.
    pub size: u64,
    /// The store's counter of withdrawals and its generation at that moment.
    pub mark: StorePosition,
}

/// What [`prepare_restore`](super::open::prepare_restore) took from a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What was withdrawn after the copy was made and is refused in it: the user's name or id, if
    /// the copy knows it, what was withdrawn, and when.
    pub withdrawn: Vec<(Option<String>, Withdrawal, Time)>,
    /// How many withdrawals after the copy are in no list.
    pub unknown: u64,
    /// The line that the witness has to be given once the copy is in place.
    pub generation: Entry,
}
