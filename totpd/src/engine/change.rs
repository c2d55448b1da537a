//! Changes of a record, each in one transaction with its event: load, change, commit, and again when somebody
//! else was faster.

use super::withdrawals::withdrawals;
use super::{Engine, Failure, MOST_RACES};
use crate::audit::Event;
use crate::clock;
use crate::store::{Also, Change, CommitError, Key, Ticket, Unique, Write};
use crate::user_locks::Turn;
use std::sync::Arc;
use std::time::{Duration, Instant};
use totp_core::self_service::{NotNow, StagedChange};
use totp_core::{Account, Time, UserName};

/// How long a change may wait to begin.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminError {
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
    Taken(Unique),
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

impl From<Failure> for AdminError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable(why) => Self::Unavailable(why),
            Failure::Busy | Failure::TimedOut => Self::Busy,
        }
    }
}

impl From<NotNow> for AdminError {
    fn from(why: NotNow) -> Self {
        match why {
            NotNow::NotEnrolled => Self::NotEnrolled,
            NotNow::AlreadyStaged(staged) => Self::AlreadyStaged(staged),
            NotNow::CancelledTwice => Self::CancelledTwice,
            NotNow::NothingStaged => Self::NothingStaged,
        }
    }
}

/// The ticket of a change that nobody waits for as a login is waited for.
pub fn patience() -> Arc<Ticket> {
    Arc::new(Ticket::new(Instant::now() + PATIENCE))
}

/// What a change answers, and its event.
pub(super) type Changed<T> = Result<(T, Event), AdminError>;

/// The system's random source failed.
pub(super) fn no_randomness<E>(_: E) -> AdminError {
    AdminError::Unavailable("the system's random source failed".to_owned())
}

impl Engine {
    pub(super) async fn uid(&self, user: &UserName) -> Result<Option<u32>, AdminError> {
        let found = self.users.find(user).await.map_err(|stuck| AdminError::Unavailable(stuck.to_string()));
        Ok(found?.map(|found| found.uid))
    }

    /// The name that the system calls a user by, or the one that was given when it knows none or does not answer:
    /// a record can be looked at and revoked all the same.
    pub async fn name_of(&self, user: UserName) -> UserName {
        self.users.find(&user).await.ok().flatten().map_or(user, |found| found.name)
    }

    /// The turn of a user: by name where the user has one, as logins take it.
    pub(super) async fn turn(&self, key: &Key) -> Turn<'_> {
        match key {
            Key::Name(name) => self.turns.of(name.as_str()).await,
            Key::Id(id) | Key::Totp(id) => self.turns.of(id).await,
        }
    }

    /// Loads, changes and commits, and again when somebody else was faster. A record that `change` takes away is
    /// forgotten.
    pub(super) async fn change<T>(
        &self,
        user: impl Into<Key>,
        grows: bool,
        ticket: &Arc<Ticket>,
        change: impl Fn(&mut Option<Account>, Time) -> Changed<T>,
    ) -> Result<T, AdminError> {
        let alone =
            |slot: &mut Option<Account>, now| change(slot, now).map(|(t, event)| (t, event, Vec::new()));
        self.change_with(user, grows, ticket, alone).await
    }

    /// The same, with what belongs to the record.
    pub(super) async fn change_with<T, E: From<AdminError> + From<Failure>>(
        &self,
        user: impl Into<Key>,
        grows: bool,
        ticket: &Arc<Ticket>,
        change: impl Fn(&mut Option<Account>, Time) -> Result<(T, Event, Vec<Also>), E>,
    ) -> Result<T, E> {
        let key = user.into();
        let _turn = self.turn(&key).await;
        self.change_in_turn(key, grows, ticket, change).await
    }

    /// The same for whoever has the user's turn.
    pub(super) async fn change_in_turn<T, E: From<AdminError> + From<Failure>>(
        &self,
        key: Key,
        grows: bool,
        ticket: &Arc<Ticket>,
        change: impl Fn(&mut Option<Account>, Time) -> Result<(T, Event, Vec<Also>), E>,
    ) -> Result<T, E> {
        for _ in 0..MOST_RACES {
            let (mut account, version) = match self.load(key.clone()).await.map_err(Failure::from)? {
                None => (None, None),
                Some(stored) => {
                    let user = stored.account.label().to_owned();
                    let damaged = || {
                        AdminError::Unavailable(format!(
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
            let failed = |e: crate::seal::SealError| AdminError::Unavailable(e.to_string());
            let sealed = account.map(|account| self.sealer.seal(account).map(Box::new)).transpose();
            let write = match (sealed.map_err(failed)?, version) {
                (Some(sealed), Some(version)) => Write::Update(sealed, version),
                (Some(sealed), None) => Write::Insert(sealed),
                (None, Some(version)) => Write::Delete(id.unwrap_or_default(), version),
                // Nothing came of it but its event.
                (None, None) => Write::Nothing,
            };
            match self.store_admin(write, also, grows, event, now, ticket).await {
                Ok(Some(())) => return Ok(answer),
                Ok(None) => {}
                // A name that was free when it was looked up is somebody's by now: looked up again.
                Err(AdminError::Taken(Unique::Name)) if matches!(key, Key::Name(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AdminError::Busy.into())
    }

    /// Commits; `None` when somebody else was faster.
    pub(super) async fn store_admin(
        &self,
        write: Write,
        also: Vec<Also>,
        grows: bool,
        mut event: Event,
        now: Time,
        ticket: &Arc<Ticket>,
    ) -> Result<Option<()>, AdminError> {
        if event.outcome.is_empty() {
            event.outcome = "done";
        }
        let change = Change { write, also, grows, event: Some(event.row(now)) };
        match self.commit(change, ticket).await {
            Ok(_) => {
                event.log();
                Ok(Some(()))
            }
            Err(CommitError::Conflict) => Ok(None),
            Err(CommitError::Taken(what)) => Err(AdminError::Taken(what)),
            Err(CommitError::Full(why) | CommitError::Unavailable(why)) => Err(AdminError::Unavailable(why)),
            Err(CommitError::Dropped) => Err(AdminError::Busy),
        }
    }
}
