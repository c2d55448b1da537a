//! One attempt to log in, judged and made durable.

use super::{Engine, Failure, MOST_RACES};
use crate::audit::{Event, From};
use crate::clock;
use crate::store::{Change, CommitError, Committed, Stored, Ticket, Write};
use std::sync::Arc;
use totp_core::judge::{Input, judge_nobody};
use totp_core::{Attempt, Digits, Origin, Outcome, Time, UserName, Verified, judge};

/// Who asks, as far as it is believed.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The name as it was given; it may be nobody's.
    pub user: String,
    /// Where it comes from, for the lock.
    pub origin: Origin,
    /// Where it comes from, for the audit.
    pub from: From,
    /// Names the attempt.
    pub id: String,
}

/// What a conversation remembers of the record while it waits for a person.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Digits of the code.
    pub digits: Digits,
    /// The record as it was then, still sealed.
    stored: Option<Stored>,
}

/// What was decided, durably.
#[derive(Debug)]
pub enum Decided {
    /// The factor was proved, and that is on stable storage.
    Granted(Verified, Committed, Box<Event>),
    /// It was not, and that is on stable storage too.
    Refused,
}

/// A decision that is not stored yet.
struct Decision {
    outcome: Result<Verified, ()>,
    write: Write,
    event: Event,
}

impl Engine {
    /// What can be known before the code is typed. Nobody's code has as many digits as a new enrollment's.
    ///
    /// # Errors
    /// [`Failure::Unavailable`].
    pub async fn prepare(&self, user: &str) -> Result<Prepared, Failure> {
        let stored = match UserName::parse(user) {
            Ok(name) => self.load(&name).await?,
            Err(_) => None,
        };
        let factor = stored.as_ref().and_then(|s| s.account.active.as_ref().or(s.account.pending.as_ref()));
        let digits = factor.map_or(self.config.totp.params.digits, |f| f.params.digits);
        Ok(Prepared { digits, stored })
    }

    /// Judges one input of one attempt. It is stored before this returns.
    ///
    /// # Errors
    /// [`Failure`] when nothing was judged; then nothing was used up either, except after
    /// [`Failure::Unavailable`] from a disk that failed in the middle of the commit.
    pub async fn login(
        &self,
        asker: &Asker,
        prepared: Prepared,
        input: Input,
        ticket: &Arc<Ticket>,
    ) -> Result<Decided, Failure> {
        let name = UserName::parse(&asker.user).ok();
        let uid = match &name {
            Some(name) => self.users.uid(name).await?,
            None => None,
        };
        let _turn = self.turns.of(&asker.user).await;
        let attempt = Attempt { origin: asker.origin.clone(), input };
        let mut early = prepared.stored;
        for _ in 0..MOST_RACES {
            let was_early = early.is_some();
            let stored = match (early.take(), &name) {
                (Some(stored), _) => Some(stored),
                (None, Some(name)) => self.load(name).await?,
                (None, None) => None,
            };
            let now = clock::now();
            let decision = self.decide(asker, stored, uid, &attempt, now);
            // A change names the version it was decided on, so an old record loses the race. A decision that
            // changes nothing names none, and has to be made on a fresh one.
            if was_early && matches!(decision.write, Write::Nothing) {
                continue;
            }
            let event = decision.event;
            let change = Change { write: decision.write, grows: false, event: event.row(now) };
            let committed = match self.store.commit(change, Arc::clone(ticket)).await {
                Ok(committed) => committed,
                Err(CommitError::Conflict) => continue,
                Err(error) => return Err(error.into()),
            };
            event.log();
            return Ok(match decision.outcome {
                Ok(verified) => Decided::Granted(verified, committed, Box::new(event)),
                Err(()) => Decided::Refused,
            });
        }
        Err(Failure::Busy)
    }

    /// A grant that nobody received: said in the log, and in the history if that works.
    pub async fn undelivered(&self, granted: &Event) {
        let now = clock::now();
        let event = Event { outcome: "undelivered", time: clock::rfc3339(now), ..granted.clone() };
        event.log();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let change = Change { write: Write::Nothing, grows: false, event: event.row(now) };
        if let Err(error) = self.store.commit(change, Arc::new(Ticket::new(deadline))).await {
            tracing::warn!("the history lacks an undelivered grant of {}: {error}", event.user);
        }
    }

    fn decide(
        &self,
        asker: &Asker,
        stored: Option<Stored>,
        uid: Option<u32>,
        attempt: &Attempt,
        now: Time,
    ) -> Decision {
        let mut event = Event::new("login", &asker.user, now, asker.from.clone());
        event.id = Some(asker.id.clone());
        event.outcome = "refused";
        let refused = |event: Event| Decision { outcome: Err(()), write: Write::Nothing, event };
        let nobody = || Some(judge_nobody(attempt, now, &self.rules).word());

        let Some(stored) = stored else {
            event.reason = nobody();
            return refused(event);
        };
        if !stored.damaged && uid != Some(stored.account.uid) {
            nobody();
            event.reason = Some(if uid.is_none() { "unknown-user" } else { "uid-changed" });
            return refused(event);
        }
        let Some((mut account, version)) = self.open(stored) else {
            event.reason = Some("damaged");
            return refused(event);
        };
        let judgement = judge(&mut account, attempt, now, &self.rules);
        event.class = Some(judgement.class.name());
        event.locks = judgement.locks;
        let write = if judgement.changed {
            let Ok(sealed) = self.sealer.seal(account) else {
                event.reason = Some("no-randomness");
                return refused(event);
            };
            Write::Update(Box::new(sealed), version)
        } else {
            Write::Nothing
        };
        match judgement.outcome {
            Outcome::Granted(verified) => {
                event.outcome = "granted";
                event.totp_id = Some(verified.totp_id().to_owned());
                event.confirmed = verified.confirmed();
                let event = event.with_how(verified.how());
                Decision { outcome: Ok(verified), write, event }
            }
            Outcome::Refused(reason) => {
                event.reason = Some(reason.word());
                Decision { outcome: Err(()), write, event }
            }
        }
    }
}
