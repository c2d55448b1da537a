//! Copies of the store for backups, and stores that are older than their witness.

use serde::{Deserialize, Serialize};

/// `Accept`: accepts a store that is older than its witness. What was withdrawn after this copy of
/// the store was made stays refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accept {}

/// The reply to [`Accept`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptReply {
    /// Whether the daemon refused every login until now, and reopens the store within seconds.
    pub reopens: bool,
    /// How many withdrawals were made after this copy of the store, and are applied to it now.
    pub withdrawn: u64,
}

/// `Backup`: asks for a consistent copy of the store, as a file in the state folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {}

/// The reply to [`Backup`]. The caller moves the file away; the daemon removes it when it makes the
/// next copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReply {
    /// The name of the file.
    pub file: String,
    /// The length of the file in bytes.
    pub size: u64,
    /// The state folder, which the file is in.
    pub state_dir: String,
    /// The id of the store.
    pub store_id: String,
    /// The number of the latest withdrawal in the copy.
    pub counter: u64,
    /// The generation of the store: how often it was restored, and a random token.
    pub generation: String,
    /// When the copy was made.
    pub time: u64,
}
