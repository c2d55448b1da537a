//! Whether an attempt is asked for a code at all: what the policy makes of it.
//!
//! ```text
//! Asker ─▶ groups (NSS) ─▶ Policy::decide ─┬─ Pass ───▶ Exempt          exempt, off, monitor
//!                                          ├─ Ask ────▶ Remembered | Ask  an earlier grant | a question
//!                                          ├─ Enroll ─▶ Enroll | Ask      nobody has a factor | somebody has
//!                                          └─ Deny ───▶ Ask               and whatever is typed is refused
//! ```

use super::audit_dedup::Kind;
use super::{Engine, EngineError};
use crate::audit::{Event, EventSource};
use crate::clock;
use crate::config::Config;
use crate::store::{AccountWrite, ChangeSet, CommitError, CommitGuard, Committed};
use crate::user_directory::ResolvedUser;
use std::collections::BTreeSet;
use std::sync::Arc;
use totp_core::judge::forecast;
use totp_core::login_enrollment::AwaitingFirstCode;
use totp_core::policy::{Action, Decision, Evidence, Facts, FirstFactor, Mode, Pass, Ruling};
use totp_core::remembered::RememberKey;
use totp_core::{Origin, Reason, Time};

use super::login::Grant;

/// Who asks, as far as it is believed.
#[derive(Clone, Debug)]
pub struct LoginRequest {
    /// Whose factor is asked for; it may be nobody's name.
    pub user: String,
    /// Where it comes from, for the lock.
    pub origin: Origin,
    /// Where it comes from, for the audit.
    pub from: EventSource,
    /// Names the attempt.
    pub id: String,
    /// What the policy looks at.
    pub facts: Facts,
    /// The audit session of a root peer.
    pub audit_session: Option<u32>,
    /// Nothing is shown to the person.
    pub silent: bool,
    /// Lines can be shown and several questions be asked.
    pub converses: bool,
}

/// An attempt that is asked for a code.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the attempt")]
pub struct PendingLogin {
    /// Who asks.
    pub asker: LoginRequest,
    /// With a first factor it would not have been asked.
    pub(super) unproven: bool,
    /// A factor would have been given, and this program may log what it shows.
    pub(super) not_shown: bool,
    /// Whatever is typed is refused.
    pub(super) denied: bool,
    /// It passes whatever is typed.
    pub(super) pass: Option<Pass>,
    /// A grant is remembered so.
    pub(super) remember: Option<(RememberKey, u64)>,
    /// The name is a user's, and may be written down.
    pub(super) known: bool,
    /// What every event of this attempt has in common.
    event: Event,
    /// Under which configuration this was decided.
    config: Arc<Config>,
}

impl PendingLogin {
    /// An event of this attempt.
    pub(super) fn event_at(&self, now: Time) -> Event {
        Event { time: clock::rfc3339(now), ..self.event.clone() }
    }

    /// Whether the name is a user's, as far as that was looked up.
    pub const fn is_known(&self) -> bool {
        self.known
    }

    /// Whether it is asked once and then passes.
    pub fn passes_anyway(&self) -> bool {
        self.pass.is_some()
    }
}

/// What becomes of an attempt at its beginning.
#[derive(Debug)]
pub enum BeginOutcome {
    /// It is asked for a code.
    Ask(Box<PendingLogin>),
    /// It passes without one; whether its name is a user's.
    Exempt(Pass, Committed, bool),
    /// An earlier grant lets in.
    Remembered(Grant),
    /// A factor is offered.
    Enroll(Box<PendingLogin>, Box<AwaitingFirstCode>),
}

impl Engine {
    /// Decides whether to ask. What lets in without a question is on stable storage before this returns.
    ///
    /// # Errors
    /// [`EngineError`]: nothing was decided.
    pub async fn admit(
        &self,
        asker: LoginRequest,
        ticket: &Arc<CommitGuard>,
    ) -> Result<BeginOutcome, EngineError> {
        let (asker, decision, _, now) = self.rule(asker, None).await?;
        let mut asking = self.asking(asker, &decision, now);
        if asking.event.target.is_some() {
            self.canonicalise_user(&mut asking.asker).await?;
        }
        match decision.ruling {
            Ruling::Pass(pass) => self.pass(&asking, pass, decision.action, ticket).await,
            Ruling::Deny => {
                asking.denied = true;
                Ok(BeginOutcome::Ask(Box::new(asking)))
            }
            Ruling::AskAndPass(pass) => {
                asking.denied = decision.action == Action::Deny;
                asking.pass = Some(pass);
                Ok(BeginOutcome::Ask(Box::new(asking)))
            }
            Ruling::Ask { unproven } => {
                asking.unproven = unproven;
                self.recall_or_ask(asking, decision.remember, ticket).await
            }
            Ruling::Enroll(proof) => {
                if let Some(enrolling) = self.offer(&asking, &proof, ticket).await? {
                    return Ok(BeginOutcome::Enroll(Box::new(asking), Box::new(enrolling)));
                }
                asking.not_shown = asking.asker.converses && !self.shows_secrets(&asking.asker);
                self.recall_or_ask(asking, decision.remember, ticket).await
            }
        }
    }

    /// What the policy says of an attempt, at a moment or now, and the groups that it looked at. Without rules
    /// nothing hangs on the name, and no directory is asked before the question.
    pub(super) async fn rule(
        &self,
        mut asker: LoginRequest,
        at: Option<Time>,
    ) -> Result<(LoginRequest, Decision, BTreeSet<String>, Time), EngineError> {
        let policy = &self.config.policy;
        if !policy.rules.is_empty() {
            self.canonicalise_user(&mut asker).await?;
            asker.facts.user.clone_from(&asker.user);
        }
        if let Some(caller) = asker.facts.caller.filter(|_| policy.needs_caller_name()) {
            asker.facts.ruser = self.users.name_of(caller).await?.map(|name| name.to_string());
        }
        let mut groups = policy.relevant_groups(&asker.facts);
        if !groups.is_empty() {
            groups = self.users.groups_among(&asker.facts.user, &groups).await?;
        }
        let now = at.unwrap_or_else(clock::now);
        let decision = policy.decide(&asker.facts, &groups, now, self.rules.not_before);
        Ok((asker, decision, groups, now))
    }

    /// Rules are about users, not about spellings that a directory also takes for them.
    async fn canonicalise_user(&self, asker: &mut LoginRequest) -> Result<(), EngineError> {
        if let Some(found) = self.find(&asker.user).await? {
            asker.user = found.name.to_string();
        }
        Ok(())
    }

    /// What was decided at the beginning holds for as long as the configuration does: an answer that comes after
    /// a reload is judged by what is in force then.
    pub(super) async fn reevaluate_policy(
        &self,
        asking: &mut PendingLogin,
    ) -> Result<Option<FirstFactor>, EngineError> {
        if Arc::ptr_eq(&asking.config, &self.config) {
            return Ok(None);
        }
        let mut asker = asking.asker.clone();
        asker.user.clone_from(&asker.facts.user);
        let (_, decision, _, now) = self.rule(asker, None).await?;
        if decision.subject != asking.asker.user {
            // Another one's factor is asked for now: that question was never put.
            asking.denied = true;
        }
        asking.event = Event { rule: self.config.rule_word(decision.rule), ..asking.event_at(now) };
        asking.remember = asking.remember.take().filter(|_| decision.remember.is_some());
        asking.config = Arc::clone(&self.config);
        asking.pass = None;
        asking.not_shown = false;
        match decision.ruling {
            Ruling::Deny => asking.denied = true,
            Ruling::AskAndPass(pass) => asking.pass = Some(pass),
            Ruling::Ask { unproven } => asking.unproven = unproven,
            Ruling::Enroll(proof) => {
                asking.not_shown = asking.asker.converses && !self.shows_secrets(&asking.asker);
                return Ok(Some(proof).filter(|_| !asking.not_shown));
            }
            Ruling::Pass(_) => {}
        }
        Ok(None)
    }

    /// Whether this attempt's program shows secrets to the person alone.
    pub(super) fn shows_secrets(&self, asker: &LoginRequest) -> bool {
        self.config.shows_secrets(asker.facts.service.as_deref())
    }

    /// Whether a factor is still to be made inside this login.
    pub(super) async fn still_enrolls(&self, asking: &mut PendingLogin) -> Result<bool, EngineError> {
        let unchanged = Arc::ptr_eq(&asking.config, &self.config);
        Ok(unchanged || self.reevaluate_policy(asking).await?.is_some())
    }

    pub(super) fn asking(&self, mut asker: LoginRequest, decision: &Decision, now: Time) -> PendingLogin {
        let target = (decision.subject != asker.user).then(|| asker.user.clone());
        if target.is_some() {
            // The caller types their own code; their real uid says who they are.
            asker.user.clone_from(&decision.subject);
        }
        let mut event = Event::new("login", &asker.user, now, asker.from.clone());
        // A name that nobody has may be a password, and is in no line.
        event.target = target.as_deref().filter(|t| self.users.has_seen(t)).map(crate::audit::field);
        event.id = Some(asker.id.clone());
        event.rule = self.config.rule_word(decision.rule);
        let config = Arc::clone(&self.config);
        PendingLogin {
            asker,
            unproven: false,
            not_shown: false,
            denied: false,
            pass: None,
            remember: None,
            known: false,
            event,
            config,
        }
    }

    /// Lets pass; under `monitor` with a word on what enforcement would have done.
    async fn pass(
        &self,
        asking: &PendingLogin,
        pass: Pass,
        action: Action,
        ticket: &Arc<CommitGuard>,
    ) -> Result<BeginOutcome, EngineError> {
        let now = clock::now();
        let mut event = asking.event_at(now);
        let mut would = "exempt";
        if pass.mode() == Mode::Monitor {
            (would, event.reason) = self.would(asking, action, now).await?;
        }
        event.passes(&pass, would);
        let known = self.knows(&asking.asker.user).await?;
        if !known {
            event.leave_name_out();
        }
        let committed = match self.unproved(asking, &pass).await? {
            Some(kind) if self.dedup.is_duplicate(&kind) => self.leave_out(&event, ticket).await?,
            Some(kind) => {
                event.left_out = self.dedup.left_out(&kind);
                let committed = self.record(&event, now, ticket).await?;
                self.dedup.record(kind);
                committed
            }
            None => self.record(&event, now, ticket).await?,
        };
        Ok(BeginOutcome::Exempt(pass, committed, known))
    }

    /// The kind of a pass for which nobody has proved anything: a `local` rule waived the proof for somebody else than
    /// the user. They can cause it as often as they start su.
    async fn unproved(&self, asking: &PendingLogin, pass: &Pass) -> Result<Option<Kind>, EngineError> {
        if pass.evidence() != Evidence::LocalRule {
            return Ok(None);
        }
        let found = self.find(&asking.asker.user).await?;
        let is_own = found.is_some_and(|found| Some(found.uid) == asking.asker.facts.caller);
        let kind = || Kind::new(&asking.asker.user, &asking.asker.from.source(), "exempt");
        Ok((!is_own).then(kind))
    }

    /// Logs an event that is left out of the history.
    async fn leave_out(&self, event: &Event, ticket: &Arc<CommitGuard>) -> Result<Committed, CommitError> {
        let nothing = ChangeSet { write: AccountWrite::Nothing, also: Vec::new(), grows: false, event: None };
        let committed = self.store.commit(nothing, Arc::clone(ticket)).await?;
        event.log();
        Ok(committed)
    }

    /// What enforcement would do now, and why it would refuse.
    pub(super) async fn would(
        &self,
        asking: &PendingLogin,
        action: Action,
        now: Time,
    ) -> Result<(&'static str, Option<&'static str>), EngineError> {
        if action == Action::Deny {
            return Ok(("refused", Some(Reason::Denied.as_str())));
        }
        let asker = &asking.asker;
        let Some(ResolvedUser { name, uid }) = self.find(&asker.user).await? else {
            return Ok(("refused", Some("unknown-user")));
        };
        let stored = self.load(&name).await?;
        if stored.as_ref().is_some_and(|s| s.damaged) {
            return Ok(("refused", Some("damaged")));
        }
        let account = stored.map(|s| s.account);
        if account.as_ref().is_some_and(|a| !a.belongs_to_uid(Some(uid)) && a.has_factor()) {
            return Ok(("refused", Some("uid-changed")));
        }
        let mut accepted = account.clone();
        if let Some(account) = &mut accepted {
            self.store.refusals().strip(account);
        }
        if account.is_some_and(|a| a.active.is_some())
            && accepted.as_ref().is_some_and(|a| a.active.is_none())
        {
            return Ok(("refused", Some("withdrawn")));
        }
        Ok(match forecast(accepted.as_ref(), &asker.origin, now, &self.rules()) {
            Ok(()) => ("asked", None),
            Err(Reason::NotEnrolled | Reason::Expired)
                if action == Action::Enroll && asker.converses && self.shows_secrets(asker) =>
            {
                ("enrolled", None)
            }
            Err(Reason::NotEnrolled | Reason::Expired) if action == Action::Enroll && asker.converses => {
                ("refused", Some(Reason::NotShown.as_str()))
            }
            Err(reason) => ("refused", Some(reason.as_str())),
        })
    }
}
