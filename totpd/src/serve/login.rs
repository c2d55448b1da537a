//! `org.totpd.Login`: one attempt on one connection.
//!
//! ```text
//!   fresh ── Begin ──▶ asked ── Answer, right ─▶ over (granted)
//!                      │  ▲ └── Answer, wrong, no tries left ─▶ over (denied)
//!                      └──┘ Answer, wrong, tries left
//! ```
//!
//! Anything else is out of order, and the end.

use super::connection::{Bytes, Closed, Connection, done, failed, failed_plainly, read};
use super::peers::{self, NotTaken};
use super::{Phase, reply};
use crate::audit::Event;
use crate::clock;
use crate::engine::{Asker, Decided, Engine, Failure, Prepared};
use crate::entropy::Kernel;
use crate::store::Ticket;
use data_encoding::BASE32_NOPAD;
use std::sync::Arc;
use std::time::{Duration, Instant};
use totp_core::judge::Input;
use totp_core::{Typed, Unusable, random};
use totp_wire::login::{self, Answer, Begin, StepReply, Unfit};
use totp_wire::service;

/// How long an answer may wait to be judged when the caller does not say.
const DEFAULT_TIME: Duration = Duration::from_secs(10);
/// The longest a caller may ask for.
const MOST_TIME: Duration = Duration::from_mins(1);
/// Prompts in one attempt at most.
const MOST_TRIES: u8 = 3;

/// Where the attempt is.
#[derive(Debug, Default)]
enum State {
    #[default]
    Fresh,
    Asked(Box<Asked>),
    Over,
}

/// The record, on its way.
type Early = tokio::task::JoinHandle<Result<Prepared, Failure>>;

/// What is remembered between prompt and answer.
#[derive(Debug)]
struct Asked {
    asker: Asker,
    early: Early,
    tries_left: u8,
    combined: bool,
}

/// One attempt.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    state: State,
    /// A grant whose reply is not written yet, and the engine that has to hear if it never is.
    undelivered: Option<Undelivered>,
}

/// A grant on its way.
#[derive(Debug)]
struct Undelivered {
    engine: Arc<Engine>,
    event: Box<Event>,
}

impl Conversation {
    /// Whether there is nothing more to say.
    pub(super) const fn over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// The reply was written.
    pub(super) fn delivered(&mut self) {
        self.undelivered = None;
    }

    /// Answers one call.
    pub(super) async fn call(
        &mut self,
        connection: &mut Connection,
        method: &str,
        parameters: &[u8],
    ) -> Result<Bytes, Closed> {
        match (method, std::mem::replace(&mut self.state, State::Over)) {
            ("Begin", State::Fresh) => match read(parameters) {
                Ok(begin) => Ok(self.begin(connection, begin).await),
                Err(reply) => Ok(reply),
            },
            ("Answer", State::Asked(asked)) => match read(parameters) {
                Ok(answer) => self.answer(connection, *asked, answer).await,
                Err(reply) => Ok(reply),
            },
            ("Begin" | "Answer", _) => Ok(failed_plainly(login::OUT_OF_ORDER)),
            (_, state) => {
                self.state = state;
                Ok(failed(service::METHOD_NOT_FOUND, "method", method))
            }
        }
    }

    async fn begin(&mut self, connection: &Connection, begin: Begin) -> Bytes {
        let attempt = begin.attempt;
        let Phase::Serving(engine) = connection.shared.phase() else {
            refused(connection, &attempt.user, "store-unavailable");
            return failed_plainly(login::STORE_UNAVAILABLE);
        };
        let config = engine.config();
        let users = &connection.shared.users;
        let peer = connection.peer.uid;
        if !peers::speaks_for_others(peer, Some(config)) && !connection.shared.throttle.allows(peer) {
            return failed_plainly(login::BUSY);
        }
        let asker = match peers::believed(connection.peer, &attempt, new_id(), config, users).await {
            Ok(asker) => asker,
            Err(NotTaken::Denied) => {
                refused(connection, &attempt.user, "not-yours");
                return failed_plainly(service::PERMISSION_DENIED);
            }
            Err(NotTaken::Stuck) => {
                refused(connection, &attempt.user, "directory-stuck");
                return failed_plainly(login::BUSY);
            }
        };
        if let Some(rhost) = &asker.from.rhost
            && connection.place.remote(&asker.user, rhost).is_err()
        {
            refused(connection, &attempt.user, "busy");
            return failed_plainly(login::BUSY);
        }
        let combined = attempt.combined == Some(true);
        let (early, digits) = match read_early(&engine, &asker.user, combined).await {
            Ok(read) => read,
            Err(failure) => return self.failure(connection, &asker.user, &failure),
        };
        let step = reply::ask(&asker.id, &config.prompt, digits, combined, false);
        let tries_left = attempt.tries.unwrap_or(1).clamp(1, MOST_TRIES);
        self.state = State::Asked(Box::new(Asked { asker, early, tries_left, combined }));
        done(&StepReply { step })
    }

    async fn answer(
        &mut self,
        connection: &mut Connection,
        mut asked: Asked,
        answer: Answer,
    ) -> Result<Bytes, Closed> {
        let Phase::Serving(engine) = connection.shared.phase() else {
            refused(connection, &asked.asker.user, "store-unavailable");
            return Ok(failed_plainly(login::STORE_UNAVAILABLE));
        };
        let time = answer.remaining_ms.map_or(DEFAULT_TIME, Duration::from_millis).min(MOST_TIME);
        let deadline = Instant::now() + time;
        let early = &mut asked.early;
        let decided = judged(connection, &engine, &asked.asker, early, input(&answer), deadline).await?;
        drop(answer);
        let id = asked.asker.id.clone();
        let step = match decided {
            Ok(Decided::Granted(verified, durable, event)) => {
                self.undelivered = Some(Undelivered { engine, event });
                reply::granted(&id, verified, durable)
            }
            Ok(Decided::Refused) => {
                asked.tries_left -= 1;
                if asked.tries_left == 0 {
                    reply::denied(&id)
                } else {
                    let (early, digits) = match read_early(&engine, &asked.asker.user, asked.combined).await {
                        Ok(read) => read,
                        Err(failure) => return Ok(self.failure(connection, &asked.asker.user, &failure)),
                    };
                    asked.early = early;
                    let step = reply::ask(&id, &engine.config().prompt, digits, asked.combined, true);
                    self.state = State::Asked(Box::new(asked));
                    step
                }
            }
            Err(failure) => return Ok(self.failure(connection, &asked.asker.user, &failure)),
        };
        Ok(done(&StepReply { step }))
    }

    #[expect(clippy::unused_self, reason = "the state stays over: nothing follows a failure")]
    fn failure(&self, connection: &Connection, user: &str, failure: &Failure) -> Bytes {
        let (reason, error) = match failure {
            Failure::Busy => ("busy", login::BUSY),
            Failure::TimedOut => ("too-late", login::TIMED_OUT),
            Failure::Unavailable(why) => {
                tracing::error!("{why}");
                ("store-unavailable", login::STORE_UNAVAILABLE)
            }
        };
        refused(connection, user, reason);
        failed_plainly(error)
    }
}

impl Drop for Conversation {
    /// The connection ended before the grant was written: that is said.
    fn drop(&mut self) {
        if let Some(Undelivered { engine, event }) = self.undelivered.take() {
            tokio::spawn(async move { engine.undelivered(&event).await });
        }
    }
}

/// Begins to read the record while the person types, for anybody alike. Only a line that holds password and code
/// has to be split by the length of the code, and waits for it; otherwise the length is the site's.
async fn read_early(engine: &Arc<Engine>, user: &str, combined: bool) -> Result<(Early, u8), Failure> {
    if combined {
        let prepared = engine.prepare(user).await?;
        let digits = prepared.digits.get();
        return Ok((tokio::spawn(std::future::ready(Ok(prepared))), digits));
    }
    let (reading, user) = (Arc::clone(engine), user.to_owned());
    let early = tokio::spawn(async move { reading.prepare(&user).await });
    Ok((early, engine.config().totp.params.digits.get()))
}

/// Judges, while watching the clock and the peer: what has not begun to commit when the time is up or the
/// peer is gone is dropped unjudged. Once it has begun its result stands.
async fn judged(
    connection: &mut Connection,
    engine: &Arc<Engine>,
    asker: &Asker,
    early: &mut Early,
    input: Input,
    deadline: Instant,
) -> Result<Result<Decided, Failure>, Closed> {
    let ticket = Arc::new(Ticket::new(deadline));
    // Not a task of its own: dropping it, once its ticket is dropped, takes it back whole.
    let work = async {
        let prepared = early.await.unwrap_or(Err(Failure::Busy))?;
        engine.login(asker, prepared, input, &ticket).await
    };
    tokio::pin!(work);
    let (mut gone, mut late) = (false, false);
    let decided = loop {
        tokio::select! {
            decided = &mut work => break decided,
            () = connection.hung_up(), if !gone => {
                gone = true;
                if ticket.drop_it() {
                    refused(connection, &asker.user, "hung-up");
                    return Err(Closed);
                }
            }
            () = tokio::time::sleep_until(deadline.into()), if !late => {
                late = true;
                if ticket.drop_it() {
                    return Ok(Err(Failure::TimedOut));
                }
            }
        }
    };
    if gone {
        if let Ok(Decided::Granted(_, _, event)) = &decided {
            engine.undelivered(event).await;
        }
        return Err(Closed);
    }
    Ok(decided)
}

/// What was typed, or why it is no code. A client that sends neither typed nothing.
fn input(answer: &Answer) -> Input {
    match (&answer.text, answer.unusable) {
        (_, Some(Unfit::Shape)) => Err(Unusable::Shape),
        (_, Some(Unfit::HostJunk)) => Err(Unusable::HostJunk),
        (_, Some(Unfit::Empty)) | (None, None) => Err(Unusable::Empty),
        (Some(text), None) => Typed::parse(text.reveal()),
    }
}

/// A refusal that nothing was judged for: in the log alone, since there may be no store.
fn refused(connection: &Connection, user: &str, reason: &'static str) {
    let mut event = Event::new("login", user, clock::now(), connection.peer.from());
    event.outcome = "refused";
    event.reason = Some(reason);
    event.log();
}

fn new_id() -> String {
    let bytes: [u8; 5] = random::bytes(&mut Kernel).unwrap_or_default();
    BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()
}
