//! What there is to know: of a user, of all of them, of what happened.

use crate::clock;
use crate::engine::{AccountError, Engine, EngineError};
use crate::store::{HistoryQuery, HistoryRow, StoredAccount};
use totp_core::lock::Locked;
use totp_core::self_service::StagedChange;
use totp_core::{Account, Factor, Time, UserName};

/// What is known about one user.
#[derive(Clone, Debug)]
pub struct UserStatus {
    /// The login name.
    pub user: String,
    /// Where the enrollment is.
    pub state: FactorState,
    /// The active factor, or the pending one if there is no active one.
    pub totp_id: Option<String>,
    /// The active factors, the one with the recovery codes first.
    pub authenticators: Vec<Authenticator>,
    /// The name of the authenticator that waits for its first code, where it has one.
    pub pending_name: Option<String>,
    /// A factor waits for its first code beside an active one.
    pub replacement_pending: bool,
    /// When the replacement was made that expired before its first code, until a login tells of it.
    pub replacement_expired: Option<Time>,
    /// When the pending factor expires.
    pub expires_at: Option<Time>,
    /// Recovery codes that are unspent.
    pub recovery_codes_left: usize,
    /// Grants that are remembered.
    pub remembered: usize,
    /// A change that the user has staged.
    pub staged: Option<StagedChange>,
    /// Failures since the last success or lock, over all classes.
    pub failures: u32,
    /// The classes that are locked now.
    pub locks: Vec<Locked>,
    /// The uid that the name had when it was enrolled.
    pub uid: Option<u32>,
    /// Who has the name on this host now. `None`: the directory does not answer.
    pub host_user: Option<HostUser>,
    /// The uid that the name has now, if it is another one.
    pub uid_now: Option<u32>,
    /// When an open ticket expires.
    pub ticket_expires_at: Option<Time>,
    /// When an unused passcode expires.
    pub passcode_expires_at: Option<Time>,
    /// The latest login that passed, as far as the history reaches.
    pub last_login: Option<Time>,
    /// The record cannot be read, and the user is refused.
    pub damaged: bool,
}

/// One authenticator of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticator {
    /// The id of its factor.
    pub totp_id: String,
    /// Its name.
    pub name: String,
    /// When its first code was accepted.
    pub since: Option<Time>,
}

impl Authenticator {
    fn of<S>(factor: &Factor<S>) -> Self {
        let since = match factor.state {
            totp_core::FactorState::Active { since } => Some(since),
            totp_core::FactorState::Pending { .. } => None,
        };
        Self { totp_id: factor.id.clone(), name: factor.display_name().to_owned(), since }
    }
}

/// Where an enrollment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactorState {
    /// There is no factor.
    None,
    /// A factor waits for its first code.
    Pending,
    /// A factor is in use.
    Active,
}

/// Who has an enrolled name on this host now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostUser {
    /// The user who was enrolled.
    Same,
    /// Another uid: every login is refused.
    Changed,
    /// Nobody: the user was deleted.
    Gone,
}

impl Engine {
    /// What there is to know about `user`.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn status(&self, user: &UserName) -> Result<UserStatus, AccountError> {
        if let Some(stored) = self.load(user).await.map_err(EngineError::from)? {
            let mut users = [self.view(stored, clock::now())];
            self.look_at_host(&mut users).await;
            let [user] = users;
            return Ok(user);
        }
        let uid = self.uid(user).await?.ok_or(AccountError::NoSuchUser)?;
        let nothing = Account::blank(String::new(), Some(user.clone()), Some(uid), clock::now());
        Ok(self.view(StoredAccount { account: Box::new(nothing), version: 0, damaged: false }, clock::now()))
    }

    /// A page of users who have a factor, and where the next one starts.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn list(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<UserStatus>, Option<String>), AccountError> {
        let page = self.store.accounts(after, limit).await.map_err(EngineError::from)?;
        let next =
            page.last().filter(|_| page.len() == limit).map(|last| last.account.display_name().to_owned());
        let now = clock::now();
        let users = page.into_iter().map(|stored| self.view(stored, now));
        let has_any = |user: &UserStatus| {
            user.state != FactorState::None || user.ticket_expires_at.is_some() || user.damaged
        };
        let mut users: Vec<UserStatus> = users.filter(has_any).collect();
        self.look_at_host(&mut users).await;
        Ok((users, next))
    }

    fn view(&self, stored: StoredAccount, now: Time) -> UserStatus {
        let damaged = stored.damaged;
        let mut sealed = stored.account.clone();
        sealed.expire_pending(now);
        self.store.refusals().strip(&mut sealed);
        let left = self.open(stored).and_then(|(a, _)| a.active.map(|f| f.secrets.recovery_left()));
        let remembered = sealed.authenticators().flat_map(|factor| &factor.remembered);
        let remembered = remembered.filter(|grant| grant.holds(now)).count();
        UserStatus {
            user: sealed.display_name().to_owned(),
            state: match (&sealed.active, &sealed.pending) {
                (Some(_), _) => FactorState::Active,
                (None, Some(_)) => FactorState::Pending,
                (None, None) => FactorState::None,
            },
            totp_id: sealed.active.as_ref().or(sealed.pending.as_ref()).map(|f| f.id.clone()),
            authenticators: sealed.authenticators().map(Authenticator::of).collect(),
            pending_name: sealed.pending.as_ref().and_then(|f| f.name.as_ref()).map(ToString::to_string),
            replacement_pending: sealed.active.is_some() && sealed.pending.is_some(),
            replacement_expired: sealed.notices.expired_replacement(),
            expires_at: sealed.pending_expires(),
            recovery_codes_left: left.unwrap_or(0),
            remembered,
            staged: sealed.staged().cloned(),
            failures: sealed.lock_state.failures(),
            locks: sealed.lock_state.locked(now),
            uid: sealed.uid,
            host_user: None,
            uid_now: None,
            passcode_expires_at: sealed.passcode_expires(now),
            ticket_expires_at: sealed.ticket.map(|ticket| ticket.expires).filter(|end| now < *end),
            last_login: None,
            damaged,
        }
    }

    /// Adds what the record does not know: who has the name now, and the latest login. Neither is
    /// worth a failure; a directory that does not answer is not asked about the rest.
    async fn look_at_host(&self, users: &mut [UserStatus]) {
        let names = users.iter().map(|user| user.user.clone()).collect();
        let logins = self.store.last_logins(names).await.unwrap_or_default();
        for (user, login) in users.iter_mut().zip(logins) {
            user.last_login = login;
        }
        for user in users.iter_mut().filter(|user| user.uid.is_some()) {
            let Ok(name) = UserName::parse(&user.user) else { continue };
            let Ok(found) = self.users.find(&name).await else { break };
            let now = found.map(|found| found.uid);
            user.host_user = Some(match now {
                None => HostUser::Gone,
                now if now == user.uid => HostUser::Same,
                Some(_) => HostUser::Changed,
            });
            user.uid_now = now.filter(|_| now != user.uid);
        }
    }

    /// When the latest code was granted, if that lies so far ahead of the clock that codes are
    /// refused.
    pub fn clock_behind(&self) -> Option<Time> {
        let rules = self.rules();
        (!rules.trusts(clock::now(), self.config.totp.params)).then_some(rules.latest_grant)
    }

    /// The uid that a record of this name was made for, if there is one.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn enrolled_uid(&self, user: &UserName) -> Result<Option<u32>, AccountError> {
        let stored = self.load(user).await.map_err(EngineError::from)?;
        Ok(stored.filter(|stored| !stored.damaged).and_then(|stored| stored.account.uid))
    }

    /// Rows of the history, the latest first.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn history(&self, query: HistoryQuery) -> Result<Vec<HistoryRow>, AccountError> {
        Ok(self.store.history(query).await.map_err(EngineError::from)?)
    }
}
