//! What a user shows to change the factor in use, and what that permits.
//!
//! ```text
//! a ticket of an administrator (and a code, unless the phone is lost) ─▶ at once
//! a code, and nothing is staged                                      ─▶ after the delay
//! a code, and the same change is staged and ripe                     ─▶ at once
//! ```

use super::Engine;
use super::error::SelfServiceError;
use crate::audit::{Event, EventReason, Method, UnjudgedReason};
use crate::store::SideWrite;
use totp_core::authenticator::AuthenticatorName;
use totp_core::self_service::{ChangeKind, NextStep, StagedChange};
use totp_core::{Account, Attempt, Origin, Outcome, Time, Typed, judge};

/// What a user shows to be allowed a change.
#[derive(Clone, Copy, Debug, Default)]
pub struct EnrollmentProof<'a> {
    /// A code of the factor in use, or a recovery code.
    pub code: Option<&'a str>,
    /// A ticket of an administrator.
    pub ticket: Option<&'a str>,
}

/// A change that a user asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct WantedChange<'a> {
    /// The kind of change.
    pub(super) kind: ChangeKind,
    /// The name of the authenticator that it concerns, where the user said one.
    pub(super) name: Option<&'a AuthenticatorName>,
    /// Seconds that a ripe change waits to be carried out.
    pub(super) lifetime: u64,
}

impl WantedChange<'_> {
    /// Whether it is about the active factor with this id. Recovery codes belong to all of them.
    fn concerns(&self, account: &Account, totp_id: Option<&str>) -> bool {
        match self.kind {
            ChangeKind::RecoveryCodes => true,
            ChangeKind::Add => false,
            ChangeKind::Replace | ChangeKind::Remove => {
                let found = account.find_authenticator(self.name).ok().flatten();
                found.is_some_and(|factor| Some(factor.id.as_str()) == totp_id)
            }
        }
    }
}

/// A proof that was accepted: its event, and what is stored with it.
pub(super) struct Recorded {
    pub(super) event: Event,
    pub(super) side_writes: Vec<SideWrite>,
}

/// When a change may be made.
pub(super) enum Permit {
    /// Now.
    AtOnce,
    /// When what is staged is ripe.
    AfterDelay(StagedChange),
}

/// Whether a change may be made.
pub(super) enum Permitted {
    /// It may.
    Granted(Permit, Box<Recorded>),
    /// Ticket or code were refused; the event says why.
    Refused(Box<Event>),
}

impl Engine {
    /// Whether the user may change the factor in use. What cannot be staged uses up no code.
    ///
    /// # Errors
    /// [`SelfServiceError`] when nothing was judged.
    pub(super) fn permit(
        &self,
        account: &mut Account,
        proof: EnrollmentProof<'_>,
        change: WantedChange<'_>,
        event: Event,
        now: Time,
    ) -> Result<Permitted, SelfServiceError> {
        if let Some(ticket) = proof.ticket {
            return self.permit_by_ticket(account, ticket, proof.code, change, event, now);
        }
        let from = event.from.to_phrase();
        let code = proof.code.ok_or(SelfServiceError::CodeNeeded)?;
        let WantedChange { kind, name, lifetime } = change;
        let step = account.next_step(kind, name, now);
        let step = step.map_err(|why| SelfServiceError::of_change(account, why))?;
        let recorded = match self.prove(account, code, event, now) {
            Ok(recorded) => recorded,
            Err(event) => return Ok(Permitted::Refused(event)),
        };
        let delay = self.config.self_change_delay;
        let permit = match step {
            NextStep::CarryOut => Permit::AtOnce,
            NextStep::Stage => Permit::AfterDelay(StagedChange::new(kind, now, delay, lifetime, &from)),
        };
        Ok(Permitted::Granted(permit, Box::new(recorded)))
    }

    /// A ticket permits at once; it takes a code as well, unless the change concerns the phone that
    /// the administrator said is lost.
    fn permit_by_ticket(
        &self,
        account: &mut Account,
        ticket: &str,
        code: Option<&str>,
        change: WantedChange<'_>,
        event: Event,
        now: Time,
    ) -> Result<Permitted, SelfServiceError> {
        if !self.is_ticket_of(account, ticket, now) {
            return Ok(Permitted::Refused(refused(event, UnjudgedReason::BadTicket)));
        }
        let lost = account.ticket.as_ref().filter(|ticket| ticket.lost);
        let lost = lost.is_some_and(|ticket| change.concerns(account, ticket.totp_id.as_deref()));
        let mut recorded = match code {
            None if lost => Recorded { event, side_writes: Vec::new() },
            None => return Err(SelfServiceError::CodeNeeded),
            Some(code) => match self.prove(account, code, event, now) {
                Ok(recorded) => recorded,
                Err(event) => return Ok(Permitted::Refused(event)),
            },
        };
        account.ticket = None;
        recorded.event.method = Some(Method::Ticket);
        Ok(Permitted::Granted(Permit::AtOnce, Box::new(recorded)))
    }

    /// Judges `code` as a login of the user's own process would be. A pending factor proves nothing
    /// here.
    ///
    /// # Errors
    /// The event of the refusal.
    pub(super) fn prove(
        &self,
        account: &mut Account,
        code: &str,
        mut event: Event,
        now: Time,
    ) -> Result<Recorded, Box<Event>> {
        let pending = account.pending.take();
        let attempt = Attempt {
            from: event.from.to_phrase(),
            ..Attempt::plain(Origin::OwnProcess, Typed::parse(code))
        };
        let judgement = judge(account, &attempt, now, &self.rules());
        account.pending = pending;
        event.class = Some(judgement.class);
        event.locks = judgement.class_locked;
        match judgement.outcome {
            Outcome::Granted(proof) => {
                let side_writes = SideWrite::for_grant(proof.how(), now);
                Ok(Recorded { event: event.with_how(proof.how()), side_writes })
            }
            Outcome::Refused(reason) => Err(refused(event, reason)),
        }
    }

    /// Takes the ticket of a user who has no factor in use.
    ///
    /// # Errors
    /// The event of the refusal.
    pub(super) fn redeem(
        &self,
        slot: &mut Option<Account>,
        uid: u32,
        ticket: &str,
        mut event: Event,
        now: Time,
    ) -> Result<Event, Box<Event>> {
        if let Some(account) = slot.as_mut().filter(|account| account.belongs_to_uid(Some(uid)))
            && self.is_ticket_of(account, ticket, now)
        {
            account.ticket = None;
            event.method = Some(Method::Ticket);
            return Ok(event);
        }
        Err(refused(event, UnjudgedReason::BadTicket))
    }

    /// Whether `text` is the ticket that an administrator made for the account and the factor that
    /// it has now. An expired ticket is removed.
    pub(super) fn is_ticket_of(&self, account: &mut Account, text: &str, now: Time) -> bool {
        // Users type it as they type a recovery code: in any case, with or without dashes.
        let Ok(Typed::Recovery(typed)) = Typed::parse(text) else { return false };
        // Under a clock that was set back an expired ticket would be fresh again.
        if !self.rules().trusts(now, self.config.totp.params) {
            return false;
        }
        account.ticket.take_if(|ticket| now >= ticket.expires);
        let row =
            Account::<()>::blank(account.id.clone(), account.name.clone(), account.uid, account.created);
        account.ticket.as_ref().is_some_and(|ticket| {
            account.is_ticket_for_active_factor(ticket)
                && self.sealer.is_ticket(&row, ticket, &typed.reveal())
        })
    }
}

fn refused(event: Event, reason: impl Into<EventReason>) -> Box<Event> {
    Box::new(event.refused(reason))
}
