//! The steps of an enrollment inside a login, as far as they touch clock and store. Nothing is
//! stored before the last answer; [`super::kept_enrollments`] has what a later login goes on with.

use crate::audit::{EventOutcome, EventReason, Method, UnjudgedReason};
use crate::clock;
use crate::engine::AccountError;
use crate::engine::admin::account_of;
use crate::engine::attempt::{Grant, PendingLogin};
use crate::engine::enrollment_state::{
    Enrollment, FirstCodeOutcome, RecoveryCodeOutcome, Terms, login_key, repeated,
};
use crate::engine::kept_enrollments::{Activating, Now, Showings, Shown, Versions, Viewer};
use crate::engine::withdrawals::withdrawals;
use crate::engine::{Engine, EngineError, MOST_RACES};
use crate::os_random::Kernel;
use crate::store::{AccountWrite, ChangeSet, CommitGuard, OtherNames, SideWrite, SpaceUse};
use crate::user_directory::ResolvedUser;
use std::sync::Arc;
use totp_core::account::EnrollmentTicket;
use totp_core::code::Input;
use totp_core::login_enrollment::{AwaitingFirstCode, AwaitingRecoveryCode, ReadyToActivate};
use totp_core::notices::FactorChange;
use totp_core::otpauth::OtpAuth;
use totp_core::policy::FirstFactor;
use totp_core::{Account, Reason, Time};

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
        self.show_key(pending, proof, &found, None, guard).await
    }

    /// Shows a key to a user who has no factor, because of a rule or a ticket. The offer is
    /// recorded. `None`: the user has a factor.
    pub(super) async fn show_key(
        &self,
        pending: &PendingLogin,
        proof: &FirstFactor,
        found: &ResolvedUser,
        ticket: Option<EnrollmentTicket>,
        guard: &Arc<CommitGuard>,
    ) -> Result<Option<Enrollment<AwaitingFirstCode>>, EngineError> {
        let (request, totp, now) = (&pending.request, &self.config.totp, clock::now());
        let Some(versions) = self.without_factor(found, now).await? else { return Ok(None) };
        let make = || AwaitingFirstCode::new(proof, totp.params, totp.recovery_storage, now, &mut Kernel);
        let method = ticket.is_some().then_some(Method::Ticket);
        let viewer =
            login_key(request, found).map_or_else(|| Viewer::Once(found.name.clone()), Viewer::Login);
        let moment = Now { since_boot: clock::since_boot(), wall: now };
        let Ok(shown) = self.kept_enrollments.show(viewer, versions, moment, make) else {
            return Err(EngineError::Busy);
        };
        let Shown { enrolling, lease, failed_before } = shown;
        let enrollment = Enrollment { state: enrolling, terms: Terms { lease, failed_before, ticket } };
        let mut event = pending.event_at(now);
        event.outcome = EventOutcome::Offered;
        event.first_factor = Some(proof.evidence());
        event.totp_id = Some(enrollment.state.totp_id().to_owned());
        event.key_shown = repeated(enrollment.showings());
        event.method = method;
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
        let terms = enrollment.terms;
        let state = match terms.lease.answer() {
            Ok(state) => state,
            Err(end) => {
                self.refused(pending, Reason::Raced, now, guard).await?;
                return Ok(FirstCodeOutcome::Ended(end));
            }
        };
        match state.first_code(input, now, &self.rules()) {
            Ok(state) => {
                let again = state.start_again(self.config.totp.recovery_storage, &mut Kernel);
                let Ok(again) = again else { return Err(EngineError::Busy) };
                if let Err(end) = terms.lease.keep(again) {
                    self.refused(pending, Reason::Raced, now, guard).await?;
                    return Ok(FirstCodeOutcome::Ended(end));
                }
                Ok(FirstCodeOutcome::Right(Enrollment { state, terms }))
            }
            Err((state, reason)) => {
                self.refused(pending, reason, now, guard).await?;
                Ok(FirstCodeOutcome::Wrong(Enrollment { state, terms }, reason))
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
        if let Err(end) = enrollment.terms.lease.answer() {
            self.refused(pending, Reason::Raced, now, guard).await?;
            return Ok(RecoveryCodeOutcome::Ended(end));
        }
        let Enrollment { state, terms } = enrollment;
        match state.finish(input, now) {
            Ok(state) => Ok(RecoveryCodeOutcome::Right(Enrollment { state, terms })),
            Err(state) => {
                let reason =
                    input.as_ref().map_or_else(|unusable| Reason::Rejected(*unusable), |_| Reason::Wrong);
                self.refused(pending, reason, now, guard).await?;
                Ok(RecoveryCodeOutcome::Wrong(Enrollment { state, terms }))
            }
        }
    }

    /// Makes the factor the account's, and lets in. `None`: somebody else has enrolled meanwhile,
    /// a later login with the same key has answered, or an administrator has ended the enrollment.
    ///
    /// # Errors
    /// [`EngineError`]; nothing was changed then.
    pub async fn activate(
        &self,
        pending: &mut PendingLogin,
        enrollment: Enrollment<ReadyToActivate>,
        guard: &Arc<CommitGuard>,
    ) -> Result<Option<Grant>, EngineError> {
        let Enrollment { state, terms: Terms { lease, ticket, .. } } = enrollment;
        // No other login is shown the key from here on.
        let Ok(activating) = lease.activate() else {
            self.refused(pending, Reason::Raced, clock::now(), guard).await?;
            return Ok(None);
        };
        pending.event.key_shown = repeated(Some(activating.showings()));
        let taken = self.activate_taken(pending, &state, &activating, ticket.as_ref(), guard);
        let grant = Box::pin(taken).await?;
        if grant.is_some() {
            activating.succeeded();
        }
        Ok(grant)
    }

    async fn activate_taken(
        &self,
        pending: &mut PendingLogin,
        finished: &ReadyToActivate,
        activating: &Activating,
        ticket: Option<&EnrollmentTicket>,
        guard: &Arc<CommitGuard>,
    ) -> Result<Option<Grant>, EngineError> {
        let is_allowed = match ticket {
            None => self.still_enrolls(pending).await?,
            Some(_) => self.still_takes_tickets(pending).await?,
        };
        if !is_allowed {
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
            // An administrator who revokes waits for the lock, and then revokes what this makes.
            let is_ended = activating.check().is_err();
            let Some(versions) = self.without_factor(&found, now).await?.filter(|_| !is_ended) else {
                self.refused(pending, Reason::Raced, now, guard).await?;
                return Ok(None);
            };
            let ResolvedUser { name, uid } = found.clone();
            let stored = self.load(&name).await?;
            let version = stored.as_ref().map(|s| s.version);
            let mut slot = stored.and_then(|stored| self.open(stored)).map(|(account, _)| account);
            if slot.is_none() && version.is_some() {
                self.refused(pending, Reason::Raced, now, guard).await?;
                return Ok(None);
            }
            let before = slot.clone();
            // Used, replaced, revoked or expired since it was typed.
            if let Some(ticket) = ticket
                && (before.as_ref().and_then(|account| account.ticket.as_ref()) != Some(ticket)
                    || now >= ticket.expires)
            {
                self.refused(pending, UnjudgedReason::BadTicket, now, guard).await?;
                return Ok(None);
            }
            let activated = match account_of(&mut slot, &name, uid, now) {
                Ok(account) => finished.activate(account, &request.origin, pending.remember.as_ref(), now),
                Err(AccountError::UidChanged { .. } | AccountError::EnrolledByApplication { .. }) => {
                    Err(Reason::Raced)
                }
                Err(_) => return Err(EngineError::Busy),
            };
            let (verified, mut account) = match (activated, slot) {
                (Ok(verified), Some(account)) => (verified, account),
                (Err(reason), _) => {
                    self.refused(pending, reason, now, guard).await?;
                    return Ok(None);
                }
                (Ok(_), None) => return Err(EngineError::Busy),
            };
            note_showings(&mut account, activating.showings(), &request.from.to_phrase());
            let mut side_writes = withdrawals(before.as_ref(), Some(&account), now);
            side_writes.push(other_names(&account, uid, versions));
            let mut event = pending.event_at(now);
            event.outcome = EventOutcome::Granted;
            event.confirmed = true;
            event.enrolled = true;
            event.totp_id = Some(verified.totp_id().to_owned());
            let event = event.with_how(verified.how());
            let sealed =
                Box::new(self.sealer.seal(account, version.unwrap_or(0) + 1).map_err(|_| EngineError::Busy)?);
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
        reason: impl Into<EventReason>,
        now: Time,
        guard: &Arc<CommitGuard>,
    ) -> Result<(), EngineError> {
        let event = pending.event_at(now).refused(reason);
        self.record(&event, now, guard).await?;
        Ok(())
    }
}

/// The user's other names have no factor: a daemon of another host may give one of them one.
fn other_names(account: &Account, uid: u32, mut versions: Versions) -> SideWrite {
    versions.retain(|(id, _)| *id != account.id);
    SideWrite::ExpectOtherNames(OtherNames { uid, account: account.id.clone(), versions })
}

/// Tells the user at later logins when a key was shown to several ones. The screen of the last
/// answer tells it too, but the person who reads that may not be the user.
fn note_showings(account: &mut Account, showings: Showings, from: &str) {
    let Showings { count, first, previous, latest } = showings;
    if showings.is_repeated() {
        let shown = FactorChange::KeyShown { count, first, previous };
        account.notices.record_change(shown, latest, from);
    }
}
