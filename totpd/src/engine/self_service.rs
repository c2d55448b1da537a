//! What users do for themselves. Whatever changes a factor in use takes a ticket of an administrator's, or a
//! code now and a delay in which the user is told: malware that runs as the user may have one code.

use crate::audit::{Event, EventSource};
use crate::config::SelfEnroll;
use crate::engine::Engine;
use crate::engine::admin::{Enrolled, account_of, of_another, renew, stage, stage_replacement};
use crate::engine::change::AccountError;
use crate::store::{self, SideWrite};
use std::sync::Arc;
use totp_core::account::NewFactor;
use totp_core::notices;
use totp_core::recovery::RecoveryCode;
use totp_core::self_service::{ChangeKind, NextStep, StagedChange};
use totp_core::{Account, Attempt, Origin, Outcome, Time, Typed, UserName, judge};

/// What a user shows to be allowed a change.
#[derive(Clone, Copy, Debug, Default)]
pub struct EnrollmentProof<'a> {
    /// A code of the factor in use, or a recovery code.
    pub code: Option<&'a str>,
    /// A ticket of an administrator's.
    pub ticket: Option<&'a str>,
}

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

/// An event on its way, and what is stored with it.
type Noted = (Event, Vec<SideWrite>);

/// An answer, its event, and what is stored with it.
type Answered<T> = (Result<T, AccountError>, Event, Vec<SideWrite>);

/// Leave for a change: at once, or after the delay.
enum Leave {
    Now,
    Later(StagedChange),
}

impl Engine {
    /// Stages a factor for the user.
    ///
    /// # Errors
    /// [`AccountError`]; nothing was changed then but what a wrong code counts.
    pub async fn enroll_self(
        &self,
        who: Oneself<'_>,
        shown: EnrollmentProof<'_>,
        new: NewFactor,
        ticket: &Arc<store::CommitGuard>,
    ) -> Result<Enrolled, AccountError> {
        if self.config.self_enroll == SelfEnroll::Off {
            return Err(AccountError::Off);
        }
        let (issuer, Oneself { user, uid, from }) = (self.config.issuer(), who);
        let staged = self.change_with(user, true, ticket, |slot, now| {
            let event = Event::new("enroll", user.as_str(), now, from.clone());
            let in_use =
                slot.as_mut().filter(|account| account.belongs_to_uid(Some(uid)) && account.active.is_some());
            if let Some(account) = in_use {
                account.expire_pending(now);
                let left = self.leave(account, shown, ChangeKind::Replace, new.lifetime, event, now)?;
                let (leave, (mut event, also)) = match left {
                    Ok(left) => left,
                    Err(event) => return Ok((Err(AccountError::Refused), *event, Vec::new())),
                };
                let (mut enrolled, totp_id) = match leave {
                    Leave::Now => {
                        let _ = account.remove_staged();
                        account.notices.record_change(
                            notices::FactorChange::Ticket,
                            now,
                            &from.to_sentence(),
                        );
                        stage(account, &new, &issuer, now)?
                    }
                    Leave::Later(change) => {
                        event.outcome = "staged";
                        stage_replacement(account, &new, change, &issuer, now)?
                    }
                };
                enrolled.recovery_codes_left = event.recovery_codes_left;
                event.totp_id = Some(totp_id);
                return Ok::<_, AccountError>((Ok(enrolled), event, also));
            }
            let mut event = match shown.ticket {
                Some(ticket) => match self.redeem(slot, uid, ticket, event, now) {
                    Ok(event) => event,
                    Err(event) => return Ok((Err(AccountError::Refused), *event, Vec::new())),
                },
                None if self.config.self_enroll == SelfEnroll::Open => event,
                None => return Err(AccountError::TicketNeeded),
            };
            let (enrolled, totp_id) = stage(account_of(slot, user, uid, now)?, &new, &issuer, now)?;
            event.totp_id = Some(totp_id);
            Ok((Ok(enrolled), event, Vec::new()))
        });
        staged.await?
    }

    /// Replaces the recovery codes of the user's factor, or stages that.
    ///
    /// # Errors
    /// As [`Engine::enroll_self`].
    pub async fn recovery_codes_self(
        &self,
        who: Oneself<'_>,
        shown: EnrollmentProof<'_>,
        ticket: &Arc<store::CommitGuard>,
    ) -> Result<SelfChange<Vec<RecoveryCode>>, AccountError> {
        let changed = self.change_with(who.user, true, ticket, |slot, now| {
            self.changed(slot, who, shown, ChangeKind::RecoveryCodes, now, |account| {
                account.notices.record_change(
                    notices::FactorChange::RecoveryCodes,
                    now,
                    &who.from.to_sentence(),
                );
                renew(account, self.config.totp.recovery_storage)
            })
        });
        changed.await?
    }

    /// Forgets the user's factors, or stages that.
    ///
    /// # Errors
    /// As [`Engine::enroll_self`].
    pub async fn revoke_self(
        &self,
        who: Oneself<'_>,
        shown: EnrollmentProof<'_>,
        ticket: &Arc<store::CommitGuard>,
    ) -> Result<SelfChange<bool>, AccountError> {
        let changed = self.change_with(who.user, false, ticket, |slot, now| {
            let (revoked, event, mut also) =
                self.changed(slot, who, shown, ChangeKind::Remove, now, |account| Ok(account.revoke()))?;
            // As when an administrator revokes: the sessions of applications end with the factor.
            let ended = slot.as_ref().filter(|_| matches!(revoked, Ok(SelfChange::Done(_))));
            also.extend(ended.map(|account| SideWrite::EndOf(account.id.clone())));
            Ok::<_, AccountError>((revoked, event, also))
        });
        changed.await?
    }

    /// Ends what the user has staged. No lock stands in the way: whoever staged it could otherwise keep the user's own
    /// class locked until it is ripe. What can be guessed here is that nothing changes, and one code is used up by it.
    ///
    /// # Errors
    /// As [`Engine::enroll_self`].
    pub async fn cancel_self(
        &self,
        who: Oneself<'_>,
        code: &str,
        ticket: &Arc<store::CommitGuard>,
    ) -> Result<StagedChange, AccountError> {
        let Oneself { user, uid, from } = who;
        let cancelled = self.change_with(user, false, ticket, |slot, now| {
            let account = in_use(slot, uid, now)?;
            if account.staged().is_none() {
                return Err(AccountError::NothingStaged);
            }
            let event = Event::new("cancel", user.as_str(), now, from.clone());
            let guard = std::mem::take(&mut account.lock_state);
            let proved = self.prove(account, code, event, now);
            account.lock_state = guard;
            Ok(match proved {
                Ok((event, also)) => (Ok(account.cancel(now, &from.to_sentence())?), event, also),
                Err(event) => (Err(AccountError::Refused), *event, Vec::new()),
            })
        });
        cancelled.await?
    }

    /// Does `then` to the factor in use, or stages it. A refusal is stored too: it counts.
    fn changed<T>(
        &self,
        slot: &mut Option<Account>,
        who: Oneself<'_>,
        shown: EnrollmentProof<'_>,
        kind: ChangeKind,
        now: Time,
        then: impl Fn(&mut Account) -> Result<T, AccountError>,
    ) -> Result<Answered<SelfChange<T>>, AccountError> {
        let word = if kind == ChangeKind::Remove { "revoke" } else { "recovery-codes" };
        let event = Event::new(word, who.user.as_str(), now, who.from.clone());
        let account = in_use(slot, who.uid, now)?;
        match self.leave(account, shown, kind, self.config.totp.pending, event, now)? {
            Ok((Leave::Now, (event, also))) => {
                if account.staged().is_some_and(|staged| staged.kind == kind) {
                    let _ = account.remove_staged();
                }
                Ok((Ok(SelfChange::Done(then(account)?)), event, also))
            }
            Ok((Leave::Later(change), (event, also))) => {
                account.stage_change(change.clone());
                Ok((Ok(SelfChange::Staged(change)), Event { outcome: "staged", ..event }, also))
            }
            Err(event) => Ok((Err(AccountError::Refused), *event, Vec::new())),
        }
    }

    /// Leave to change the factor in use: a ticket gives it at once, a code after the delay. `Err` inside: ticket or
    /// code were refused. What cannot be staged burns no code.
    fn leave(
        &self,
        account: &mut Account,
        shown: EnrollmentProof<'_>,
        kind: ChangeKind,
        lifetime: u64,
        event: Event,
        now: Time,
    ) -> Result<Result<(Leave, Noted), Box<Event>>, AccountError> {
        let from = event.from.to_sentence();
        if let Some(text) = shown.ticket {
            if !self.fits(account, text, now) {
                return Ok(Err(refused(event, "bad-ticket")));
            }
            let lost = account.ticket.as_ref().is_some_and(|ticket| ticket.lost);
            let (mut event, also) = match shown.code {
                None if lost => (event, Vec::new()),
                None => return Err(AccountError::CodeNeeded),
                Some(code) => match self.prove(account, code, event, now) {
                    Ok(noted) => noted,
                    Err(event) => return Ok(Err(event)),
                },
            };
            account.ticket = None;
            event.method = Some("ticket");
            return Ok(Ok((Leave::Now, (event, also))));
        }
        let code = shown.code.ok_or(AccountError::CodeNeeded)?;
        let step = account.next_step(kind, now)?;
        let noted = match self.prove(account, code, event, now) {
            Ok(noted) => noted,
            Err(event) => return Ok(Err(event)),
        };
        let delay = self.config.self_change_delay;
        let leave = match step {
            NextStep::CarryOut => Leave::Now,
            NextStep::Stage => Leave::Later(StagedChange::new(kind, now, delay, lifetime, &from)),
        };
        Ok(Ok((leave, noted)))
    }

    /// Judges `code` as a login of the user's own process would be. A pending factor proves nothing here.
    fn prove(
        &self,
        account: &mut Account,
        code: &str,
        mut event: Event,
        now: Time,
    ) -> Result<Noted, Box<Event>> {
        let pending = account.pending.take();
        let attempt = Attempt {
            from: event.from.to_sentence(),
            ..Attempt::plain(Origin::OwnProcess, Typed::parse(code))
        };
        let judgement = judge(account, &attempt, now, &self.rules());
        account.pending = pending;
        event.class = Some(judgement.class.as_str());
        event.locks = judgement.class_locked;
        match judgement.outcome {
            Outcome::Granted(proof) => {
                let also = SideWrite::of_grant(proof.how(), now);
                Ok((event.with_how(proof.how()), also))
            }
            Outcome::Refused(reason) => Err(refused(event, reason.as_str())),
        }
    }

    /// Takes the ticket of a user who has no factor in use.
    fn redeem(
        &self,
        slot: &mut Option<Account>,
        uid: u32,
        text: &str,
        mut event: Event,
        now: Time,
    ) -> Result<Event, Box<Event>> {
        if let Some(account) = slot.as_mut().filter(|account| account.belongs_to_uid(Some(uid)))
            && self.fits(account, text, now)
        {
            account.ticket = None;
            event.method = Some("ticket");
            return Ok(event);
        }
        Err(refused(event, "bad-ticket"))
    }

    /// Whether `text` is the ticket that an administrator made for the account and the factor that it has now. One that is
    /// too old is taken away.
    fn fits(&self, account: &mut Account, text: &str, now: Time) -> bool {
        // Typed as a recovery code is, and like one in any case and with or without dashes.
        let Ok(Typed::Recovery(typed)) = Typed::parse(text) else { return false };
        // Under a clock that was set back one that was too old would be fresh again.
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

/// The account of the user who has the uid, with a factor in use.
fn in_use(slot: &mut Option<Account>, uid: u32, now: Time) -> Result<&mut Account, AccountError> {
    let account = slot.as_mut().ok_or(AccountError::NotEnrolled)?;
    if !account.belongs_to_uid(Some(uid)) {
        return Err(of_another(account, uid));
    }
    account.expire_pending(now);
    if account.active.is_none() { Err(AccountError::NotEnrolled) } else { Ok(account) }
}

fn refused(mut event: Event, reason: &'static str) -> Box<Event> {
    event.outcome = "refused";
    event.reason = Some(reason);
    Box::new(event)
}
