//! Break-glass: a responder on the sockets of logins that needs neither store nor daemon. It knows one user, one
//! random code and an end, refuses everybody else, and gives the sockets back.
//!
//! ```text
//! prepare ─▶ mark "started" ─▶ take the socket ─▶ run ── the code ─▶ mark "granted" ─▶ reply ─▶ give it back
//!                                                  └── time, Ctrl-C ───────────────────────────▶ give it back
//! ```

mod authority;
mod socket;
mod syslog;

pub use socket::give_back_left_over;

use crate::audit::{Event, EventSource};
use crate::clock;
use crate::config::Config;
use crate::hardening::harden;
use crate::os_random::Kernel;
use crate::sockets::listener::Access;
use crate::store::breakglass::mark;
use crate::varlink::connection_limits::{IN_ALL, Limits};
use authority::BreakGlassAuthority;
use nix::fcntl::{Flock, FlockArg};
use nix::syslog::Severity;
use socket::SocketTakeover;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;
use totp_core::UserName;
use totp_core::breakglass::BreakGlass;
use zeroize::Zeroizing;

/// Sockets beyond those of conversations: of who is refused, or was told to close.
const CLOSING_HEADROOM: usize = 64;

/// How often it looks whether the socket is still its own.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The user is in.
    Used,
    /// Nobody came.
    TimeUp,
    /// By a signal.
    Stopped,
    /// Somebody else put a socket in its place.
    Displaced,
}

/// Why it cannot be.
#[derive(Debug, thiserror::Error)]
pub enum BreakGlassError {
    /// It could not be made loud.
    #[error("break-glass has to be recorded in {0}, which cannot be written: {1}. Make room, or remount it")]
    Mark(String, std::io::Error),
    /// The socket cannot be had.
    #[error("{0}")]
    Socket(String),
    /// No code could be drawn.
    #[error("the system's random source failed")]
    Random,
    /// The runtime cannot be had.
    #[error("cannot run: {0}")]
    Runtime(std::io::Error),
}

/// A responder that has the socket.
#[derive(Debug)]
pub struct Responder {
    glass: BreakGlass,
    taken: SocketTakeover,
    listeners: Vec<std::os::unix::net::UnixListener>,
    marks: PathBuf,
    prompt: String,
    start: Instant,
}

impl Responder {
    /// Records that it begins and takes the socket; the code is shown once.
    ///
    /// # Errors
    /// [`BreakGlassError`]; the socket is as it was then.
    pub fn prepare(
        config: &Config,
        user: UserName,
        lasts: Duration,
    ) -> Result<(Self, Zeroizing<String>), BreakGlassError> {
        let (glass, code) = BreakGlass::new(user, lasts, &mut Kernel).map_err(|_| BreakGlassError::Random)?;
        let marks = config.breakglass_marks.clone();
        let started = event(glass.user().as_str(), "started", EventSource::default());
        record(&marks, &started).map_err(|e| BreakGlassError::Mark(marks.display().to_string(), e))?;
        // Beside the marks, where only root writes.
        let lock = marks.with_extension("lock");
        let sockets = [
            (config.root_socket.as_path(), Access::Root),
            (config.login_socket.as_path(), Access::Everybody),
        ];
        let (listeners, taken) = SocketTakeover::take(&sockets, &lock).map_err(BreakGlassError::Socket)?;
        let prompt = config.prompt.clone();
        Ok((Self { glass, taken, listeners, marks, prompt, start: Instant::now() }, code.reveal()))
    }

    /// Answers until its end. The socket is given back whatever happens.
    ///
    /// # Errors
    /// [`BreakGlassError::Runtime`].
    pub fn run(self) -> Result<End, BreakGlassError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(BreakGlassError::Runtime)?;
        let (user, marks) = (self.glass.user().to_string(), self.marks.clone());
        let end = LocalSet::new().block_on(&runtime, self.answer()).map_err(BreakGlassError::Runtime)?;
        // That it is over is said, and need not be kept: its beginning was.
        let _ = record(&marks, &event(&user, "ended", EventSource::default()));
        syslog::flush();
        Ok(end)
    }

    async fn answer(self) -> std::io::Result<End> {
        let Self { glass, taken, listeners, marks, prompt, start } = self;
        let until = tokio::time::Instant::from_std(start + glass.lifetime());
        let limits = Limits::new(IN_ALL.min(usize::try_from(harden()).unwrap_or(IN_ALL)));
        let most = limits.in_all() + CLOSING_HEADROOM;
        let listeners: Vec<_> = listeners.into_iter().map(tokio_listener).collect::<Result<_, _>>()?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let glass = Rc::new(BreakGlassAuthority::new(glass, marks, prompt, start));
        let mut conversations = tokio::task::JoinSet::new();
        let mut look = tokio::time::interval(CHECK_INTERVAL);
        let end = loop {
            tokio::select! {
                accepted = next(&listeners), if conversations.len() < most => {
                    if let Some(stream) = accepted.ok().and_then(authority::of_root)
                        && let Ok(slot) = limits.enter(None)
                    {
                        conversations.spawn_local(authority::converse(Rc::clone(&glass), stream, slot));
                    }
                }
                _ = conversations.join_next(), if !conversations.is_empty() => {}
                _ = look.tick() => if !taken.is_still_ours() {
                    break End::Displaced;
                },
                () = glass.used() => break End::Used,
                () = tokio::time::sleep_until(until) => break End::TimeUp,
                _ = terminate.recv() => break End::Stopped,
                _ = interrupt.recv() => break End::Stopped,
                _ = hangup.recv() => break End::Stopped,
            }
        };
        drop(taken);
        Ok(end)
    }
}

fn tokio_listener(listener: std::os::unix::net::UnixListener) -> std::io::Result<UnixListener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// The next connection on any of them. Root's own socket comes first: a flood on the one for everybody does not hold
/// it up.
async fn next(listeners: &[UnixListener]) -> std::io::Result<UnixStream> {
    std::future::poll_fn(|cx| {
        for listener in listeners {
            if let std::task::Poll::Ready(accepted) = listener.poll_accept(cx) {
                return std::task::Poll::Ready(accepted.map(|(stream, _)| stream));
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// Whether a responder has the socket at this moment: its lock, which only root can look at, is held.
pub fn is_open(config: &Config) -> bool {
    let lock = std::fs::File::open(config.breakglass_marks.with_extension("lock"));
    lock.is_ok_and(|lock| Flock::lock(lock, FlockArg::LockSharedNonblock).is_err())
}

fn event(user: &str, outcome: &'static str, from: EventSource) -> Event {
    Event { outcome, ..Event::new("breakglass", user, clock::now(), from) }
}

/// Loud: on stable storage, and in the log with the urgency of an alert.
fn record(marks: &std::path::Path, event: &Event) -> std::io::Result<crate::store::Committed> {
    syslog::say(Severity::LOG_ALERT, event);
    mark(marks, event)
}
