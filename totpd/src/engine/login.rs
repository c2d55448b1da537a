//! One answer of one attempt, judged and made durable.

use super::admit::PendingLogin;
use super::audit_dedup::Kind;
use super::withdrawals::withdrawals;
use super::{Engine, EngineError, MOST_RACES};
use crate::audit::Event;
use crate::clock;
use crate::store::{
    AccountWrite, ChangeSet, CommitError, CommitGuard, Committed, HistoryQuery, SideWrite, Stored,
};
use std::sync::Arc;
use totp_core::judge::{Input, NoticeDisplay, judge_without_account};
use totp_core::notices::Notices;
use totp_core::policy::{Pass, Peer};
use totp_core::{Attempt, Digits, Outcome, Reason, Time, UserName, Verified, judge};

/// Rows of the history in which a grant of a name that nobody has now is looked for.
const ROWS_OF_A_NAME: usize = 50;

/// What a conversation remembers of the record while it waits for a person.
#[derive(Clone, Debug)]
pub struct PrefetchedAccount {
    /// Digits of the code.
    pub digits: Digits,
    /// The record as it was then, still sealed.
    stored: Option<Stored>,
    /// The name as the system has it, or as it was given when there is no such user.
    name: Option<UserName>,
    /// Its uid, when there is such a user. Looked up before the answer: how long a directory takes to know a
    /// name must not be told by how long a refusal takes.
    uid: Option<u32>,
    /// The name is a user's, or was.
    known: bool,
}

/// What was decided, durably.
#[derive(Debug)]
pub enum AnswerOutcome {
    /// The factor was proved, and that is on stable storage.
    Granted(Grant),
    /// It was not; the policy lets pass all the same.
    Exempt(Pass, Committed),
    /// It was not, and that is on stable storage too.
    Refused,
}

/// A grant, and what is said with it.
#[derive(Debug)]
pub struct Grant {
    /// The proof of the factor.
    pub verified: Verified,
    /// The proof that its use is on stable storage.
    pub committed: Committed,
    /// What was recorded.
    pub event: Box<Event>,
    /// What the user is to be told.
    pub news: Notices,
    /// It has to be shown by a question: [`Engine::notices_shown`] notes its answer.
    pub unread: bool,
}

/// A decision that is not stored yet.
struct Decision {
    outcome: Result<(Verified, Notices, bool), Reason>,
    write: AccountWrite,
    also: Vec<SideWrite>,
    event: Event,
}

/// The kind of a refusal that counts nothing, or `None` for one that does. Only a wrong code counts.
fn unchanging(reason: Reason, event: &Event) -> Option<Kind> {
    let kind = Kind::new(&event.user, &event.from.source(), event.reason.unwrap_or_default());
    (reason != Reason::Wrong).then_some(kind)
}

impl Engine {
    /// What can be known before the code is typed. Nobody's code has as many digits as a new enrollment's.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`], or [`EngineError::Busy`] when a directory does not answer.
    pub async fn prepare(&self, user: &str) -> Result<PrefetchedAccount, EngineError> {
        let found = self.find(user).await?;
        let uid = found.as_ref().map(|found| found.uid);
        let name = found.map(|found| found.name).or_else(|| UserName::parse(user).ok());
        let stored = match &name {
            Some(name) => self.load(name).await?,
            None => None,
        };
        let factor = stored.as_ref().and_then(|s| s.account.active.as_ref().or(s.account.pending.as_ref()));
        let digits = factor.map_or(self.config.totp.params.digits, |f| f.params.digits);
        let known = match &name {
            Some(name) if uid.is_none() && stored.is_none() => self.was_granted(name).await?,
            name => name.is_some(),
        };
        Ok(PrefetchedAccount { digits, stored, name, uid, known })
    }

    /// Whether a name is a user's or was one, and no password that somebody typed at the wrong prompt.
    pub(super) async fn knows(&self, user: &str) -> Result<bool, EngineError> {
        let Ok(name) = UserName::parse(user) else { return Ok(false) };
        Ok(self.users.has_seen(user) || self.load(&name).await?.is_some() || self.was_granted(&name).await?)
    }

    /// Whether the history has a grant of this name.
    async fn was_granted(&self, name: &UserName) -> Result<bool, EngineError> {
        let (user, limit) = (Some(name.to_string()), ROWS_OF_A_NAME);
        let rows = self.store.history(HistoryQuery { user, limit, ..HistoryQuery::default() }).await?;
        Ok(rows.iter().any(|row| row.json.contains(r#""outcome":"granted""#)))
    }

    /// Judges one input of one attempt. It is stored before this returns.
    ///
    /// # Errors
    /// [`EngineError`] when nothing was judged; then nothing was used up either, except after
    /// [`EngineError::Unavailable`] from a disk that failed in the middle of the commit.
    pub async fn login(
        &self,
        asking: &mut PendingLogin,
        prepared: PrefetchedAccount,
        input: Input,
        ticket: &Arc<CommitGuard>,
    ) -> Result<AnswerOutcome, EngineError> {
        self.reevaluate_policy(asking).await?;
        let asker = &asking.asker;
        let PrefetchedAccount { name, uid, known, .. } = prepared;
        let _turn = self.turns.lock(name.as_ref().map_or(asker.user.as_str(), UserName::as_str)).await;
        let attempt = Attempt {
            origin: asker.origin.clone(),
            from: asker.from.to_sentence(),
            input,
            remember: asking.remember.clone(),
            silent: asker.silent,
            display: (asker.facts.peer == Peer::Root).then_some(NoticeDisplay { can_ask: asker.converses }),
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
            asking.known = known || stored.is_some();
            let mut decision = self.decide(asking, stored, uid, &attempt, now);
            match &name {
                Some(name) if asking.known => decision.event.user = crate::audit::field(name.as_str()),
                _ => decision.event.leave_name_out(),
            }
            // A change names the version it was decided on, so an old record loses the race. A decision that
            // changes nothing names none, and has to be made on a fresh one.
            if was_early && matches!(decision.write, AccountWrite::Nothing) {
                continue;
            }
            let mut event = decision.event;
            let kind = decision.outcome.as_ref().err().and_then(|reason| unchanging(*reason, &event));
            if let (Err(_), Some(pass)) = (&decision.outcome, &asking.pass) {
                event.passes(pass, "refused");
            }
            let mut change =
                ChangeSet { also: decision.also, ..ChangeSet::of(decision.write, event.row(now)) };
            if kind.as_ref().is_some_and(|kind| self.dedup.is_duplicate(kind)) {
                if asking.pass.is_none() {
                    event.log();
                    return Ok(AnswerOutcome::Refused);
                }
                change = ChangeSet { write: AccountWrite::Nothing, also: Vec::new(), event: None, ..change };
            } else if let Some(kind) = &kind {
                event.left_out = self.dedup.left_out(kind);
                change.event = Some(event.row(now));
            }
            let is_row = change.event.is_some();
            let committed = match self.commit(change, ticket).await {
                Ok(committed) => committed,
                Err(CommitError::Conflict) => continue,
                Err(error) => return Err(error.into()),
            };
            event.log();
            if let Some(kind) = kind.filter(|_| is_row) {
                self.dedup.record(kind);
            }
            return Ok(match (decision.outcome, asking.pass.take()) {
                (Ok((verified, news, unread)), _) => AnswerOutcome::Granted(Grant {
                    verified,
                    committed,
                    event: Box::new(event),
                    news,
                    unread,
                }),
                (Err(_), Some(pass)) => AnswerOutcome::Exempt(pass, committed),
                (Err(_), None) => AnswerOutcome::Refused,
            });
        }
        Err(EngineError::Busy)
    }

    /// Makes a grant durable that no code was judged for; `None` when the record changed meanwhile.
    pub(super) async fn grant(
        &self,
        verified: Verified,
        event: Event,
        change: ChangeSet,
        ticket: &Arc<CommitGuard>,
    ) -> Result<Option<Grant>, EngineError> {
        match self.commit(change, ticket).await {
            Ok(committed) => {
                event.log();
                let (event, news) = (Box::new(event), Notices::default());
                Ok(Some(Grant { verified, committed, event, news, unread: false }))
            }
            Err(CommitError::Conflict | CommitError::Taken(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A grant that nobody received: said in the log, and in the history if that works.
    pub async fn undelivered(&self, granted: &Event) {
        let now = clock::now();
        let event = Event { outcome: "undelivered", time: clock::rfc3339(now), ..granted.clone() };
        event.log();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let change = ChangeSet::of(AccountWrite::Nothing, event.row(now));
        if let Err(error) = self.store.commit(change, Arc::new(CommitGuard::new(deadline))).await {
            tracing::warn!("the history lacks an undelivered grant of {}: {error}", event.user);
        }
    }

    fn decide(
        &self,
        asking: &PendingLogin,
        stored: Option<Stored>,
        uid: Option<u32>,
        attempt: &Attempt,
        now: Time,
    ) -> Decision {
        let mut event = asking.event_at(now);
        event.outcome = "refused";
        let refused = |mut event: Event, reason: Reason, word: &'static str| {
            event.reason = Some(word);
            Decision { outcome: Err(reason), write: AccountWrite::Nothing, also: Vec::new(), event }
        };
        let nobody = || judge_without_account(attempt, now, &self.rules());
        // Whoever has no factor would have been let in, or given one, with a first factor.
        let without_factor = |reason: Reason| match reason {
            Reason::NotEnrolled | Reason::Expired if asking.unproven => Reason::NoFirstFactor,
            Reason::NotEnrolled | Reason::Expired if asking.not_shown => Reason::NotShown,
            other => other,
        };
        if asking.denied {
            nobody();
            return refused(event, Reason::Denied, Reason::Denied.as_str());
        }
        let Some(stored) = stored else {
            let reason = without_factor(nobody());
            return refused(event, reason, reason.as_str());
        };
        if !stored.damaged && !stored.account.belongs_to_uid(uid) {
            nobody();
            let word = if uid.is_none() { "unknown-user" } else { "uid-changed" };
            return refused(event, Reason::NotEnrolled, word);
        }
        let sealed = stored.account.clone();
        let Some((mut account, version)) = self.open(stored) else {
            return refused(event, Reason::NotEnrolled, "damaged");
        };
        let before = account.clone();
        let judgement = judge(&mut account, attempt, now, &self.rules());
        event.class = Some(judgement.class.as_str());
        event.locks = judgement.class_locked;
        let mut also = withdrawals(Some(&before), Some(&account), now);
        let write = if judgement.changed {
            let Ok(sealed) = self.sealer.seal(account) else {
                return refused(event, Reason::Wrong, "no-randomness");
            };
            AccountWrite::Update(Box::new(sealed), version)
        } else {
            AccountWrite::Nothing
        };
        match judgement.outcome {
            Outcome::Granted(verified) => {
                event.outcome = "granted";
                event.totp_id = Some(verified.totp_id().to_owned());
                event.confirmed = verified.confirmed();
                let event = event.with_how(verified.how());
                also.extend(SideWrite::of_grant(verified.how(), now));
                Decision { outcome: Ok((verified, judgement.notices, judgement.unread)), write, also, event }
            }
            Outcome::Refused(reason) => {
                let withdrawn = self.store.refusals().explains(&sealed, &attempt.input, reason);
                let reason = without_factor(reason);
                event.reason = Some(if withdrawn { "withdrawn" } else { reason.as_str() });
                Decision { outcome: Err(reason), write, also, event }
            }
        }
    }
}
