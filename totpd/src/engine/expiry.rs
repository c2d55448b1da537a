//! Sweeping expired enrollments out of the store, with their secrets. They are gone from every view
//! at their moment; the sweep is for the disk.

use crate::audit::{Event, EventKind, EventSource};
use crate::clock;
use crate::engine::{Engine, default_commit_deadline};
use crate::store::{AccountKey, AccountWrite, ChangeSet, CommitGuard, SideWrite, SpaceUse};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Records of one sweep.
const AT_ONCE: usize = 100;

impl Engine {
    /// Forgets some of what has expired; says how many. Errors wait for the next sweep.
    pub async fn sweep(&self) -> usize {
        self.kept_enrollments.drop_expired(clock::since_boot());
        self.sweep_sessions().await;
        let Ok(ids) = self.store.expired_pending(clock::now(), AT_ONCE).await else { return 0 };
        let mut swept = 0;
        for id in ids {
            let Ok(Some(stored)) = self.load(AccountKey::Id(id)).await else { continue };
            let (mut account, version, now) = (stored.account, stored.version, clock::now());
            let as_read = account.clone();
            let totp_id = account.pending.as_ref().map(|f| f.id.clone());
            if !account.drop_expired_pending(now) {
                continue;
            }
            // Sealed again for its next version, without anything else that a daemon would refuse
            // or raise. What cannot be opened grants nothing, and loses its expired part as well.
            if let Ok(mut opened) = self.sealer.open(*as_read, version)
                && opened.drop_expired_pending(now)
            {
                let Ok(sealed) = self.sealer.seal(opened, version + 1) else { continue };
                *account = sealed;
            }
            let mut event =
                Event::new(EventKind::Expire, account.display_name(), now, EventSource::default());
            event.totp_id = totp_id;
            let write = AccountWrite::Update(account, version);
            let guard = Arc::new(CommitGuard::new(Instant::now() + Duration::from_secs(10)));
            let change = ChangeSet::new(write, event.row(now));
            if self.commit(change, &guard).await.is_ok() {
                event.log();
                swept += 1;
            }
        }
        swept
    }

    /// Forgets sessions that are over. That they are needs no event.
    async fn sweep_sessions(&self) {
        let now = clock::now();
        if self.store.has_expired_session(now).await.unwrap_or(false) {
            let side_writes = vec![SideWrite::DeleteExpiredSessions(now)];
            let change = ChangeSet {
                write: AccountWrite::Nothing,
                side_writes,
                space: SpaceUse::Essential,
                event: None,
            };
            // What is left is swept the next time.
            let _ = self.store.commit(change, default_commit_deadline()).await;
        }
    }
}
