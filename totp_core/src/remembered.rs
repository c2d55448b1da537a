//! A remembered login: after a grant the same person in the same session passes without a code for a while.
//!
//! What is remembered lies in the factor that was proved, so that a revoke or a new phone ends it, and it is
//! bound to the sealed half like everything that decides.

use crate::account::Account;
use crate::time::{DAY, MINUTE, Time};
use crate::verified::{How, Verified};
use data_encoding::BASE64_NOPAD;
use hmac::digest::{Digest, Update};
use serde::{Deserialize, Serialize};

/// The shortest time a rule may remember for, in seconds.
pub const MIN_LENGTH: u64 = MINUTE;
/// The longest, in seconds.
pub const MAX_LENGTH: u64 = 30 * DAY;
/// How many logins of one factor are remembered at most: the latest.
pub const MAX_REMEMBERED: usize = 32;
/// "Unset" of the kernel's audit session, `(uint32_t) -1`.
pub const UNSET_SESSION: u32 = u32::MAX;

/// What a rule says of remembering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remember {
    /// For how long, in seconds.
    pub length: u64,
    /// By what a later login is recognised.
    pub by: RememberBy,
}

/// By what a later login is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RememberBy {
    /// By the kernel's audit session of the program that asks.
    Session,
    /// By address and SSH key: sshd has no audit session yet when it asks.
    SshKey,
}

/// What a later login has to have in common with the one that was granted: a digest of all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RememberKey(String);

impl RememberKey {
    /// A session of this machine. `None` without a caller or an audit session: neither ever matches.
    pub fn session(session: &SessionKeyParts<'_>) -> Option<Self> {
        let SessionKeyParts { uid, user, caller, service, boot_id, audit_session } = session;
        let caller = (*caller)?.to_string();
        let audit_session = audit_session.filter(|s| *s != UNSET_SESSION && *s != 0)?;
        if boot_id.is_empty() {
            return None;
        }
        let (uid, audit_session) = (uid.to_string(), audit_session.to_string());
        Some(Self::of(&["session", &uid, user, &caller, service, boot_id, &audit_session]))
    }

    /// A user with this key from this address. `None` without a key.
    pub fn ssh_key(uid: u32, service: &str, address: &str, fingerprints: &[&str]) -> Option<Self> {
        if fingerprints.is_empty() || address.is_empty() {
            return None;
        }
        let uid = uid.to_string();
        let parts: Vec<&str> =
            ["ssh-key", &uid, service, address].into_iter().chain(fingerprints.iter().copied()).collect();
        Some(Self::of(&parts))
    }

    /// Each part with its length before it, so that no two lists run together.
    fn of(parts: &[&str]) -> Self {
        let mut digest = sha2::Sha256::new();
        for part in parts {
            Update::update(&mut digest, &u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            Update::update(&mut digest, part.as_bytes());
        }
        Self(BASE64_NOPAD.encode(&digest.finalize()))
    }

    /// The digest, for the seal.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The parts of [`Key::session`].
#[derive(Clone, Copy, Debug)]
pub struct SessionKeyParts<'a> {
    /// The uid of the one whose factor it is.
    pub uid: u32,
    /// The user who is logged in to: another one under `subject = "ruser"` (CVE-2025-64517).
    pub user: &'a str,
    /// The real uid of who started the program that asks.
    pub caller: Option<u32>,
    /// The PAM service.
    pub service: &'a str,
    /// `/proc/sys/kernel/random/boot_id`
    pub boot_id: &'a str,
    /// `/proc/self/sessionid` of a root peer.
    pub audit_session: Option<u32>,
}

/// A grant that is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// What a later login has to have in common with it.
    pub key: RememberKey,
    /// When it was granted.
    pub since: Time,
    /// For how many seconds it holds.
    pub length: u64,
}

impl Remembered {
    /// Whether it holds at `now`. A clock that went back behind its start proves nothing.
    pub fn holds(&self, now: Time) -> bool {
        now >= self.since && now.since(self.since) < self.length.min(MAX_LENGTH)
    }
}

/// Remembers a grant; `proof` is what it is minted from.
pub(crate) fn remember(account: &mut Account, proof: &Verified, key: &RememberKey, length: u64, now: Time) {
    let Some(factor) = account.active.as_mut().filter(|factor| factor.id == proof.totp_id()) else { return };
    factor.remembered.retain(|r| r.key != *key && r.holds(now));
    factor.remembered.push(Remembered { key: key.clone(), since: now, length });
    let excess = factor.remembered.len().saturating_sub(MAX_REMEMBERED);
    factor.remembered.drain(..excess);
}

/// The proof that an earlier grant left, if it still holds: for as long as it was given then, and no longer
/// than the rule says now.
pub fn recall(account: &Account, key: &RememberKey, now: Time, rule: &Remember) -> Option<Verified> {
    let factor = account.active.as_ref()?;
    let found = factor.remembered.iter().find(|r| r.key == *key)?;
    let age = now.since(found.since);
    let holds = found.holds(now) && age < rule.length;
    holds.then(|| Verified::new(&factor.id, How::Remembered { age }, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionKeyParts<'_> = SessionKeyParts {
        uid: 1000,
        user: "alice",
        caller: Some(1000),
        service: "sudo",
        boot_id: "b",
        audit_session: Some(7),
    };

    #[test]
    fn every_part_of_a_session_counts() {
        let key = RememberKey::session(&SESSION).unwrap();
        assert_eq!(RememberKey::session(&SESSION), Some(key.clone()));
        for other in [
            SessionKeyParts { uid: 1001, ..SESSION },
            SessionKeyParts { user: "root", ..SESSION },
            SessionKeyParts { caller: Some(1001), ..SESSION },
            SessionKeyParts { service: "su", ..SESSION },
            SessionKeyParts { boot_id: "c", ..SESSION },
            SessionKeyParts { audit_session: Some(8), ..SESSION },
            // Parts do not run into each other.
            SessionKeyParts { user: "alic", service: "esudo", ..SESSION },
        ] {
            assert_ne!(RememberKey::session(&other), Some(key.clone()), "{other:?}");
        }
    }

    #[test]
    fn what_is_unset_never_makes_a_key() {
        for audit_session in [None, Some(UNSET_SESSION), Some(0)] {
            assert_eq!(RememberKey::session(&SessionKeyParts { audit_session, ..SESSION }), None);
        }
        assert_eq!(RememberKey::session(&SessionKeyParts { boot_id: "", ..SESSION }), None);
        assert_eq!(RememberKey::session(&SessionKeyParts { caller: None, ..SESSION }), None);
        assert_eq!(RememberKey::ssh_key(1000, "sshd", "192.0.2.1", &[]), None);
        assert!(RememberKey::ssh_key(1000, "sshd", "192.0.2.1", &["SHA256:x"]).is_some());
    }
}
