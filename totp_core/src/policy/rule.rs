//! One rule of the policy: which attempts it matches, and what it does with them.

use super::facts::{Facts, Peer, RemoteHost};
use super::network::Network;
use super::ssh::SshMatch;
use crate::remembered::Remember;
use crate::time::Time;
use core::fmt;
use std::collections::BTreeSet;

/// What a rule demands of an attempt that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A code is required.
    Require,
    /// No code is asked for.
    Exempt,
    /// A code is required; a user without a factor is enrolled during the login.
    Enroll,
    /// The attempt is refused, whatever is typed.
    Deny,
}

impl Action {
    /// Returns the word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Require => "require",
            Self::Exempt => "exempt",
            Self::Enroll => "enroll",
            Self::Deny => "deny",
        }
    }
}

/// Whether a rule is enforced or only observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The rule is enforced.
    Enforce,
    /// Every user passes without a code; the audit log records what enforcement would have done.
    Monitor,
    /// Every user is asked for a code once and passes, whatever they type.
    MonitorAsk,
    /// Every user passes without a code.
    Off,
}

impl Mode {
    /// Returns the word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Monitor => "monitor",
            Self::MonitorAsk => "monitor-ask",
            Self::Off => "off",
        }
    }
}

/// The user whose factor a rule asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subject {
    /// `PAM_USER`: the user who is logged in to.
    #[default]
    User,
    /// The caller, by real uid: under su(1), the user who runs it.
    Ruser,
}

/// A peer as a rule names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerMatch {
    /// `root`: a program that runs as root.
    Root,
    /// `self`: a process of the user who logs in.
    SelfService,
    /// A uid: a service account on the allow-list.
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

/// The moment of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// What the clock shows.
    pub now: Time,
    /// The build date of the release. A clock that shows an earlier time is wrong.
    pub not_before: Time,
}

impl Moment {
    /// Returns whether `date` has come. Under a wrong clock it has: to set the clock back neither
    /// postpones an enforcement nor prolongs an exemption.
    pub fn has_reached(self, date: Time) -> bool {
        self.now >= date || self.now < self.not_before
    }
}

/// A rule of the policy. Every list that is set must match, by any of its members; a list that is
/// not set matches every attempt. No list is empty: the configuration refuses empty lists, because
/// they must never mean "any".
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
    /// The mode until `enforce_from`, if that is set.
    pub mode: Mode,
    pub enforce_from: Option<Time>,
    /// From this moment on the rule matches nothing. Only rules that exempt have an end.
    pub until: Option<Time>,
    /// Who approved the exemption.
    pub approved_by: Option<String>,
    pub remember: Option<Remember>,
    pub subject: Subject,
    /// Whether setuid programs that a user of this machine started need no proof of a first factor.
    pub local: bool,
}

impl Default for Rule {
    /// Returns the rule that holds when no rule matches: every user is asked for a code.
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
            until: None,
            approved_by: None,
            remember: None,
            subject: Subject::User,
            local: false,
        }
    }
}

impl Rule {
    /// Returns the mode at a moment.
    pub fn mode_at(&self, moment: Moment) -> Mode {
        if self.enforce_from.is_some_and(|from| moment.has_reached(from)) { Mode::Enforce } else { self.mode }
    }

    /// Returns whether the rule matches nothing any more.
    pub fn has_ended(&self, moment: Moment) -> bool {
        self.until.is_some_and(|until| moment.has_reached(until))
    }

    /// Returns the first key that does not match the attempt, or `None` when the rule matches.
    /// `groups` are the groups of the user, at least those that the rule names.
    pub fn mismatch(&self, facts: &Facts, groups: &BTreeSet<String>, moment: Moment) -> Option<Mismatch> {
        self.mismatch_before_groups(facts, moment).or_else(|| {
            let wanted = self.groups.as_ref()?;
            wanted.is_disjoint(groups).then_some(Mismatch::Groups)
        })
    }

    /// Like [`Rule::mismatch`], but ignores the groups, which only a user directory knows.
    pub(super) fn mismatch_before_groups(&self, facts: &Facts, moment: Moment) -> Option<Mismatch> {
        if self.has_ended(moment) {
            return Some(Mismatch::Until);
        }
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
            let peer = match facts.peer {
                Peer::Root => PeerMatch::Root,
                Peer::SelfService => PeerMatch::SelfService,
                Peer::Trusted(uid) => PeerMatch::Uid(uid),
            };
            if !peers.contains(&peer) {
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

/// The key of a rule that does not match an attempt.
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
    /// The peer.
    Peers,
    /// The methods that succeeded in SSH.
    SshMethods,
    /// The rule has ended.
    Until,
}

impl Mismatch {
    /// Returns the key in the configuration.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Groups => "groups",
            Self::Services => "services",
            Self::Networks => "networks",
            Self::Peers => "peers",
            Self::SshMethods => "ssh_methods",
            Self::Until => "until",
        }
    }
}
