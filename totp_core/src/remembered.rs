//! Remembered logins: after a grant, the same user in the same session needs no code for a while.
//!
//! A remembered login is stored in the factor that was verified, so that revoking or replacing the
//! factor ends it, and the seal covers it like everything that a grant depends on.

use crate::time::{DAY, MINUTE, Time};
use data_encoding::BASE64_NOPAD;
use hmac::digest::{Digest, Update};
use serde::{Deserialize, Serialize};

/// The shortest time for which a rule can remember a login, in seconds.
pub const MIN_LENGTH: u64 = MINUTE;
/// The longest time for which a rule can remember a login, in seconds.
pub const MAX_LENGTH: u64 = 30 * DAY;
/// How many remembered logins one factor has at most: the latest.
pub const MAX_REMEMBERED: usize = 32;
/// The value of an audit session id that is not set: `(uint32_t) -1` (`AUDIT_SID_UNSET`,
/// linux/audit.h).
pub const UNSET_SESSION: u32 = u32::MAX;

/// How a rule remembers logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remember {
    /// For how many seconds.
    pub length: u64,
    /// How a later login is recognised.
    pub by: RememberBy,
}

/// How a later login is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RememberBy {
    /// By the kernel's audit session of the program that asks.
    Session,
    /// By the remote address and the SSH key. When sshd asks, it has no audit session yet.
    SshKey,
}

/// The key of a remembered login: a SHA-256 digest of everything that a later login must have in
/// common with the one that was granted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RememberKey(String);

impl RememberKey {
    /// Returns the key of a session on this machine. `None` without a caller, a boot id or an audit
    /// session: such a login is never remembered.
    pub fn session(parts: &SessionKeyParts<'_>) -> Option<Self> {
        let SessionKeyParts { uid, user, caller, service, boot_id, audit_session } = parts;
        let caller = (*caller)?.to_string();
        let audit_session = audit_session.filter(|s| *s != UNSET_SESSION && *s != 0)?;
        if boot_id.is_empty() {
            return None;
        }
        let (uid, audit_session) = (uid.to_string(), audit_session.to_string());
        Some(Self::of(&["session", &uid, user, &caller, service, boot_id, &audit_session]))
    }

    /// Returns the key of a user with these SSH keys at this address. `None` without a key or an
    /// address.
    pub fn ssh_key(uid: u32, service: &str, address: &str, fingerprints: &[&str]) -> Option<Self> {
        if fingerprints.is_empty() || address.is_empty() {
            return None;
        }
        let uid = uid.to_string();
        let parts: Vec<&str> =
            ["ssh-key", &uid, service, address].into_iter().chain(fingerprints.iter().copied()).collect();
        Some(Self::of(&parts))
    }

    /// Returns the digest of the parts. The length precedes each part, so that different lists have
    /// different digests.
    fn of(parts: &[&str]) -> Self {
        let mut digest = sha2::Sha256::new();
        for part in parts {
            Update::update(&mut digest, &u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            Update::update(&mut digest, part.as_bytes());
        }
        Self(BASE64_NOPAD.encode(&digest.finalize()))
    }

    /// Returns the digest in base64, for the seal.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What [`RememberKey::session`] is made from.
#[derive(Clone, Copy, Debug)]
pub struct SessionKeyParts<'a> {
    /// The uid of the user whose factor was verified.
    pub uid: u32,
    /// The user who is logged in to; under `subject = "ruser"` this is another user
    /// (CVE-2025-64517).
    pub user: &'a str,
    /// The real uid of the program that asks.
    pub caller: Option<u32>,
    /// The PAM service.
    pub service: &'a str,
    /// The boot id, from `/proc/sys/kernel/random/boot_id` (random(4)).
    pub boot_id: &'a str,
    /// The audit session id, from `/proc/self/sessionid` of a root peer.
    pub audit_session: Option<u32>,
}

/// A remembered login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The key by which a later login is recognised.
    pub key: RememberKey,
    /// When it was granted.
    pub since: Time,
    /// For how many seconds it is remembered.
    pub length: u64,
}

impl Remembered {
    /// Returns whether the login is still remembered at `now`. It is not when the clock shows a
    /// time before the grant.
    pub fn holds(&self, now: Time) -> bool {
        now >= self.since && now.since(self.since) < self.length.min(MAX_LENGTH)
    }
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
    fn every_part_changes_the_session_key() {
        let key = RememberKey::session(&SESSION).unwrap();
        assert_eq!(RememberKey::session(&SESSION), Some(key.clone()));
        for other in [
            SessionKeyParts { uid: 1001, ..SESSION },
            SessionKeyParts { user: "root", ..SESSION },
            SessionKeyParts { caller: Some(1001), ..SESSION },
            SessionKeyParts { service: "su", ..SESSION },
            SessionKeyParts { boot_id: "c", ..SESSION },
            SessionKeyParts { audit_session: Some(8), ..SESSION },
            // The same characters, split differently.
            SessionKeyParts { user: "alic", service: "esudo", ..SESSION },
        ] {
            assert_ne!(RememberKey::session(&other), Some(key.clone()), "{other:?}");
        }
    }

    #[test]
    fn a_missing_part_makes_no_key() {
        for audit_session in [None, Some(UNSET_SESSION), Some(0)] {
            assert_eq!(RememberKey::session(&SessionKeyParts { audit_session, ..SESSION }), None);
        }
        assert_eq!(RememberKey::session(&SessionKeyParts { boot_id: "", ..SESSION }), None);
        assert_eq!(RememberKey::session(&SessionKeyParts { caller: None, ..SESSION }), None);
        assert_eq!(RememberKey::ssh_key(1000, "sshd", "192.0.2.1", &[]), None);
        assert!(RememberKey::ssh_key(1000, "sshd", "192.0.2.1", &["SHA256:x"]).is_some());
    }
}
