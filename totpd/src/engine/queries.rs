//! What there is to know: of a user, of all of them, of what happened.

use crate::clock;
use crate::engine::{AccountError, Engine, EngineError};
use crate::store::{HistoryQuery, HistoryRow, Stored};
use totp_core::lock::SourceClass;
use totp_core::self_service::StagedChange;
use totp_core::{Account, Time, UserName};
use totp_wire::admin;

/// What is staged, as the interfaces have it.
pub fn staged_view(staged: &StagedChange) -> admin::Staged {
    admin::Staged {
        change: staged.kind.as_str().to_owned(),
        staged_at: staged.at.unix(),
        from: staged.from.clone(),
        ripens_at: staged.ripens_at().unix(),
        notice_shown: staged.shown_at.is_some(),
        expires_at: staged.expires.unix(),
    }
}

impl Engine {
    /// What there is to know about `user`.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn status(&self, user: &UserName) -> Result<admin::User, AccountError> {
        if let Some(stored) = self.load(user).await.map_err(EngineError::from)? {
            let mut users = [self.view(stored, clock::now())];
            self.look_at_host(&mut users).await;
            let [user] = users;
            return Ok(user);
        }
        let uid = self.uid(user).await?.ok_or(AccountError::NoSuchUser)?;
        let nothing = Account::blank(String::new(), Some(user.clone()), Some(uid), clock::now());
        Ok(self.view(Stored { account: nothing, version: 0, damaged: false }, clock::now()))
    }

    /// A page of users who have a factor, and where the next one starts.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn list(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<admin::User>, Option<String>), AccountError> {
        let page = self.store.scan(after, limit).await.map_err(EngineError::from)?;
        let next =
            page.last().filter(|_| page.len() == limit).map(|last| last.account.display_name().to_owned());
        let now = clock::now();
        let users = page.into_iter().map(|stored| self.view(stored, now));
        let has_any = |user: &admin::User| {
            user.state != admin::State::None || user.ticket_expires_at.is_some() || user.damaged.is_some()
        };
        let mut users: Vec<admin::User> = users.filter(has_any).collect();
        self.look_at_host(&mut users).await;
        Ok((users, next))
    }

    fn view(&self, stored: Stored, now: Time) -> admin::User {
        let damaged = stored.damaged.then_some(true);
        let mut sealed = stored.account.clone();
        sealed.expire_pending(now);
        self.store.refusals().strip(&mut sealed);
        let left = self.open(stored).and_then(|(a, _)| a.active.map(|f| f.secrets.recovery_left()));
        let remembered =
            sealed.active.as_ref().map(|f| f.remembered.iter().filter(|grant| grant.holds(now)).count());
        let locks = sealed.lock_state.locked(now).into_iter();
        admin::User {
            user: sealed.display_name().to_owned(),
            state: match (&sealed.active, &sealed.pending) {
                (Some(_), _) => admin::State::Active,
                (None, Some(_)) => admin::State::Pending,
                (None, None) => admin::State::None,
            },
            totp_id: sealed.active.as_ref().or(sealed.pending.as_ref()).map(|f| f.id.clone()),
            replacement_pending: sealed.active.is_some() && sealed.pending.is_some(),
            expires_at: sealed.pending_expires().map(Time::unix),
            recovery_codes_left: left.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            remembered: remembered.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            staged: sealed.staged().map(staged_view),
            failures: u64::from(sealed.lock_state.failures()),
            locks: locks
                .map(|l| admin::Lock {
                    class: l.class.as_str().to_owned(),
                    client: l.class.client().map(str::to_owned),
                    source: match &l.class {
                        SourceClass::Known(source) => Some(source.to_string()),
                        _ => None,
                    },
                    uid: match l.class {
                        SourceClass::LocalStranger(uid) => Some(uid),
                        _ => None,
                    },
                    until: l.until.unix(),
                })
                .collect(),
            uid: sealed.uid,
            host_user: None,
            uid_now: None,
            ticket_expires_at: sealed.ticket.filter(|t| now < t.expires).map(|t| t.expires.unix()),
            last_login: None,
            damaged,
        }
    }

    /// Adds what the record does not know: who has the name now, and the latest login. Neither is worth a failure; a
    /// directory that does not answer is not asked about the rest.
    async fn look_at_host(&self, users: &mut [admin::User]) {
        let names = users.iter().map(|user| user.user.clone()).collect();
        let logins = self.store.last_logins(names).await.unwrap_or_default();
        for (user, login) in users.iter_mut().zip(logins) {
            user.last_login = login.map(Time::unix);
        }
        for user in users.iter_mut().filter(|user| user.uid.is_some()) {
            let Ok(name) = UserName::parse(&user.user) else { continue };
            let Ok(found) = self.users.find(&name).await else { break };
            let now = found.map(|found| found.uid);
            user.host_user = Some(match now {
                None => admin::HostUser::Gone,
                now if now == user.uid => admin::HostUser::Same,
                Some(_) => admin::HostUser::Changed,
            });
            user.uid_now = now.filter(|_| now != user.uid);
        }
    }

    /// When the latest code was granted, if that lies so far ahead of the clock that codes are refused.
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
