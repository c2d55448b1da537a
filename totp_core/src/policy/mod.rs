//! The policy of logins: the first rule that matches decides; without one everybody is asked for a code.
//!
//! ```text
//!  facts ─▶ first matching rule ─▶ mode now ─▶ lets in unasked, or gives a factor away?
//!                                                 │ no            │ yes
//!                                              Ask, Deny     proof of a first factor?
//!                                                              │ yes          │ no
//!                                                     Pass, AskAndPass, Enroll │
//!                                                                        Ask (no-first-factor)
//! ```
//!
//! [`Pass`] is the one key to an exemption: only [`Policy::decide`] makes it, out of a [`FirstFactor`].

mod facts;
mod lints;
mod network;
mod rule;
pub mod siblings;
mod ssh;

pub use facts::{Evidence, Facts, FirstFactor, Peer, RemoteHost};
pub use lints::Lint;
pub use network::{InvalidNetwork, Network};
pub use rule::{Action, Mismatch, Mode, PeerMatch, Rule, Subject};
pub use ssh::{InvalidSshMethod, SshAuth, SshMatch};

use crate::remembered::Remember;
use crate::time::Time;
use std::collections::BTreeSet;

/// The rules, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The rules.
    pub rules: Vec<Rule>,
}

/// Leave to pass without a code, which answers "exempt" and nothing better. Given away once.
///
/// ```compile_fail
/// fn twice(pass: totp_core::policy::Pass) { let (_a, _b) = (pass.clone(), pass); }
/// ```
#[derive(Debug)]
#[must_use = "a leave that is dropped lets nobody in"]
pub struct Pass {
    proof: FirstFactor,
    mode: Mode,
}

impl Pass {
    /// Where the proof of a first factor comes from.
    pub const fn evidence(&self) -> Evidence {
        self.proof.evidence()
    }

    /// `Enforce` for an exempt user; otherwise the mode that lets pass.
    pub const fn mode(&self) -> Mode {
        self.mode
    }
}

/// What becomes of an attempt.
#[derive(Debug)]
pub enum Ruling {
    /// A code is asked for. `unproven`: the rule would have let pass, had a first factor been proved.
    Ask {
        /// See above.
        unproven: bool,
    },
    /// It is refused, whatever is typed.
    Deny,
    /// It passes without a question.
    Pass(Pass),
    /// A code is asked for once, and it passes whatever comes of it.
    AskAndPass(Pass),
    /// A code is asked for; whoever has no factor is enrolled.
    Enroll(FirstFactor),
}

/// What the policy says.
#[derive(Debug)]
pub struct Decision {
    /// The place of the rule that decides, from 0; `None` is the default.
    pub rule: Option<usize>,
    /// What becomes of the attempt.
    pub ruling: Ruling,
    /// What the rule's action is, whatever its mode.
    pub action: Action,
    /// Whose factor is asked for.
    pub subject: String,
    /// Whether a grant is remembered; only where the first factor was proved.
    pub remember: Option<Remember>,
}

impl Policy {
    /// The groups on which the decision may hang: to be looked up before [`Policy::decide`].
    pub fn relevant_groups(&self, facts: &Facts) -> BTreeSet<String> {
        let mut wanted = BTreeSet::new();
        for rule in self.rules.iter().filter(|rule| rule.mismatch_before_groups(facts).is_none()) {
            match &rule.groups {
                Some(groups) => wanted.extend(groups.iter().cloned()),
                // It matches, so no later rule is asked.
                None => break,
            }
        }
        wanted
    }

    /// Decides. `groups` are those in question that the user is a member of; `not_before` is the release's
    /// date: a clock before it never softens a rule.
    pub fn decide(&self, facts: &Facts, groups: &BTreeSet<String>, now: Time, not_before: Time) -> Decision {
        let found = self.rules.iter().position(|rule| rule.mismatch(facts, groups).is_none());
        let default = Rule::default();
        let rule = found.and_then(|place| self.rules.get(place)).unwrap_or(&default);
        let proof = facts.first_factor(rule);
        let remember = rule.remember.filter(|_| proof.is_some());
        Decision {
            rule: found,
            ruling: ruling(rule, proof, rule.mode_at(now, not_before), facts.peer == Peer::Root),
            action: rule.action,
            subject: subject(rule, facts),
            remember,
        }
    }
}

fn ruling(rule: &Rule, proof: Option<FirstFactor>, mode: Mode, by_root: bool) -> Ruling {
    match (rule.action, mode, proof) {
        (Action::Require, Mode::Enforce, _) => Ruling::Ask { unproven: false },
        (Action::Deny, Mode::Enforce, _) => Ruling::Deny,
        // Everything else lets somebody in unasked or gives a factor away.
        (_, _, None) => Ruling::Ask { unproven: true },
        (Action::Exempt, mode, Some(proof)) => {
            Ruling::Pass(Pass { proof, mode: if mode == Mode::Off { mode } else { Mode::Enforce } })
        }
        // A factor is made on root's word alone: a service account of the allow-list could make anybody's.
        (Action::Enroll, Mode::Enforce, Some(_)) if !by_root => Ruling::Ask { unproven: true },
        (Action::Enroll, Mode::Enforce, Some(proof)) => Ruling::Enroll(proof),
        (_, Mode::MonitorAsk, Some(proof)) => Ruling::AskAndPass(Pass { proof, mode }),
        (_, mode, Some(proof)) => Ruling::Pass(Pass { proof, mode }),
    }
}

/// Whose factor is asked for. The caller is who started a setuid program on this machine; over the
/// network, and from a daemon, there is none.
fn subject(rule: &Rule, facts: &Facts) -> String {
    match (rule.subject, facts.caller, &facts.ruser, facts.rhost, facts.peer) {
        (Subject::Ruser, Some(_), Some(ruser), RemoteHost::Local, Peer::Root) if !ruser.is_empty() => {
            ruser.clone()
        }
        _ => facts.user.clone(),
    }
}

impl Policy {
    /// Whether a rule asks for the factor of the caller, so that their name has to be known.
    pub fn needs_caller_name(&self) -> bool {
        self.rules.iter().any(|rule| rule.subject == Subject::Ruser)
    }
}

#[cfg(test)]
mod tests;
