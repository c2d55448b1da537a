//! What is known of an attempt before anything is asked, and whether a first factor succeeded.

use super::rule::Rule;
use super::ssh::SshAuth;
use core::net::IpAddr;

/// Who speaks on the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A program that runs as root.
    Root,
    /// A service account of the configuration's allow-list.
    Trusted(u32),
    /// A process of the user's own. Nothing it says opens a door.
    SelfService,
}

/// What `PAM_RHOST` says about where the user comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteHost {
    /// This machine: no remote host is named.
    Local,
    /// A host at this address.
    Address(IpAddr),
    /// A host of which only the name is known, which proves nothing.
    NameOnly,
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `PAM_USER`.
    pub user: String,
    /// The real uid of the program that asks, as the module of a root peer says it. `None` where that
    /// is 0: a daemon, or root, of whom nobody knows for whom they ask.
    pub caller: Option<u32>,
    /// The login name of the caller. Never `PAM_RUSER`: polkit's helper puts its argument there.
    pub ruser: Option<String>,
    /// `PAM_SERVICE`.
    pub service: Option<String>,
    /// `PAM_RHOST`.
    pub rhost: RemoteHost,
    /// Who speaks.
    pub peer: Peer,
    /// What the PAM environment says of methods that succeeded in SSH; see [`Facts::ssh_methods`].
    pub ssh: Vec<SshAuth>,
    /// The PAM line says `first_factor=passed`.
    pub first_factor_passed: bool,
}

/// Where the proof of a first factor comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// sshd verified a key, a password or a ticket.
    Ssh,
    /// The PAM line stands below a module that ends the stack when it fails.
    PamLine,
    /// The rule waives it for setuid programs that a user of this machine started.
    LocalRule,
}

impl Evidence {
    /// The word in the audit.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::PamLine => "pam-line",
            Self::LocalRule => "local-rule",
        }
    }
}

/// Proof that a first factor succeeded (invariant 5). Made by [`Facts::first_factor`] alone.
///
/// ```compile_fail
/// let proof = totp_core::policy::FirstFactor { evidence: totp_core::policy::Evidence::Ssh };
/// ```
#[derive(Debug)]
pub struct FirstFactor {
    evidence: Evidence,
}

impl FirstFactor {
    /// Where it comes from.
    pub const fn evidence(&self) -> Evidence {
        self.evidence
    }
}

impl Facts {
    /// The methods that succeeded in SSH. Without a remote host it was not sshd that wrote them: another
    /// program's PAM environment may come from its user.
    pub(super) fn ssh_methods(&self) -> &[SshAuth] {
        if self.rhost == RemoteHost::Local || self.peer == Peer::SelfService { &[] } else { &self.ssh }
    }

    /// The proof that a first factor succeeded, as far as `rule` accepts it.
    pub(super) fn first_factor(&self, rule: &Rule) -> Option<FirstFactor> {
        let by_ssh = self.ssh_methods().iter().any(SshAuth::is_first_factor);
        let evidence = match self.peer {
            Peer::SelfService => return None,
            _ if by_ssh => Evidence::Ssh,
            _ if self.first_factor_passed => Evidence::PamLine,
            Peer::Root if rule.local && self.rhost == RemoteHost::Local && self.caller.is_some() => {
                Evidence::LocalRule
            }
            _ => return None,
        };
        Some(FirstFactor { evidence })
    }
}
