//! Changes of a record, each in one transaction with its event: load, change, commit, and again when somebody
//! else was faster.

use super::withdrawals::withdrawals;
use super::{Engine, EngineError, MOST_RACES};
use crate::audit::Event;
use crate::clock;
use crate::store::{AccountKey, AccountWrite, ChangeSet, CommitError, CommitGuard, SideWrite, UniqueField};
use crate::user_locks::UserLockGuard;
use std::sync::Arc;
use std::time::{Duration, Instant};
use totp_core::self_service::{ChangeRefused, StagedChange};
use totp_core::{Account, Time, UserName};

/// How long a change may wait to begin.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountError {
    /// The operating system knows no such user.
    NoSuchUser,
    /// There is no factor that this could be done to.
    NotEnrolled,
    /// The name belongs to another uid than when it was enrolled.
    UidChanged {
        /// The uid that was enrolled.
        enrolled: u32,
        /// The uid the name has now.
        now: u32,
    },
    /// Another user has it.
    Taken(UniqueField),
    /// A value is out of its range; the text names it.
    Invalid(String),
    /// A code of the factor in use is needed.
    CodeNeeded,
    /// A ticket is needed.
    TicketNeeded,
    /// Something is staged already: by the user, or (`None`) a factor by an administrator or a ticket.
    AlreadyStaged(Option<StagedChange>),
    /// The user cancelled twice lately: a ticket is needed.
    CancelledTwice,
    /// Nothing is staged.
    NothingStaged,
    /// The staged factor is not ripe.
    NotRipe(StagedChange),
    /// Code or ticket were refused, and that is recorded.
    Refused,
    /// The site does not let users do this.
    Off,
    /// The store cannot be used, or cannot take this; the text says what to do.
    Unavailable(String),
    /// Too much is going on.
    Busy,
}

impl From<EngineError> for AccountError {
    fn from(failure: EngineError) -> Self {
        match failure {
            EngineError::Unavailable(why) => Self::Unavailable(why),
            EngineError::Busy | EngineError::TimedOut => Self::Busy,
        }
    }
}

impl From<ChangeRefused> for AccountError {
    fn from(why: ChangeRefused) -> Self {
        match why {
            ChangeRefused::NotEnrolled => Self::NotEnrolled,
            ChangeRefused::AlreadyStaged(staged) => Self::AlreadyStaged(staged),
            ChangeRefused::CancelledTwice => Self::CancelledTwice,
            ChangeRefused::NothingStaged => Self::NothingStaged,
        }
    }
}

/// The ticket of a change that nobody waits for as a login is waited for.
pub fn default_commit_deadline() -> Arc<CommitGuard> {
    Arc::new(CommitGuard::new(Instant::now() + COMMIT_TIMEOUT))
}

/// What a change answers, and its event.
pub(super) type Changed<T> = Result<(T, Event), AccountError>;

/// The system's random source failed.
pub(super) fn no_randomness<E>(_: E) -> AccountError {
    AccountError::Unavailable("the system's random source failed".to_owned())
}

impl Engine {
    pub(super) async fn uid(&self, user: &UserName) -> Result<Option<u32>, AccountError> {
        let found = self.users.find(user).await.map_err(|stuck| AccountError::Unavailable(stuck.to_string()));
        Ok(found?.map(|found| found.uid))
    }

    /// The name that the system calls a user by, or the one that was given when it knows none or does not answer:
    /// a record can be looked at and revoked all the same.
    pub async fn name_of(&self, user: UserName) -> UserName {
        self.users.find(&user).await.ok().flatten().map_or(user, |found| found.name)
    }

    /// The turn of a user: by name where the user has one, as logins take it.
    pub(super) async fn turn(&self, key: &AccountKey) -> UserLockGuard<'_> {
        match key {
            AccountKey::Name(name) => self.turns.lock(name.as_str()).await,
            AccountKey::Id(id) | AccountKey::Totp(id) => self.turns.lock(id).await,
        }
    }

    /// Loads, changes and commits, and again when somebody else was faster. A record that `change` takes away is
    /// forgotten.
    pub(super) async fn change<T>(
        &self,
        user: impl Into<AccountKey>,
        grows: bool,
        ticket: &Arc<CommitGuard>,
        change: impl Fn(&mut Option<Account>, Time) -> Changed<T>,
    ) -> Result<T, AccountError> {
        let alone =
            |slot: &mut Option<Account>, now| change(slot, now).map(|(t, event)| (t, event, Vec::new()));
        self.change_with(user, grows, ticket, alone).await
    }

    /// The same, with what belongs to the record.
    pub(super) async fn change_with<T, E: From<AccountError> + From<EngineError>>(
        &self,
        user: impl Into<AccountKey>,
        grows: bool,
        ticket: &Arc<CommitGuard>,
        change: impl Fn(&mut Option<Account>, Time) -> Result<(T, Event, Vec<SideWrite>), E>,
    ) -> Result<T, E> {
        let key = user.into();
        let _turn = self.turn(&key).await;
        self.change_in_turn(key, grows, ticket, change).await
    }

    /// The same for whoever has the user's turn.
    pub(super) async fn change_in_turn<T, E: From<AccountError> + From<EngineError>>(
        &self,
        key: AccountKey,
        grows: bool,
        ticket: &Arc<CommitGuard>,
        change: impl Fn(&mut Option<Account>, Time) -> Result<(T, Event, Vec<SideWrite>), E>,
    ) -> Result<T, E> {
        for _ in 0..MOST_RACES {
            let (mut account, version) = match self.load(key.clone()).await.map_err(EngineError::from)? {
                None => (None, None),
                Some(stored) => {
                    let user = stored.account.display_name().to_owned();
                    let damaged = || {
                        AccountError::Unavailable(format!(
                            "the record of {user} is damaged; `totpd revoke {user}` forgets it"
                        ))
                    };
                    let (account, version) = self.open(stored).ok_or_else(damaged)?;
                    (Some(account), Some(version))
                }
            };
            let now = clock::now();
            let before = account.clone();
            let id = account.as_ref().map(|account| account.id.clone());
            let (answer, event, mut also) = change(&mut account, now)?;
            also.extend(withdrawals(before.as_ref(), account.as_ref(), now));
            let failed = |e: crate::seal::SealError| AccountError::Unavailable(e.to_string());
            let sealed = account.map(|account| self.sealer.seal(account).map(Box::new)).transpose();
            let write = match (sealed.map_err(failed)?, version) {
                (Some(sealed), Some(version)) => AccountWrite::Update(sealed, version),
                (Some(sealed), None) => AccountWrite::Insert(sealed),
                (None, Some(version)) => AccountWrite::Delete(id.unwrap_or_default(), version),
                // Nothing came of it but its event.
                (None, None) => AccountWrite::Nothing,
            };
            match self.store_admin(write, also, grows, event, now, ticket).await {
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
        also: Vec<SideWrite>,
        grows: bool,
        mut event: Event,
        now: Time,
        ticket: &Arc<CommitGuard>,
    ) -> Result<Option<()>, AccountError> {
        if event.outcome.is_empty() {
            event.outcome = "done";
        }
        let change = ChangeSet { write, also, grows, event: Some(event.row(now)) };
        match self.commit(change, ticket).await {
            Ok(_) => {
                event.log();
                Ok(Some(()))
            }
            Err(CommitError::Conflict) => Ok(None),
            Err(CommitError::Taken(what)) => Err(AccountError::Taken(what)),
            Err(CommitError::Full(why) | CommitError::Unavailable(why)) => {
                Err(AccountError::Unavailable(why))
            }
            Err(CommitError::Dropped) => Err(AccountError::Busy),
        }
    }
}
