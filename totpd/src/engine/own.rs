//! What users do for themselves. Whatever changes a factor in use takes a code of it, judged in the same
//! transaction: malware that runs as the user has none.

use super::Engine;
use super::admin::{Enrolled, account_of, of_another, renew, stage};
use super::change::{AdminError, Changed};
use crate::audit::{Event, From};
use crate::config::SelfEnroll;
use crate::store;
use std::sync::Arc;
use totp_core::account::NewFactor;
use totp_core::recovery::RecoveryCode;
use totp_core::{Account, Attempt, Origin, Outcome, Time, Typed, UserName, judge};

/// What a user shows to be allowed an enrollment.
#[derive(Debug, Default)]
pub struct Shown<'a> {
    /// A code of the factor in use, or a recovery code.
    pub code: Option<&'a str>,
    /// A ticket of an administrator's.
    pub ticket: Option<&'a str>,
}

impl Engine {
    /// Stages a factor for the user himself.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed then but what a wrong code counts.
    pub async fn enroll_self(
        &self,
        user: &UserName,
        uid: u32,
        shown: Shown<'_>,
        new: NewFactor,
        from: From,
        ticket: &Arc<store::Ticket>,
    ) -> Result<Enrolled, AdminError> {
        if self.config.self_enroll == SelfEnroll::Off {
            return Err(AdminError::Off);
        }
        let issuer = self.config.issuer();
        let staged = self.change(user, true, ticket, |slot, now| {
            let event = Event::new("enroll", user.as_str(), now, from.clone());
            let has_active =
                slot.as_ref().is_some_and(|account| account.is_of(Some(uid)) && account.active.is_some());
            let mut event = match (shown.ticket, shown.code) {
                // A ticket is for who has none; what is in use is replaced by a code of it.
                (_, None) if has_active => return Err(AdminError::CodeNeeded),
                (Some(ticket), _) if !has_active => match self.redeem(slot, uid, ticket, event, now) {
                    Ok(event) => event,
                    Err(event) => return Ok((Err(AdminError::Refused), *event)),
                },
                (_, Some(code)) if has_active => {
                    let account = slot.as_mut().ok_or(AdminError::NotEnrolled)?;
                    match self.prove(account, code, event, now) {
                        Ok(event) => event,
                        Err(event) => return Ok((Err(AdminError::Refused), *event)),
                    }
                }
                _ if self.config.self_enroll == SelfEnroll::Open => event,
                _ => return Err(AdminError::TicketNeeded),
            };
            let (enrolled, totp_id) = stage(account_of(slot, user, uid, now)?, &new, &issuer, now)?;
            event.totp_id = Some(totp_id);
            Ok((Ok(enrolled), event))
        });
        staged.await?
    }

    /// Replaces the recovery codes of the user's factor.
    ///
    /// # Errors
    /// As [`Engine::enroll_self`].
    pub async fn recovery_codes_self(
        &self,
        user: &UserName,
        uid: u32,
        code: &str,
        from: From,
        ticket: &Arc<store::Ticket>,
    ) -> Result<Vec<RecoveryCode>, AdminError> {
        self.change(user, true, ticket, |slot, now| {
            let event = Event::new("recovery-codes", user.as_str(), now, from.clone());
            self.proved(slot, uid, code, event, now, |account| renew(account, self.config.totp.keeping))
        })
        .await?
    }

    /// Forgets the user's factors.
    ///
    /// # Errors
    /// As [`Engine::enroll_self`].
    pub async fn revoke_self(
        &self,
        user: &UserName,
        uid: u32,
        code: &str,
        from: From,
        ticket: &Arc<store::Ticket>,
    ) -> Result<bool, AdminError> {
        self.change_with(user, false, ticket, |slot, now| {
            let event = Event::new("revoke", user.as_str(), now, from.clone());
            let (revoked, event) =
                self.proved(slot, uid, code, event, now, |account| Ok(account.revoke()))?;
            // As when an administrator revokes: the sessions of applications end with the factor.
            let ended = slot.as_ref().filter(|_| revoked.is_ok()).map(|account| account.id.clone());
            Ok::<_, AdminError>((revoked, event, ended.map(store::Also::EndOf).into_iter().collect()))
        })
        .await?
    }

    /// Does `then` when `code` proves the factor in use. A refusal is stored too: it counts.
    fn proved<T>(
        &self,
        slot: &mut Option<Account>,
        uid: u32,
        code: &str,
        event: Event,
        now: Time,
        then: impl Fn(&mut Account) -> Result<T, AdminError>,
    ) -> Changed<Result<T, AdminError>> {
        let account = slot.as_mut().ok_or(AdminError::NotEnrolled)?;
        if !account.is_of(Some(uid)) {
            return Err(of_another(account, uid));
        }
        if account.active.is_none() {
            return Err(AdminError::NotEnrolled);
        }
        match self.prove(account, code, event, now) {
            Ok(event) => Ok((Ok(then(account)?), event)),
            Err(event) => Ok((Err(AdminError::Refused), *event)),
        }
    }

    /// Judges `code` as a login of the user's own process would be. A pending factor proves nothing here.
    fn prove(
        &self,
        account: &mut Account,
        code: &str,
        mut event: Event,
        now: Time,
    ) -> Result<Event, Box<Event>> {
        let pending = account.pending.take();
        let attempt =
            Attempt { from: event.from.in_words(), ..Attempt::plain(Origin::Own, Typed::parse(code)) };
        let judgement = judge(account, &attempt, now, &self.rules);
        account.pending = pending;
        event.class = Some(judgement.class.name());
        event.locks = judgement.locks;
        match judgement.outcome {
            Outcome::Granted(proof) => Ok(event.with_how(proof.how())),
            Outcome::Refused(reason) => {
                event.outcome = "refused";
                event.reason = Some(reason.word());
                Err(Box::new(event))
            }
        }
    }

    /// Takes the user's ticket.
    fn redeem(
        &self,
        slot: &mut Option<Account>,
        uid: u32,
        text: &str,
        mut event: Event,
        now: Time,
    ) -> Result<Event, Box<Event>> {
        // Typed as a recovery code is, and like one in any case and with or without dashes.
        let text = match Typed::parse(text) {
            Ok(Typed::Recovery(ticket)) => Some(ticket.reveal()),
            _ => None,
        };
        // Under a clock before the release one that was too old would be fresh again.
        let text = text.filter(|_| now >= self.rules.not_before);
        let taken = slot.as_mut().zip(text).is_some_and(|(account, text)| {
            let row =
                Account::<()>::blank(account.id.clone(), account.name.clone(), account.uid, account.created);
            account.is_of(Some(uid))
                && account.take_ticket(now, |ticket| self.sealer.is_ticket(&row, ticket, &text))
        });
        if taken {
            event.method = Some("ticket");
            return Ok(event);
        }
        event.outcome = "refused";
        event.reason = Some("bad-ticket");
        Err(Box::new(event))
    }
}
