//! `org.totpd.Login`: one attempt on one connection.
//!
//! ```text
//!           ┌─▶ over (exempt, or granted: remembered)
//!   fresh ──┤ Begin
//!           ├─▶ asked ── Answer, right ─▶ over (granted)
//!           │   │  ▲ └── Answer, wrong, no tries left ─▶ over (denied, or exempt)
//!           │   └──┘ Answer, wrong, tries left
//!           │   └── Answer, right, and a notice to read ─▶ unread ── Answer ─▶ over (granted)
//!           └─▶ offered ── first code ─▶ noted ── a recovery code ─▶ over (granted)
//!               └─ and so on: wrong answers ask again, and then deny
//! ```
//!
//! Anything else is out of order, and the end.

mod enrollment;
pub(crate) mod input;
mod notice;
mod refusal;
pub(crate) mod step;
mod undelivered;

use crate::engine::{
    AnswerOutcome, BeginOutcome, Engine, EngineError, Grant, PendingLogin, PrefetchedAccount,
};
use crate::os_random::Kernel;
use crate::state::ServiceState;
use crate::varlink::cancellation::{Watched, run_cancellable, ticket};
use crate::varlink::connection::{Closed, Connection};
use crate::varlink::peer;
use crate::varlink::peer::NotTaken;
use crate::varlink::reply::{Bytes, done, failed, failed_plainly, read};
use data_encoding::BASE32_NOPAD;
use enrollment::{Noting, Offered};
use notice::Unread;
use refusal::{count_refusal, failed_with, refusal_time, refused};
use std::sync::Arc;
use totp_core::policy::Peer as Speaker;
use totp_core::random;
use totp_wire::login::{self, Answer, Begin, Step, StepReply};
use totp_wire::service;
use undelivered::{Grants, Undelivered};

/// Prompts in one attempt at most.
const MOST_TRIES: u8 = 3;

/// Where the attempt is.
#[derive(Debug, Default)]
enum State {
    #[default]
    Fresh,
    Asked(Box<Asked>),
    Offered(Box<Offered>),
    Noted(Box<Noting>),
    Unread(Box<Unread>),
    Over,
}

/// The record, on its way.
type Early = tokio::task::JoinHandle<Result<PrefetchedAccount, EngineError>>;

/// What is remembered between prompt and answer.
#[derive(Debug)]
struct Asked {
    asking: PendingLogin,
    early: Early,
    tries_left: u8,
    combined: bool,
}

/// One attempt.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    state: State,
    /// A grant whose reply is not written yet, and the engine that has to hear if it never is.
    undelivered: Option<Undelivered>,
}

impl Conversation {
    /// Whether there is nothing more to say.
    pub(crate) const fn over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// The reply was written.
    pub(crate) fn delivered(&mut self) {
        self.undelivered = None;
    }

    /// Answers one call.
    pub(crate) async fn call(
        &mut self,
        connection: &mut Connection,
        method: &str,
        parameters: &[u8],
    ) -> Result<Bytes, Closed> {
        match (method, std::mem::replace(&mut self.state, State::Over)) {
            ("Begin", State::Fresh) => match read(parameters) {
                Ok(begin) => Box::pin(self.begin(connection, begin)).await,
                Err(reply) => Ok(reply),
            },
            (
                "Answer",
                state @ (State::Asked(_) | State::Offered(_) | State::Noted(_) | State::Unread(_)),
            ) => match read(parameters) {
                Ok(answer) => self.answer(connection, state, answer).await,
                Err(reply) => Ok(reply),
            },
            ("Begin" | "Answer", _) => Ok(failed_plainly(login::OUT_OF_ORDER)),
            (_, state) => {
                self.state = state;
                Ok(failed(service::METHOD_NOT_FOUND, "method", method))
            }
        }
    }

    async fn begin(&mut self, connection: &mut Connection, begin: Begin) -> Result<Bytes, Closed> {
        let attempt = begin.attempt;
        let ServiceState::Serving(engine) = connection.shared.service() else {
            refused(connection, &attempt.user, "store-unavailable");
            return Ok(failed_plainly(login::STORE_UNAVAILABLE));
        };
        let config = engine.config();
        let shared = Arc::clone(&connection.shared);
        let peer = connection.peer.uid;
        if !peer::speaks_for_others(peer, Some(config)) && !connection.rate_limit.allows_attempt(peer) {
            return Ok(failed_plainly(login::BUSY));
        }
        let asker = match peer::authorise(connection.peer, &attempt, new_id(), config, &shared.users).await {
            Ok(asker) => asker,
            Err(NotTaken::Denied) => {
                refused(connection, &attempt.user, "not-yours");
                return Ok(failed_plainly(service::PERMISSION_DENIED));
            }
            Err(NotTaken::Stuck) => {
                refused(connection, &attempt.user, "directory-stuck");
                return Ok(failed_plainly(login::BUSY));
            }
        };
        if asker.facts.peer != Speaker::SelfService
            && connection.slot.begin(&peer::cause(&asker.user, &asker.from)).is_err()
        {
            refused(connection, &attempt.user, "busy");
            return Ok(failed_plainly(login::BUSY));
        }
        // Not even a line of the log for each: that is what whoever asks so often wants.
        if let Some(caller) = asker.facts.caller
            && !connection.rate_limit.allows_stranger(caller)
            && !peer::is_oneself(&asker, caller, &shared.users).await
        {
            return Ok(failed_plainly(login::BUSY));
        }
        let id = asker.id.clone();
        let ticket = ticket(begin.remaining_ms);
        let work = Box::pin(engine.admit(asker, &ticket));
        let watched = run_cancellable(connection, &ticket, work).await;
        let admission = match self.attend(connection, &engine, &attempt.user, watched).await? {
            Ok(admission) => admission,
            Err(failure) => return Ok(failure),
        };
        let tries = attempt.tries.unwrap_or(1).clamp(1, MOST_TRIES);
        let step = match admission {
            BeginOutcome::Exempt(pass, durable, known) => step::exempt(&id, pass, durable, known),
            BeginOutcome::Remembered(grant) => self.granted(&engine, &id, grant),
            BeginOutcome::Enroll(asking, enrolling) => {
                let step = enrollment::first_step(&engine, &asking, &enrolling);
                self.state = State::Offered(Box::new(Offered::new(*asking, *enrolling)));
                step
            }
            BeginOutcome::Ask(asking) => {
                let tries = if asking.passes_anyway() { 1 } else { tries };
                let combined = attempt.combined == Some(true);
                match self.ask(&engine, *asking, tries, combined, false).await {
                    Ok(step) => step,
                    Err(failure) => return Ok(failed_with(connection, &attempt.user, &failure)),
                }
            }
        };
        Ok(done(&StepReply { step }))
    }

    async fn answer(
        &mut self,
        connection: &mut Connection,
        state: State,
        answer: Answer,
    ) -> Result<Bytes, Closed> {
        let user = match &state {
            State::Asked(asked) => asked.asking.asker.user.clone(),
            State::Offered(offered) => offered.user().to_owned(),
            State::Noted(noting) => noting.user().to_owned(),
            State::Unread(unread) => unread.user().to_owned(),
            State::Fresh | State::Over => String::new(),
        };
        let ServiceState::Serving(engine) = connection.shared.service() else {
            refused(connection, &user, "store-unavailable");
            return Ok(failed_plainly(login::STORE_UNAVAILABLE));
        };
        let refusal = refusal_time(answer.remaining_ms);
        let (ticket, input) = (ticket(answer.remaining_ms), input::of(&answer));
        drop(answer);
        let step = match state {
            State::Asked(asked) => {
                let Asked { mut asking, early, tries_left, combined } = *asked;
                let work = async {
                    let prepared = early.await.unwrap_or(Err(EngineError::Busy))?;
                    Box::pin(engine.login(&mut asking, prepared, input, &ticket)).await
                };
                let watched = run_cancellable(connection, &ticket, work).await;
                match self.attend(connection, &engine, &user, watched).await? {
                    Ok(AnswerOutcome::Granted(grant)) if grant.unread => {
                        self.ask_to_read(&engine, &asking.asker.id, grant)
                    }
                    Ok(AnswerOutcome::Granted(grant)) => self.granted(&engine, &asking.asker.id, grant),
                    Ok(AnswerOutcome::Exempt(pass, durable)) => {
                        step::exempt(&asking.asker.id, pass, durable, asking.is_known())
                    }
                    Ok(AnswerOutcome::Refused) if tries_left <= 1 => {
                        count_refusal(connection, &asking.asker);
                        tokio::time::sleep_until(refusal).await;
                        step::denied(&asking.asker.id, asking.is_known())
                    }
                    Ok(AnswerOutcome::Refused) => {
                        count_refusal(connection, &asking.asker);
                        tokio::time::sleep_until(refusal).await;
                        match self.ask(&engine, asking, tries_left - 1, combined, true).await {
                            Ok(step) => step,
                            Err(failure) => return Ok(failed_with(connection, &user, &failure)),
                        }
                    }
                    Err(failure) => return Ok(failure),
                }
            }
            State::Offered(offered) => {
                let work = offered.first_code(&engine, &input, &ticket);
                let watched = run_cancellable(connection, &ticket, work).await;
                match self.attend(connection, &engine, &user, watched).await? {
                    Ok((state, step)) => {
                        self.state = state;
                        step
                    }
                    Err(failure) => return Ok(failure),
                }
            }
            State::Noted(noting) => {
                let id = noting.id().to_owned();
                let work = Box::pin(noting.finish(&engine, &input, &ticket));
                let watched = run_cancellable(connection, &ticket, work).await;
                match self.attend(connection, &engine, &user, watched).await? {
                    Ok(enrollment::Finish::Granted(grant)) => self.granted(&engine, &id, *grant),
                    Ok(enrollment::Finish::Denied) => step::denied(&id, true),
                    Ok(enrollment::Finish::Again(noting, step)) => {
                        self.state = State::Noted(noting);
                        step
                    }
                    Err(failure) => return Ok(failure),
                }
            }
            State::Unread(unread) => self.was_read(&engine, *unread).await,
            State::Fresh | State::Over => return Ok(failed_plainly(login::OUT_OF_ORDER)),
        };
        Ok(done(&StepReply { step }))
    }

    /// The question for a code. Its record is read while the person types.
    async fn ask(
        &mut self,
        engine: &Arc<Engine>,
        asking: PendingLogin,
        tries_left: u8,
        combined: bool,
        again: bool,
    ) -> Result<Step, EngineError> {
        let (early, digits) = read_early(engine, &asking.asker.user, combined).await?;
        let step = step::ask(&asking.asker.id, &engine.config().prompt, digits, combined, again);
        self.state = State::Asked(Box::new(Asked { asking, early, tries_left, combined }));
        Ok(step)
    }

    /// Lets in; if the reply never arrives, that is recorded.
    fn granted(&mut self, engine: &Arc<Engine>, id: &str, grant: Grant) -> Step {
        let Grant { verified, committed, event, news, .. } = grant;
        let told = engine.login_notices(&event.user, event.from.service.as_deref(), &news);
        self.undelivered = Some(Undelivered { engine: Arc::clone(engine), event });
        step::granted(id, verified, committed, &told)
    }

    /// What came of watched work: a result, or the reply that says there is none. A grant for a peer that has
    /// gone is recorded as undelivered.
    async fn attend<T: Grants>(
        &self,
        connection: &Connection,
        engine: &Engine,
        user: &str,
        watched: Result<Watched<T, EngineError>, Closed>,
    ) -> Result<Result<T, Bytes>, Closed> {
        let Ok(Watched { result, gone }) = watched else {
            refused(connection, user, "hung-up");
            return Err(Closed);
        };
        if gone {
            if let Some(event) = result.as_ref().ok().and_then(Grants::event) {
                engine.undelivered(event).await;
            }
            return Err(Closed);
        }
        Ok(result.map_err(|failure| failed_with(connection, user, &failure)))
    }
}

impl Drop for Conversation {
    /// The connection ended before the grant was written: that is said.
    fn drop(&mut self) {
        let unread = match std::mem::take(&mut self.state) {
            State::Unread(unread) => Some(unread.undelivered()),
            _ => None,
        };
        if let Some(Undelivered { engine, event }) = unread.or_else(|| self.undelivered.take()) {
            tokio::spawn(async move { engine.undelivered(&event).await });
        }
    }
}

/// Begins to read the record while the person types, for anybody alike. Only a line that holds password and code
/// has to be split by the length of the code, and waits for it; otherwise the length is the site's.
async fn read_early(engine: &Arc<Engine>, user: &str, combined: bool) -> Result<(Early, u8), EngineError> {
    if combined {
        let prepared = engine.prepare(user).await?;
        let digits = prepared.digits.get();
        return Ok((tokio::spawn(std::future::ready(Ok(prepared))), digits));
    }
    let (reading, user) = (Arc::clone(engine), user.to_owned());
    let early = tokio::spawn(async move { reading.prepare(&user).await });
    Ok((early, engine.config().totp.params.digits.get()))
}

fn new_id() -> String {
    let bytes: [u8; 5] = random::bytes(&mut Kernel).unwrap_or_default();
    BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()
}
