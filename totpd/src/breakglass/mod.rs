//! Break-glass: a responder on the login sockets that needs neither store nor daemon. It lets one
//! user in with one random code until a time, refuses everybody else, and gives the sockets back.
//!
//! ```text
//! prepare ─▶ mark "started" ─▶ take the sockets
//! run ─┬─ the code ─▶ mark "granted" ─▶ reply ─▶ give the sockets back
//!      └─ time, Ctrl-C ────────────────────────▶ give the sockets back
//! ```
//!
//! It answers `org.totpd.Login` as the daemon does (`varlink::dispatch`), with an authority of its
//! own.

mod authority;
mod mark;
mod socket;
mod syslog;

pub use socket::give_back_left_over;

use crate::audit::{EventOutcome, EventSource};
use crate::config::Config;
use crate::hardening::harden;
use crate::os_random::Kernel;
use crate::sockets::listener::Access;
use crate::user_directory::UserDirectory;
use crate::varlink::acceptor::CLOSING_HEADROOM;
use crate::varlink::connection::Connection;
use crate::varlink::connection_limits::{Limits, MAX_CONNECTIONS};
use crate::varlink::dispatch;
use crate::varlink::introspection::SocketKind;
use crate::varlink::peer::Peer;
use crate::varlink::prompt_history::PromptHistory;
use crate::varlink::rate_limit::RateLimit;
use crate::varlink::reply::failed_plainly;
use crate::varlink::server::Server;
use authority::{BreakGlassAuthority, BreakGlassState};
use mark::{event, record};
use nix::fcntl::{Flock, FlockArg};
use socket::SocketTakeover;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use totp_core::UserName;
use totp_core::breakglass::BreakGlass;
use totp_wire::service;
use zeroize::Zeroizing;

/// How often the responder checks whether the sockets are still its own.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How a responder ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The user is in.
    Used,
    /// The user did not log in in time.
    TimeUp,
    /// A signal stopped it.
    Stopped,
    /// Another program has replaced a socket.
    Displaced,
}

/// Why there is no responder.
#[derive(Debug, thiserror::Error)]
pub enum BreakGlassError {
    /// Its beginning cannot be recorded.
    #[error("break-glass has to be recorded in {0}, which cannot be written: {1}. Make room, or remount it")]
    Mark(String, std::io::Error),
    /// A socket cannot be taken.
    #[error("{0}")]
    Socket(String),
    /// No code can be drawn.
    #[error("the system's random source failed")]
    Random,
    /// The runtime cannot be started.
    #[error("cannot run: {0}")]
    Runtime(std::io::Error),
}

/// A responder that has taken the sockets.
#[derive(Debug)]
pub struct Responder {
    glass: BreakGlass,
    taken: SocketTakeover,
    listeners: Vec<std::os::unix::net::UnixListener>,
    config: Config,
    start: Instant,
}

impl Responder {
    /// Records that break-glass begins, and takes the sockets. Returns the responder and the code,
    /// which exists nowhere else.
    ///
    /// # Errors
    /// [`BreakGlassError`]: the sockets are as they were.
    pub fn prepare(
        config: &Config,
        user: UserName,
        lasts: Duration,
    ) -> Result<(Self, Zeroizing<String>), BreakGlassError> {
        let (glass, code) = BreakGlass::new(user, lasts, &mut Kernel).map_err(|_| BreakGlassError::Random)?;
        let marks = config.breakglass_marks.clone();
        let started = event(glass.user().as_str(), EventOutcome::Started, EventSource::default());
        record(&marks, &started).map_err(|e| BreakGlassError::Mark(marks.display().to_string(), e))?;
        // Beside the marks, where only root writes.
        let lock = marks.with_extension("lock");
        let sockets = [
            (config.root_socket.as_path(), Access::Root),
            (config.login_socket.as_path(), Access::Everybody),
        ];
        let (listeners, taken) = SocketTakeover::take(&sockets, &lock).map_err(BreakGlassError::Socket)?;
        let config = config.clone();
        Ok((Self { glass, taken, listeners, config, start: Instant::now() }, code.reveal()))
    }

    /// Answers until the end, and gives the sockets back whatever happens.
    ///
    /// # Errors
    /// [`BreakGlassError::Runtime`].
    pub fn run(self) -> Result<End, BreakGlassError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(BreakGlassError::Runtime)?;
        let (user, marks) = (self.glass.user().to_string(), self.config.breakglass_marks.clone());
        let end = runtime.block_on(self.answer()).map_err(BreakGlassError::Runtime)?;
        // The end is said in the log. It need not be recorded, since the beginning was.
        let _ = record(&marks, &event(&user, EventOutcome::Ended, EventSource::default()));
        syslog::flush();
        Ok(end)
    }

    async fn answer(self) -> std::io::Result<End> {
        let Self { glass, taken, listeners, config, start } = self;
        let until = tokio::time::Instant::from_std(start + glass.lifetime());
        let authority = BreakGlassAuthority::new(glass, config, start);
        let server = Arc::new(Server {
            limits: Limits::new(MAX_CONNECTIONS.min(usize::try_from(harden()).unwrap_or(MAX_CONNECTIONS))),
            state: Arc::new(BreakGlassState {
                authority: authority.clone(),
                directory: UserDirectory::default(),
            }),
            rate_limit: Arc::new(RateLimit::unlimited()),
            prompt_history: Arc::new(PromptHistory::default()),
        });
        let most = server.limits.max() + CLOSING_HEADROOM;
        let listeners: Vec<_> = listeners.into_iter().map(tokio_listener).collect::<Result<_, _>>()?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        // Its connections end with the runtime.
        let (_stop, stopped) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut check = tokio::time::interval(CHECK_INTERVAL);
        let end = loop {
            tokio::select! {
                accepted = next(&listeners), if connections.len() < most => {
                    if let Some((stream, peer)) = accepted.ok().and_then(of_root)
                        && let Ok(slot) = server.limits.enter(None)
                    {
                        let connection = Connection::new(stream, peer, slot, stopped.clone());
                        // Also on the socket for everybody: logins are all that it answers.
                        connections.spawn(dispatch::serve(Arc::clone(&server), SocketKind::Root, connection));
                    }
                }
                _ = connections.join_next(), if !connections.is_empty() => {}
                _ = check.tick() => if !taken.is_still_ours() {
                    break End::Displaced;
                },
                () = authority.used() => break End::Used,
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

/// The connection, if it is one of root's programs. Any other peer is refused, and takes no slot.
fn of_root(stream: UnixStream) -> Option<(UnixStream, Peer)> {
    match Peer::of(&stream) {
        Some(peer) if peer.uid == 0 => Some((stream, peer)),
        _ => {
            let _ = stream.try_write(&failed_plainly(service::PERMISSION_DENIED));
            None
        }
    }
}

fn tokio_listener(listener: std::os::unix::net::UnixListener) -> std::io::Result<UnixListener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// The next connection on any of `listeners`. Root's own socket comes first, so that a flood on the
/// one for everybody does not hold it up.
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

/// Whether a responder has the sockets at the moment. Reads its lock, which only root can.
pub fn is_open(config: &Config) -> bool {
    let lock = std::fs::File::open(config.breakglass_marks.with_extension("lock"));
    lock.is_ok_and(|lock| Flock::lock(lock, FlockArg::LockSharedNonblock).is_err())
}
