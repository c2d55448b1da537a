//! The steps of an enrollment inside a login, as far as they touch clock and store. Nothing is
//! stored before the last answer; [`super::kept_enrollments`] has what a later login goes on with.

use crate::audit::EventOutcome;
use crate::clock;
use crate::engine::AccountError;
use crate::engine::admin::account_of;
use crate::engine::attempt::{Grant, LoginRequest, PendingLogin};
use crate::engine::kept_enrollments::{Lease, Login, Now, Showings, Shown, Versions};
use crate::engine::withdrawals::withdrawals;
use crate::engine::{Engine, EngineError, MOST_RACES};
use crate::os_random::Kernel;
use crate::store::{AccountWrite, ChangeSet, CommitGuard, SideWrite, SpaceUse};
use crate::user_directory::ResolvedUser;
use std::sync::Arc;
use std::time::Duration;
use totp_core::judge::Input;
use totp_core::login_enrollment::{AwaitingFirstCode, AwaitingRecoveryCode, ReadyToActivate};
use totp_core::otpauth::OtpAuth;
use totp_core::policy::{FirstFactor, Peer, RemoteHost};
use totp_core::recovery::RecoveryCode;
use totp_core::remembered::RememberKey;
use totp_core::{Reason, Time};

/// An enrollment inside a login that waits for an answer.
#[derive(Debug)]
pub struct Enrollment<S> {
    state: S,
    /// `None`: a later login is shown another key.
    lease: Option<Lease>,
    /// The login before this one was shown the same key, and used up its wrong answers.
    failed_before: bool,
}

/// What came of a first code.
#[derive(Debug)]
pub enum FirstCodeOutcome {
    /// It is the code of the new factor.
    Right(Enrollment<AwaitingRecoveryCode>),
    /// It is not, and that is recorded with this reason.
    Wrong(Enrollment<AwaitingFirstCode>, Reason),
    /// A later login was shown the same key, and only that one can finish. That is recorded.
    TakenOver,
}

/// What came of a recovery code.
#[derive(Debug)]
pub enum RecoveryCodeOutcome {
    /// It is one of those that were shown.
    Right(Enrollment<ReadyToActivate>),
    /// It is not, and that is recorded.
    Wrong(Enrollment<AwaitingRecoveryCode>),
    /// As [`FirstCodeOutcome::TakenOver`].
    TakenOver,
}

impl<S> Enrollment<S> {
    /// How often the key was shown, if a later login can be shown it again.
    pub fn showings(&self) -> Option<Showings> {
        self.lease.as_ref().map(Lease::showings)
    }

    /// Whether the login before this one was shown the same key, and used up its wrong answers.
    pub const fn failed_before(&self) -> bool {
        self.failed_before
    }

    /// For how long a later login from the same address with the same SSH key is shown the same
    /// key. `None`: it is shown another one.
    pub fn kept_for(&self) -> Option<Duration> {
        self.lease.as_ref().map(|lease| lease.time_left(clock::since_boot()))
    }

    /// Notes that this login has used up its wrong answers.
    pub fn note_failed(&self) {
        if let Some(lease) = &self.lease {
            lease.note_failed();
        }
    }

    fn is_taken_over(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.check().is_err())
    }
}

impl Enrollment<AwaitingRecoveryCode> {
    /// Returns the recovery codes, to be shown once.
    pub fn recovery_codes(&self) -> &[RecoveryCode] {
        self.state.recovery_codes()
    }
}

/// By what a login is told that continues an interrupted one. Both address and SSH key are needed:
/// somebody who knows a password must not be shown the key of its owner. What anybody but root's
/// programs says of address and key proves nothing.
fn login_key(request: &LoginRequest, found: &ResolvedUser) -> Option<Login> {
    let facts = &request.facts;
    let RemoteHost::Address(address) = facts.rhost else { return None };
    if facts.peer != Peer::Root || facts.caller.is_some() || request.user != facts.user {
        return None;
    }
    let keys: Vec<&str> = facts.ssh.iter().filter_map(|auth| auth.fingerprint.as_deref()).collect();
    let service = facts.service.as_deref()?;
    let key = RememberKey::ssh_key(found.uid, service, &address.to_canonical().to_string(), &keys)?;
    Some(Login { user: found.name.clone(), key })
}

impl Engine {
    /// The versions of the user's records, under this name or another one of the same uid, if none
    /// of them has a factor.
    async fn without_factor(&self, found: &ResolvedUser, now: Time) -> Result<Option<Versions>, EngineError> {
        let mut records = self.store.accounts_of_uid(found.uid).await?;
        records.extend(self.load(&found.name).await?);
        let mut versions = Versions::new();
        for mut stored in records {
            stored.account.expire_pending(now);
            if stored.damaged || stored.account.has_factor() {
                return Ok(None);
            }
            versions.push((stored.account.id, stored.version));
        }
        versions.sort_unstable();
        versions.dedup();
        Ok(Some(versions))
    }

    /// Offers a factor to a user who has none, has passed the first one, and can be shown lines.
    /// The offer is recorded.
    pub(super) async fn offer(
        &self,
        pending: &PendingLogin,
        proof: &FirstFactor,
        guard: &Arc<CommitGuard>,
    ) -> Result<Option<Enrollment<AwaitingFirstCode>>, EngineError> {
        let request = &pending.request;
        let now = clock::now();
        let totp = &self.config.totp;
        let found = self.find(&request.user).await?;
        let shows = request.converses && self.shows_secrets(request);
        let Some(found) = found.filter(|_| shows && self.rules().trusts(now, totp.params)) else {
            return Ok(None);
        };
        let Some(versions) = self.without_factor(&found, now).await? else { return Ok(None) };
        let make = || AwaitingFirstCode::new(proof, totp.params, totp.recovery_storage, now, &mut Kernel);
        let enrollment = match login_key(request, &found) {
            Some(login) => {
                let moment = Now { since_boot: clock::since_boot(), wall: now };
                self.kept_enrollments.show(login, versions, moment, make).map(
                    |Shown { enrolling, lease, failed_before }| Enrollment {
                        state: enrolling,
                        lease: Some(lease),
                        failed_before,
                    },
                )
            }
            None => make().map(|state| Enrollment { state, lease: None, failed_before: false }),
        };
        let Ok(enrollment) = enrollment else { return Err(EngineError::Busy) };
        let mut event = pending.event_at(now);
        event.outcome = EventOutcome::Offered;
        event.first_factor = Some(proof.evidence());
        event.totp_id = Some(enrollment.state.totp_id().to_owned());
        event.key_shown = repeated(enrollment.showings());
        self.record(&event, now, guard).await?;
        Ok(Some(enrollment))
    }

    /// What the phone is told.
    pub fn otpauth(&self, pending: &PendingLogin, enrollment: &Enrollment<AwaitingFirstCode>) -> OtpAuth {
        OtpAuth {
            issuer: self.config.issuer(),
            account: pending.request.user.clone(),
            secret: enrollment.state.secret().clone(),
            params: enrollment.state.params(),
        }
    }

    /// Takes the first code of the phone.
    ///
    /// # Errors
    /// [`EngineError`] when that cannot be recorded.
    pub async fn first_code(
        &self,
        pending: &PendingLogin,
        enrollment: Enrollment<AwaitingFirstCode>,
        input: &Input,
        guard: &Arc<CommitGuard>,
    ) -> Result<FirstCodeOutcome, EngineError> {
        let now = clock::now();
        if enrollment.is_taken_over() {
            self.refused(pending, Reason::Raced, now, guard).await?;
            return Ok(FirstCodeOutcome::TakenOver);
        }
        let Enrollment { state, lease, failed_before } = enrollment;
        match state.first_code(input, now, &self.rules()) {
            Ok(state) => {
                if lease.as_ref().is_some_and(|lease| lease.keep(state.start_again()).is_err()) {
                    self.refused(pending, Reason::Raced, now, guard).await?;
                    return Ok(FirstCodeOutcome::TakenOver);
                }
                Ok(FirstCodeOutcome::Right(Enrollment { state, lease, failed_before }))
            }
            Err((state, reason)) => {
                self.refused(pending, reason, now, guard).await?;
                Ok(FirstCodeOutcome::Wrong(Enrollment { state, lease, failed_before }, reason))
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
        enrollment: Enrollment<AwaitingRecoveryCode>,
        input: &Input,
        guard: &Arc<CommitGuard>,
    ) -> Result<RecoveryCodeOutcome, EngineError> {
        let now = clock::now();
        if enrollment.is_taken_over() {
            self.refused(pending, Reason::Raced, now, guard).await?;
            return Ok(RecoveryCodeOutcome::TakenOver);
        }
        let Enrollment { state, lease, failed_before } = enrollment;
        match state.finish(input, now) {
            Ok(state) => Ok(RecoveryCodeOutcome::Right(Enrollment { state, lease, failed_before })),
            Err(state) => {
                let reason =
                    input.as_ref().map_or_else(|unusable| Reason::Rejected(*unusable), |_| Reason::Wrong);
                self.refused(pending, reason, now, guard).await?;
                Ok(RecoveryCodeOutcome::Wrong(Enrollment { state, lease, failed_before }))
            }
        }
    }

    /// Makes the factor the account's, and lets in. `None`: somebody else has enrolled meanwhile,
    /// or a later login was shown the same key.
    ///
    /// # Errors
    /// [`EngineError`]; nothing was changed then.
    pub async fn activate(
        &self,
        pending: &mut PendingLogin,
        enrollment: Enrollment<ReadyToActivate>,
        guard: &Arc<CommitGuard>,
    ) -> Result<Option<Grant>, EngineError> {
        let shown = repeated(enrollment.showings());
        let Enrollment { state, lease, .. } = enrollment;
        // No other login is shown the key from here on.
        let Ok(activating) = lease.map(Lease::activate).transpose() else {
            self.refused(pending, Reason::Raced, clock::now(), guard).await?;
            return Ok(None);
        };
        pending.event.key_shown = shown;
        let grant = Box::pin(self.activate_taken(pending, &state, guard)).await?;
        if grant.is_some()
            && let Some(activating) = activating
        {
            activating.succeeded();
        }
        Ok(grant)
    }

    async fn activate_taken(
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
            if self.without_factor(&found, now).await?.is_none() {
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

/// How often the key was shown, for the audit; `None` for once.
fn repeated(showings: Option<Showings>) -> Option<u32> {
    showings.filter(Showings::is_repeated).map(|showings| showings.count)
}
