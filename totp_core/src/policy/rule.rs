//! One rule: whom it is about, and what becomes of them.

use super::facts::{Facts, Peer, RemoteHost};
use super::network::Network;
use super::ssh::SshMatch;
use crate::remembered::Remember;
use crate::time::Time;
use core::fmt;
use std::collections::BTreeSet;

/// What is asked of those whom a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A code.
    Require,
    /// Nothing.
    Exempt,
    /// A code; whoever has no factor is enrolled inside the login.
    Enroll,
    /// Nothing helps.
    Deny,
}

impl Action {
    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Require => "require",
            Self::Exempt => "exempt",
            Self::Enroll => "enroll",
            Self::Deny => "deny",
        }
    }
}

/// How seriously a rule is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Fully.
    Enforce,
    /// Everybody passes unasked; what enforcement would have done is recorded.
    Monitor,
    /// Everybody is asked once and passes whatever comes of it.
    MonitorAsk,
    /// Everybody passes.
    Off,
}

impl Mode {
    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Monitor => "monitor",
            Self::MonitorAsk => "monitor-ask",
            Self::Off => "off",
        }
    }
}

/// Whose factor is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subject {
    /// That of `PAM_USER`.
    #[default]
    User,
    /// That of the caller, by the real uid: under su, of the one who types.
    Ruser,
}

/// Who speaks, as a rule names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerMatch {
    /// `root`
    Root,
    /// `self`: a process of the user's own.
    SelfService,
    /// A uid of the allow-list.
    Uid(u32),
}

impl fmt::Display for PeerMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::SelfService => f.write_str("self"),
            Self::Uid(uid) => uid.fmt(f),
        }
    }
}

/// A rule. Each list that is there has to match, by any of its members; one that is not there says nothing.
/// An empty list does not exist: the configuration refuses it, since it must never mean "any".
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the keys of the configuration, documented there")]
pub struct Rule {
    pub name: Option<String>,
    pub users: Option<BTreeSet<String>>,
    pub groups: Option<BTreeSet<String>>,
    pub services: Option<BTreeSet<String>>,
    pub networks: Option<Vec<Network>>,
    pub peers: Option<Vec<PeerMatch>>,
    pub ssh_methods: Option<Vec<SshMatch>>,
    pub action: Action,
    /// Until `enforce_from`, if that is there.
    pub mode: Mode,
    pub enforce_from: Option<Time>,
    pub remember: Option<Remember>,
    pub subject: Subject,
    /// Waives the proof of a first factor for setuid programs that a user of this machine started.
    pub local: bool,
}

impl Default for Rule {
    /// What no rule at all means: everybody is asked.
    fn default() -> Self {
        Self {
            name: None,
            users: None,
            groups: None,
            services: None,
            networks: None,
            peers: None,
            ssh_methods: None,
            action: Action::Require,
            mode: Mode::Enforce,
            enforce_from: None,
            remember: None,
            subject: Subject::User,
            local: false,
        }
    }
}

impl Rule {
    /// The mode at `now`. A clock before the release's own date would undo an `enforce_from`: then it counts
    /// as reached.
    pub fn mode_at(&self, now: Time, not_before: Time) -> Mode {
        match self.enforce_from {
            Some(from) if now >= from || now < not_before => Mode::Enforce,
            _ => self.mode,
        }
    }

    /// Why the rule is not about this attempt, or `None` when it is. `groups` are those of its groups that
    /// the user is a member of.
    pub fn mismatch(&self, facts: &Facts, groups: &BTreeSet<String>) -> Option<Mismatch> {
        self.mismatch_before_groups(facts).or_else(|| {
            let wanted = self.groups.as_ref()?;
            wanted.is_disjoint(groups).then_some(Mismatch::Groups)
        })
    }

    /// The same without its groups, which only a directory knows.
    pub(super) fn mismatch_before_groups(&self, facts: &Facts) -> Option<Mismatch> {
        let lacks = |set: &Option<BTreeSet<String>>, value: Option<&str>| {
            set.as_ref().is_some_and(|set| value.is_none_or(|value| !set.contains(value)))
        };
        if lacks(&self.users, Some(&facts.user)) {
            return Some(Mismatch::Users);
        }
        if lacks(&self.services, facts.service.as_deref()) {
            return Some(Mismatch::Services);
        }
        if let Some(networks) = &self.networks {
            let inside = match facts.rhost {
                RemoteHost::Address(address) => networks.iter().any(|n| n.contains(address)),
                RemoteHost::Local | RemoteHost::NameOnly => false,
            };
            if !inside {
                return Some(Mismatch::Networks);
            }
        }
        if let Some(peers) = &self.peers {
            let speaks = match facts.peer {
                Peer::Root => PeerMatch::Root,
                Peer::SelfService => PeerMatch::SelfService,
                Peer::Trusted(uid) => PeerMatch::Uid(uid),
            };
            if !peers.contains(&speaks) {
                return Some(Mismatch::Peers);
            }
        }
        if let Some(methods) = &self.ssh_methods
            && !methods.iter().any(|m| m.matches_any(facts.ssh_methods()))
        {
            return Some(Mismatch::SshMethods);
        }
        None
    }
}

/// The list that an attempt is not in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The user.
    Users,
    /// The user's groups.
    Groups,
    /// The PAM service.
    Services,
    /// The remote address.
    Networks,
    /// Who speaks.
    Peers,
    /// The methods that succeeded in SSH.
    SshMethods,
}

impl Mismatch {
    /// The key of the configuration.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Groups => "groups",
            Self::Services => "services",
            Self::Networks => "networks",
            Self::Peers => "peers",
            Self::SshMethods => "ssh_methods",
        }
    }
}
