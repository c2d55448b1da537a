//! A ticket typed at the prompt for a code, by a user without a factor whose first factor is
//! proved: it starts an enrollment inside the login. The activation spends it.

use super::attempt::PendingLogin;
use super::login::AnswerOutcome;
use super::prefetch::PrefetchedAccount;
use super::{Engine, EngineError, MOST_RACES};
use crate::audit::{Event, EventReason, UnjudgedReason, field};
use crate::clock;
use crate::config::SelfEnroll;
use crate::store::{AccountWrite, ChangeSet, CommitError, CommitGuard};
use crate::user_directory::ResolvedUser;
use std::sync::Arc;
use totp_core::code::Input;
use totp_core::policy::FirstFactor;
use totp_core::ticket_login::{TicketMatch, judge_ticket};
use totp_core::{Reason, Typed, UserName};

impl Engine {
    /// Judges what may be a ticket. `None`: it is judged as a code, since the user has a factor or
    /// no ticket, or may not enroll here.
    pub(super) async fn judge_as_ticket(
        &self,
        pending: &mut PendingLogin,
        prepared: &PrefetchedAccount,
        input: &Input,
        guard: &Arc<CommitGuard>,
    ) -> Result<Option<AnswerOutcome>, EngineError> {
        let Some(proof) = pending.first_factor.take() else { return Ok(None) };
        let judged = match (input, prepared.user()) {
            (Ok(Typed::Recovery(typed)), Some(user)) if self.takes_tickets(pending) => {
                // In a box, which the login of a code does not make.
                Box::pin(self.judge_ticket_of(pending, &proof, user, &typed.reveal(), guard)).await
            }
            _ => Ok(None),
        };
        // For another try, and for the activation.
        pending.first_factor = Some(proof);
        judged
    }

    async fn judge_ticket_of(
        &self,
        pending: &mut PendingLogin,
        proof: &FirstFactor,
        (name, uid): (&UserName, u32),
        typed: &str,
        guard: &Arc<CommitGuard>,
    ) -> Result<Option<AnswerOutcome>, EngineError> {
        let _lock = self.user_locks.lock(name.as_str()).await;
        for _ in 0..MOST_RACES {
            let Some(stored) = self.load(name).await? else { return Ok(None) };
            if stored.damaged || !stored.account.belongs_to_uid(Some(uid)) || stored.account.ticket.is_none()
            {
                return Ok(None);
            }
            let Some((mut account, version)) = self.open(stored) else { return Ok(None) };
            let now = clock::now();
            account.expire_pending(now);
            let is_right = self.is_ticket_of(&mut account, typed, now);
            let Some(ticket) = account.ticket.clone().filter(|_| !account.has_factor()) else {
                return Ok(None);
            };
            pending.known = true;
            let from = pending.request.from.to_phrase();
            let typed = if is_right { TicketMatch::Right } else { TicketMatch::Wrong };
            let judged = judge_ticket(&mut account, &pending.request.origin, &from, typed, now);
            let mut event = Event { user: field(name.as_str()), ..pending.event_at(now) };
            event.class = Some(judged.class);
            event.locks = judged.class_locked;
            let Err(reason) = judged.outcome else {
                if !pending.request.converses || !self.shows_secrets(&pending.request) {
                    self.record(&event.refused(Reason::NotShown), now, guard).await?;
                    return Ok(Some(AnswerOutcome::Refused));
                }
                let found = ResolvedUser { name: name.clone(), uid };
                let shown = self.show_key(pending, proof, &found, Some(ticket), guard).await?;
                return Ok(shown.map(|enrollment| AnswerOutcome::Enroll(Box::new(enrollment))));
            };
            let event = event.refused(match reason {
                Reason::Wrong => EventReason::from(UnjudgedReason::BadTicket),
                other => other.into(),
            });
            let id = account.id.clone();
            let sealed = self.sealer.seal(account, version + 1).map_err(|_| EngineError::Busy)?;
            let write = AccountWrite::Update(Box::new(sealed), version);
            match self.commit(ChangeSet::new(write, event.row(now)), guard).await {
                Ok(_) => {
                    event.log();
                    // A ticket that was mistyped must not change the key that the app has.
                    self.kept_enrollments.note_version(name, &id, version, version + 1);
                    return Ok(Some(AnswerOutcome::Refused));
                }
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(EngineError::Busy)
    }

    /// Whether a ticket can enroll the user in this attempt. The first factor is that of the user
    /// who logs in, so a factor of another one cannot be made with it.
    fn takes_tickets(&self, pending: &PendingLogin) -> bool {
        let decides = !pending.denied && pending.pass.is_none() && pending.event.target.is_none();
        decides && self.config.self_enroll != SelfEnroll::Off
    }

    /// Whether a factor is still to be made inside this login, by a ticket.
    pub(super) async fn still_takes_tickets(&self, pending: &mut PendingLogin) -> Result<bool, EngineError> {
        self.reevaluate_policy(pending).await?;
        let shows = self.shows_secrets(&pending.request);
        Ok(pending.first_factor.is_some() && shows && self.takes_tickets(pending))
    }
}
