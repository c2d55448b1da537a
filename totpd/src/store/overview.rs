//! What a store holds, in numbers that are counted without reading its records.

/// Events of the history that are searched for refusals, at most.
pub const LATEST_EVENTS: u32 = 20_000;
/// Events of one user that are searched for the latest login, at most.
pub const LATEST_EVENTS_OF_ONE: u32 = 500;
/// Refusals that an overview names.
pub const LATEST_REFUSALS: u32 = 3;
/// Locked users that an overview names.
pub const FIRST_NAMES: u32 = 5;

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The bytes of its file.
    pub size: u64,
    /// The version of its schema.
    pub schema: u64,
    /// Accounts with an active factor.
    pub enrolled: u64,
    /// Accounts with a factor that waits for its first code.
    pub pending: u64,
    /// Accounts that are locked for a class of sources.
    pub locked: u64,
    /// Their names or ids: the [`FIRST_NAMES`] that stay locked longest.
    pub locked_users: Vec<String>,
    /// Tickets that have not expired.
    pub tickets: u64,
    /// Refusals since the moment asked for, among the [`LATEST_EVENTS`].
    pub refused: u64,
    /// There are events since that moment beyond the [`LATEST_EVENTS`].
    pub refused_at_least: bool,
    /// The latest refusals as JSON, up to [`LATEST_REFUSALS`].
    pub refusals: Vec<String>,
}
