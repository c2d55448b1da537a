//! Grants whose reply reached nobody.

use super::{AccountError, Engine, default_commit_deadline};
use crate::audit::{Event, EventOutcome};
use crate::clock;
use crate::store::{AccountWrite, ChangeSet, SpaceUse};
use totp_core::UserName;
use totp_core::remember::forget;
use totp_core::remembered::RememberKey;

impl Engine {
    /// A grant that nobody received: said in the log, and in the history if that works. It was no
    /// login, so none is remembered by it.
    pub async fn undelivered(&self, granted: &Event, remembered: Option<&RememberKey>) {
        let undelivered =
            |now| Event { outcome: EventOutcome::Undelivered, time: clock::rfc3339(now), ..granted.clone() };
        if let Some((name, key)) = UserName::parse(&granted.user).ok().zip(remembered) {
            let guard = default_commit_deadline();
            let forgotten = self.change(&name, SpaceUse::Essential, &guard, |slot, now| {
                forget(slot.as_mut().ok_or(AccountError::NotEnrolled)?, key);
                Ok::<_, AccountError>(((), undelivered(now)))
            });
            if forgotten.await.is_ok() {
                return;
            }
            tracing::warn!(
                "a login of {name} that reached nobody may be remembered. Run: totpd forget {name}"
            );
        }
        let now = clock::now();
        let event = undelivered(now);
        event.log();
        let change = ChangeSet::new(AccountWrite::Nothing, event.row(now));
        if let Err(error) = self.store.commit(change, default_commit_deadline()).await {
            tracing::warn!("the history lacks an undelivered grant of {}: {error}", event.user);
        }
    }
}
