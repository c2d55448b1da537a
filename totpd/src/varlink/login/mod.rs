//! `org.totpd.Login`: one attempt on one connection.
//!
//! ```text
//!           ┌─▶ over (exempt, denied, or granted: remembered)
//!   fresh ──┤ Begin
//!           └─▶ asked ── Answer ─▶ over (granted, exempt or denied)
//!               │  ▲ └── Answer, with a notice to read ─▶ unread ── Answer ─▶ over (granted)
//!               └──┘ Answer: a wrong one is asked for again, an enrollment asks on
//! ```
//!
//! Anything else is out of order, and ends the attempt. An [`Authority`] decides; this module
//! authenticates the peer, renders the steps, and keeps the time of a refusal.

mod admission;
mod enrollment;
mod input;
mod refusal;
mod step;

use crate::audit::UnjudgedReason;
use crate::authority::{Authority, Delivery, Granted, Next, Pending, Prompts, Question, Receipt};
use crate::engine::EngineError;
use crate::exact_sleep;
use crate::store::CommitGuard;
use crate::varlink::cancellation::{Completed, commit_guard, run_cancellable};
use crate::varlink::connection::{Closed, Connection};
use crate::varlink::prompt_history::Asker;
use crate::varlink::reply::{Bytes, done, failed_plainly, read};
use crate::varlink::server::{Server, ServerState};
use admission::admit;
use refusal::{Attempted, NoStep, engine_error, log_refusal, refusal_time};
use std::time::Instant;
use step::{CodeQuestion, Known};
use totp_wire::login::{self, Answer, Begin, Step, StepReply};

/// Questions for a code in one attempt at most.
const MAX_TRIES: u8 = 3;

/// A call of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Begins the attempt.
    Begin,
    /// Answers its question.
    Answer,
}

/// Where the attempt is.
#[derive(Debug, Default)]
enum State<P> {
    #[default]
    Fresh,
    /// It was asked.
    Asked(Box<Asked<P>>),
    /// It is granted once the person has read the notices.
    Unread(Box<Unread>),
    Over,
}

/// An attempt that waits for an answer.
#[derive(Debug)]
struct Asked<P> {
    id: String,
    origin: Origin,
    /// The question was for a code: refusing the answer takes its time, and counts.
    for_code: bool,
    pending: P,
}

/// The program that asks.
#[derive(Clone, Copy, Debug)]
struct Origin {
    /// The user who started it.
    caller: Option<u32>,
    asker: Option<Asker>,
}

/// A grant that waits until its notices are read.
#[derive(Debug)]
struct Unread {
    id: String,
    granted: Granted,
}

/// One attempt.
#[derive(Debug)]
pub(crate) struct Conversation<P> {
    state: State<P>,
    /// The receipt of a grant whose reply is not written yet.
    receipt: Option<Receipt>,
}

impl<P> Default for Conversation<P> {
    fn default() -> Self {
        Self { state: State::Fresh, receipt: None }
    }
}

impl<P: Pending> Conversation<P> {
    /// Whether the attempt has its verdict, or ended without one.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// The reply was written.
    pub(crate) async fn delivered(&mut self) {
        if let Some(receipt) = self.receipt.take() {
            receipt.settle(Delivery::Written).await;
        }
    }

    /// Answers one call.
    ///
    /// # Errors
    /// [`Closed`]: the peer hung up.
    pub(crate) async fn call<S>(
        &mut self,
        server: &Server<S>,
        connection: &mut Connection,
        method: Method,
        parameters: &[u8],
    ) -> Result<Bytes, Closed>
    where
        S: ServerState<Authority: Authority<Pending = P>>,
    {
        let step = match (method, std::mem::replace(&mut self.state, State::Over)) {
            (Method::Begin, State::Fresh) => self.begin(server, connection, parameters).await,
            (Method::Answer, State::Asked(asked)) => {
                self.answer(server, connection, *asked, parameters).await
            }
            (Method::Answer, State::Unread(unread)) => {
                self.notices_read(server, connection, *unread, parameters).await
            }
            (Method::Begin | Method::Answer, _) => Err(failed_plainly(login::OUT_OF_ORDER).into()),
        };
        match step {
            Ok(step) => Ok(done(&StepReply { step })),
            Err(NoStep::Error(error)) => Ok(error),
            Err(NoStep::Closed) => Err(Closed),
        }
    }

    async fn begin<S>(
        &mut self,
        server: &Server<S>,
        connection: &mut Connection,
        parameters: &[u8],
    ) -> Result<Step, NoStep>
    where
        S: ServerState<Authority: Authority<Pending = P>>,
    {
        let Begin { attempt, remaining_ms } = read(parameters)?;
        let Some(authority) = server.state.authority() else {
            log_refusal(server, connection, Attempted::of(&attempt.user), UnjudgedReason::StoreUnavailable);
            return Err(failed_plainly(login::STORE_UNAVAILABLE).into());
        };
        let request = admit(server, connection, &attempt, authority.config()).await?;
        let (id, caller) = (request.id.clone(), request.facts.caller);
        let asker = server.prompt_history.asker(connection.peer, &attempt, &request);
        let prompts = Prompts {
            tries: attempt.tries.unwrap_or(1).clamp(1, MAX_TRIES),
            combined: attempt.combined == Some(true),
            asked_before: asker.is_some_and(|asker| server.prompt_history.has_asked(asker, Instant::now())),
        };
        let guard = commit_guard(remaining_ms);
        // In a box, as below: the futures around it, which are moved about, stay small.
        let work = Box::pin(authority.begin(request, prompts, &guard));
        let attempted = Attempted { id: Some(&id), user: &attempt.user };
        let next = decided(server, connection, attempted, &guard, work).await?;
        if let (Next::Ask(Question::Code { .. }, _), Some(asker)) = (&next, asker) {
            server.prompt_history.record(asker, Instant::now());
        }
        Ok(self.proceed(id, Origin { caller, asker }, next))
    }

    async fn answer<S>(
        &mut self,
        server: &Server<S>,
        connection: &mut Connection,
        asked: Asked<P>,
        parameters: &[u8],
    ) -> Result<Step, NoStep>
    where
        S: ServerState<Authority: Authority<Pending = P>>,
    {
        let answer: Answer = read(parameters)?;
        let Asked { id, origin, for_code, pending } = asked;
        let Origin { caller, asker } = origin;
        // A person may have typed for longer than the question is remembered.
        if let Some(asker) = asker.filter(|_| for_code) {
            server.prompt_history.record(asker, Instant::now());
        }
        let user = pending.user().to_owned();
        let attempted = Attempted { id: Some(&id), user: &user };
        let Some(authority) = server.state.authority() else {
            log_refusal(server, connection, attempted, UnjudgedReason::StoreUnavailable);
            return Err(failed_plainly(login::STORE_UNAVAILABLE).into());
        };
        let refusal_time = refusal_time(answer.remaining_ms);
        let (guard, input) = (commit_guard(answer.remaining_ms), input::of(&answer));
        drop(answer);
        let work = Box::pin(authority.answer(pending, input, &guard));
        let next = decided(server, connection, attempted, &guard, work).await?;
        if for_code && matches!(next, Next::Ask(Question::Code { .. }, _) | Next::Denied { .. }) {
            if let Some(caller) = caller {
                server.rate_limit.refused(caller);
            }
            exact_sleep::sleep_until(refusal_time).await;
        }
        Ok(self.proceed(id, origin, next))
    }

    /// Enter says that the notices were read. Without it they are kept for another login: a program
    /// may have no field for the question, or one that it fills in itself, and the code is used.
    async fn notices_read<S: ServerState>(
        &mut self,
        server: &Server<S>,
        connection: &Connection,
        unread: Unread,
        parameters: &[u8],
    ) -> Result<Step, NoStep> {
        let answer: Answer = read(parameters)?;
        let is_read = answer.text.as_ref().is_some_and(|text| text.reveal().is_empty());
        let Unread { id, mut granted } = unread;
        if server.state.authority().is_none() {
            let attempted = Attempted { id: Some(&id), user: &granted.user };
            log_refusal(server, connection, attempted, UnjudgedReason::StoreUnavailable);
            return Err(failed_plainly(login::STORE_UNAVAILABLE).into());
        }
        if let Some(acknowledge) = granted.acknowledge.take().filter(|_| is_read) {
            acknowledge.0.await;
        }
        granted.notices.clear();
        Ok(self.grant(&id, granted))
    }

    /// The step of a decision, and the state that waits for its answer.
    fn proceed(&mut self, id: String, origin: Origin, next: Next<P>) -> Step {
        match next {
            Next::Ask(question, pending) => {
                let for_code = matches!(question, Question::Code { .. });
                let step = ask(&id, question);
                self.state = State::Asked(Box::new(Asked { id, origin, for_code, pending }));
                step
            }
            Next::Granted(granted) if granted.acknowledge.is_some() => {
                let step = step::notices(&id, &granted.notices);
                self.state = State::Unread(Box::new(Unread { id, granted: *granted }));
                step
            }
            Next::Granted(granted) => self.grant(&id, *granted),
            Next::Exempt { pass, committed, known } => step::exempt(&id, pass, committed, Known(known)),
            Next::Denied { known } => step::denied(&id, Known(known)),
            Next::EnrollmentEnded(end) => enrollment::ended(&id, end),
        }
    }

    /// Lets in. If the reply never arrives, the receipt says so.
    fn grant(&mut self, id: &str, granted: Granted) -> Step {
        let Granted { verified, committed, reader, notices, receipt, .. } = granted;
        self.receipt = Some(receipt);
        step::granted(id, verified, committed, reader, &notices)
    }
}

/// Runs an authority's decision until it is made or cancelled. A grant for a peer that has gone is
/// recorded as undelivered.
async fn decided<S: ServerState, P>(
    server: &Server<S>,
    connection: &mut Connection,
    attempted: Attempted<'_>,
    guard: &CommitGuard,
    work: impl Future<Output = Result<Next<P>, EngineError>> + Unpin,
) -> Result<Next<P>, NoStep> {
    let Ok(Completed { result, peer_gone }) = run_cancellable(connection, guard, work).await else {
        log_refusal(server, connection, attempted, UnjudgedReason::HungUp);
        return Err(NoStep::Closed);
    };
    let result = result.map_err(|error| engine_error(server, connection, attempted, &error));
    if peer_gone {
        if let Ok(Next::Granted(granted)) = result {
            granted.receipt.settle(Delivery::Undelivered).await;
        }
        return Err(NoStep::Closed);
    }
    result.map_err(Into::into)
}

/// The step of a question.
fn ask(id: &str, question: Question) -> Step {
    match question {
        Question::Code { text, digits, combined, refused } => {
            let digits = digits.get();
            step::ask(id, &CodeQuestion { text, refused, digits, combined })
        }
        Question::FirstCode(question) => enrollment::first_code(id, &question),
        Question::RecoveryCode(question) => enrollment::recovery_code(id, &question),
    }
}
