//! What administrators do, each in one transaction with its event.

use super::{Engine, Failure, MOST_RACES};
use crate::audit::{Event, From};
use crate::clock;
use crate::entropy::Kernel;
use crate::store::{Change, CommitError, Stored, Ticket, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};
use totp_core::account::NewFactor;
use totp_core::otpauth::OtpAuth;
use totp_core::recovery::RecoveryCode;
use totp_core::window::phone_offset;
use totp_core::{Account, Attempt, Origin, Outcome, Time, Typed, UserName, judge};
use totp_wire::admin;

/// How long an administrator's change may wait to begin.
const PATIENCE: Duration = Duration::from_secs(20);
/// Steps within which a phone's wrong clock is looked for at confirmation: an hour of half minutes.
const OFFSET_REACH: u8 = 120;

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
    /// A value is out of its range; the text names it.
    Invalid(String),
    /// The store cannot be used, or cannot take this; the text says what to do.
    Unavailable(String),
    /// Too much is going on.
    Busy,
}

impl std::convert::From<Failure> for AdminError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable(why) => Self::Unavailable(why),
            Failure::Busy | Failure::TimedOut => Self::Busy,
        }
    }
}

/// A staged enrollment, with what is shown once.
#[derive(Debug)]
pub struct Enrolled {
    /// Names it.
    pub totp_id: String,
    /// Secret and label.
    pub otpauth: OtpAuth,
    /// The recovery codes.
    pub recovery_codes: Vec<RecoveryCode>,
    /// When it is gone unless confirmed.
    pub expires_at: Time,
    /// An active factor goes on working until then.
    pub replaces: bool,
}

type Changed<T> = Result<(T, Event), AdminError>;

impl Engine {
    /// Stages a factor for `user`.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed then.
    pub async fn enroll(
        &self,
        user: &UserName,
        new: NewFactor,
        issuer: String,
        from: From,
    ) -> Result<Enrolled, AdminError> {
        let uid = self.uid(user).await?.ok_or(AdminError::NoSuchUser)?;
        let random = |_| AdminError::Unavailable("the system's random source failed".to_owned());
        self.change(user, true, |account, now| {
            if let Some(account) = account {
                account.settle(now);
            }
            let mut fresh = match account {
                Some(account) if account.uid != uid && has_factor(account) => {
                    return Err(AdminError::UidChanged { enrolled: account.uid, now: uid });
                }
                Some(account) if account.uid == uid => account.clone(),
                _ => Account::new(user.clone(), uid, now, &mut Kernel).map_err(random)?,
            };
            if let Some(account) = account {
                fresh.id.clone_from(&account.id);
            }
            let recovery_codes = fresh.enroll(&new, now, &mut Kernel).map_err(random)?;
            let pending = fresh.pending.as_ref().ok_or(AdminError::NotEnrolled)?;
            let enrolled = Enrolled {
                totp_id: pending.id.clone(),
                otpauth: OtpAuth {
                    issuer: issuer.clone(),
                    account: user.to_string(),
                    secret: pending.secrets.secret().clone(),
                    params: pending.params,
                },
                recovery_codes,
                expires_at: fresh.pending_expires().unwrap_or(now),
                replaces: fresh.active.is_some(),
            };
            let mut event = Event::new("enroll", user.as_str(), now, from.clone());
            event.totp_id = Some(enrolled.totp_id.clone());
            *account = Some(fresh);
            Ok((enrolled, event))
        })
        .await
    }

    /// Confirms the pending factor. `Err(offset)` inside: the code was refused, and the phone's clock is
    /// that many seconds ahead, if that is why.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed then.
    pub async fn confirm(
        &self,
        user: &UserName,
        code: &str,
        from: From,
    ) -> Result<Result<(), Option<i64>>, AdminError> {
        let uid = self.uid(user).await?;
        self.change(user, false, |slot, now| {
            let account = slot.as_mut().ok_or(AdminError::NotEnrolled)?;
            if let Some(uid) = uid.filter(|uid| *uid != account.uid) {
                return Err(AdminError::UidChanged { enrolled: account.uid, now: uid });
            }
            account.settle(now);
            let pending = account.pending.clone().ok_or(AdminError::NotEnrolled)?;
            // Judged as if it were alone: a code of the old factor confirms nothing. Mistakes are counted
            // in a class of their own, so that an administrator's typing locks nobody's sudo.
            let old = account.active.take();
            let input = Typed::parse(code);
            let attempt = Attempt::plain(Origin::Client("confirm".to_owned()), input);
            let judgement = judge(account, &attempt, now, &self.rules);
            let mut event = Event::new("confirm", user.as_str(), now, from.clone());
            event.totp_id = Some(pending.id.clone());
            event.class = Some(judgement.class.name());
            match judgement.outcome {
                Outcome::Granted(proof) => {
                    event.confirmed = true;
                    Ok((Ok(()), event.with_how(proof.how())))
                }
                Outcome::Refused(reason) => {
                    account.active = old;
                    event.outcome = "refused";
                    event.reason = Some(reason.word());
                    let offset = match &attempt.input {
                        Ok(Typed::Code(code)) => {
                            let secret = pending.secrets.secret();
                            phone_offset(secret, pending.params, code, now, OFFSET_REACH)
                        }
                        _ => None,
                    };
                    Ok((Err(offset), event))
                }
            }
        })
        .await
    }

    /// Forgets every factor; says whether there was one.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed then.
    pub async fn revoke(&self, user: &UserName, from: From) -> Result<bool, AdminError> {
        let Some(stored) = self.load(user).await.map_err(Failure::from)? else {
            self.uid(user).await?.ok_or(AdminError::NoSuchUser)?;
            return Ok(false);
        };
        // A record whose secrets cannot be opened can still be forgotten: this is the way out.
        let nothing = stored.account.active.is_none() && stored.account.pending.is_none();
        if nothing && !stored.damaged {
            return Ok(false);
        }
        let _turn = self.turns.of(user.as_str()).await;
        for _ in 0..MOST_RACES {
            let Some(stored) = self.load(user).await.map_err(Failure::from)? else { return Ok(false) };
            let mut account = stored.account;
            let totp_id = account.active.take().or(account.pending.take()).map(|f| f.id);
            account.pending = None;
            let now = clock::now();
            let mut event = Event::new("revoke", user.as_str(), now, from.clone());
            event.totp_id = totp_id;
            let write = Write::Update(Box::new(account), stored.version);
            if self.store_admin(write, false, event, now).await?.is_some() {
                return Ok(true);
            }
        }
        Err(AdminError::Busy)
    }

    /// Ends every lock; says whether there was anything to forget.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed then.
    pub async fn unlock(&self, user: &UserName, from: From) -> Result<bool, AdminError> {
        self.change(user, false, |slot, now| {
            let account = slot.as_mut().ok_or(AdminError::NotEnrolled)?;
            let any = account.guard.failures() > 0 || !account.guard.locked(now).is_empty();
            account.guard.unlock();
            Ok((any, Event::new("unlock", user.as_str(), now, from.clone())))
        })
        .await
    }

    /// Replaces the recovery codes of the active factor.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed then.
    pub async fn recovery_codes(&self, user: &UserName, from: From) -> Result<Vec<RecoveryCode>, AdminError> {
        self.change(user, true, |slot, now| {
            let account = slot.as_mut().ok_or(AdminError::NotEnrolled)?;
            let renewed = account.renew_recovery(&mut Kernel);
            let random = |_| AdminError::Unavailable("the system's random source failed".to_owned());
            let codes = renewed.map_err(random)?.ok_or(AdminError::NotEnrolled)?;
            Ok((codes, Event::new("recovery-codes", user.as_str(), now, from.clone())))
        })
        .await
    }

    /// What there is to know about `user`.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn status(&self, user: &UserName) -> Result<admin::User, AdminError> {
        if let Some(stored) = self.load(user).await.map_err(Failure::from)? {
            Ok(self.view(stored, clock::now()))
        } else {
            self.uid(user).await?.ok_or(AdminError::NoSuchUser)?;
            Ok(admin::User {
                user: user.to_string(),
                state: admin::State::None,
                totp_id: None,
                replacement_pending: false,
                expires_at: None,
                recovery_codes_left: 0,
                failures: 0,
                locks: Vec::new(),
            })
        }
    }

    /// A page of users who have a factor, and where the next one starts.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn list(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<admin::User>, Option<String>), AdminError> {
        let page = self.store.scan(after, limit).await.map_err(Failure::from)?;
        let next = page.last().filter(|_| page.len() == limit).map(|last| last.account.name.to_string());
        let now = clock::now();
        let users = page.into_iter().map(|stored| self.view(stored, now));
        Ok((users.filter(|user| user.state != admin::State::None).collect(), next))
    }

    fn view(&self, stored: Stored, now: Time) -> admin::User {
        let mut sealed = stored.account.clone();
        sealed.settle(now);
        let left = self.open(stored).and_then(|(a, _)| a.active.map(|f| f.secrets.recovery_left()));
        let locks = sealed.guard.locked(now).into_iter();
        admin::User {
            user: sealed.name.to_string(),
            state: match (&sealed.active, &sealed.pending) {
                (Some(_), _) => admin::State::Active,
                (None, Some(_)) => admin::State::Pending,
                (None, None) => admin::State::None,
            },
            totp_id: sealed.active.as_ref().or(sealed.pending.as_ref()).map(|f| f.id.clone()),
            replacement_pending: sealed.active.is_some() && sealed.pending.is_some(),
            expires_at: sealed.pending_expires().map(Time::unix),
            recovery_codes_left: left.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            failures: u64::from(sealed.guard.failures()),
            locks: locks
                .map(|l| admin::Lock { class: l.class.name().to_owned(), until: l.until.unix() })
                .collect(),
        }
    }

    async fn uid(&self, user: &UserName) -> Result<Option<u32>, AdminError> {
        self.users.uid(user).await.map_err(|stuck| AdminError::Unavailable(stuck.to_string()))
    }

    /// Loads, changes and commits, and again when somebody else was faster.
    async fn change<T>(
        &self,
        user: &UserName,
        grows: bool,
        change: impl Fn(&mut Option<Account>, Time) -> Changed<T>,
    ) -> Result<T, AdminError> {
        let _turn = self.turns.of(user.as_str()).await;
        for _ in 0..MOST_RACES {
            let (mut account, version) = match self.load(user).await.map_err(Failure::from)? {
                None => (None, None),
                Some(stored) => {
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
            let (answer, event) = change(&mut account, now)?;
            let account = account.ok_or(AdminError::NotEnrolled)?;
            let failed = |e: crate::seal::SealError| AdminError::Unavailable(e.to_string());
            let sealed = Box::new(self.sealer.seal(account).map_err(failed)?);
            let write = match version {
                Some(version) => Write::Update(sealed, version),
                None => Write::Insert(sealed),
            };
            if self.store_admin(write, grows, event, now).await?.is_some() {
                return Ok(answer);
            }
        }
        Err(AdminError::Busy)
    }

    /// Commits; `None` when somebody else was faster.
    async fn store_admin(
        &self,
        write: Write,
        grows: bool,
        mut event: Event,
        now: Time,
    ) -> Result<Option<()>, AdminError> {
        if event.outcome.is_empty() {
            event.outcome = "done";
        }
        let ticket = Arc::new(Ticket::new(Instant::now() + PATIENCE));
        match self.store.commit(Change { write, grows, event: event.row(now) }, ticket).await {
            Ok(_) => {
                event.log();
                Ok(Some(()))
            }
            Err(CommitError::Conflict) => Ok(None),
            Err(CommitError::Full(why) | CommitError::Unavailable(why)) => Err(AdminError::Unavailable(why)),
            Err(CommitError::Dropped) => Err(AdminError::Busy),
        }
    }
}

fn has_factor(account: &Account) -> bool {
    account.active.is_some() || account.pending.is_some()
}
