//! The steps of an enrollment inside a login, as far as they touch clock and store. Nothing is
//! stored before the last answer.

use crate::audit::EventOutcome;
use crate::clock;
use crate::engine::AccountError;
use crate::engine::admin::account_of;
use crate::engine::attempt::{Grant, PendingLogin};
use crate::engine::withdrawals::withdrawals;
use crate::engine::{Engine, EngineError, MOST_RACES};
use crate::os_random::Kernel;
use crate::store::{AccountWrite, ChangeSet, CommitGuard, SideWrite, SpaceUse};
use crate::user_directory::ResolvedUser;
use std::sync::Arc;
use totp_core::judge::Input;
use totp_core::login_enrollment::{AwaitingFirstCode, AwaitingRecoveryCode, ReadyToActivate};
use totp_core::otpauth::OtpAuth;
use totp_core::policy::FirstFactor;
use totp_core::{Reason, Time};

/// What came of a first code.
#[derive(Debug)]
pub enum FirstCodeOutcome {
    /// It is the code of the new factor.
    Right(AwaitingRecoveryCode),
    /// It is not, and that is recorded.
    Wrong(AwaitingFirstCode),
}

/// What came of a recovery code.
#[derive(Debug)]
pub enum RecoveryCodeOutcome {
    /// It is one of those that were shown.
    Right(ReadyToActivate),
    /// It is not, and that is recorded.
    Wrong(AwaitingRecoveryCode),
}

impl Engine {
    /// Whether the user has a factor, under this name or another one of the same uid.
    async fn has_factor(&self, found: &ResolvedUser, now: Time) -> Result<bool, EngineError> {
        let mut records = self.store.accounts_of_uid(found.uid).await?;
        records.extend(self.load(&found.name).await?);
        Ok(records.into_iter().any(|mut stored| {
            stored.account.expire_pending(now);
            stored.damaged || stored.account.active.is_some() || stored.account.pending.is_some()
        }))
    }

    /// Offers a factor to a user who has none, has passed the first one, and can be shown lines.
    /// The offer is recorded.
    pub(super) async fn offer(
        &self,
        pending: &PendingLogin,
        proof: &FirstFactor,
        guard: &Arc<CommitGuard>,
    ) -> Result<Option<AwaitingFirstCode>, EngineError> {
        let request = &pending.request;
        let now = clock::now();
        let totp = &self.config.totp;
        let found = self.find(&request.user).await?;
        let shows = request.converses && self.shows_secrets(request);
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
        let mut event = pending.event_at(now);
        event.outcome = EventOutcome::Offered;
        event.first_factor = Some(proof.evidence());
        self.record(&event, now, guard).await?;
        Ok(Some(enrolling))
    }

    /// What the phone is told.
    pub fn otpauth(&self, pending: &PendingLogin, enrolling: &AwaitingFirstCode) -> OtpAuth {
        OtpAuth {
            issuer: self.config.issuer(),
            account: pending.request.user.clone(),
            secret: enrolling.secret().clone(),
            params: enrolling.params(),
        }
    }

    /// Takes the first code of the phone.
    ///
    /// # Errors
    /// [`EngineError`] when that cannot be recorded.
    pub async fn first_code(
        &self,
        pending: &PendingLogin,
        enrolling: AwaitingFirstCode,
        input: &Input,
        guard: &Arc<CommitGuard>,
    ) -> Result<FirstCodeOutcome, EngineError> {
        let now = clock::now();
        match enrolling.first_code(input, now, &self.rules()) {
            Ok(next) => Ok(FirstCodeOutcome::Right(next)),
            Err((again, reason)) => {
                self.refused(pending, reason, now, guard).await?;
                Ok(FirstCodeOutcome::Wrong(again))
            }
        }
    }

    /// Takes one of the recovery codes.
    ///
    /// # Errors
    /// [`EngineError`] when that cannot be recorded.
    pub async fn finish(
        &self,
        pending: &PendingLogin,
        awaiting: AwaitingRecoveryCode,
        input: &Input,
        guard: &Arc<CommitGuard>,
    ) -> Result<RecoveryCodeOutcome, EngineError> {
        let now = clock::now();
        match awaiting.finish(input, now) {
            Ok(ready) => Ok(RecoveryCodeOutcome::Right(ready)),
            Err(again) => {
                let reason =
                    input.as_ref().map_or_else(|unusable| Reason::Rejected(*unusable), |_| Reason::Wrong);
                self.refused(pending, reason, now, guard).await?;
                Ok(RecoveryCodeOutcome::Wrong(again))
            }
        }
    }

    /// Makes the factor the account's, and lets in. `None`: somebody else has enrolled meanwhile.
    ///
    /// # Errors
    /// [`EngineError`]; nothing was changed then.
    pub async fn activate(
        &self,
        pending: &mut PendingLogin,
        finished: &ReadyToActivate,
        guard: &Arc<CommitGuard>,
    ) -> Result<Option<Grant>, EngineError> {
        if !self.still_enrolls(pending).await? {
            self.refused(pending, Reason::Denied, clock::now(), guard).await?;
            return Ok(None);
        }
        let pending = &*pending;
        let request = &pending.request;
        let Some(found) = self.find(&request.user).await? else {
            self.refused(pending, Reason::NotEnrolled, clock::now(), guard).await?;
            return Ok(None);
        };
        // Of the name, and of the uid: two names of one user must not both find that the user has
        // no factor. No name holds a colon.
        let _lock = self.user_locks.lock(found.name.as_str()).await;
        let _uid_lock = self.user_locks.lock(&format!("uid:{}", found.uid)).await;
        for _ in 0..MOST_RACES {
            let now = clock::now();
            if self.has_factor(&found, now).await? {
                self.refused(pending, Reason::Raced, now, guard).await?;
                return Ok(None);
            }
            let ResolvedUser { name, uid } = found.clone();
            let stored = self.load(&name).await?;
            let version = stored.as_ref().map(|s| s.version);
            let mut slot = stored.and_then(|stored| self.open(stored)).map(|(account, _)| account);
            if slot.is_none() && version.is_some() {
                self.refused(pending, Reason::Raced, now, guard).await?;
                return Ok(None);
            }
            let before = slot.clone();
            let activated = match account_of(&mut slot, &name, uid, now) {
                Ok(account) => finished.activate(account, &request.origin, pending.remember.as_ref(), now),
                Err(AccountError::UidChanged { .. } | AccountError::EnrolledByApplication { .. }) => {
                    Err(Reason::Raced)
                }
                Err(_) => return Err(EngineError::Busy),
            };
            let (verified, account) = match (activated, slot) {
                (Ok(verified), Some(account)) => (verified, account),
                (Err(reason), _) => {
                    self.refused(pending, reason, now, guard).await?;
                    return Ok(None);
                }
                (Ok(_), None) => return Err(EngineError::Busy),
            };
            let mut side_writes = withdrawals(before.as_ref(), Some(&account), now);
            let mut event = pending.event_at(now);
            event.outcome = EventOutcome::Granted;
            event.confirmed = true;
            event.enrolled = true;
            event.totp_id = Some(verified.totp_id().to_owned());
            let event = event.with_how(verified.how());
            let sealed = Box::new(self.sealer.seal(account).map_err(|_| EngineError::Busy)?);
            let write = match version {
                Some(version) => AccountWrite::Update(sealed, version),
                None => AccountWrite::Insert(sealed),
            };
            side_writes.push(SideWrite::RecordGrant(now));
            let change =
                ChangeSet { space: SpaceUse::Growing, side_writes, ..ChangeSet::new(write, event.row(now)) };
            if let Some(grant) = self.grant(verified, event, change, guard).await? {
                return Ok(Some(grant));
            }
        }
        Err(EngineError::Busy)
    }

    async fn refused(
        &self,
        pending: &PendingLogin,
        reason: Reason,
        now: Time,
        guard: &Arc<CommitGuard>,
    ) -> Result<(), EngineError> {
        let event = pending.event_at(now).refused(reason);
        self.record(&event, now, guard).await?;
        Ok(())
    }
}
