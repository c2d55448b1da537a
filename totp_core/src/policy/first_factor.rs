//! The proof that a first factor succeeded before the second one is waived or given away.

use super::facts::{Facts, Peer, RemoteHost};
use super::rule::Rule;
use super::ssh::SshAuth;

/// Where the proof of a first factor comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// sshd verified a key, a password or a Kerberos ticket.
    Ssh,
    /// The PAM line stands below a module that ends the stack when it fails.
    PamLine,
    /// The rule accepts setuid programs that a user of this machine started, without further proof.
    LocalRule,
}

impl Evidence {
    /// Returns the word for the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::PamLine => "pam-line",
            Self::LocalRule => "local-rule",
        }
    }
}

/// Proof that a first factor succeeded (invariant 5). Only the policy makes it, from the facts of
/// an attempt and the rule that decides about it.
///
/// ```compile_fail
/// let proof = totp_core::policy::FirstFactor { evidence: totp_core::policy::Evidence::Ssh };
/// ```
#[derive(Debug)]
pub struct FirstFactor {
    evidence: Evidence,
}

impl FirstFactor {
    /// Returns the proof that `facts` hold a first factor, as far as `rule` accepts it.
    pub(super) fn of(facts: &Facts, rule: &Rule) -> Option<Self> {
        let by_ssh = facts.ssh_methods().iter().any(SshAuth::is_first_factor);
        let local = facts.rhost == RemoteHost::Local && facts.caller.is_some();
        let evidence = match facts.peer {
            Peer::SelfService => return None,
            _ if by_ssh => Evidence::Ssh,
            _ if facts.first_factor_passed => Evidence::PamLine,
            Peer::Root if rule.local && local => Evidence::LocalRule,
            _ => return None,
        };
        Some(Self { evidence })
    }

    /// Returns where the proof comes from.
    pub const fn evidence(&self) -> Evidence {
        self.evidence
    }
}
