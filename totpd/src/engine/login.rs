//! One answer of one attempt, judged and made durable.

use super::attempt::{Grant, PendingLogin};
use super::audit_dedup::RowKey;
use super::enrollment_state::Enrollment;
use super::prefetch::PrefetchedAccount;
use super::withdrawals::withdrawals;
use super::{Engine, EngineError, MOST_RACES};
use crate::audit::{Event, EventOutcome, EventReason, UnjudgedReason, Would};
use crate::clock;
use crate::store::{AccountWrite, ChangeSet, CommitError, CommitGuard, Committed, SideWrite, StoredAccount};
use std::sync::Arc;
use totp_core::code::Input;
use totp_core::judge::{NoticeDisplay, judge_without_account};
use totp_core::login_enrollment::AwaitingFirstCode;
use totp_core::notices::Notices;
use totp_core::policy::{Pass, Peer};
use totp_core::{Attempt, Outcome, Reason, Time, UserName, Verified, judge};

/// What was decided, durably.
#[derive(Debug)]
pub enum AnswerOutcome {
    /// The factor was proved, and that is on stable storage.
    Granted(Grant),
    /// It was not; the policy lets pass all the same.
    Exempt(Pass, Committed),
    /// It was not, and that is on stable storage too.
    Refused,
    /// It was a ticket, and the user is shown the key of a new factor.
    Enroll(Box<Enrollment<AwaitingFirstCode>>),
}

/// A decision that is not stored yet.
struct Decision {
    outcome: Result<(Verified, Notices, bool), Reason>,
    write: AccountWrite,
    side_writes: Vec<SideWrite>,
    event: Event,
}

/// The key of a refusal that changes no lock, or `None` for one that does. Only a wrong code
/// counts.
fn uncounted(reason: Reason, event: &Event) -> Option<RowKey> {
    let recorded = event.reason.filter(|_| reason != Reason::Wrong)?;
    Some(RowKey::refused(&event.user, &event.from.key(), recorded))
}

impl Engine {
    /// Judges one input of one attempt. It is stored before this returns.
    ///
    /// # Errors
    /// [`EngineError`] when nothing was granted. After [`EngineError::InDoubt`] the code may be
    /// used; after the others it is not.
    pub async fn login(
        &self,
        pending: &mut PendingLogin,
        prepared: PrefetchedAccount,
        input: Input,
        guard: &Arc<CommitGuard>,
    ) -> Result<AnswerOutcome, EngineError> {
        self.reevaluate_policy(pending).await?;
        if let Some(outcome) = self.judge_as_ticket(pending, &prepared, &input, guard).await? {
            return Ok(outcome);
        }
        let request = &pending.request;
        let PrefetchedAccount { name, uid, known, .. } = prepared;
        let _lock = self.user_locks.lock(name.as_ref().map_or(request.user.as_str(), UserName::as_str)).await;
        let attempt = Attempt {
            origin: request.origin.clone(),
            from: request.from.to_phrase(),
            input,
            remember: pending.remember.clone(),
            silent: request.silent,
            display: (request.facts.peer == Peer::Root)
                .then_some(NoticeDisplay { can_ask: request.converses }),
            accepts_passcode: true,
        };
        let mut early = prepared.stored;
        for _ in 0..MOST_RACES {
            let was_early = early.is_some();
            let stored = match (early.take(), &name) {
                (Some(stored), _) => Some(stored),
                (None, Some(name)) => self.load(name).await?,
                (None, None) => None,
            };
            let now = clock::now();
            pending.known = known || stored.is_some();
            let mut decision = self.decide(pending, stored, uid, &attempt, now);
            match &name {
                Some(name) if pending.known => decision.event.user = crate::audit::field(name.as_str()),
                _ => decision.event.leave_name_out(),
            }
            // A grant names the version that it was decided on, so an old record loses the race. A
            // refusal, which may change nothing and then names none, is decided on a fresh one.
            if was_early && (decision.outcome.is_err() || matches!(decision.write, AccountWrite::Nothing)) {
                continue;
            }
            let mut event = decision.event;
            let key = decision.outcome.as_ref().err().and_then(|reason| uncounted(*reason, &event));
            if let (Err(_), Some(pass)) = (&decision.outcome, &pending.pass) {
                event.exempt(pass, Would::Refuse);
            }
            let mut change = ChangeSet {
                side_writes: decision.side_writes,
                ..ChangeSet::new(decision.write, event.row(now))
            };
            if key.as_ref().is_some_and(|key| self.dedup.is_duplicate(key)) {
                if pending.pass.is_none() {
                    event.log();
                    return Ok(AnswerOutcome::Refused);
                }
                change = ChangeSet {
                    write: AccountWrite::Nothing,
                    side_writes: Vec::new(),
                    event: None,
                    ..change
                };
            } else if let Some(key) = &key {
                event.left_out = self.dedup.left_out(key);
                change.event = Some(event.row(now));
            }
            let is_row = change.event.is_some();
            let committed = match self.commit(change, guard).await {
                Ok(committed) => committed,
                Err(CommitError::Conflict) => continue,
                Err(error) => return Err(error.into()),
            };
            if let Some(key) = key.filter(|_| is_row) {
                self.dedup.record(key);
            }
            let outcome = match (decision.outcome, pending.pass.take()) {
                (Ok((verified, notices, needs_answer)), _) => {
                    let (event, notices) = (Box::new(event), Box::new(notices));
                    return Ok(AnswerOutcome::Granted(Grant {
                        verified,
                        committed,
                        event,
                        notices,
                        remembered: pending.remember.take().map(|(key, _)| key),
                        needs_answer,
                    }));
                }
                (Err(_), Some(pass)) => AnswerOutcome::Exempt(pass, committed),
                (Err(_), None) => AnswerOutcome::Refused,
            };
            event.log();
            return Ok(outcome);
        }
        Err(EngineError::Busy)
    }

    /// Makes a grant durable that no code was judged for; `None` when the record changed meanwhile.
    pub(super) async fn grant(
        &self,
        verified: Verified,
        event: Event,
        change: ChangeSet,
        guard: &Arc<CommitGuard>,
    ) -> Result<Option<Grant>, EngineError> {
        match self.commit(change, guard).await {
            Ok(committed) => {
                let (event, notices) = (Box::new(event), Box::default());
                let (remembered, needs_answer) = (None, false);
                Ok(Some(Grant { verified, committed, event, notices, remembered, needs_answer }))
            }
            Err(CommitError::Conflict | CommitError::Duplicate(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn decide(
        &self,
        pending: &PendingLogin,
        stored: Option<StoredAccount>,
        uid: Option<u32>,
        attempt: &Attempt,
        now: Time,
    ) -> Decision {
        let mut event = pending.event_at(now);
        event.outcome = EventOutcome::Refused;
        let refused = |event: Event, reason: Reason, recorded: EventReason| {
            let event = event.refused(recorded);
            Decision { outcome: Err(reason), write: AccountWrite::Nothing, side_writes: Vec::new(), event }
        };
        let nobody = || judge_without_account(attempt, now, &self.rules());
        // With a first factor, a user without a factor would have been granted, or enrolled.
        let without_factor = |reason: Reason| match reason {
            Reason::NotEnrolled | Reason::Expired if pending.unproven => Reason::NoFirstFactor,
            Reason::NotEnrolled | Reason::Expired if pending.not_shown => Reason::NotShown,
            other => other,
        };
        if pending.denied {
            nobody();
            return refused(event, Reason::Denied, Reason::Denied.into());
        }
        let Some(stored) = stored else {
            let reason = without_factor(nobody());
            return refused(event, reason, reason.into());
        };
        if !stored.damaged && !stored.account.belongs_to_uid(uid) {
            nobody();
            let recorded =
                if uid.is_none() { UnjudgedReason::UnknownUser } else { UnjudgedReason::UidChanged };
            return refused(event, Reason::NotEnrolled, recorded.into());
        }
        let sealed = stored.account.clone();
        let Some((mut account, version)) = self.open(stored) else {
            return refused(event, Reason::NotEnrolled, UnjudgedReason::Damaged.into());
        };
        let before = account.clone();
        let judgement = judge(&mut account, attempt, now, &self.rules());
        event.class = Some(judgement.class);
        event.locks = judgement.class_locked;
        let mut side_writes = withdrawals(Some(&before), Some(&account), now);
        let write = if judgement.changed {
            let Ok(sealed) = self.sealer.seal(account, version + 1) else {
                return refused(event, Reason::Wrong, UnjudgedReason::NoRandomness.into());
            };
            AccountWrite::Update(Box::new(sealed), version)
        } else {
            AccountWrite::Nothing
        };
        match judgement.outcome {
            Outcome::Granted(verified) => {
                event.outcome = EventOutcome::Granted;
                event.totp_id = Some(verified.totp_id().to_owned()).filter(|id| !id.is_empty());
                event.confirmed = verified.confirmed();
                let event = event.with_how(verified.how());
                side_writes.extend(SideWrite::for_grant(verified.how(), now));
                Decision {
                    outcome: Ok((verified, judgement.notices, judgement.unread)),
                    write,
                    side_writes,
                    event,
                }
            }
            Outcome::Refused(reason) => {
                let withdrawn = self.withdrawn(&sealed, &attempt.input, reason);
                let reason = without_factor(reason);
                event.reason = withdrawn.or(Some(reason.into()));
                Decision { outcome: Err(reason), write, side_writes, event }
            }
        }
    }
}
