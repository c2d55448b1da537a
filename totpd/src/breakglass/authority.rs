//! One conversation with the responder: `org.totpd.Login` and nothing else, for root's programs alone.

use crate::audit::EventSource;
use crate::breakglass::{event, record, syslog};
use crate::varlink::connection_limits::ConnectionSlot;
use crate::varlink::login::{input, step};
use crate::varlink::peer::{Peer, cause, source};
use nix::syslog::Severity;
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use totp_core::breakglass::BreakGlass;
use totp_wire::frame::{Framer, MESSAGE_TIMEOUT};
use totp_wire::login::{self, Answer, Attempt, Begin, Step, StepReply};
use totp_wire::message::{self, Call};
use totp_wire::{Method, service};
use zeroize::Zeroizing;

/// How long a conversation may wait for a person.
const PROMPT_TIMEOUT: Duration = Duration::from_mins(10);

/// What the conversations share.
#[derive(Debug)]
pub(super) struct BreakGlassAuthority {
    responder: RefCell<BreakGlass>,
    marks: PathBuf,
    prompt: String,
    start: Instant,
    next: Cell<u32>,
    used: Notify,
}

/// The connection is over.
struct Over;

impl BreakGlassAuthority {
    pub(super) fn new(glass: BreakGlass, marks: PathBuf, prompt: String, start: Instant) -> Self {
        Self { responder: RefCell::new(glass), marks, prompt, start, next: Cell::new(0), used: Notify::new() }
    }

    /// Ends when the user is in.
    pub(super) async fn used(&self) {
        self.used.notified().await;
    }

    /// Judges an answer: recorded before it is given, and spent only when it is recorded. Says whether it lets in.
    fn judge(&self, id: &str, attempt: &Attempt, from: EventSource, answer: &Answer) -> (Step, bool) {
        let input = input::of(answer);
        let mut glass = self.responder.borrow_mut();
        let mut event = event(&attempt.user, "granted", from);
        event.id = Some(id.to_owned());
        // No directory is asked here: names that neither it nor the host's own file has are left out.
        let known = attempt.user == glass.user().as_str() || crate::user_directory::is_local(&attempt.user);
        if !known {
            event.leave_name_out();
        }
        let reason = match glass.check(&attempt.user, &input, self.start.elapsed()) {
            Ok(found) => match record(&self.marks, &event) {
                Ok(durable) => return (step::granted(id, glass.spend(found), durable, &[]), true),
                // Nobody gets in unrecorded; the code is still good.
                Err(_) => "not-recorded",
            },
            Err(reason) => reason.as_str(),
        };
        event.outcome = "refused";
        event.reason = Some(reason);
        syslog::say(Severity::LOG_NOTICE, &event);
        (step::denied(id, known), false)
    }
}

/// The connection, if it is one of root's programs. Nobody else takes a place.
pub(super) fn of_root(stream: UnixStream) -> Option<UnixStream> {
    if stream.peer_cred().is_ok_and(|peer| peer.uid() == 0) {
        return Some(stream);
    }
    let _ = stream.try_write(&error(service::PERMISSION_DENIED));
    None
}

/// Answers one peer.
pub(super) async fn converse(glass: Rc<BreakGlassAuthority>, mut stream: UnixStream, slot: ConnectionSlot) {
    // Whatever ends it, the peer sees a closed connection.
    if let Ok(true) = attempt(&glass, &mut stream, &slot).await {
        glass.used.notify_one();
    }
}

/// One attempt; whether somebody was let in.
async fn attempt(
    glass: &BreakGlassAuthority,
    stream: &mut UnixStream,
    slot: &ConnectionSlot,
) -> Result<bool, Over> {
    let credentials = stream.peer_cred().map_err(|_| Over)?;
    let peer = Peer { uid: credentials.uid(), pid: credentials.pid() };
    let mut framer = Framer::default();
    let begin: Begin = call(stream, &mut framer, MESSAGE_TIMEOUT).await?;
    let attempt = begin.attempt;
    let from = source(peer, &attempt, true);
    slot.begin(&cause(&attempt.user, &from)).map_err(|_| Over)?;
    let number = glass.next.get();
    glass.next.set(number.wrapping_add(1));
    let id = format!("glass{number}");
    // Everybody is asked alike, whoever it is that gets in.
    let step = step::ask(&id, &glass.prompt, 6, attempt.combined == Some(true), false);
    write(stream, &done(step)).await?;
    let answer: Answer = tokio::select! {
        answer = call(stream, &mut framer, PROMPT_TIMEOUT) => answer?,
        // Somebody else of the same cause came: who waits longest gives way.
        () = slot.closed() => return Err(Over),
    };
    slot.waits(false);
    let (step, granted) = glass.judge(&id, &attempt, from, &answer);
    let written = write(stream, &done(step)).await;
    // Once it is spent there is nothing left to wait for, whether or not the reply arrived.
    if granted { Ok(true) } else { written.map(|()| false) }
}

/// The next call, if it is this method.
async fn call<M: Method>(
    stream: &mut UnixStream,
    framer: &mut Framer,
    patience: Duration,
) -> Result<M, Over> {
    let read = async {
        loop {
            if let Some(message) = framer.next_message().map_err(|_| Over)? {
                return Ok(message);
            }
            let mut chunk = Zeroizing::new([0; 1024]);
            match stream.read(&mut *chunk).await {
                Ok(count) if count > 0 => framer.push(&chunk[..count]),
                _ => return Err(Over),
            }
        }
    };
    let message = tokio::time::timeout(patience, read).await.map_err(|_| Over)??;
    let call: Call<'_> = message::read(&message).map_err(|_| Over)?;
    let parameters = call.parameters.map_or("{}", serde_json::value::RawValue::get);
    if call.method != M::NAME || call.oneway || call.more || call.upgrade {
        let _ = write(stream, &error(login::OUT_OF_ORDER)).await;
        return Err(Over);
    }
    message::read(parameters.as_bytes()).map_err(|_| Over)
}

async fn write(stream: &mut UnixStream, reply: &[u8]) -> Result<(), Over> {
    let written = tokio::time::timeout(MESSAGE_TIMEOUT, stream.write_all(reply)).await;
    written.map_err(|_| Over)?.map_err(|_| Over)
}

fn done(step: Step) -> Zeroizing<Vec<u8>> {
    message::reply_bytes(&StepReply { step }).unwrap_or_default()
}

fn error(name: &str) -> Zeroizing<Vec<u8>> {
    message::error_bytes(name, &serde_json::json!({})).unwrap_or_default()
}
