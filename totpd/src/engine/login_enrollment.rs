//! The steps of an enrollment inside a login, as far as they touch clock and store. Nothing is stored before
//! the last answer.

use crate::audit::Event;
use crate::clock;
use crate::engine::admin::account_of;
use crate::engine::admit::PendingLogin;
use crate::engine::change::AccountError;
use crate::engine::login::Grant;
use crate::engine::withdrawals::withdrawals;
use crate::engine::{Engine, EngineError, MOST_RACES};
use crate::os_random::Kernel;
use crate::store::{AccountWrite, ChangeSet, CommitGuard, SideWrite};
use crate::user_directory::ResolvedUser;
use std::sync::Arc;
use totp_core::judge::Input;
use totp_core::login_enrollment::{AwaitingFirstCode, AwaitingRecoveryCode, ReadyToActivate};
use totp_core::otpauth::OtpAuth;
use totp_core::policy::FirstFactor;
use totp_core::{Reason, Time};

impl Engine {
    /// Whether the user has a factor, under this name or another one of the same uid.
    async fn has_factor(&self, found: &ResolvedUser, now: Time) -> Result<bool, EngineError> {
        let mut records = self.store.of_uid(found.uid).await?;
        records.extend(self.load(&found.name).await?);
        Ok(records.into_iter().any(|mut stored| {
            stored.account.expire_pending(now);
            stored.damaged || stored.account.active.is_some() || stored.account.pending.is_some()
        }))
    }

    /// A factor for who has none, knows his first one, and can be shown lines. That it was offered is recorded.
    pub(super) async fn offer(
        &self,
        asking: &PendingLogin,
        proof: &FirstFactor,
        ticket: &Arc<CommitGuard>,
    ) -> Result<Option<AwaitingFirstCode>, EngineError> {
        let asker = &asking.asker;
        let now = clock::now();
        let totp = &self.config.totp;
        let found = self.find(&asker.user).await?;
        let shows = asker.converses && self.shows_secrets(asker);
        let Some(found) = found.filter(|_| shows && self.rules().trusts(now, totp.params)) else {
            return Ok(None);
        };
        if self.has_factor(&found, now).await? {
            return Ok(None);
        }
        let Ok(enrolling) =
            AwaitingFirstCode::new(proof, totp.params, totp.recovery_storage, now, &mut Kernel)
        else {
            return Err(EngineError::Busy);
        };
        let mut event = asking.event_at(now);
        event.outcome = "offered";
        event.first_factor = Some(proof.evidence().as_str());
        self.record(&event, now, ticket).await?;
        Ok(Some(enrolling))
    }

    /// What the phone is told.
    pub fn otpauth(&self, asking: &PendingLogin, enrolling: &AwaitingFirstCode) -> OtpAuth {
        OtpAuth {
            issuer: self.config.issuer(),
            account: asking.asker.user.clone(),
            secret: enrolling.secret().clone(),
            params: enrolling.params(),
        }
    }

    /// Takes the first code of the phone. `Err` inside: it was wrong, and that is recorded.
    ///
    /// # Errors
    /// [`EngineError`] when that cannot be recorded.
    pub async fn first_code(
        &self,
        asking: &PendingLogin,
        enrolling: AwaitingFirstCode,
        input: &Input,
        ticket: &Arc<CommitGuard>,
    ) -> Result<Result<AwaitingRecoveryCode, AwaitingFirstCode>, EngineError> {
        let now = clock::now();
        match enrolling.first_code(input, now, &self.rules()) {
            Ok(noted) => Ok(Ok(noted)),
            Err((again, reason)) => {
                self.refused(asking, reason, now, ticket).await?;
                Ok(Err(again))
            }
        }
    }

    /// Takes one of the recovery codes. `Err` inside: it was none of them, and that is recorded.
    ///
    /// # Errors
    /// [`EngineError`] when that cannot be recorded.
    pub async fn finish(
        &self,
        asking: &PendingLogin,
        noted: AwaitingRecoveryCode,
        input: &Input,
        ticket: &Arc<CommitGuard>,
    ) -> Result<Result<ReadyToActivate, AwaitingRecoveryCode>, EngineError> {
        let now = clock::now();
        match noted.finish(input, now) {
            Ok(finished) => Ok(Ok(finished)),
            Err(again) => {
                let reason =
                    input.as_ref().map_or_else(|unusable| Reason::Rejected(*unusable), |_| Reason::Wrong);
                self.refused(asking, reason, now, ticket).await?;
                Ok(Err(again))
            }
        }
    }

    /// Makes the factor the account's, and lets in. `None`: somebody else has enrolled meanwhile.
    ///
    /// # Errors
    /// [`EngineError`]; nothing was changed then.
    pub async fn activate(
        &self,
        asking: &mut PendingLogin,
        finished: &ReadyToActivate,
        ticket: &Arc<CommitGuard>,
    ) -> Result<Option<Grant>, EngineError> {
        if !self.still_enrolls(asking).await? {
            self.refused(asking, Reason::Denied, clock::now(), ticket).await?;
            return Ok(None);
        }
        let asking = &*asking;
        let asker = &asking.asker;
        let Some(found) = self.find(&asker.user).await? else {
            self.refused(asking, Reason::NotEnrolled, clock::now(), ticket).await?;
            return Ok(None);
        };
        // Of the name, and of the uid: two names of one user must not both find that he has no factor. No name
        // holds a colon.
        let _turn = self.turns.lock(found.name.as_str()).await;
        let _turn_of_uid = self.turns.lock(&format!("uid:{}", found.uid)).await;
        for _ in 0..MOST_RACES {
            let now = clock::now();
            if self.has_factor(&found, now).await? {
                self.refused(asking, Reason::Raced, now, ticket).await?;
                return Ok(None);
            }
            let ResolvedUser { name, uid } = found.clone();
            let stored = self.load(&name).await?;
            let version = stored.as_ref().map(|s| s.version);
            let mut slot = stored.and_then(|stored| self.open(stored)).map(|(account, _)| account);
            if slot.is_none() && version.is_some() {
                self.refused(asking, Reason::Raced, now, ticket).await?;
                return Ok(None);
            }
            let before = slot.clone();
            let activated = match account_of(&mut slot, &name, uid, now) {
                Ok(account) => finished.activate(account, &asker.origin, asking.remember.as_ref(), now),
                Err(AccountError::UidChanged { .. } | AccountError::Invalid(_)) => Err(Reason::Raced),
                Err(_) => return Err(EngineError::Busy),
            };
            let (verified, account) = match (activated, slot) {
                (Ok(verified), Some(account)) => (verified, account),
                (Err(reason), _) => {
                    self.refused(asking, reason, now, ticket).await?;
                    return Ok(None);
                }
                (Ok(_), None) => return Err(EngineError::Busy),
            };
            let also = withdrawals(before.as_ref(), Some(&account), now);
            let mut event = asking.event_at(now);
            event.outcome = "granted";
            event.confirmed = true;
            event.enrolled = true;
            event.totp_id = Some(verified.totp_id().to_owned());
            let event = event.with_how(verified.how());
            let sealed = Box::new(self.sealer.seal(account).map_err(|_| EngineError::Busy)?);
            let write = match version {
                Some(version) => AccountWrite::Update(sealed, version),
                None => AccountWrite::Insert(sealed),
            };
            let mut also = also;
            also.push(SideWrite::Granted(now));
            let change = ChangeSet { grows: true, also, ..ChangeSet::of(write, event.row(now)) };
            if let Some(grant) = self.grant(verified, event, change, ticket).await? {
                return Ok(Some(grant));
            }
        }
        Err(EngineError::Busy)
    }

    async fn refused(
        &self,
        asking: &PendingLogin,
        reason: Reason,
        now: Time,
        ticket: &Arc<CommitGuard>,
    ) -> Result<(), EngineError> {
        let event = Event { outcome: "refused", reason: Some(reason.as_str()), ..asking.event_at(now) };
        self.record(&event, now, ticket).await?;
        Ok(())
    }
}
