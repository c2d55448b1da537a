//! Changes of a record, each in one transaction with its event: load, change, commit, and again
//! when somebody else was faster.

use super::error::{AccountError, EngineError};
use super::withdrawals::withdrawals;
use super::{Engine, MOST_RACES};
use crate::audit::{Event, UnjudgedReason};
use crate::clock;
use crate::store::{
    AccountKey, AccountWrite, ChangeSet, CommitError, CommitGuard, ReadError, SideWrite, SpaceUse,
    UniqueField,
};
use crate::user_locks::UserLockGuard;
use std::sync::Arc;
use std::time::{Duration, Instant};
use totp_core::{Account, Time, UserName};

/// How long a change may wait to begin.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(20);

/// The guard of a change that no login waits for: it may wait [`COMMIT_TIMEOUT`] to begin.
pub fn default_commit_deadline() -> Arc<CommitGuard> {
    Arc::new(CommitGuard::new(Instant::now() + COMMIT_TIMEOUT))
}

/// What a change answers, and its event.
pub(super) type Changed<T> = Result<(T, Event), AccountError>;

fn read_failed(error: ReadError) -> AccountError {
    EngineError::from(error).into()
}

impl Engine {
    pub(super) async fn uid(&self, user: &UserName) -> Result<Option<u32>, AccountError> {
        let found = self.users.find(user).await.map_err(|stuck| AccountError::Unavailable(stuck.to_string()));
        Ok(found?.map(|found| found.uid))
    }

    /// The name that the system calls a user by, or the one that was given when it knows none or
    /// does not answer: a record can be looked at and revoked all the same.
    pub async fn name_of(&self, user: UserName) -> UserName {
        self.users.find(&user).await.ok().flatten().map_or(user, |found| found.name)
    }

    /// The lock of a user: by name where the user has one, as logins take it.
    pub(super) async fn lock_record(&self, key: &AccountKey) -> UserLockGuard<'_> {
        match key {
            AccountKey::Name(name) => self.user_locks.lock(name.as_str()).await,
            AccountKey::Id(id) | AccountKey::Totp(id) | AccountKey::Email(id) | AccountKey::Phone(id) => {
                self.user_locks.lock(id).await
            }
        }
    }

    /// Loads, changes and commits, and again when somebody else was faster. A record that `change`
    /// takes away is forgotten.
    pub(super) async fn change<T>(
        &self,
        user: impl Into<AccountKey>,
        space: SpaceUse,
        guard: &Arc<CommitGuard>,
        change: impl Fn(&mut Option<Account>, Time) -> Changed<T>,
    ) -> Result<T, AccountError> {
        let alone =
            |slot: &mut Option<Account>, now| change(slot, now).map(|(t, event)| (t, event, Vec::new()));
        self.change_with(user, space, guard, alone).await
    }

    /// The same, with what belongs to the record.
    pub(super) async fn change_with<T, E: From<AccountError>>(
        &self,
        user: impl Into<AccountKey>,
        space: SpaceUse,
        guard: &Arc<CommitGuard>,
        change: impl Fn(&mut Option<Account>, Time) -> Result<(T, Event, Vec<SideWrite>), E>,
    ) -> Result<T, E> {
        let key = user.into();
        let _lock = self.lock_record(&key).await;
        self.change_locked(key, space, guard, change).await
    }

    /// Changes the record of a user whose lock the caller holds.
    pub(super) async fn change_locked<T, E: From<AccountError>>(
        &self,
        key: AccountKey,
        space: SpaceUse,
        guard: &Arc<CommitGuard>,
        change: impl Fn(&mut Option<Account>, Time) -> Result<(T, Event, Vec<SideWrite>), E>,
    ) -> Result<T, E> {
        for _ in 0..MOST_RACES {
            let (mut account, stored) = match self.load(key.clone()).await.map_err(read_failed)? {
                None => (None, None),
                Some(stored) => {
                    let user = stored.account.display_name().to_owned();
                    let damaged = || {
                        AccountError::Unavailable(format!(
                            "the record of {user} is damaged; `totpd revoke {user}` forgets it"
                        ))
                    };
                    let (account, version) = self.open(stored).ok_or_else(damaged)?;
                    let id = account.id.clone();
                    (Some(account), Some((id, version)))
                }
            };
            let now = clock::now();
            let before = account.clone();
            let (answer, event, mut side_writes) = change(&mut account, now)?;
            side_writes.extend(withdrawals(before.as_ref(), account.as_ref(), now));
            let failed = |e: crate::seal::SealError| AccountError::Unavailable(e.to_string());
            let next = stored.as_ref().map_or(0, |(_, version)| *version) + 1;
            let sealed = account.map(|account| self.sealer.seal(account, next).map(Box::new)).transpose();
            let write = match (sealed.map_err(failed)?, stored) {
                (Some(sealed), Some((_, version))) => AccountWrite::Update(sealed, version),
                (Some(sealed), None) => AccountWrite::Insert(sealed),
                (None, Some((id, version))) => AccountWrite::Delete(id, version),
                // Nothing came of it but its event.
                (None, None) => AccountWrite::Nothing,
            };
            match self.store_admin(write, side_writes, space, event, now, guard).await {
                Ok(Some(())) => return Ok(answer),
                Ok(None) => {}
                // A name that was free when it was looked up is somebody's by now: looked up again.
                Err(AccountError::Taken(UniqueField::Name)) if matches!(key, AccountKey::Name(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AccountError::Busy.into())
    }

    /// Commits; `None` when somebody else was faster.
    pub(super) async fn store_admin(
        &self,
        write: AccountWrite,
        side_writes: Vec<SideWrite>,
        space: SpaceUse,
        event: Event,
        now: Time,
        guard: &Arc<CommitGuard>,
    ) -> Result<Option<()>, AccountError> {
        let change = ChangeSet { write, side_writes, space, event: Some(event.row(now)) };
        match self.commit(change, guard).await {
            Ok(_) => {
                event.log();
                Ok(Some(()))
            }
            Err(CommitError::Conflict) => Ok(None),
            Err(CommitError::Duplicate(what)) => Err(AccountError::Taken(what)),
            Err(CommitError::StorageFull(why)) => Err(AccountError::Unavailable(why)),
            Err(error) => Err(not_committed(error, event).into()),
        }
    }
}

/// Why `event` was not committed. One that may be, all the same, is in the log: its code may be
/// used, or its change made.
pub(super) fn not_committed(error: CommitError, event: Event) -> EngineError {
    if matches!(error, CommitError::InDoubt(_)) {
        event.refused(UnjudgedReason::InDoubt).log();
    }
    error.into()
}
