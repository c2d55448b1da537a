//! The store: accounts, their history, sessions, clients and signing keys, behind one contract.
//!
//! [`Store`] states the contract, and `contract/` checks it: one suite that runs on every
//! implementation. [`open`] alone knows which database the configuration names. A login is granted
//! only with a [`Committed`], which only a store makes.

pub mod account;
mod atomic;
pub mod breakglass;
pub mod change;
mod columns;
mod commit_guard;
#[cfg(test)]
mod commit_guard_tests;
#[cfg(test)]
pub(crate) mod contract;
pub mod copies;
pub mod copy;
pub mod error;
pub mod files;
#[cfg(test)]
pub(crate) mod memory;
pub mod open;
pub mod overview;
mod postgres;
pub mod query;
mod queue;
pub mod rows;
mod shared;
mod sqlite;
mod values;

pub use account::{AccountKey, StoredAccount, is_id};
pub use change::{AccountWrite, ChangeSet, OtherNames, SideWrite, SpaceUse};
pub use commit_guard::CommitGuard;
pub use copies::{OlderCopy, Restored, Snapshot};
pub use error::{CommitError, OpenError, ReadError, UniqueField};
pub use overview::Overview;
pub use query::{HistoryQuery, HistoryRow, UserFilter, UserPage, UserQuery};
pub use rows::{ClientRow, KeyRow, SessionKey, SessionRow, StoredSession};

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use totp_core::Time;
use totp_core::withdrawal::Refusals;

/// A future that a store returns.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Proof that a change is on stable storage. Only a store makes one, and break-glass for its marks.
#[derive(Debug)]
pub struct Committed(());

/// Whether a store serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answers reads and commits.
    Serving,
    /// It answers neither now, and checks by itself whether it can again: a server that cannot be
    /// reached. The text says why and what to check.
    Unavailable(String),
    /// It refuses everything until it is opened again, by this process or another one: its database
    /// was replaced by an older copy, or by another store. The text says why and what to check.
    Reopen(String),
    /// It refuses everything until a fresh process opens it: a disk failed while it was written to,
    /// or its files were moved away. The text says why and what to check.
    Failed(String),
}

impl Health {
    /// Why the store does not serve; `None` when it does.
    pub fn reason(self) -> Option<String> {
        match self {
            Self::Serving => None,
            Self::Unavailable(why) | Self::Reopen(why) | Self::Failed(why) => Some(why),
        }
    }
}

/// Keeps the records of one site, and makes changes of them durable.
///
/// The engine reads an account, decides, and commits the decision against the version that it read.
/// That a code works once rests on these promises. `store/contract` checks them.
///
/// 1. **Durable before acknowledged.** [`commit`](Self::commit) returns [`Committed`] only when the
///    whole change set, its event included, survives a crash of this process, of the database and
///    of the host. Where the site counts a standby in, it survives a failover to it, too: a commit
///    whose wait for the standby ended early is [`InDoubt`](CommitError::InDoubt), also where the
///    database reports success with a notice.
/// 2. **All or nothing.** A change set is written as a whole or not at all. Changes that share a
///    transaction with it do not fail because it does.
/// 3. **One winner.** Of several changes against one version of a record exactly one is committed,
///    no matter how many tasks or processes share the store. The others get
///    [`Conflict`](CommitError::Conflict).
/// 4. **Reads follow writes.** A read that begins after a commit was acknowledged to this process
///    sees it. A read of one account or session is of one moment.
///
/// # What may be stale
///
/// A result of a read is of the moment of the read: another process may have changed the record by
/// the time it is used, which the version in the commit catches. Two reads are not of the same
/// moment. [`health`](Self::health), [`latest_grant`](Self::latest_grant) and
/// [`refusals`](Self::refusals) are kept in memory and cost nothing: what another process wrote may
/// be missing in them, and what this process wrote never is.
///
/// # Dropped futures
///
/// Dropping the future of a read ends the read, at once or later; nothing depends on it. Dropping
/// the future of a commit decides nothing: the change may still be written. A caller that gives up
/// cancels the [`CommitGuard`] first, and learns from it whether the commit had begun.
///
/// # Errors
///
/// A [`ReadError`] says that nothing is known; it never stands for "not found". A record that is
/// there and cannot be read is returned as [`damaged`](StoredAccount::damaged), so that it costs
/// its own user alone. [`CommitError`] says for each of its kinds what it leaves behind.
///
/// # Example
///
/// ```no_run
/// use std::sync::Arc;
/// use std::time::{Duration, Instant};
/// use totpd::audit::EventRow;
/// use totpd::store::{
///     AccountKey, AccountWrite, ChangeSet, CommitError, CommitGuard, Committed, Store,
/// };
///
/// # async fn example(
/// #     store: &dyn Store,
/// #     key: AccountKey,
/// #     event: EventRow,
/// # ) -> Result<Committed, CommitError> {
/// let guard = Arc::new(CommitGuard::new(Instant::now() + Duration::from_secs(5)));
/// loop {
///     let read = store.load(key.clone()).await;
///     let read = read.map_err(|error| CommitError::Unavailable(error.0))?;
///     let Some(stored) = read.filter(|stored| !stored.damaged) else {
///         return Err(CommitError::Conflict);
///     };
///     // Decide on `stored.account` here, and change it.
///     let write = AccountWrite::Update(stored.account, stored.version);
///     match store.commit(ChangeSet::new(write, event.clone()), Arc::clone(&guard)).await {
///         // Another change came first: read its result, and decide again.
///         Err(CommitError::Conflict) => {}
///         result => return result,
///     }
/// }
/// # }
/// ```
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Returns the account with this key; `None` when there is none.
    fn load(&self, key: AccountKey) -> StoreFuture<'_, Result<Option<StoredAccount>, ReadError>>;

    /// Makes one change set durable, and returns the proof of it.
    ///
    /// The store [claims](CommitGuard::claim) the guard before it writes. When that fails it writes
    /// nothing and returns [`Cancelled`](CommitError::Cancelled). From the claim on the result
    /// stands: no deadline ends a commit that has begun. After a conflict the store releases the
    /// guard, so that the caller can decide again under it.
    ///
    /// Versions begin at 1, and each update adds 1. Withdrawals in the change set are counted in
    /// the same transaction, and given to the witness before this returns. The sequence number of
    /// the event is higher than that of each event that was acknowledged before.
    ///
    /// # Errors
    /// [`CommitError`]. After each but [`InDoubt`](CommitError::InDoubt) nothing was written.
    fn commit(
        &self,
        change: ChangeSet,
        guard: Arc<CommitGuard>,
    ) -> StoreFuture<'_, Result<Committed, CommitError>>;

    /// Returns accounts that have a name, in the byte order of their names, after this one.
    ///
    /// Pages are not of one moment: an account that is made while a caller pages may be missing.
    fn accounts(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> StoreFuture<'_, Result<Vec<StoredAccount>, ReadError>>;

    /// Returns the ids of accounts whose pending factor had expired at `now`, up to `limit` of
    /// them, in any order.
    fn expired_pending(&self, now: Time, limit: usize) -> StoreFuture<'_, Result<Vec<String>, ReadError>>;

    /// Returns the accounts of this uid, whatever their names are.
    fn accounts_of_uid(&self, uid: u32) -> StoreFuture<'_, Result<Vec<StoredAccount>, ReadError>>;

    /// Returns rows of the history, the latest first.
    ///
    /// A caller pages with [`before`](HistoryQuery::before). At least as many events as the
    /// configuration says are kept; how many more, and when they are deleted, is the store's
    /// affair. A full disk may cost the oldest ones earlier.
    fn history(&self, query: HistoryQuery) -> StoreFuture<'_, Result<Vec<HistoryRow>, ReadError>>;

    /// Counts what the store holds at `now`, and refusals since `since`.
    fn overview(&self, now: Time, since: Time) -> StoreFuture<'_, Result<Overview, ReadError>>;

    /// Returns for each of these users when they last passed a login; `None` where the latest
    /// events of the user do not say.
    fn last_logins(&self, names: Vec<String>) -> StoreFuture<'_, Result<Vec<Option<Time>>, ReadError>>;

    /// Returns a page of the users that match, in the order in which they were made.
    ///
    /// A page holds at most the users asked for and 1 MiB of records, and at least one user if any
    /// matches. A search ends with an error after 5 s.
    fn search_users(&self, query: UserQuery) -> StoreFuture<'_, Result<UserPage, ReadError>>;

    /// Returns the session with this key; `None` when there is none. Expired ones are returned
    /// until they are deleted.
    fn session(&self, key: SessionKey) -> StoreFuture<'_, Result<Option<StoredSession>, ReadError>>;

    /// Returns the latest sessions of an account, the oldest of them first: at most 1,000, and 1
    /// MiB of records.
    fn sessions_of(&self, account: String) -> StoreFuture<'_, Result<Vec<StoredSession>, ReadError>>;

    /// Says whether any session had expired at `now`.
    fn has_expired_session(&self, now: Time) -> StoreFuture<'_, Result<bool, ReadError>>;

    /// Returns the client's secret with this id; `None` when there is none.
    fn client(&self, secret_id: String) -> StoreFuture<'_, Result<Option<ClientRow>, ReadError>>;

    /// Returns every secret of every client, ordered by the client's name and then by age.
    fn clients(&self) -> StoreFuture<'_, Result<Vec<ClientRow>, ReadError>>;

    /// Returns the keys that sign and derive tokens, the oldest first.
    fn signing_keys(&self) -> StoreFuture<'_, Result<Vec<KeyRow>, ReadError>>;

    /// Says whether the store serves, without a read of anything that can block.
    ///
    /// It changes by itself: the store watches its files or its server, and notices within seconds
    /// what no read or commit has noticed. [`Reopen`](Health::Reopen) and
    /// [`Failed`](Health::Failed) are for good.
    fn health(&self) -> Health;

    /// Returns what an administrator has to know about how the store is kept, one sentence each:
    /// above all what a crash or a failover could lose.
    fn notices(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether daemons of other hosts write this store, too. After a failover that lost commits its
    /// versions may be given a second time, for other contents.
    fn is_shared(&self) -> bool {
        false
    }

    /// Returns the latest moment at which a code of a phone was granted.
    ///
    /// It is at least the latest [`RecordGrant`](SideWrite::RecordGrant) that this process
    /// committed or found when it opened the store, and moves back only by
    /// [`TrustClock`](SideWrite::TrustClock). Grants of other processes come in later; none of them
    /// is lost with this process.
    fn latest_grant(&self) -> Time;

    /// Returns what this copy of the store must not accept, since it was withdrawn after the copy
    /// was made. Empty unless an older copy is served.
    fn refusals(&self) -> Arc<Refusals>;

    /// Makes a consistent copy of the store for a backup, while it is served: every commit that was
    /// acknowledged before is in it.
    ///
    /// The next copy replaces this one, and opening the store removes it.
    ///
    /// # Errors
    /// [`ReadError`]: no copy was made. A store whose database has tools of its own for that names
    /// them.
    fn snapshot(&self) -> StoreFuture<'_, Result<Snapshot, ReadError>>;
}
