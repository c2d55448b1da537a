//! The blocking client of the module and the command line.
//!
//! Every wait is bounded by the caller's deadline: a plain `connect` blocks for ever on a full
//! backlog, so the socket has a send timeout before it; reads and writes poll with the time that is
//! left, so a server that drips bytes gains nothing; no signal is raised and no descriptor leaks
//! into a child.

use crate::frame::Framer;
use crate::message::{self, Method, Reply};
use crate::trust::Trust;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, getsockopt, recv, send, setsockopt,
    socket, sockopt,
};
use nix::sys::time::TimeVal;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};
use zeroize::{Zeroize, Zeroizing};

/// The longest a connect may wait for a place in the backlog.
const CONNECT_TIME: Duration = Duration::from_secs(2);

/// Why a call brought no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// There is no socket.
    NoSocket,
    /// The socket is there and nobody listens on it: a daemon that was killed leaves it so.
    ConnectionRefused,
    /// This process may not connect: the socket is for others.
    PermissionDenied,
    /// The socket is there and cannot be used.
    Socket(Errno),
    /// The listener's uid is not one that the caller accepts.
    WrongServer(u32),
    /// The time was up.
    TimedOut,
    /// The server had closed the connection before anything of the call was sent.
    NotSent,
    /// The server closed the connection before its reply; what it did with the call is unknown.
    Closed,
    /// The reply is too long, no JSON, or not of the method's kind.
    Broken,
    /// The server answered with this error; parameters as JSON text.
    Error {
        /// The full name.
        name: String,
        /// Its parameters.
        parameters: String,
    },
}

impl core::fmt::Display for CallError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoSocket => f.write_str("there is no socket"),
            Self::ConnectionRefused => f.write_str("nobody listens (connection refused)"),
            Self::PermissionDenied => f.write_str("this process may not connect"),
            Self::Socket(errno) => write!(f, "the socket cannot be used ({errno})"),
            Self::WrongServer(uid) => write!(f, "the listener runs as uid {uid}, which is not accepted"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::NotSent | Self::Closed => f.write_str("the connection was closed"),
            Self::Broken => f.write_str("the answer cannot be read"),
            Self::Error { name, .. } => f.write_str(name),
        }
    }
}

impl core::error::Error for CallError {}

/// One connection.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    framer: Framer,
}

impl Client {
    /// Connects to the socket at `path` and checks who listens there.
    ///
    /// # Errors
    /// [`CallError::NoSocket`], [`CallError::ConnectionRefused`], [`CallError::PermissionDenied`],
    /// [`CallError::Socket`], [`CallError::TimedOut`] (a full backlog), or
    /// [`CallError::WrongServer`].
    pub fn connect(path: &Path, trust: Trust, deadline: Instant) -> Result<Self, CallError> {
        let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
            .map_err(CallError::Socket)?;
        let address = UnixAddr::new(path).map_err(CallError::Socket)?;
        let limit = deadline.min(Instant::now() + CONNECT_TIME);
        loop {
            // A timeout of zero would mean none.
            let left = left(limit)?.max(Duration::from_millis(1));
            let seconds = left.as_secs().try_into().unwrap_or(i64::MAX);
            let timeout = TimeVal::new(seconds, left.subsec_micros().into());
            setsockopt(&socket, sockopt::SendTimeout, &timeout).map_err(CallError::Socket)?;
            match connect(socket.as_raw_fd(), &address) {
                Ok(()) => break,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Err(CallError::TimedOut),
                Err(Errno::ENOENT) => return Err(CallError::NoSocket),
                Err(Errno::ECONNREFUSED) => return Err(CallError::ConnectionRefused),
                Err(Errno::EACCES) => return Err(CallError::PermissionDenied),
                Err(errno) => return Err(CallError::Socket(errno)),
            }
        }
        let peer = getsockopt(&socket, sockopt::PeerCredentials).map_err(CallError::Socket)?;
        if !trust.accepts(peer.uid(), path) {
            return Err(CallError::WrongServer(peer.uid()));
        }
        Ok(Self { socket, framer: Framer::default() })
    }

    /// Connects to the first of `paths` that is there for this process. Root's own socket is
    /// missing under an older daemon, and closed to the root of a user namespace; both go on to the
    /// next one.
    ///
    /// # Errors
    /// As [`Client::connect`], of the last path that was tried.
    pub fn connect_first<'a>(
        paths: impl IntoIterator<Item = &'a Path>,
        trust: Trust,
        deadline: Instant,
    ) -> Result<Self, CallError> {
        let mut missing = CallError::NoSocket;
        for path in paths {
            match Self::connect(path, trust, deadline) {
                Err(error @ (CallError::NoSocket | CallError::PermissionDenied)) => missing = error,
                connected => return connected,
            }
        }
        Err(missing)
    }

    /// Calls a method and waits for its reply until `deadline`.
    ///
    /// # Errors
    /// Any [`CallError`] but those of connecting. After one the connection is of no use.
    pub fn call<M: Method>(&mut self, parameters: &M, deadline: Instant) -> Result<M::Reply, CallError> {
        let bytes = message::call_bytes(parameters).map_err(|_| CallError::Broken)?;
        self.send(&bytes, deadline)?;
        let message = self.receive(deadline)?;
        let reply: Reply<'_> = message::read(&message).map_err(|_| CallError::Broken)?;
        let parameters = reply.parameters.map_or("{}", serde_json::value::RawValue::get);
        match reply.error {
            Some(name) => Err(CallError::Error { name, parameters: parameters.to_owned() }),
            None => message::read(parameters.as_bytes()).map_err(|_| CallError::Broken),
        }
    }

    /// The process that listens, or that handed the socket to it: whichever called `listen()` last.
    pub fn server_pid(&self) -> Option<i32> {
        let peer = getsockopt(&self.socket, sockopt::PeerCredentials).ok()?;
        Some(peer.pid()).filter(|pid| *pid > 0)
    }

    fn send(&self, mut bytes: &[u8], deadline: Instant) -> Result<(), CallError> {
        let mut closed = if self.is_closed() { return Err(CallError::NotSent) } else { CallError::NotSent };
        while !bytes.is_empty() {
            self.wait(PollFlags::POLLOUT, deadline)?;
            match send(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT) {
                Ok(sent) => {
                    bytes = bytes.get(sent..).unwrap_or_default();
                    closed = CallError::Closed;
                }
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(closed),
                Err(errno) => return Err(CallError::Socket(errno)),
            }
        }
        Ok(())
    }

    /// Whether the server has hung up: it restarted while the person was typing, say.
    pub fn is_closed(&self) -> bool {
        let peek = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        matches!(recv(self.socket.as_raw_fd(), &mut [0], peek), Ok(0) | Err(Errno::ECONNRESET))
    }

    fn receive(&mut self, deadline: Instant) -> Result<Zeroizing<Vec<u8>>, CallError> {
        let mut chunk = [0; 1024];
        loop {
            if let Some(message) = self.framer.next_message().map_err(|_| CallError::Broken)? {
                return Ok(message);
            }
            self.wait(PollFlags::POLLIN, deadline)?;
            match recv(self.socket.as_raw_fd(), &mut chunk, MsgFlags::MSG_DONTWAIT) {
                Ok(0) | Err(Errno::ECONNRESET) => return Err(CallError::Closed),
                Ok(count) => {
                    let read = chunk.get_mut(..count).unwrap_or_default();
                    self.framer.push(read);
                    read.zeroize();
                }
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(errno) => return Err(CallError::Socket(errno)),
            }
        }
    }

    fn wait(&self, for_what: PollFlags, deadline: Instant) -> Result<(), CallError> {
        loop {
            // Rounded up: a wait of 0 ms would spin through the last millisecond.
            let millis = left(deadline)?.as_millis().saturating_add(1);
            let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.socket.as_fd(), for_what)], timeout) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(CallError::Socket(errno)),
            }
        }
    }
}

fn left(deadline: Instant) -> Result<Duration, CallError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(CallError::TimedOut) } else { Ok(left) }
}
