//! What the policy would do with an attempt: the same decision as at a login, and nothing recorded.

use super::AccountError;
use super::Engine;
use super::attempt::LoginRequest;
use crate::audit::{EventReason, UnjudgedReason, Would};
use std::collections::BTreeSet;
use totp_core::policy::{Action, Mode, Moment, Pass, RemoteHost, Rule, Ruling};
use totp_core::remembered::RememberBy;
use totp_core::{Reason, Time};
use totp_wire::admin::{Checked, ExpectedOutcome, ExplainReply};

impl Engine {
    /// Explains. `at` is now unless said otherwise.
    ///
    /// # Errors
    /// [`AccountError`], when a directory or the store does not answer.
    pub async fn explain(
        &self,
        request: LoginRequest,
        at: Option<Time>,
    ) -> Result<ExplainReply, AccountError> {
        let policy = &self.config.policy;
        let (request, decision, groups, now) = self.rule(request, at).await?;
        let pending = self.pending_login(request, &decision, now);
        let moment = Moment { now, not_before: self.rules.not_before };
        let rule = decision.rule.and_then(|place| policy.rules.get(place));
        let mode = rule.map_or(Mode::Enforce, |rule| rule.mode_at(moment));
        let (would, why) = self.would(&pending, decision.action, now).await?;
        let passing = |pass: &Pass| Some(pass.evidence().as_str().to_owned());
        let mut reply = ExplainReply {
            checked: self.checked(&pending.request, &groups, moment, decision.rule),
            action: decision.action.as_str().to_owned(),
            mode: mode.as_str().to_owned(),
            subject: decision.subject,
            first_factor: None,
            outcome: ExpectedOutcome::Asked,
            reason: None,
            would: None,
            remember: None,
            obstacles: None,
        };
        let hindrance =
            rule.and_then(|rule| not_remembered(rule, decision.remember.is_some(), &pending.request));
        if hindrance.is_none() {
            reply.remember = decision.remember.map(|remember| remember.length);
        }
        reply.obstacles = hindrance.map(|why| vec![why]);
        let word = |why: EventReason| why.as_str().to_owned();
        let refuses = why.filter(|_| would == Would::Refuse).map(word);
        match decision.ruling {
            Ruling::Deny => {
                reply.outcome = ExpectedOutcome::Refused;
                reply.reason = Some(Reason::Denied.as_str().to_owned());
            }
            Ruling::Pass(pass) => {
                reply.outcome = ExpectedOutcome::Exempt;
                reply.first_factor = passing(&pass);
                let watched = decision.action != Action::Exempt;
                reply.would = watched.then(|| {
                    let would = would.as_str();
                    why.map_or_else(|| would.to_owned(), |why| format!("{would}: {}", why.as_str()))
                });
            }
            Ruling::AskAndPass(pass) => {
                reply.outcome = ExpectedOutcome::AskedAndPassed;
                reply.first_factor = passing(&pass);
            }
            Ruling::Ask { unproven } => {
                let lacks = matches!(
                    why,
                    Some(EventReason::Judged(Reason::NotEnrolled | Reason::Expired | Reason::NotShown))
                ) || would == Would::Enroll;
                // No proof helps a name without a user, or a record that cannot be used.
                let unusable = matches!(
                    why,
                    Some(EventReason::Unjudged(
                        UnjudgedReason::UnknownUser | UnjudgedReason::UidChanged | UnjudgedReason::Damaged
                    ))
                );
                let no_proof = (unproven && !unusable).then(|| Reason::NoFirstFactor.as_str().to_owned());
                reply.outcome = if refuses.is_some() || unproven && lacks {
                    ExpectedOutcome::Refused
                } else {
                    ExpectedOutcome::Asked
                };
                reply.reason = no_proof.or(refuses);
            }
            Ruling::Enroll(proof) => {
                reply.first_factor = Some(proof.evidence().as_str().to_owned());
                reply.outcome = match would {
                    Would::Enroll => ExpectedOutcome::Enrolled,
                    Would::Refuse => ExpectedOutcome::Refused,
                    Would::Ask | Would::Exempt => ExpectedOutcome::Asked,
                };
                reply.reason = refuses;
            }
        }
        Ok(reply)
    }

    /// The rules up to the one that decides, each with what does not match.
    fn checked(
        &self,
        request: &LoginRequest,
        groups: &BTreeSet<String>,
        moment: Moment,
        decides: Option<usize>,
    ) -> Vec<Checked> {
        let rules = self.config.policy.rules.iter().enumerate();
        let upto = decides.map_or(usize::MAX, |place| place + 1);
        let looked_at = rules.take(upto).map(|(place, rule)| Checked {
            rule: self.config.rule_name(place),
            decides: decides == Some(place),
            mismatch: rule.mismatch(&request.facts, groups, moment).map(|mismatch| mismatch.key().to_owned()),
        });
        looked_at.collect()
    }
}

/// Why a grant of this attempt is not remembered, where the rule says that it is.
fn not_remembered(rule: &Rule, proved: bool, request: &LoginRequest) -> Option<String> {
    let (remember, facts) = (rule.remember?, &request.facts);
    if !proved {
        return Some("nothing is remembered: that takes a login whose first factor is proved".to_owned());
    }
    let service = facts.service.as_deref().unwrap_or("this service");
    let has_key = facts.ssh.iter().any(|auth| auth.method == "publickey");
    let why = match (remember.by, facts.rhost, facts.caller) {
        (RememberBy::Session, _, Some(_)) => return None,
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
