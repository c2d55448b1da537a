//! The store: load a record, commit a change against the version that was read, scan.
//!
//! A commit is durable, with its audit row, before it is answered: [`Committed`] exists only then, and a
//! granted reply cannot be built without one. A lost race is [`CommitError::Conflict`]; the engine decides
//! again on the fresh record.

pub mod breakglass;
mod commit_guard;
#[cfg(test)]
mod commit_guard_tests;
pub mod overview;
pub mod rows;
pub mod sqlite;

/// The atomics of `ticket`, which a test replaces by those of loom.
mod atomic {
    pub(super) use std::sync::atomic::{AtomicU8, Ordering};
}

pub use crate::store::commit_guard::CommitGuard;
pub use crate::store::rows::{
    ClientRow, KeyRow, SessionKey, SessionRow, SideWrite, StoredSession, UserFilter, UserPage, UserQuery,
};
pub use overview::Overview;

use crate::audit::EventRow;
use crate::seal::SealedAccount;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use totp_core::withdrawal::{Refusals, StorePosition};
use totp_core::{Time, UserName};

/// A future of the store's.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A record and the version that a change of it has to name.
#[derive(Clone, Debug)]
pub struct StoredAccount {
    /// The record.
    pub account: SealedAccount,
    /// Its version.
    pub version: u64,
    /// The record cannot be read; `account` has its name and nothing else.
    pub damaged: bool,
}

/// By what a record is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AccountKey {
    /// The login name.
    Name(UserName),
    /// The id of the account.
    Id(String),
    /// The id of one of its enrollments.
    Totp(String),
}

impl From<&UserName> for AccountKey {
    /// A user of applications alone is called by the id, which is no name that any host gives.
    fn from(name: &UserName) -> Self {
        if is_id("user", name.as_str()) { Self::Id(name.to_string()) } else { Self::Name(name.clone()) }
    }
}

/// Whether a text has the shape of our ids: `kind-` and 26 characters of base32.
pub fn is_id(kind: &str, text: &str) -> bool {
    let rest = text.strip_prefix(kind).and_then(|rest| rest.strip_prefix('-'));
    rest.is_some_and(|r| r.len() == 26 && r.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7')))
}

/// What becomes of a record.
#[derive(Clone, Debug)]
pub enum AccountWrite {
    /// Nothing: only the audit row is written.
    Nothing,
    /// Nothing, as long as the record with this id is still at this version.
    ExpectVersion(String, u64),
    /// A record that did not exist.
    Insert(Box<SealedAccount>),
    /// A record that was read at this version.
    Update(Box<SealedAccount>, u64),
    /// The record with this id is forgotten, with its sessions, if it is still at this version.
    Delete(String, u64),
}

/// One transaction.
#[derive(Clone, Debug)]
pub struct ChangeSet {
    /// The record.
    pub write: AccountWrite,
    /// What belongs to it: all of it is written, or nothing.
    pub side_writes: Vec<SideWrite>,
    /// Whether it asks for room: enrollments do, logins must go on without.
    pub grows: bool,
    /// The audit row; none where nothing was decided.
    pub event: Option<EventRow>,
}

impl ChangeSet {
    /// A record that asks for no room, with its event.
    pub const fn new(write: AccountWrite, event: EventRow) -> Self {
        Self { write, side_writes: Vec::new(), grows: false, event: Some(event) }
    }
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
pub struct HistoryRow {
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
    /// Another record has the value that must be one's own.
    #[error("the {0} belongs to another user")]
    Duplicate(UniqueField),
    /// The ticket was dropped, or its deadline passed, before the commit began.
    #[error("too late")]
    Cancelled,
    /// There is no room.
    #[error("{0}")]
    StorageFull(String),
    /// The store refuses everything.
    #[error("{0}")]
    Unavailable(String),
}

/// What no two records share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UniqueField {
    /// The login name.
    Name,
    /// The mail address.
    Email,
    /// The phone number.
    Phone,
}

impl std::fmt::Display for UniqueField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Email => "mail address",
            Self::Phone => "phone number",
        })
    }
}

/// A copy of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The file's name in the state folder.
    pub file: &'static str,
    /// Its bytes.
    pub size: u64,
    /// Where the store stood.
    pub mark: StorePosition,
}

/// Why nothing was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReadError(pub String);

/// What holds the records.
pub trait Store: Send + Sync {
    /// The record of a user.
    fn load(&self, key: AccountKey) -> StoreFuture<'_, Result<Option<StoredAccount>, ReadError>>;
    /// Makes one change durable. The ticket is claimed when the commit begins.
    fn commit(
        &self,
        change: ChangeSet,
        ticket: Arc<CommitGuard>,
    ) -> StoreFuture<'_, Result<Committed, CommitError>>;
    /// Records that have a name, in the order of their names, after the one given.
    fn accounts(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<StoredAccount>, ReadError>>;
    /// Ids of records whose pending factor was gone at `now`, some of them.
    fn expired_pending(&self, now: Time, limit: usize) -> StoreFuture<'_, Result<Vec<String>, ReadError>>;
    /// The records of a uid, under whatever names.
    fn accounts_of_uid(&self, uid: u32) -> StoreFuture<'_, Result<Vec<StoredAccount>, ReadError>>;
    /// Rows of the history, the latest first.
    fn history(&self, query: HistoryQuery) -> StoreFuture<'_, Result<Vec<HistoryRow>, ReadError>>;
    /// What the store holds at a moment, and who was refused since another one.
    fn overview(&self, now: Time, since: Time) -> StoreFuture<'_, Result<Overview, ReadError>>;
    /// When each of these users last passed a login, as far as their latest events tell.
    fn last_logins(&self, names: Vec<String>) -> StoreFuture<'_, Result<Vec<Option<Time>>, ReadError>>;
    /// A page of users, in the order of their making.
    fn search_users(&self, query: UserQuery) -> StoreFuture<'_, Result<UserPage, ReadError>>;
    /// A session.
    fn session(&self, key: SessionKey) -> StoreFuture<'_, Result<Option<StoredSession>, ReadError>>;
    /// The latest sessions of an account, as many as fit into an answer; the oldest of them first.
    fn sessions_of(&self, account: String) -> StoreFuture<'_, Result<Vec<StoredSession>, ReadError>>;
    /// Whether any session was over at `now`.
    fn has_expired_session(&self, now: Time) -> StoreFuture<'_, Result<bool, ReadError>>;
    /// The client whose secret has this id.
    fn client(&self, secret_id: String) -> StoreFuture<'_, Result<Option<ClientRow>, ReadError>>;
    /// Every secret of every client, by name.
    fn clients(&self) -> StoreFuture<'_, Result<Vec<ClientRow>, ReadError>>;
    /// The keys that sign and derive tokens, the oldest first.
    fn signing_keys(&self) -> StoreFuture<'_, Result<Vec<KeyRow>, ReadError>>;
    /// Why the store refuses everything until a fresh process reopens it, once it does.
    fn poisoned(&self) -> Option<String>;
    /// The latest moment at which a code of a phone was granted: of what this process has stored, or found when it
    /// opened the store.
    fn latest_grant(&self) -> Time;
    /// What this copy of the store must not accept, since it was withdrawn after the copy was made.
    fn refusals(&self) -> Arc<Refusals>;
    /// Writes a consistent copy of the store into its own folder, complete without a log; its name and size.
    fn snapshot(&self) -> StoreFuture<'_, Result<Snapshot, ReadError>>;
    /// Looks whether the files are where they were when the store was opened; it is poisoned otherwise.
    fn look(&self) -> StoreFuture<'_, Result<(), ReadError>>;
}
