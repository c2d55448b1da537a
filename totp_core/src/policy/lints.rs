//! Finds rules that can never match or that have no effect: mistakes that a parser does not see.

use super::rule::{Action, Mode, PeerMatch, Rule, Subject};
use super::{Policy, ssh::SshMatch};
use core::fmt;
use std::collections::BTreeSet;

/// A mistake in a rule. Its `Display` form is the second half of a sentence that begins with the
/// rule's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lint {
    /// An earlier rule, with this index, decides every attempt that it matches.
    Shadowed(usize),
    /// Two of its keys exclude each other; the text says which and why.
    Contradiction(&'static str),
    /// One of its keys changes nothing; the text says which and why.
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
    /// Returns the mistakes that were found, each with the index of its rule.
    pub fn lints(&self) -> Vec<(usize, Lint)> {
        let mut found = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            if let Some(by) = self.rules.iter().take(index).position(|earlier| covers(earlier, rule)) {
                found.push((index, Lint::Shadowed(by)));
            }
            found.extend(contradictions(rule).into_iter().map(|why| (index, Lint::Contradiction(why))));
            found.extend(keys_without_effect(rule).into_iter().map(|why| (index, Lint::NoEffect(why))));
        }
        found
    }
}

/// Returns whether the rule matches processes of the user alone.
fn is_self_service_only(rule: &Rule) -> bool {
    rule.peers.as_ref().is_some_and(|peers| peers.iter().all(|peer| *peer == PeerMatch::SelfService))
}

/// Returns why the rule can never match.
fn contradictions(rule: &Rule) -> Vec<&'static str> {
    let mut found = Vec::new();
    if rule.services.iter().flatten().any(|service| service.chars().any(char::is_uppercase)) {
        found.push("libpam passes service names in lower case");
    }
    if is_self_service_only(rule)
        && (rule.networks.is_some() || rule.ssh_methods.is_some() || rule.services.is_some())
    {
        found.push(
            "what a user's own process (peer self) says about service, network and SSH methods is ignored",
        );
    }
    found
}

/// Returns which keys of the rule change nothing, and why.
fn keys_without_effect(rule: &Rule) -> Vec<&'static str> {
    let lets_pass = matches!(rule.action, Action::Exempt | Action::Enroll) || rule.mode != Mode::Enforce;
    let mut found = Vec::new();
    if rule.action == Action::Exempt && (rule.mode != Mode::Enforce || rule.enforce_from.is_some()) {
        found.push("mode and enforce_from do nothing for exempt users");
    }
    if is_self_service_only(rule) && (lets_pass || rule.remember.is_some()) {
        found.push("a user's own process (peer self) is always asked: never exempt, enrolled, monitored or remembered");
    }
    let never_asks = matches!(rule.mode, Mode::Off | Mode::Monitor) && rule.enforce_from.is_none();
    if rule.remember.is_some() && (matches!(rule.action, Action::Exempt | Action::Deny) || never_asks) {
        found.push("remember needs a rule that asks for codes");
    }
    if rule.local && !lets_pass && rule.remember.is_none() {
        found.push("local waives the proof of a first factor, and this rule never needs one");
    }
    if rule.local && (rule.networks.is_some() || rule.ssh_methods.is_some()) {
        found.push("local is for attempts without a remote host, and networks and ssh_methods need one");
    }
    if rule.subject == Subject::Ruser && (rule.networks.is_some() || rule.ssh_methods.is_some()) {
        found.push("subject = \"ruser\" works for local programs only, and networks and ssh_methods need a remote host");
    }
    if *rule == (Rule { name: rule.name.clone(), ..Rule::default() }) {
        found.push("it repeats the default");
    }
    found
}

/// Returns whether `earlier` decides every attempt that `later` matches.
fn covers(earlier: &Rule, later: &Rule) -> bool {
    let lasts = earlier.until.is_none_or(|until| later.until.is_some_and(|later| later <= until));
    lasts
        && within(earlier.users.as_ref(), later.users.as_ref())
        && within(earlier.groups.as_ref(), later.groups.as_ref())
        && within(earlier.services.as_ref(), later.services.as_ref())
        && covered(earlier.networks.as_deref(), later.networks.as_deref(), super::Network::covers)
        && covered(earlier.peers.as_deref(), later.peers.as_deref(), PartialEq::eq)
        && covered(earlier.ssh_methods.as_deref(), later.ssh_methods.as_deref(), SshMatch::covers)
}

/// Returns whether the earlier set matches everything that the later one does. A set that is not
/// there matches everything.
fn within(earlier: Option<&BTreeSet<String>>, later: Option<&BTreeSet<String>>) -> bool {
    earlier.is_none_or(|earlier| later.is_some_and(|later| later.is_subset(earlier)))
}

/// Like [`within`], for lists whose members may cover one another.
fn covered<T>(earlier: Option<&[T]>, later: Option<&[T]>, covers: impl Fn(&T, &T) -> bool) -> bool {
    earlier.is_none_or(|earlier| {
        later.is_some_and(|later| later.iter().all(|b| earlier.iter().any(|a| covers(a, b))))
    })
}
