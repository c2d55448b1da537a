//! Remembered logins: an earlier grant that still holds, or the key under which the next one is
//! kept.

use crate::audit::EventOutcome;
use crate::clock;
use crate::engine::admit::BeginOutcome;
use crate::engine::attempt::{Grant, LoginRequest, PendingLogin};
use crate::engine::{Engine, EngineError, MOST_RACES};
use crate::store::{AccountWrite, ChangeSet, CommitGuard};
use crate::user_directory::ResolvedUser;
use std::path::Path;
use std::sync::Arc;
use totp_core::policy::RemoteHost;
use totp_core::remember::recall;
use totp_core::remembered::{Remember, RememberBy, RememberKey, SessionKeyParts};

/// The file with the id of this boot, which is random (random(4)).
pub(super) const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Reads the id of this boot, at the start of the daemon.
///
/// Without it, a session of an earlier boot could be taken for one of this boot. So if it cannot be
/// read, no login is remembered by its session, and a warning says so: every user is asked for a
/// code, and nobody is refused.
pub(super) fn boot_id(file: &Path) -> Option<String> {
    let why = match std::fs::read_to_string(file) {
        Ok(text) if !text.trim().is_empty() => return Some(text.trim().to_owned()),
        Ok(_) => "it is empty".to_owned(),
        Err(error) => error.to_string(),
    };
    tracing::warn!(
        "{} cannot be read ({why}), so no login is remembered by its session. Check ProcSubset= of the daemon's unit",
        file.display()
    );
    None
}

impl Engine {
    /// An earlier grant lets in, or a code is asked for and its grant remembered.
    pub(super) async fn recall_or_ask(
        &self,
        mut pending: Box<PendingLogin>,
        rule: Option<Remember>,
        guard: &Arc<CommitGuard>,
    ) -> Result<BeginOutcome, EngineError> {
        if let Some(rule) = rule
            && let Some(key) = self.key(&pending.request, &rule).await?
        {
            if let Some(grant) = Box::pin(self.recalled(&pending, &rule, &key, guard)).await? {
                return Ok(BeginOutcome::Remembered(grant));
            }
            pending.remember = Some((key, rule.length));
        }
        Ok(BeginOutcome::Ask(pending))
    }

    /// By what a grant of this attempt is recognised later.
    async fn key(&self, request: &LoginRequest, rule: &Remember) -> Result<Option<RememberKey>, EngineError> {
        let Some(ResolvedUser { uid, .. }) = self.find(&request.user).await? else { return Ok(None) };
        let service = request.facts.service.as_deref().unwrap_or_default();
        Ok(match rule.by {
            RememberBy::Session => {
                let Some(boot_id) = &self.boot_id else { return Ok(None) };
                RememberKey::session(&SessionKeyParts {
                    uid,
                    user: &request.facts.user,
                    caller: request.facts.caller,
                    service,
                    boot_id,
                    audit_session: request.audit_session,
                })
            }
            RememberBy::SshKey => {
                let RemoteHost::Address(address) = request.facts.rhost else { return Ok(None) };
                let keys: Vec<&str> =
                    request.facts.ssh.iter().filter_map(|s| s.fingerprint.as_deref()).collect();
                RememberKey::ssh_key(uid, service, &address.to_canonical().to_string(), &keys)
            }
        })
    }

    /// The grant that is remembered under `key`, recorded while the record is still the one that
    /// says so.
    async fn recalled(
        &self,
        pending: &PendingLogin,
        rule: &Remember,
        key: &RememberKey,
        guard: &Arc<CommitGuard>,
    ) -> Result<Option<Grant>, EngineError> {
        let Some(ResolvedUser { name, uid }) = self.find(&pending.request.user).await? else {
            return Ok(None);
        };
        for _ in 0..MOST_RACES {
            let Some(stored) = self.load(&name).await? else { return Ok(None) };
            if stored.damaged || !stored.account.belongs_to_uid(Some(uid)) {
                return Ok(None);
            }
            // Opened, since only then it is known that nobody without the key wrote it.
            let Some((account, version)) = self.open(stored) else { return Ok(None) };
            let now = clock::now();
            if !self.rules().trusts(now, self.config.totp.params) {
                return Ok(None);
            }
            let Some(verified) = recall(&account, key, now, rule) else { return Ok(None) };
            let mut event = pending.event_at(now);
            event.outcome = EventOutcome::Granted;
            event.totp_id = Some(verified.totp_id().to_owned());
            let event = event.with_how(verified.how());
            let write = AccountWrite::ExpectVersion(account.id, version);
            let change = ChangeSet::new(write, event.row(now));
            if let Some(grant) = self.grant(verified, event, change, guard).await? {
                return Ok(Some(grant));
            }
        }
        Err(EngineError::Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_is_read_and_a_missing_or_empty_one_is_none() {
        assert!(boot_id(Path::new(BOOT_ID)).is_some_and(|id| id.len() == 36));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("boot_id");
        assert_eq!(boot_id(&file), None);
        std::fs::write(&file, "\n").unwrap();
        assert_eq!(boot_id(&file), None);
    }
}
