//! Explains what the policy would do with a login attempt: makes the same decision as at a login,
//! and records nothing.

use super::AccountError;
use super::Engine;
use super::attempt::LoginRequest;
use super::remembered_login::BOOT_ID;
use crate::audit::{EventReason, UnjudgedReason, Would};
use std::collections::BTreeSet;
use totp_core::policy::{Action, Evidence, Mismatch, Mode, Moment, RemoteHost, Rule, Ruling};
use totp_core::remembered::RememberBy;
use totp_core::{Reason, Time};

/// What would happen to a login attempt, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The rules up to the one that decides.
    pub checked: Vec<CheckedRule>,
    /// The action of that rule, or of the default.
    pub action: Action,
    /// The mode of that rule at the time of the attempt.
    pub mode: Mode,
    /// The user whose factor would be asked for.
    pub subject: String,
    /// How a first factor would be proved, if it is.
    pub first_factor: Option<Evidence>,
    /// What would happen.
    pub outcome: ExpectedOutcome,
    /// Why the attempt would be refused, or would not pass without a code.
    pub reason: Option<EventReason>,
    /// What enforcement would do and why, where the mode of the rule lets the user pass.
    pub would: Option<(Would, Option<EventReason>)>,
    /// For how many seconds a grant would be remembered.
    pub remember: Option<u64>,
    /// What prevents something that the rule allows, as a sentence.
    pub obstacle: Option<String>,
}

/// A rule that was compared with the attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedRule {
    /// The name of the rule.
    pub rule: String,
    /// Whether it decides.
    pub decides: bool,
    /// What in it does not match the attempt.
    pub mismatch: Option<Mismatch>,
}

/// What would happen to a login attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedOutcome {
    /// A code would be asked for.
    Asked,
    /// A code would be asked for, and any answer would pass.
    AskedAndPassed,
    /// The user would pass without a code.
    Exempt,
    /// The user would enroll during the login.
    Enrolled,
    /// Every answer would be refused.
    Refused,
}

impl Engine {
    /// Explains what would happen to this attempt at the time `at`. `None`: now.
    ///
    /// # Errors
    /// [`AccountError`] when a user directory or the store does not answer.
    pub async fn explain(
        &self,
        request: LoginRequest,
        at: Option<Time>,
    ) -> Result<Explanation, AccountError> {
        let policy = &self.config.policy;
        let (request, decision, groups, now) = self.rule(request, at).await?;
        let pending = self.pending_login(request, &decision, now);
        let moment = Moment { now, not_before: self.rules.not_before };
        let rule = decision.rule.and_then(|index| policy.rules.get(index));
        let mode = rule.map_or(Mode::Enforce, |rule| rule.mode_at(moment));
        let (would, why) = self.would(&pending, decision.action, now).await?;
        let obstacle = rule.and_then(|rule| {
            let first_factor = if decision.remember.is_some() { Proof::Given } else { Proof::Missing };
            not_remembered(rule, first_factor, &pending.request, self.boot_id.as_deref())
        });
        let remember = decision.remember.filter(|_| obstacle.is_none()).map(|remember| remember.length);
        let mut explanation = Explanation {
            checked: self.checked(&pending.request, &groups, moment, decision.rule),
            action: decision.action,
            mode,
            subject: decision.subject,
            first_factor: None,
            outcome: ExpectedOutcome::Asked,
            reason: None,
            would: None,
            remember,
            obstacle,
        };
        let refuses = why.filter(|_| would == Would::Refuse);
        match decision.ruling {
            Ruling::Deny => {
                explanation.outcome = ExpectedOutcome::Refused;
                explanation.reason = Some(Reason::Denied.into());
            }
            Ruling::Pass(pass) => {
                explanation.outcome = ExpectedOutcome::Exempt;
                explanation.first_factor = Some(pass.evidence());
                let is_monitored = decision.action != Action::Exempt;
                explanation.would = is_monitored.then_some((would, why));
            }
            Ruling::AskAndPass(pass) => {
                explanation.outcome = ExpectedOutcome::AskedAndPassed;
                explanation.first_factor = Some(pass.evidence());
            }
            Ruling::Ask { unproven } => {
                let has_no_factor = matches!(
                    why,
                    Some(EventReason::Judged(Reason::NotEnrolled | Reason::Expired | Reason::NotShown))
                ) || would == Would::Enroll;
                // No first factor helps if there is no such user, or the record cannot be used.
                let unusable = matches!(
                    why,
                    Some(EventReason::Unjudged(
                        UnjudgedReason::UnknownUser | UnjudgedReason::UidChanged | UnjudgedReason::Damaged
                    ))
                );
                let no_proof = (unproven && !unusable).then(|| Reason::NoFirstFactor.into());
                explanation.outcome = if refuses.is_some() || unproven && has_no_factor {
                    ExpectedOutcome::Refused
                } else {
                    ExpectedOutcome::Asked
                };
                explanation.reason = no_proof.or(refuses);
            }
            Ruling::Enroll(proof) => {
                explanation.first_factor = Some(proof.evidence());
                explanation.outcome = match would {
                    Would::Enroll => ExpectedOutcome::Enrolled,
                    Would::Refuse => ExpectedOutcome::Refused,
                    Would::Ask | Would::Exempt => ExpectedOutcome::Asked,
                };
                explanation.reason = refuses;
            }
        }
        Ok(explanation)
    }

    /// Returns the rules up to the one that decides, which has the index `decides`.
    fn checked(
        &self,
        request: &LoginRequest,
        groups: &BTreeSet<String>,
        moment: Moment,
        decides: Option<usize>,
    ) -> Vec<CheckedRule> {
        let rules = self.config.policy.rules.iter().enumerate();
        let count = decides.map_or(usize::MAX, |index| index + 1);
        let checked = rules.take(count).map(|(index, rule)| CheckedRule {
            rule: self.config.rule_name(index),
            decides: decides == Some(index),
            mismatch: rule.mismatch(&request.facts, groups, moment),
        });
        checked.collect()
    }
}

/// Whether the first factor of an attempt is proved.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    Given,
    Missing,
}

/// Returns why a grant of this attempt would not be remembered, although the rule says that grants
/// are.
fn not_remembered(
    rule: &Rule,
    first_factor: Proof,
    request: &LoginRequest,
    boot_id: Option<&str>,
) -> Option<String> {
    let (remember, facts) = (rule.remember?, &request.facts);
    if first_factor == Proof::Missing {
        return Some("nothing is remembered: that takes a login whose first factor is proved".to_owned());
    }
    let service = facts.service.as_deref().unwrap_or("this service");
    let has_key = facts.ssh.iter().any(|auth| auth.method == "publickey");
    let why = match (remember.by, facts.rhost, facts.caller) {
        (RememberBy::Session, _, Some(_)) if boot_id.is_some() => return None,
        (RememberBy::Session, _, Some(_)) => {
            format!("the daemon cannot read {BOOT_ID}, which tells this boot's sessions from earlier ones")
        }
        (RememberBy::Session, RemoteHost::Local, None) => format!(
            "{service} asks before there is a session by which the next login could be recognised, and no user started it"
        ),
        (RememberBy::Session, ..) => format!(
            "{service} asks before there is a session by which the next login could be recognised; for SSH keys there is \
             remember_by = \"ssh-key\""
        ),
        (RememberBy::SshKey, RemoteHost::Address(_), _) if has_key => return None,
        (RememberBy::SshKey, RemoteHost::Address(_), _) => {
            "remember_by = \"ssh-key\" recognises a login by its key, and this one has none".to_owned()
        }
        (RememberBy::SshKey, ..) => {
            "remember_by = \"ssh-key\" recognises a login by its key and address, and this one has no address"
                .to_owned()
        }
    };
    Some(format!("nothing is remembered: {why}"))
}
