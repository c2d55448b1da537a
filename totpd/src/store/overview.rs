//! What a store holds, in numbers that cost no look at the records.

/// Events of the history that are looked at for refusals at most.
pub const LATEST_EVENTS: u32 = 20_000;
/// Events of one user that are looked at for the latest login at most.
pub const LATEST_EVENTS_OF_ONE: u32 = 500;
/// Refusals that are shown.
pub const LATEST_REFUSALS: u32 = 3;
/// Names of locked users that are shown.
pub const FIRST_NAMES: u32 = 5;

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Bytes of its file.
    pub size: u64,
    /// The version of its schema.
    pub schema: u64,
    /// Accounts with a factor in use.
    pub enrolled: u64,
    /// Accounts with a factor that waits for its first code.
    pub pending: u64,
    /// Accounts of which a class is locked.
    pub locked: u64,
    /// Their names or ids, the first [`FIRST_NAMES`].
    pub locked_users: Vec<String>,
    /// Tickets that are good.
    pub tickets: u64,
    /// Refusals since the moment asked for, among the [`LATEST_EVENTS`].
    pub refused: u64,
    /// There are events since that moment beyond those.
    pub refused_at_least: bool,
    /// The latest of them as JSON, up to [`LATEST_REFUSALS`].
    pub refusals: Vec<String>,
}
