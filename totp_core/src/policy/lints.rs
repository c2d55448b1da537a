//! Rules that can never match, or that have no effect: mistakes that no parser sees.

use super::rule::{Action, Mode, PeerMatch, Rule, Subject};
use super::{Policy, ssh::SshMatch};
use core::fmt;
use std::collections::BTreeSet;

/// What is wrong with a rule, in a sentence that goes behind its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lint {
    /// Everything it is about is decided by this rule before it (its place, from 0).
    Shadowed(usize),
    /// Two of its keys exclude each other.
    Contradiction(&'static str),
    /// A key of it changes nothing.
    NoEffect(&'static str),
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shadowed(by) => write!(f, "never decides: rule {} before it takes everything", by + 1),
            Self::Contradiction(why) => write!(f, "can never match: {why}"),
            Self::NoEffect(why) => write!(f, "has no effect: {why}"),
        }
    }
}

impl Policy {
    /// What is wrong, with the place of the rule (from 0).
    pub fn lints(&self) -> Vec<(usize, Lint)> {
        let mut found = Vec::new();
        for (place, rule) in self.rules.iter().enumerate() {
            let before = self.rules.iter().take(place);
            if let Some(by) = before.enumerate().find_map(|(by, b)| covers(b, rule).then_some(by)) {
                found.push((place, Lint::Shadowed(by)));
            }
            found.extend(contradictions(rule).into_iter().map(|why| (place, Lint::Contradiction(why))));
            found.extend(idle_keys(rule).into_iter().map(|why| (place, Lint::NoEffect(why))));
        }
        found
    }
}

fn contradictions(rule: &Rule) -> Vec<&'static str> {
    let own_only =
        rule.peers.as_ref().is_some_and(|peers| peers.iter().all(|p| *p == PeerMatch::SelfService));
    let mut found = Vec::new();
    if rule.services.iter().flatten().any(|service| service.chars().any(char::is_uppercase)) {
        found.push("libpam says the names of services in small letters");
    }
    if own_only && (rule.networks.is_some() || rule.ssh_methods.is_some() || rule.services.is_some()) {
        found.push(
            "what a user's own process (peer self) says of service, network and SSH methods is dropped",
        );
    }
    found
}

fn idle_keys(rule: &Rule) -> Vec<&'static str> {
    let own_only =
        rule.peers.as_ref().is_some_and(|peers| peers.iter().all(|p| *p == PeerMatch::SelfService));
    let lets_pass = matches!(rule.action, Action::Exempt | Action::Enroll) || rule.mode != Mode::Enforce;
    let mut found = Vec::new();
    if rule.action == Action::Exempt && (rule.mode != Mode::Enforce || rule.enforce_from.is_some()) {
        found.push("mode and enforce_from mean nothing to exempt users");
    }
    if own_only && (lets_pass || rule.remember.is_some()) {
        found.push("a user's own process (peer self) is always asked: never exempt, enrolled, monitored or remembered");
    }
    let never_asks = matches!(rule.mode, Mode::Off | Mode::Monitor) && rule.enforce_from.is_none();
    if rule.remember.is_some() && (matches!(rule.action, Action::Exempt | Action::Deny) || never_asks) {
        found.push("remember needs a rule that asks for codes");
    }
    if rule.local && !lets_pass && rule.remember.is_none() {
        found.push("local waives the proof of a first factor, which this rule never needs");
    }
    if rule.local && (rule.networks.is_some() || rule.ssh_methods.is_some()) {
        found.push("local is about attempts without a remote host, and networks or ssh_methods need one");
    }
    if rule.subject == Subject::Ruser && (rule.networks.is_some() || rule.ssh_methods.is_some()) {
        found.push("subject = \"ruser\" counts for local programs only, and networks or ssh_methods need a remote one");
    }
    if *rule == (Rule { name: rule.name.clone(), ..Rule::default() }) {
        found.push("it says what holds without it");
    }
    found
}

/// Whether every attempt that `later` is about is decided by `earlier`.
fn covers(earlier: &Rule, later: &Rule) -> bool {
    within(earlier.users.as_ref(), later.users.as_ref())
        && within(earlier.groups.as_ref(), later.groups.as_ref())
        && within(earlier.services.as_ref(), later.services.as_ref())
        && covered(earlier.networks.as_deref(), later.networks.as_deref(), super::Network::covers)
        && covered(earlier.peers.as_deref(), later.peers.as_deref(), PartialEq::eq)
        && covered(earlier.ssh_methods.as_deref(), later.ssh_methods.as_deref(), SshMatch::covers)
}

/// Whether a set lets everything through that the later one does. One that is not there lets everything through.
fn within(earlier: Option<&BTreeSet<String>>, later: Option<&BTreeSet<String>>) -> bool {
    earlier.is_none_or(|earlier| later.is_some_and(|later| later.is_subset(earlier)))
}

/// The same for lists whose members may cover one another.
fn covered<T>(earlier: Option<&[T]>, later: Option<&[T]>, covers: impl Fn(&T, &T) -> bool) -> bool {
    earlier.is_none_or(|earlier| {
        later.is_some_and(|later| later.iter().all(|b| earlier.iter().any(|a| covers(a, b))))
    })
}
