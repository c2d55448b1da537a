//! What the contract's tests need of an implementation, and what they make changes with.

use crate::audit::EventRow;
use crate::os_random::Kernel;
use crate::seal::{SealedAccount, Sealer};
use crate::store::{
    AccountKey, AccountWrite, ChangeSet, CommitGuard, HistoryQuery, SessionRow, Store, StoredAccount,
};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use totp_core::{Account, Time, UserName};

/// Events that a fixture's store keeps.
pub(crate) const KEPT_EVENTS: usize = 1_000;

/// A store that can be opened.
pub(crate) trait Fixture: Sized {
    /// An empty store, which keeps [`KEPT_EVENTS`] events.
    fn new() -> Self;
    /// Opens it. It was not opened before, or the handle that was returned then is dropped.
    fn open(&self) -> Arc<dyn Store>;
    /// Its key.
    fn sealer(&self) -> &Sealer;
    /// The lines that its witness has.
    fn witnessed(&self) -> Vec<String>;
}

/// A store that outlives its process.
pub(crate) trait Durable: Fixture {
    /// The store as it stands at this moment, with the same witness: what a crash leaves, or an
    /// older copy.
    fn copy(&self) -> Self;
    /// Makes the record of the account with this id unreadable, while the store may be open.
    fn damage(&self, id: &str);
    /// Removes its witness.
    fn lose_witness(&self);
}

/// A store that is files of this host.
pub(crate) trait Embedded: Durable {
    /// Opens a file that [`Store::snapshot`] has made in this store's folder, in a folder of its
    /// own.
    fn open_snapshot(&self, file: &str) -> Arc<dyn Store>;
    /// An empty store on a disk of its own. Panics without root, which the mount takes.
    fn on_small_disk() -> Self;
    /// Fills that disk.
    fn fill_disk(&self);
    /// Makes room on it again.
    fn free_disk(&self);
    /// The folder of its files.
    fn folder(&self) -> &Path;
}

/// A guard with time to spare.
pub(crate) fn guard() -> Arc<CommitGuard> {
    Arc::new(CommitGuard::new(Instant::now() + Duration::from_mins(10)))
}

/// A change with an event about nobody.
pub(crate) fn change(write: AccountWrite) -> ChangeSet {
    ChangeSet::new(write, event(0, None, "{}"))
}

/// A row of the history.
pub(crate) fn event(at: u64, user: Option<&str>, json: &str) -> EventRow {
    EventRow { at: Time::from_unix(at), user: user.map(str::to_owned), json: json.to_owned() }
}

/// A sealed account without factors.
pub(crate) fn account(fixture: &impl Fixture, name: &str) -> Box<SealedAccount> {
    let name = UserName::parse(name).ok();
    sealed(fixture, Account::new(name, Some(1), Time::default(), &mut Kernel).unwrap())
}

/// An account as it is stored at first.
pub(crate) fn sealed(fixture: &impl Fixture, account: Account) -> Box<SealedAccount> {
    Box::new(fixture.sealer().seal(account, 1).unwrap())
}

/// A session that expires at 100.
#[expect(clippy::unnecessary_box_returns, reason = "side writes hold boxes")]
pub(crate) fn session(account: &str, id: &str) -> Box<SessionRow> {
    let (id, account) = (id.to_owned(), account.to_owned());
    let token = format!("hash of {id}");
    Box::new(SessionRow { token, id, account, expires: Time::from_unix(100), record: "{}".into() })
}

/// Commits a change that has to succeed.
#[track_caller]
pub(crate) fn commit(store: &Arc<dyn Store>, change: ChangeSet) -> impl Future<Output = ()> + use<> {
    let (store, caller) = (Arc::clone(store), std::panic::Location::caller());
    async move {
        let done = store.commit(change, guard()).await;
        assert!(done.is_ok(), "{caller}: {done:?}");
    }
}

/// The account with this id.
pub(crate) async fn by_id(store: &Arc<dyn Store>, id: &str) -> Option<StoredAccount> {
    store.load(AccountKey::Id(id.to_owned())).await.unwrap()
}

/// The number of events that the store holds.
pub(crate) async fn events(store: &Arc<dyn Store>) -> usize {
    let query = HistoryQuery { limit: usize::MAX, ..HistoryQuery::default() };
    store.history(query).await.unwrap().len()
}
