//! Whether an attempt is asked for a code at all: what the policy makes of it.
//!
//! ```text
//! LoginRequest ─▶ groups (NSS) ─▶ Policy::decide
//!   ├─ Pass ────▶ Exempt             exempt, off, monitor
//!   ├─ Ask ─────▶ Remembered | Ask   an earlier grant holds | a question
//!   ├─ Enroll ──▶ Enroll | Ask       the user has no factor | the user has one
//!   └─ Deny ────▶ Ask                whatever is typed is refused
//! ```

use super::attempt::{Grant, LoginRequest, PendingLogin};
use super::audit_dedup::RowKey;
use super::enrollment_state::Enrollment;
use super::{Engine, EngineError};
use crate::audit::{Event, EventKind, EventReason, UnjudgedReason, Would};
use crate::clock;
use crate::store::{AccountWrite, ChangeSet, CommitError, CommitGuard, Committed, SpaceUse};
use crate::user_directory::ResolvedUser;
use std::collections::BTreeSet;
use std::sync::Arc;
use totp_core::judge::forecast;
use totp_core::login_enrollment::AwaitingFirstCode;
use totp_core::policy::{Action, Decision, Evidence, FirstFactor, Mode, Moment, Pass, Ruling};
use totp_core::{Reason, Time};

/// What becomes of an attempt at its beginning.
#[derive(Debug)]
pub enum BeginOutcome {
    /// It is asked for a code.
    Ask(Box<PendingLogin>),
    /// The policy lets it pass without one.
    Exempt {
        /// What the policy decided.
        pass: Pass,
        /// It is on stable storage.
        committed: Committed,
        /// The name is a user's.
        known: bool,
    },
    /// An earlier grant lets in.
    Remembered(Grant),
    /// A factor is offered.
    Enroll(Box<PendingLogin>, Box<Enrollment<AwaitingFirstCode>>),
}

impl Engine {
    /// Decides whether to ask. What lets in without a question is on stable storage before this
    /// returns.
    ///
    /// # Errors
    /// [`EngineError`]: nothing was decided.
    pub async fn admit(
        &self,
        request: LoginRequest,
        guard: &Arc<CommitGuard>,
    ) -> Result<BeginOutcome, EngineError> {
        let (request, mut decision, _, now) = self.rule(request, None).await?;
        // In a box for the whole attempt: it is moved from future to future.
        let mut pending = Box::new(self.pending_login(request, &decision, now));
        pending.first_factor = decision.first_factor.take();
        if pending.event.target.is_some() {
            self.canonicalise_user(&mut pending.request).await?;
        }
        match decision.ruling {
            Ruling::Pass(pass) => Box::pin(self.pass(&pending, pass, decision.action, guard)).await,
            Ruling::Deny => {
                pending.denied = true;
                Ok(BeginOutcome::Ask(pending))
            }
            Ruling::AskAndPass(pass) => {
                pending.denied = decision.action == Action::Deny;
                pending.pass = Some(pass);
                Ok(BeginOutcome::Ask(pending))
            }
            Ruling::Ask { unproven } => {
                pending.unproven = unproven;
                self.recall_or_ask(pending, decision.remember, guard).await
            }
            Ruling::Enroll(proof) => {
                if let Some(enrollment) = Box::pin(self.offer(&pending, &proof, guard)).await? {
                    return Ok(BeginOutcome::Enroll(pending, Box::new(enrollment)));
                }
                pending.not_shown = pending.request.converses && !self.shows_secrets(&pending.request);
                self.recall_or_ask(pending, decision.remember, guard).await
            }
        }
    }

    /// What the policy says of an attempt, at a moment or now, and the groups that it looked at.
    /// Without rules nothing hangs on the name, and no directory is asked before the question.
    pub(super) async fn rule(
        &self,
        mut request: LoginRequest,
        at: Option<Time>,
    ) -> Result<(LoginRequest, Decision, BTreeSet<String>, Time), EngineError> {
        let policy = &self.config.policy;
        if !policy.rules.is_empty() {
            self.canonicalise_user(&mut request).await?;
            request.facts.user.clone_from(&request.user);
        }
        if let Some(caller) = request.facts.caller.filter(|_| policy.needs_caller_name()) {
            request.facts.ruser = self.users.name_of(caller).await?.map(|name| name.to_string());
        }
        let now = at.unwrap_or_else(clock::now);
        let moment = Moment { now, not_before: self.rules.not_before };
        let mut groups = policy.relevant_groups(&request.facts, moment);
        if !groups.is_empty() {
            groups = self.users.groups_among(&request.facts.user, &groups).await?;
        }
        let decision = policy.decide(&request.facts, &groups, moment);
        Ok((request, decision, groups, now))
    }

    /// Rules are about users, not about spellings that a directory also takes for them.
    async fn canonicalise_user(&self, request: &mut LoginRequest) -> Result<(), EngineError> {
        if let Some(found) = self.find(&request.user).await? {
            request.user = found.name.to_string();
        }
        Ok(())
    }

    /// What was decided at the beginning holds for as long as the configuration does: an answer
    /// that comes after a reload is judged by what is in force then.
    pub(super) async fn reevaluate_policy(
        &self,
        pending: &mut PendingLogin,
    ) -> Result<Option<FirstFactor>, EngineError> {
        if Arc::ptr_eq(&pending.config, &self.config) {
            return Ok(None);
        }
        let mut request = pending.request.clone();
        request.user.clone_from(&request.facts.user);
        // In a box: nearly every login returns above.
        let (_, decision, _, now) = Box::pin(self.rule(request, None)).await?;
        if decision.subject != pending.request.user {
            // Another one's factor is asked for now: that question was never put.
            pending.denied = true;
        }
        pending.event = Event { rule: self.config.rule_word(decision.rule), ..pending.event_at(now) };
        pending.remember = pending.remember.take().filter(|_| decision.remember.is_some());
        pending.config = Arc::clone(&self.config);
        pending.pass = None;
        pending.first_factor = decision.first_factor;
        pending.not_shown = false;
        match decision.ruling {
            Ruling::Deny => pending.denied = true,
            Ruling::AskAndPass(pass) => pending.pass = Some(pass),
            Ruling::Ask { unproven } => pending.unproven = unproven,
            Ruling::Enroll(proof) => {
                pending.not_shown = pending.request.converses && !self.shows_secrets(&pending.request);
                return Ok(Some(proof).filter(|_| !pending.not_shown));
            }
            Ruling::Pass(_) => {}
        }
        Ok(None)
    }

    /// Whether this attempt's program shows secrets to the person alone.
    pub(super) fn shows_secrets(&self, request: &LoginRequest) -> bool {
        self.config.shows_secrets(request.facts.service.as_deref())
    }

    /// Whether a factor is still to be made inside this login.
    pub(super) async fn still_enrolls(&self, pending: &mut PendingLogin) -> Result<bool, EngineError> {
        let unchanged = Arc::ptr_eq(&pending.config, &self.config);
        Ok(unchanged || self.reevaluate_policy(pending).await?.is_some())
    }

    pub(super) fn pending_login(
        &self,
        mut request: LoginRequest,
        decision: &Decision,
        now: Time,
    ) -> PendingLogin {
        let target = (decision.subject != request.user).then(|| request.user.clone());
        if target.is_some() {
            // The caller types their own code; their real uid says who they are.
            request.user.clone_from(&decision.subject);
        }
        let mut event = Event::new(EventKind::Login, &request.user, now, request.from.clone());
        // A name that nobody has may be a password, and is in no line.
        event.target = target.as_deref().filter(|t| self.users.has_seen(t)).map(crate::audit::field);
        event.id = Some(request.id.clone());
        event.rule = self.config.rule_word(decision.rule);
        let config = Arc::clone(&self.config);
        PendingLogin {
            request,
            unproven: false,
            not_shown: false,
            denied: false,
            first_factor: None,
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
        pending: &PendingLogin,
        pass: Pass,
        action: Action,
        guard: &Arc<CommitGuard>,
    ) -> Result<BeginOutcome, EngineError> {
        let now = clock::now();
        let mut event = pending.event_at(now);
        let mut would = Would::Exempt;
        if pass.mode() == Mode::Monitor {
            (would, event.reason) = self.would(pending, action, now).await?;
        }
        event.exempt(&pass, would);
        let known = self.knows(&pending.request.user).await?;
        if !known {
            event.leave_name_out();
        }
        let committed = match self.unproved(pending, &pass).await? {
            Some(key) if self.dedup.is_duplicate(&key) => self.leave_out(&event, guard).await?,
            Some(key) => {
                event.left_out = self.dedup.left_out(&key);
                let committed = self.record(&event, now, guard).await?;
                self.dedup.record(key);
                committed
            }
            None => self.record(&event, now, guard).await?,
        };
        Ok(BeginOutcome::Exempt { pass, committed, known })
    }

    /// The key of a pass for which nobody has proved anything: a `local` rule waived the proof for
    /// somebody else than the user. They can cause it as often as they start su.
    async fn unproved(&self, pending: &PendingLogin, pass: &Pass) -> Result<Option<RowKey>, EngineError> {
        if pass.evidence() != Evidence::LocalRule {
            return Ok(None);
        }
        let found = self.find(&pending.request.user).await?;
        let is_own = found.is_some_and(|found| Some(found.uid) == pending.request.facts.caller);
        let key = || RowKey::passed(&pending.request.user, &pending.request.from.key());
        Ok((!is_own).then(key))
    }

    /// Logs an event that is left out of the history.
    async fn leave_out(&self, event: &Event, guard: &Arc<CommitGuard>) -> Result<Committed, CommitError> {
        let nothing = ChangeSet {
            write: AccountWrite::Nothing,
            side_writes: Vec::new(),
            space: SpaceUse::Essential,
            event: None,
        };
        let committed = self.store.commit(nothing, Arc::clone(guard)).await?;
        event.log();
        Ok(committed)
    }

    /// What enforcement would do now, and why it would refuse.
    pub(super) async fn would(
        &self,
        pending: &PendingLogin,
        action: Action,
        now: Time,
    ) -> Result<(Would, Option<EventReason>), EngineError> {
        let refused = |reason| Ok((Would::Refuse, Some(reason)));
        if action == Action::Deny {
            return refused(Reason::Denied.into());
        }
        let request = &pending.request;
        let Some(ResolvedUser { name, uid }) = self.find(&request.user).await? else {
            return refused(UnjudgedReason::UnknownUser.into());
        };
        let stored = self.load(&name).await?;
        if stored.as_ref().is_some_and(|s| s.damaged) {
            return refused(UnjudgedReason::Damaged.into());
        }
        let account = stored.map(|s| s.account);
        if account.as_ref().is_some_and(|a| !a.belongs_to_uid(Some(uid)) && a.has_factor()) {
            return refused(UnjudgedReason::UidChanged.into());
        }
        let mut accepted = account.clone();
        if let Some(account) = &mut accepted {
            self.store.refusals().strip(account);
        }
        if account.is_some_and(|a| a.active.is_some())
            && accepted.as_ref().is_some_and(|a| a.active.is_none())
        {
            return refused(UnjudgedReason::Withdrawn.into());
        }
        Ok(match forecast(accepted.as_deref(), &request.origin, now, &self.rules()) {
            Ok(()) => (Would::Ask, None),
            Err(Reason::NotEnrolled | Reason::Expired)
                if action == Action::Enroll && request.converses && self.shows_secrets(request) =>
            {
                (Would::Enroll, None)
            }
            Err(Reason::NotEnrolled | Reason::Expired) if action == Action::Enroll && request.converses => {
                (Would::Refuse, Some(Reason::NotShown.into()))
            }
            Err(reason) => (Would::Refuse, Some(reason.into())),
        })
    }
}
