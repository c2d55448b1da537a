//! Confirming an enrollment with its first code.

use super::Engine;
use super::error::{AccountError, AdminError, NotRipe, SelfServiceError};
use super::self_service::Oneself;
use crate::audit::{Event, EventKind, EventSource};
use crate::store::{CommitGuard, SideWrite, SpaceUse};
use std::sync::Arc;
use totp_core::window::phone_offset;
use totp_core::{Account, Attempt, Origin, Outcome, Reason, Time, Typed, UserName, judge};

/// Steps within which a phone's wrong clock is looked for: an hour of half minutes.
const OFFSET_REACH: u8 = 120;

/// The class in which an administrator's mistakes are counted, so that they lock none of the user's
/// own.
const ADMIN_CLASS: &str = "(confirm)";

/// What came of a first code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// The factor is active.
    Confirmed,
    /// The code was refused, and that is recorded.
    Refused {
        /// Seconds by which the phone's clock is ahead (negative: behind), if that is why.
        phone_offset: Option<i64>,
        /// How many digits a code of the factor has, if the refused one has another number.
        digits: Option<u8>,
    },
}

/// Whose first code it is, and what is needed to judge it.
struct Confirming<'a> {
    user: &'a UserName,
    /// The uid that the account must have; `None` where the system knows no such user.
    uid: Option<u32>,
    code: &'a str,
    /// The class in which a mistake is counted.
    origin: Origin,
    from: &'a EventSource,
}

impl Engine {
    /// Confirms the pending factor of `user` for an administrator.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed then.
    pub async fn confirm(
        &self,
        user: &UserName,
        code: &str,
        from: &EventSource,
        guard: &Arc<CommitGuard>,
    ) -> Result<Confirmation, AdminError> {
        let uid = self.uid(user).await?;
        let origin = Origin::Client(ADMIN_CLASS.to_owned());
        self.confirm_as(Confirming { user, uid, code, origin, from }, guard).await
    }

    /// Confirms the pending factor of the user who asks. An offset of a phone that is ahead is not
    /// told: a guesser would learn of a code to come.
    ///
    /// # Errors
    /// [`SelfServiceError`]; nothing was changed then.
    pub async fn confirm_self(
        &self,
        who: Oneself<'_>,
        code: &str,
        guard: &Arc<CommitGuard>,
    ) -> Result<Confirmation, SelfServiceError> {
        let Oneself { user, uid, from } = who;
        let confirming = Confirming { user, uid: Some(uid), code, origin: Origin::OwnProcess, from };
        let confirmation = self.confirm_as::<SelfServiceError>(confirming, guard).await?;
        Ok(match confirmation {
            Confirmation::Refused { phone_offset, digits } => {
                Confirmation::Refused { phone_offset: phone_offset.filter(|offset| *offset < 0), digits }
            }
            Confirmation::Confirmed => Confirmation::Confirmed,
        })
    }

    async fn confirm_as<E: From<AccountError> + From<NotRipe>>(
        &self,
        confirming: Confirming<'_>,
        guard: &Arc<CommitGuard>,
    ) -> Result<Confirmation, E> {
        let user = confirming.user;
        self.change_with(user, SpaceUse::Essential, guard, |slot, now| {
            let account = slot.as_mut().ok_or(AccountError::NotEnrolled)?;
            if let Some(uid) = confirming.uid.filter(|uid| !account.belongs_to_uid(Some(*uid))) {
                return Err(AccountError::of_another(account, uid).into());
            }
            account.expire_pending(now);
            if let Some(staged) = account.pending.as_ref().and_then(|pending| pending.staged.as_ref())
                && !staged.is_ripe(now)
            {
                return Err(NotRipe(staged.clone()).into());
            }
            self.judge_first_code(account, &confirming, now).map_err(E::from)
        })
        .await
    }

    /// Judges the code as if the pending factor were alone: a code of the old factor confirms
    /// nothing.
    fn judge_first_code(
        &self,
        account: &mut Account,
        confirming: &Confirming<'_>,
        now: Time,
    ) -> Result<(Confirmation, Event, Vec<SideWrite>), AccountError> {
        let pending = account.pending.clone().ok_or(AccountError::NotEnrolled)?;
        let others = account.set_aside();
        let attempt = Attempt::plain(confirming.origin.clone(), Typed::parse(confirming.code));
        let judgement = judge(account, &attempt, now, &self.rules());
        account.put_back(others);
        let mut event =
            Event::new(EventKind::Confirm, confirming.user.as_str(), now, confirming.from.clone());
        event.totp_id = Some(pending.id.clone());
        event.class = Some(judgement.class);
        match judgement.outcome {
            Outcome::Granted(proof) => {
                event.confirmed = true;
                let side_writes = SideWrite::for_grant(proof.how(), now);
                Ok((Confirmation::Confirmed, event.with_how(proof.how()), side_writes))
            }
            Outcome::Refused(reason) => {
                let phone_offset = match &attempt.input {
                    // A code that is right and used up, or that no clock could judge, says nothing
                    // of a phone.
                    Ok(Typed::Code(code)) if reason == Reason::Wrong => {
                        phone_offset(pending.secrets.secret(), pending.params, code, now, OFFSET_REACH)
                    }
                    _ => None,
                };
                // The app was told the number, so it is no secret of the user's.
                let expected = pending.params.digits.get();
                let digits = match &attempt.input {
                    Ok(Typed::Code(code)) if code.digits() != expected => Some(expected),
                    _ => None,
                };
                Ok((Confirmation::Refused { phone_offset, digits }, event.refused(reason), Vec::new()))
            }
        }
    }
}
