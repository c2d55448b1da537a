//! The store: load a record, commit a change against the version that was read, scan.
//!
//! A commit is durable, with its audit row, before it is answered: [`Committed`] exists only then, and a
//! granted reply cannot be built without one. A lost race is [`CommitError::Conflict`]; the engine decides
//! again on the fresh record.

pub mod breakglass;
pub mod sqlite;
mod ticket;

pub use ticket::Ticket;

use crate::seal::SealedAccount;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use totp_core::{Time, UserName};

/// A future of the store's.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A record and the version that a change of it has to name.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The record.
    pub account: SealedAccount,
    /// Its version.
    pub version: u64,
    /// The record cannot be read; `account` has its name and nothing else.
    pub damaged: bool,
}

/// What becomes of a record.
#[derive(Clone, Debug)]
pub enum Write {
    /// Nothing: only the audit row is written.
    Nothing,
    /// Nothing, as long as the record with this id is still at this version.
    Unchanged(String, u64),
    /// A record that did not exist.
    Insert(Box<SealedAccount>),
    /// A record that was read at this version.
    Update(Box<SealedAccount>, u64),
}

/// One transaction.
#[derive(Clone, Debug)]
pub struct Change {
    /// The record.
    pub write: Write,
    /// Whether it asks for room: enrollments do, logins must go on without.
    pub grows: bool,
    /// The audit row.
    pub event: EventRow,
}

/// A row of the history.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// When it was decided.
    pub at: Time,
    /// Whom it is about, if anybody.
    pub user: Option<String>,
    /// The event as JSON.
    pub json: String,
}

/// A page of the history.
#[derive(Clone, Debug, Default)]
pub struct HistoryQuery {
    /// Of this user alone.
    pub user: Option<String>,
    /// Before this row.
    pub before: Option<i64>,
    /// Not before this moment.
    pub since: Option<Time>,
    /// Rows at most.
    pub limit: usize,
}

/// A row of the history that was kept.
#[derive(Clone, Debug)]
pub struct KeptEvent {
    /// Its place: later rows have higher ones.
    pub seq: i64,
    /// The event as JSON.
    pub json: String,
}

/// Proof that a change is on stable storage. Only what stores makes one.
#[derive(Debug)]
pub struct Committed(());

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Somebody else changed the record first.
    #[error("the record changed meanwhile")]
    Conflict,
    /// The ticket was dropped, or its deadline passed, before the commit began.
    #[error("too late")]
    Dropped,
    /// There is no room.
    #[error("{0}")]
    Full(String),
    /// The store refuses everything.
    #[error("{0}")]
    Unavailable(String),
}

/// Why nothing was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReadError(pub String);

/// What holds the records.
pub trait Store: Send + Sync {
    /// The record of a login name.
    fn load(&self, name: &UserName) -> Answer<'_, Result<Option<Stored>, ReadError>>;
    /// Makes one change durable. The ticket is claimed when the commit begins.
    fn commit(&self, change: Change, ticket: Arc<Ticket>) -> Answer<'_, Result<Committed, CommitError>>;
    /// Records in the order of their names, after the one given.
    fn scan(&self, after: Option<String>, limit: usize) -> Answer<'_, Result<Vec<Stored>, ReadError>>;
    /// Names of records whose pending factor was gone at `now`, some of them.
    fn expired(&self, now: Time, limit: usize) -> Answer<'_, Result<Vec<UserName>, ReadError>>;
    /// The records of a uid, under whatever names.
    fn of_uid(&self, uid: u32) -> Answer<'_, Result<Vec<Stored>, ReadError>>;
    /// Rows of the history, the latest first.
    fn history(&self, query: HistoryQuery) -> Answer<'_, Result<Vec<KeptEvent>, ReadError>>;
    /// Why the store refuses everything until a fresh process reopens it, once it does.
    fn poisoned(&self) -> Option<String>;
}
