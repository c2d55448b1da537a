//! Confirming an enrollment with its first code.

use super::Engine;
use super::admin::of_another;
use super::change::AccountError;
use crate::audit::{Event, EventSource};
use crate::store::{CommitGuard, SideWrite};
use std::sync::Arc;
use totp_core::window::phone_offset;
use totp_core::{Attempt, Origin, Outcome, Reason, Typed, UserName, judge};

/// Steps within which a phone's wrong clock is looked for: an hour of half minutes.
const OFFSET_REACH: u8 = 120;

impl Engine {
    /// Confirms the pending factor, for the user himself under `own_uid`; mistakes are counted in the class of `origin`. `Err(offset)` inside: the code was refused, and the phone's clock is
    /// that many seconds ahead, if that is why.
    ///
    /// # Errors
    /// [`AccountError`]; nothing was changed then.
    pub async fn confirm(
        &self,
        user: &UserName,
        own_uid: Option<u32>,
        code: &str,
        origin: Origin,
        from: EventSource,
        ticket: &Arc<CommitGuard>,
    ) -> Result<Result<(), Option<i64>>, AccountError> {
        let uid = match own_uid {
            Some(uid) => Some(uid),
            None => self.uid(user).await?,
        };
        self.change_with(user, false, ticket, |slot, now| {
            let account = slot.as_mut().ok_or(AccountError::NotEnrolled)?;
            if let Some(uid) = uid.filter(|uid| !account.belongs_to_uid(Some(*uid))) {
                return Err(of_another(account, uid));
            }
            account.expire_pending(now);
            let pending = account.pending.clone().ok_or(AccountError::NotEnrolled)?;
            if let Some(staged) = pending.staged.as_ref().filter(|staged| !staged.is_ripe(now)) {
                return Err(AccountError::NotRipe(staged.clone()));
            }
            // Judged as if it were alone: a code of the old factor confirms nothing.
            let old = account.active.take();
            let input = Typed::parse(code);
            let attempt = Attempt::plain(origin.clone(), input);
            let judgement = judge(account, &attempt, now, &self.rules());
            let mut event = Event::new("confirm", user.as_str(), now, from.clone());
            event.totp_id = Some(pending.id.clone());
            event.class = Some(judgement.class.as_str());
            match judgement.outcome {
                Outcome::Granted(proof) => {
                    event.confirmed = true;
                    Ok((Ok(()), event.with_how(proof.how()), SideWrite::of_grant(proof.how(), now)))
                }
                Outcome::Refused(reason) => {
                    account.active = old;
                    event.outcome = "refused";
                    event.reason = Some(reason.as_str());
                    let offset = match &attempt.input {
                        // A code that is right and used up, or that no clock could judge, tells nothing of a phone.
                        Ok(Typed::Code(code)) if reason == Reason::Wrong => {
                            let secret = pending.secrets.secret();
                            phone_offset(secret, pending.params, code, now, OFFSET_REACH)
                        }
                        _ => None,
                    };
                    // Whoever is not an administrator learns of no code to come.
                    let offset = offset.filter(|offset| own_uid.is_none() || *offset < 0);
                    Ok((Err(offset), event, Vec::new()))
                }
            }
        })
        .await
    }
}
