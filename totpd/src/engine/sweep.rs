//! Sweeping expired enrollments out of the store, with their secrets. They are gone from every view at their
//! moment; the sweep is for the disk.

use super::Engine;
use crate::audit::{Event, From};
use crate::clock;
use crate::store::{Change, Ticket, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Records of one sweep.
const AT_ONCE: usize = 100;

impl Engine {
    /// Forgets some of what has expired; says how many. Errors wait for the next sweep.
    pub async fn sweep(&self) -> usize {
        let Ok(names) = self.store.expired(clock::now(), AT_ONCE).await else { return 0 };
        let mut swept = 0;
        for name in names {
            let _turn = self.turns.of(name.as_str()).await;
            let Ok(Some(stored)) = self.load(&name).await else { continue };
            let (mut account, version, now) = (stored.account, stored.version, clock::now());
            let totp_id = account.pending.as_ref().map(|f| f.id.clone());
            if !account.settle(now) {
                continue;
            }
            let mut event = Event::new("expire", name.as_str(), now, From::default());
            event.outcome = "done";
            event.totp_id = totp_id;
            let write = Write::Update(Box::new(account), version);
            let ticket = Arc::new(Ticket::new(Instant::now() + Duration::from_secs(10)));
            let change = Change { write, grows: false, event: event.row(now) };
            if self.store.commit(change, ticket).await.is_ok() {
                event.log();
                swept += 1;
            }
        }
        swept
    }
}
