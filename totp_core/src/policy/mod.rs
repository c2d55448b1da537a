//! The policy of logins: the first rule that matches decides. If no rule matches, a code is
//! required.
//!
//! ```text
//!  facts ─▶ first matching rule ─▶ mode now ─▶ passes without a code, or enrolls?
//!                                                 │ no            │ yes
//!                                              Ask, Deny     proof of a first factor?
//!                                                              │ yes          │ no
//!                                                     Pass, AskAndPass, Enroll │
//!                                                                        Ask (no-first-factor)
//! ```
//!
//! An exemption needs a [`Pass`]: only [`Policy::decide`] makes one, and only from a
//! [`FirstFactor`].

mod facts;
mod first_factor;
mod lints;
mod network;
mod rule;
pub mod siblings;
mod ssh;

pub use facts::{Facts, Peer, RemoteHost};
pub use first_factor::{Evidence, FirstFactor};
pub use lints::Lint;
pub use network::{InvalidNetwork, Network};
pub use rule::{Action, Mismatch, Mode, Moment, PeerMatch, Rule, Subject};
pub use ssh::{InvalidSshMethod, SshAuth, SshMatch};

use crate::remembered::Remember;
use std::collections::BTreeSet;

/// The rules of a site, in the order in which they are tried.
///
/// ```
/// use std::collections::BTreeSet;
/// use totp_core::Time;
/// use totp_core::policy::{Action, Facts, Moment, Peer, Policy, RemoteHost, Rule, Ruling, SshAuth};
///
/// // Users who log in over SSH from the office network need no code.
/// let office = Rule {
///     networks: Some(vec!["192.0.2.0/24".parse().unwrap()]),
///     action: Action::Exempt,
///     ..Rule::default()
/// };
/// let policy = Policy { rules: vec![office] };
/// let facts = Facts {
///     user: "alice".into(),
///     caller: None,
///     ruser: None,
///     service: Some("sshd".into()),
///     rhost: RemoteHost::Address("192.0.2.7".parse().unwrap()),
///     peer: Peer::Root,
///     ssh: vec![SshAuth::parse("password")],
///     first_factor_passed: false,
/// };
/// let (now, not_before) = (Time::from_unix(1_800_000_000), Time::from_unix(1_700_000_000));
/// let moment = Moment { now, not_before };
/// let decide = |facts: &Facts| policy.decide(facts, &BTreeSet::new(), moment).ruling;
/// assert!(matches!(decide(&facts), Ruling::Pass(_)));
/// // An exemption needs the proof of a first factor.
/// let unproven = Facts { ssh: vec![], ..facts };
/// assert!(matches!(decide(&unproven), Ruling::Ask { unproven: true }));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The rules; the first one that matches decides.
    pub rules: Vec<Rule>,
}

/// Permission to pass without a code. It is worth the answer "exempt" and is used once.
///
/// ```compile_fail
/// fn twice(pass: totp_core::policy::Pass) { let (_a, _b) = (pass.clone(), pass); }
/// ```
#[derive(Debug)]
#[must_use = "a permission that is dropped lets nobody in"]
pub struct Pass {
    proof: FirstFactor,
    mode: Mode,
}

impl Pass {
    /// Returns where the proof of a first factor comes from.
    pub const fn evidence(&self) -> Evidence {
        self.proof.evidence()
    }

    /// Returns `Enforce` for an exempt user, and otherwise the mode that lets the user pass.
    pub const fn mode(&self) -> Mode {
        self.mode
    }
}

/// What the policy does with an attempt.
#[derive(Debug)]
pub enum Ruling {
    /// A code is required.
    Ask {
        /// Whether the rule would have let the user pass if a first factor had been proved.
        unproven: bool,
    },
    /// The attempt is refused, whatever is typed.
    Deny,
    /// The attempt passes without a code.
    Pass(Pass),
    /// A code is asked for once, and the attempt passes whatever is typed.
    AskAndPass(Pass),
    /// A code is required; a user without a factor is enrolled.
    Enroll(FirstFactor),
}

/// The policy's decision about an attempt.
#[derive(Debug)]
pub struct Decision {
    /// The index of the rule that decides; `None` when no rule matches and the default applies.
    pub rule: Option<usize>,
    /// What is done with the attempt.
    pub ruling: Ruling,
    /// The action of the rule, whatever its mode.
    pub action: Action,
    /// The login name of the user whose factor is asked for.
    pub subject: String,
    /// How a grant is remembered; `None` where it is not, and where no first factor was proved.
    pub remember: Option<Remember>,
    /// The proof with which a ticket of an administrator gives a user without a factor one inside
    /// the login. `None` without a proof, and where only a rule waives it.
    pub first_factor: Option<FirstFactor>,
}

impl Policy {
    /// Returns the groups on which the decision may depend. The caller looks up which of them the
    /// user is a member of, and passes those to [`Policy::decide`].
    pub fn relevant_groups(&self, facts: &Facts, moment: Moment) -> BTreeSet<String> {
        let mut wanted = BTreeSet::new();
        for rule in self.rules.iter().filter(|rule| rule.mismatch_before_groups(facts, moment).is_none()) {
            match &rule.groups {
                Some(groups) => wanted.extend(groups.iter().cloned()),
                // It matches, so no later rule is tried.
                None => break,
            }
        }
        wanted
    }

    /// Decides about an attempt. `groups` are the relevant groups of the same moment that the user
    /// is a member of.
    pub fn decide(&self, facts: &Facts, groups: &BTreeSet<String>, moment: Moment) -> Decision {
        let matches = |rule: &Rule| rule.mismatch(facts, groups, moment).is_none();
        let found = self.rules.iter().enumerate().find(|(_, rule)| matches(rule));
        let default = Rule::default();
        let rule = found.map_or(&default, |(_, rule)| rule);
        let proof = FirstFactor::of(facts, rule);
        let remember = rule.remember.filter(|_| proof.is_some());
        Decision {
            rule: found.map(|(index, _)| index),
            ruling: ruling(rule, proof, rule.mode_at(moment), facts.peer),
            action: rule.action,
            subject: subject(rule, facts),
            remember,
            first_factor: FirstFactor::of(facts, rule)
                .filter(|proof| facts.peer == Peer::Root && proof.evidence() != Evidence::LocalRule),
        }
    }
}

fn ruling(rule: &Rule, proof: Option<FirstFactor>, mode: Mode, peer: Peer) -> Ruling {
    match (rule.action, mode, proof) {
        (Action::Require, Mode::Enforce, _) => Ruling::Ask { unproven: false },
        (Action::Deny, Mode::Enforce, _) => Ruling::Deny,
        // Every other combination lets a user pass without a code, or enrolls one.
        (_, _, None) => Ruling::Ask { unproven: true },
        (Action::Exempt, mode, Some(proof)) => {
            Ruling::Pass(Pass { proof, mode: if mode == Mode::Off { mode } else { Mode::Enforce } })
        }
        // Only root may have a factor made: an allow-listed account could make one for any user.
        (Action::Enroll, Mode::Enforce, Some(_)) if peer != Peer::Root => Ruling::Ask { unproven: true },
        (Action::Enroll, Mode::Enforce, Some(proof)) => Ruling::Enroll(proof),
        (_, Mode::MonitorAsk, Some(proof)) => Ruling::AskAndPass(Pass { proof, mode }),
        (_, mode, Some(proof)) => Ruling::Pass(Pass { proof, mode }),
    }
}

/// Returns the login name of the user whose factor is asked for. Only a setuid program that a user
/// of this machine started has a caller: over the network, and from a daemon, there is none.
fn subject(rule: &Rule, facts: &Facts) -> String {
    match (rule.subject, facts.caller, &facts.ruser, facts.rhost, facts.peer) {
        (Subject::Ruser, Some(_), Some(ruser), RemoteHost::Local, Peer::Root) if !ruser.is_empty() => {
            ruser.clone()
        }
        _ => facts.user.clone(),
    }
}

impl Policy {
    /// Returns whether any rule asks for the factor of the caller, so that the caller's login name
    /// has to be looked up.
    pub fn needs_caller_name(&self) -> bool {
        self.rules.iter().any(|rule| rule.subject == Subject::Ruser)
    }
}

#[cfg(test)]
mod tests;
