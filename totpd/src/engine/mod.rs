//! The decisions of `totp_core`, made durable: load, decide, commit, and decide again on a lost
//! race.

mod acted_on;
mod admin;
mod admit;
pub mod api;
mod app_account;
mod attempt;
mod audit_dedup;
mod change;
mod change_permit;
mod confirm;
mod enrollment_state;
mod error;
mod expiry;
mod explain;
mod given;
mod kept_enrollments;
mod login;
mod login_enrollment;
mod login_notices;
mod older_copy;
mod overview;
mod passcode;
mod prefetch;
mod queries;
mod recent;
mod record_cache;
mod remembered_login;
mod self_service;
#[cfg(test)]
mod tests;
mod ticket_login;
mod undelivered;
mod withdrawals;

pub use crate::engine::change_permit::EnrollmentProof;
pub use crate::engine::queries::{Authenticator, FactorState, HostUser, UserStatus};
pub use crate::engine::self_service::{Oneself, SelfChange};
pub use acted_on::ActedOn;
pub use admin::Enrolled;
pub use admit::BeginOutcome;
pub use attempt::{Grant, LoginRequest, PendingLogin};
pub use change::default_commit_deadline;
pub use confirm::Confirmation;
pub use enrollment_state::{Enrollment, FirstCodeOutcome, RecoveryCodeOutcome};
pub use error::{AccountError, AdminError, EngineError, SelfServiceError};
pub use explain::{CheckedRule, ExpectedOutcome, Explanation};
pub use given::{Activation, Existing, ForeignFactor, Imported};
pub use kept_enrollments::{LeaseEnd, Showings};
pub use login::AnswerOutcome;
pub use passcode::NewPasscode;
pub use prefetch::{EarlyRead, PrefetchedAccount};

use crate::audit::Event;
use crate::clock;
use crate::config::{Config, KeepOrder, Loaded};
use crate::seal::{SealError, Sealer};
use crate::store::{
    AccountKey, AccountWrite, ChangeSet, CommitError, CommitGuard, Committed, Health, ReadError, Store,
    StoredAccount,
};
use crate::user_directory::{ResolvedUser, UserDirectory};
use crate::user_locks::UserLocks;
use audit_dedup::AuditDedup;
use kept_enrollments::KeptEnrollments;
use std::path::Path;
use std::sync::Arc;
use totp_core::{Account, JudgeSettings, Time, UserName};

/// Rounds of a race with other daemons over one record before it counts as busy.
const MOST_RACES: usize = 16;

/// Everything that answering takes.
pub struct Engine {
    store: Arc<dyn Store>,
    sealer: Arc<Sealer>,
    users: Arc<UserDirectory>,
    user_locks: Arc<UserLocks>,
    config: Arc<Config>,
    api: Arc<api::Api>,
    dedup: Arc<AuditDedup>,
    recent: Arc<recent::Recent>,
    record_cache: Arc<record_cache::RecordCache>,
    kept_enrollments: Arc<KeptEnrollments>,
    rules: JudgeSettings,
    /// Identifies this boot: the kernel numbers audit sessions from 1 in each boot. Without it, no
    /// login is remembered by its session.
    boot_id: Option<String>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine({})", self.sealer.store_id())
    }
}

fn rules(config: &Config) -> JudgeSettings {
    JudgeSettings { skew: config.totp.skew, not_before: clock::RELEASED, latest_grant: Time::default() }
}

impl Engine {
    /// With an open store.
    pub fn new(
        store: Arc<dyn Store>,
        sealer: Sealer,
        users: Arc<UserDirectory>,
        config: Arc<Config>,
    ) -> Self {
        let rules = rules(&config);
        Self {
            store,
            sealer: Arc::new(sealer),
            users,
            user_locks: Arc::default(),
            api: Arc::default(),
            dedup: Arc::default(),
            recent: Arc::default(),
            record_cache: Arc::default(),
            kept_enrollments: Arc::default(),
            rules,
            config,
            boot_id: remembered_login::boot_id(Path::new(remembered_login::BOOT_ID)),
        }
    }

    /// The same store under another configuration.
    #[must_use]
    pub fn reconfigured(&self, config: Arc<Config>) -> Self {
        // An end of the rule that enrolls ends what is kept, also when the rule comes back.
        let enrolls_by = |config: &Config| {
            (config.policy.clone(), config.totp.clone(), config.show_secrets_services.clone())
        };
        if enrolls_by(&config) != enrolls_by(&self.config) {
            self.kept_enrollments.keep_no_longer();
        }
        Self {
            store: Arc::clone(&self.store),
            sealer: Arc::clone(&self.sealer),
            users: Arc::clone(&self.users),
            user_locks: Arc::clone(&self.user_locks),
            api: Arc::clone(&self.api),
            dedup: Arc::clone(&self.dedup),
            recent: Arc::clone(&self.recent),
            record_cache: Arc::clone(&self.record_cache),
            kept_enrollments: Arc::clone(&self.kept_enrollments),
            rules: rules(&config),
            config,
            boot_id: self.boot_id.clone(),
        }
    }

    /// The rules of this moment: the latest grant is part of them.
    fn rules(&self) -> JudgeSettings {
        JudgeSettings { latest_grant: self.store.latest_grant(), ..self.rules }
    }

    /// The configuration it works under.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Keeps a configuration that serves from now on as the last good one, on a thread that may
    /// wait for the disk.
    pub fn keep_configuration(&self, loaded: Loaded) {
        let (sealer, order) = (Arc::clone(&self.sealer), KeepOrder::next());
        tokio::task::spawn_blocking(move || loaded.keep(&sealer, order));
    }

    /// The id of the store.
    pub fn store_id(&self) -> &str {
        self.sealer.store_id()
    }

    /// Whether the store serves.
    pub fn health(&self) -> Health {
        self.store.health()
    }

    /// The user of a name, with the name that the system has for them; `None` without such a user.
    async fn find(&self, user: &str) -> Result<Option<ResolvedUser>, EngineError> {
        match UserName::parse(user) {
            Ok(name) => Ok(self.users.find(&name).await?),
            Err(_) => Ok(None),
        }
    }

    async fn load(&self, key: impl Into<AccountKey>) -> Result<Option<StoredAccount>, ReadError> {
        if let Some(why) = self.store.health().reason() {
            return Err(ReadError(why));
        }
        let key = key.into();
        for _ in 0..2 {
            match self.store.load(key.clone()).await? {
                // Another commit may have come between its read and this look.
                Some(stored) if self.recent.is_older(&stored) => {}
                found => return Ok(found),
            }
        }
        let older = self.store.load(key).await?;
        Ok(older.map(|stored| {
            let damaged = stored.damaged || self.recent.is_older(&stored);
            StoredAccount { damaged, ..stored }
        }))
    }

    /// The record as this daemon wrote it last, or else as it is in the store: for decisions that
    /// name its version.
    async fn load_early(&self, key: AccountKey) -> Result<Option<StoredAccount>, ReadError> {
        let kept = self.record_cache.take(&key).filter(|_| self.store.health().reason().is_none());
        if kept.is_some() { Ok(kept) } else { self.load(key).await }
    }

    /// Makes an event durable that changes no record, and logs it.
    async fn record(
        &self,
        event: &Event,
        now: Time,
        guard: &Arc<CommitGuard>,
    ) -> Result<Committed, CommitError> {
        let change = ChangeSet::new(AccountWrite::Nothing, event.row(now));
        let committed = self.commit(change, guard).await?;
        event.log();
        Ok(committed)
    }

    /// Makes a report of the daemon about itself durable, and logs it.
    ///
    /// # Errors
    /// [`CommitError`]: it has to be reported again.
    pub(crate) async fn record_report(&self, event: &Event) -> Result<(), CommitError> {
        self.record(event, clock::now(), &default_commit_deadline()).await.map(drop)
    }

    /// The record with its secrets open, or `None` (and a line in the log) when it is damaged.
    fn open(&self, stored: StoredAccount) -> Option<(Account, u64)> {
        let (name, version) = (stored.account.display_name().to_owned(), stored.version);
        if stored.damaged && self.recent.is_older(&stored) {
            tracing::error!(
                "the record of {name} is older than what this daemon wrote in the last hour: it was put back, or a \
                 failover of the database lost commits. Nothing is granted by it. To take it as it is, restart totpd"
            );
            return None;
        }
        let opened =
            if stored.damaged { Err(SealError::Damaged) } else { self.sealer.open(*stored.account, version) };
        match opened {
            Ok(mut account) => {
                self.store.refusals().apply(&mut account, self.rules.skew);
                self.recent.raise(&mut account);
                Some((account, version))
            }
            Err(error) => {
                tracing::error!(
                    "the record of {name} cannot be used: {error}. Restore it, or run: totpd revoke {name}, and then: \
                     totpd enroll {name}"
                );
                None
            }
        }
    }
}
