//! An older copy of the store: what administrators are told, and how they accept it. And a copy for
//! a backup.

use super::{AccountError, Engine, EngineError, default_commit_deadline};
use crate::audit::{Event, EventKind, EventSource, UnjudgedReason};
use crate::clock;
use crate::os_random::Kernel;
use crate::store::{AccountKey, AccountWrite, SideWrite, Snapshot, SpaceUse};
use totp_core::random;
use totp_core::withdrawal::Kind;

impl Engine {
    /// What an administrator has to know about this copy of the store, if anything.
    pub fn notice(&self) -> Option<String> {
        let refused = self.store.refusals().withdrawn.len();
        (refused > 0).then(|| {
            format!(
                "the store is an older copy: what was withdrawn after it is refused ({refused} factors or kinds of \
                 code). Put the newer store back, or take this one as it is: `totpd restore --accept`"
            )
        })
    }

    /// What an administrator has to know about the store as a whole: the older copy, and what a
    /// crash or a failover could lose.
    pub fn store_notice(&self) -> Option<String> {
        let all: Vec<String> = self.notice().into_iter().chain(self.store.notices()).collect();
        (!all.is_empty()).then(|| all.join(". "))
    }

    /// Takes the older copy as it is: what was withdrawn after it is removed from it for good. Says
    /// how much that is.
    ///
    /// # Errors
    /// [`AccountError`]; what was removed before stays removed.
    pub async fn accept(&self, from: EventSource) -> Result<usize, AccountError> {
        let refused = self.store.refusals().withdrawn.clone();
        if refused.is_empty() {
            return Ok(0);
        }
        for what in &refused {
            let key = match what.kind {
                Kind::Ticket | Kind::Passcode => AccountKey::Id(what.id.clone()),
                _ => AccountKey::Totp(what.id.clone()),
            };
            // Opening the record has taken away what is refused; writing it back makes that last.
            let removed = self
                .change(key, SpaceUse::Essential, &default_commit_deadline(), |slot, now| {
                    let account = slot.as_ref().ok_or(AccountError::NotEnrolled)?;
                    let mut event = Event::new(EventKind::Restore, account.display_name(), now, from.clone());
                    let of_account = matches!(what.kind, Kind::Ticket | Kind::Passcode);
                    event.totp_id = (!of_account).then(|| what.id.clone());
                    event.reason = Some(UnjudgedReason::Withdrawn.into());
                    Ok(((), event))
                })
                .await;
            match removed {
                Ok(()) | Err(AccountError::NotEnrolled) => {}
                // A damaged record lets nobody in.
                Err(AccountError::Unavailable(why)) => tracing::warn!("{why}"),
                Err(error) => return Err(error),
            }
        }
        let token: [u8; 8] = random::bytes(&mut Kernel).map_err(AccountError::no_randomness)?;
        let token = format!("{:016x}", u64::from_be_bytes(token));
        let count = refused.len();
        let side_writes = vec![SideWrite::AcceptOlderCopy { token, removed: refused }];
        let now = clock::now();
        let event = Event::new(EventKind::Restore, "", now, from);
        let accepted = self
            .store_admin(
                AccountWrite::Nothing,
                side_writes,
                SpaceUse::Essential,
                event,
                now,
                &default_commit_deadline(),
            )
            .await?;
        accepted.map(|()| count).ok_or_else(|| {
            AccountError::Unavailable(
                "another server has just found more that was withdrawn, so nothing is accepted yet. Wait ten seconds, \
                 look at `totpd status`, and accept again"
                    .to_owned(),
            )
        })
    }

    /// A copy of the store for a backup.
    ///
    /// # Errors
    /// [`AccountError::Unavailable`].
    pub async fn snapshot(&self, from: EventSource) -> Result<Snapshot, AccountError> {
        let snapshot = self.store.snapshot().await.map_err(EngineError::from)?;
        let now = clock::now();
        let event = Event::new(EventKind::Backup, "", now, from);
        self.store_admin(
            AccountWrite::Nothing,
            Vec::new(),
            SpaceUse::Essential,
            event,
            now,
            &default_commit_deadline(),
        )
        .await?;
        Ok(snapshot)
    }
}
