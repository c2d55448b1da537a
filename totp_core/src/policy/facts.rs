//! What is known about an attempt before anything is asked.

use super::ssh::SshAuth;
use core::net::IpAddr;

/// The process at the other end of the daemon's socket, by its credentials (`SO_PEERCRED`,
/// unix(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A program that runs as root.
    Root,
    /// A service account on the configuration's allow-list, by uid.
    Trusted(u32),
    /// A process of the user who logs in. Nothing that it says relaxes the policy.
    SelfService,
}

/// What `PAM_RHOST` says about where the user comes from (pam_get_item(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteHost {
    /// This machine: no remote host is named.
    Local,
    /// A host at this address.
    Address(IpAddr),
    /// A host of which only the name is known, which proves nothing.
    NameOnly,
}

/// What is known about one login attempt.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `PAM_USER`.
    pub user: String,
    /// The real uid of the process that called the module, as a root peer reports it. `None` for
    /// uid 0: root or a daemon, which may act for anyone.
    pub caller: Option<u32>,
    /// The login name that belongs to `caller`. Never `PAM_RUSER`, which polkit's helper fills with
    /// its own argument.
    pub ruser: Option<String>,
    /// `PAM_SERVICE`.
    pub service: Option<String>,
    /// `PAM_RHOST`.
    pub rhost: RemoteHost,
    /// The process that sent the request.
    pub peer: Peer,
    /// The methods that succeeded in SSH, as the PAM environment lists them. Rules and proofs read
    /// them through `Facts::ssh_methods`, which drops those that sshd did not write.
    pub ssh: Vec<SshAuth>,
    /// Whether the PAM line says `first_factor=passed`.
    pub first_factor_passed: bool,
}

impl Facts {
    /// Returns the methods that succeeded in SSH. Without a remote host the list is empty: then it
    /// was not sshd that wrote the PAM environment, and another program's may come from its user.
    pub(super) fn ssh_methods(&self) -> &[SshAuth] {
        if self.rhost == RemoteHost::Local || self.peer == Peer::SelfService { &[] } else { &self.ssh }
    }
}
