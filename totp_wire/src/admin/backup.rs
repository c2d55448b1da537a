//! Copies of the store, and a store that is older than it was.

use serde::{Deserialize, Serialize};

/// Accepts that the store is older than its witness says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accept {}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptReply {
    /// The daemon refused everybody, and reopens the store within seconds.
    pub reopens: bool,
    /// How many things that were withdrawn after this copy are removed from it.
    pub withdrawn: u64,
}

/// Asks for a copy of the store, as a file in the state folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {}

/// The copy. Root takes it away; the next one removes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReply {
    /// The file's name.
    pub file: String,
    /// Its bytes.
    pub size: u64,
    /// The folder it is in.
    pub state_dir: String,
    /// The store's id.
    pub store_id: String,
    /// Withdrawals up to then.
    pub counter: u64,
    /// The store's generation.
    pub generation: String,
    /// When, in Unix seconds.
    pub time: u64,
}
