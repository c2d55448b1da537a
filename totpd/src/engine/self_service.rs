//! What users do for themselves.
//!
//! A change of a factor in use takes a ticket of an administrator, or a code now and a delay in
//! which the user is told: malware that runs as the user may have one code
//! ([`super::change_permit`]).

use super::admin::{Enrolled, account_of, renew, stage, stage_replacement};
use super::change_permit::{EnrollmentProof, Permit, Permitted, Recorded, WantedChange};
use super::error::{AccountError, SelfServiceError};
use crate::audit::{Event, EventKind, EventOutcome, EventSource};
use crate::config::SelfEnroll;
use crate::engine::Engine;
use crate::store::{CommitGuard, SideWrite, SpaceUse};
use std::sync::Arc;
use totp_core::authenticator::{AuthenticatorName, Placement};
use totp_core::new_factor::NewFactor;
use totp_core::notices;
use totp_core::recovery::RecoveryCode;
use totp_core::self_service::{ChangeKind, StagedChange};
use totp_core::{Account, Time, UserName};

/// What came of a change.
#[derive(Debug)]
pub enum SelfChange<T> {
    /// It is done.
    Done(T),
    /// It waits until it is ripe.
    Staged(StagedChange),
}

/// The user who asks, and the process that does.
#[derive(Clone, Copy, Debug)]
pub struct Oneself<'a> {
    /// The login name.
    pub user: &'a UserName,
    /// The uid of the process.
    pub uid: u32,
    /// Where it comes from.
    pub from: &'a EventSource,
}

/// What came of a change that took a proof. A refused proof is stored as well: it counts.
enum Judged<T> {
    Allowed(T),
    Refused,
}

impl<T> Judged<T> {
    fn allowed(self) -> Result<T, SelfServiceError> {
        match self {
            Self::Allowed(done) => Ok(done),
            Self::Refused => Err(SelfServiceError::Refused),
        }
    }
}

/// What came of a change, its event, and what is stored with it.
type Stored<T> = (Judged<T>, Event, Vec<SideWrite>);

fn refused<T>(event: Event) -> Stored<T> {
    (Judged::Refused, event, Vec::new())
}

impl Engine {
    /// Stages a factor for the user.
    ///
    /// # Errors
    /// [`SelfServiceError`]; nothing was changed then, except that a wrong code counts.
    pub async fn enroll_self(
        &self,
        who: Oneself<'_>,
        proof: EnrollmentProof<'_>,
        new: NewFactor,
        guard: &Arc<CommitGuard>,
    ) -> Result<Enrolled, SelfServiceError> {
        if self.config.self_enroll == SelfEnroll::Off {
            return Err(SelfServiceError::Off);
        }
        let staged = self.change_with(who.user, SpaceUse::Growing, guard, |slot, now| {
            let event = Event::new(EventKind::Enroll, who.user.as_str(), now, who.from.clone());
            let in_use = slot
                .as_mut()
                .filter(|account| account.belongs_to_uid(Some(who.uid)) && account.active.is_some());
            match in_use {
                Some(account) => self.replace_factor(account, who, proof, &new, event, now),
                None => self.enroll_first(slot, who, proof, &new, event, now),
            }
        });
        staged.await?.allowed()
    }

    /// Stages a factor that replaces the one in use.
    fn replace_factor(
        &self,
        account: &mut Account,
        who: Oneself<'_>,
        proof: EnrollmentProof<'_>,
        new: &NewFactor,
        event: Event,
        now: Time,
    ) -> Result<Stored<Enrolled>, SelfServiceError> {
        account.expire_pending(now);
        let issuer = self.config.issuer();
        let (kind, name) = match &new.placement {
            Placement::Add(_) => (ChangeKind::Add, None),
            Placement::Replace(name) => (ChangeKind::Replace, name.as_ref()),
        };
        // Before a code is judged: what has no place uses up none.
        account.check_place(new).map_err(|why| AccountError::no_place(account, why))?;
        let change = WantedChange { kind, name, lifetime: new.lifetime };
        let permit = self.permit(account, proof, change, event, now)?;
        let (permit, Recorded { mut event, side_writes }) = match permit {
            Permitted::Granted(permit, recorded) => (permit, *recorded),
            Permitted::Refused(event) => return Ok(refused(*event)),
        };
        let (mut enrolled, totp_id) = match permit {
            Permit::AtOnce => {
                // Nothing staged is fine as well.
                let _ = account.remove_staged();
                account.notices.record_change(notices::FactorChange::Ticket, now, &who.from.to_phrase());
                stage(account, new, &issuer, now)?
            }
            Permit::AfterDelay(change) => {
                event.outcome = EventOutcome::Staged;
                stage_replacement(account, new, change, &issuer, now)?
            }
        };
        enrolled.recovery_codes_left = event.recovery_codes_left;
        event.totp_id = Some(totp_id);
        Ok((Judged::Allowed(enrolled), event, side_writes))
    }

    /// Stages the first factor of a user who has none in use.
    fn enroll_first(
        &self,
        slot: &mut Option<Account>,
        who: Oneself<'_>,
        proof: EnrollmentProof<'_>,
        new: &NewFactor,
        event: Event,
        now: Time,
    ) -> Result<Stored<Enrolled>, SelfServiceError> {
        let mut event = match proof.ticket {
            Some(ticket) => match self.redeem(slot, who.uid, ticket, event, now) {
                Ok(event) => event,
                Err(event) => return Ok(refused(*event)),
            },
            None if self.config.self_enroll == SelfEnroll::Open => event,
            None => return Err(SelfServiceError::TicketNeeded),
        };
        let account = account_of(slot, who.user, who.uid, now)?;
        let (enrolled, totp_id) = stage(account, new, &self.config.issuer(), now)?;
        event.totp_id = Some(totp_id);
        Ok((Judged::Allowed(enrolled), event, Vec::new()))
    }

    /// Replaces the recovery codes of the user's factor, or stages that.
    ///
    /// # Errors
    /// As [`Engine::enroll_self`].
    pub async fn recovery_codes_self(
        &self,
        who: Oneself<'_>,
        proof: EnrollmentProof<'_>,
        guard: &Arc<CommitGuard>,
    ) -> Result<SelfChange<Vec<RecoveryCode>>, SelfServiceError> {
        let lifetime = self.config.totp.pending;
        let change = WantedChange { kind: ChangeKind::RecoveryCodes, name: None, lifetime };
        let changed = self.change_with(who.user, SpaceUse::Growing, guard, |slot, now| {
            self.change_in_use(slot, who, proof, change, now, |account| {
                account.notices.record_change(
                    notices::FactorChange::RecoveryCodes,
                    now,
                    &who.from.to_phrase(),
                );
                renew(account, self.config.totp.recovery_storage)
            })
        });
        changed.await?.allowed()
    }

    /// Forgets the user's authenticator of this name, without a name the only one, or stages that.
    ///
    /// # Errors
    /// As [`Engine::enroll_self`].
    pub async fn revoke_self(
        &self,
        who: Oneself<'_>,
        proof: EnrollmentProof<'_>,
        name: Option<&AuthenticatorName>,
        guard: &Arc<CommitGuard>,
    ) -> Result<SelfChange<bool>, SelfServiceError> {
        let change = WantedChange { kind: ChangeKind::Remove, name, lifetime: self.config.totp.pending };
        let changed = self.change_with(who.user, SpaceUse::Essential, guard, |slot, now| {
            let (revoked, event, mut side_writes) =
                self.change_in_use(slot, who, proof, change, now, |account| revoke_one(account, name))?;
            // As when an administrator revokes: the sessions of applications end with the
            // factor.
            let ended = slot.as_ref().filter(|_| matches!(revoked, Judged::Allowed(SelfChange::Done(_))));
            side_writes.extend(ended.map(|account| SideWrite::DeleteSessionsOf(account.id.clone())));
            Ok::<_, SelfServiceError>((revoked, event, side_writes))
        });
        changed.await?.allowed()
    }

    /// Ends what the user has staged. A lock does not stand in the way: anyone who staged it could
    /// otherwise keep the user's own class locked until it is ripe. All that can be guessed here is
    /// that nothing changes, and it uses up one code.
    ///
    /// # Errors
    /// As [`Engine::enroll_self`].
    pub async fn cancel_self(
        &self,
        who: Oneself<'_>,
        code: &str,
        guard: &Arc<CommitGuard>,
    ) -> Result<StagedChange, SelfServiceError> {
        let Oneself { user, uid, from } = who;
        let cancelled = self.change_with(user, SpaceUse::Essential, guard, |slot, now| {
            let account = in_use(slot, uid, now)?;
            if account.staged().is_none() {
                return Err(SelfServiceError::NothingStaged);
            }
            let event = Event::new(EventKind::Cancel, user.as_str(), now, from.clone());
            let lock = std::mem::take(&mut account.lock_state);
            let proved = self.prove(account, code, event, now);
            account.lock_state = lock;
            Ok(match proved {
                Ok(Recorded { event, side_writes }) => {
                    let cancelled = account.cancel(now, &from.to_phrase());
                    let cancelled = cancelled.map_err(|why| SelfServiceError::of_change(account, why))?;
                    (Judged::Allowed(cancelled), event, side_writes)
                }
                Err(event) => refused(*event),
            })
        });
        cancelled.await?.allowed()
    }

    /// Does `then` to the factor in use, or stages it.
    fn change_in_use<T>(
        &self,
        slot: &mut Option<Account>,
        who: Oneself<'_>,
        proof: EnrollmentProof<'_>,
        change: WantedChange<'_>,
        now: Time,
        then: impl Fn(&mut Account) -> Result<T, AccountError>,
    ) -> Result<Stored<SelfChange<T>>, SelfServiceError> {
        let event_kind = match change.kind {
            ChangeKind::Replace | ChangeKind::Add => EventKind::Enroll,
            ChangeKind::Remove => EventKind::Revoke,
            ChangeKind::RecoveryCodes => EventKind::RecoveryCodes,
        };
        let event = Event::new(event_kind, who.user.as_str(), now, who.from.clone());
        let account = in_use(slot, who.uid, now)?;
        // Before a code is judged: a name that no authenticator has uses up none.
        if change.kind == ChangeKind::Remove {
            account.find_authenticator(change.name).map_err(|why| AccountError::no_place(account, why))?;
        }
        match self.permit(account, proof, change, event, now)? {
            Permitted::Granted(Permit::AtOnce, recorded) => {
                let Recorded { event, side_writes } = *recorded;
                if account.staged().is_some_and(|staged| staged.kind == change.kind) {
                    let _ = account.remove_staged();
                }
                Ok((Judged::Allowed(SelfChange::Done(then(account)?)), event, side_writes))
            }
            Permitted::Granted(Permit::AfterDelay(staged), recorded) => {
                let Recorded { event, side_writes } = *recorded;
                account.stage_change(staged.clone(), change.name);
                let event = Event { outcome: EventOutcome::Staged, ..event };
                Ok((Judged::Allowed(SelfChange::Staged(staged)), event, side_writes))
            }
            Permitted::Refused(event) => Ok(refused(*event)),
        }
    }
}

/// Deletes the authenticator of this name, or the only one with the ticket.
pub(super) fn revoke_one(
    account: &mut Account,
    name: Option<&AuthenticatorName>,
) -> Result<bool, AccountError> {
    let found = account.find_authenticator(name).map_err(|why| AccountError::no_place(account, why))?;
    let id = found.map(|factor| factor.id.clone());
    match id.filter(|_| !account.added.is_empty()) {
        Some(id) => Ok(account.remove_authenticator(&id)),
        None => Ok(account.revoke()),
    }
}

/// The account of the user who has the uid, with a factor in use.
fn in_use(slot: &mut Option<Account>, uid: u32, now: Time) -> Result<&mut Account, AccountError> {
    let account = slot.as_mut().ok_or(AccountError::NotEnrolled)?;
    if !account.belongs_to_uid(Some(uid)) {
        return Err(AccountError::of_another(account, uid));
    }
    account.expire_pending(now);
    if account.active.is_none() { Err(AccountError::NotEnrolled) } else { Ok(account) }
}
