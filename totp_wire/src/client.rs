//! The blocking client that the PAM module and the command line use.
//!
//! Every operation ends at the caller's deadline. `connect` would block for ever on a full backlog,
//! so the socket gets a send timeout first. Reads and writes poll for the time that is left, so a
//! server that sends one byte at a time cannot extend it. No operation raises `SIGPIPE`, and no
//! child process inherits the socket.

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

/// How long to wait for a connection while the backlog of the socket is full.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a call has no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The socket does not exist.
    NoSocket,
    /// The socket exists but no process listens on it, as after a daemon was killed.
    ConnectionRefused,
    /// This process has no permission to connect to the socket.
    PermissionDenied,
    /// The operating system returned another error for the socket.
    Socket(Errno),
    /// The listener has this uid, which the caller does not trust.
    WrongServer(u32),
    /// The deadline passed.
    TimedOut,
    /// The server closed the connection before it had read the whole call, as a daemon does that
    /// is restarted. It has processed nothing of it, so the call can safely be made again.
    NotReceived,
    /// The server closed the connection before it replied. It is unknown whether it processed the
    /// call.
    Closed,
    /// The reply is too long, is not JSON, or does not have the type of the method's reply.
    Broken,
    /// The server replied with an error.
    Error {
        /// The full name of the error, with its interface.
        name: String,
        /// The parameters of the error as JSON.
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
            Self::NotReceived | Self::Closed => f.write_str("the connection was closed"),
            Self::Broken => f.write_str("the answer cannot be read"),
            Self::Error { name, .. } => f.write_str(name),
        }
    }
}

impl core::error::Error for CallError {}

/// A connection to the daemon.
///
/// ```no_run
/// use std::path::Path;
/// use std::time::{Duration, Instant};
/// use totp_wire::service::GetInfo;
/// use totp_wire::{Client, Trust};
///
/// let deadline = Instant::now() + Duration::from_secs(5);
/// let socket = Path::new("/run/totpd/login.sock");
/// let mut client = Client::connect(socket, Trust::RootOrFolderOwner, deadline)?;
/// println!("{}", client.call(&GetInfo {}, deadline)?.version);
/// # Ok::<(), totp_wire::CallError>(())
/// ```
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    framer: Framer,
}

impl Client {
    /// Connects to the socket at `path`, and checks that `trust` accepts the listener. Waits until
    /// `deadline`, but for two seconds at most.
    ///
    /// # Errors
    /// [`CallError::NoSocket`], [`CallError::ConnectionRefused`], [`CallError::PermissionDenied`],
    /// [`CallError::Socket`], [`CallError::TimedOut`] for a full backlog, or
    /// [`CallError::WrongServer`].
    pub fn connect(path: &Path, trust: Trust, deadline: Instant) -> Result<Self, CallError> {
        let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
            .map_err(CallError::Socket)?;
        let address = UnixAddr::new(path).map_err(CallError::Socket)?;
        let limit = deadline.min(Instant::now() + CONNECT_TIMEOUT);
        loop {
            // A timeout of zero would mean no timeout (socket(7)).
            let left = time_left(limit)?.max(Duration::from_millis(1));
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

    /// Connects to the first socket in `paths` that exists and that this process may connect to.
    ///
    /// The socket for root does not exist with an older daemon, and denies the root user of a user
    /// namespace. In both cases the next path is tried.
    ///
    /// # Errors
    /// The error of [`Client::connect`] for the last path that was tried.
    pub fn connect_first<'a>(
        paths: impl IntoIterator<Item = &'a Path>,
        trust: Trust,
        deadline: Instant,
    ) -> Result<Self, CallError> {
        let mut last_error = CallError::NoSocket;
        for path in paths {
            match Self::connect(path, trust, deadline) {
                Err(error @ (CallError::NoSocket | CallError::PermissionDenied)) => last_error = error,
                connected => return connected,
            }
        }
        Err(last_error)
    }

    /// Calls a method, and waits for its reply until `deadline`.
    ///
    /// # Errors
    /// Any [`CallError`] but those of [`Client::connect`]. Unless it is [`CallError::Error`], the
    /// connection cannot be used any more.
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

    /// Returns the process that called listen(2) on the socket last: the daemon, or the service
    /// manager that passed the socket to it.
    pub fn server_pid(&self) -> Option<i32> {
        let peer = getsockopt(&self.socket, sockopt::PeerCredentials).ok()?;
        Some(peer.pid()).filter(|pid| *pid > 0)
    }

    fn send(&self, mut bytes: &[u8], deadline: Instant) -> Result<(), CallError> {
        // The server may have closed the connection while the user was typing, such as by a
        // restart.
        let mut closed = CallError::NotReceived;
        time_left(deadline)?;
        while !bytes.is_empty() {
            match send(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT) {
                Ok(sent) => {
                    bytes = bytes.get(sent..).unwrap_or_default();
                    closed = CallError::Closed;
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => self.wait(PollFlags::POLLOUT, deadline)?,
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(closed),
                Err(errno) => return Err(CallError::Socket(errno)),
            }
        }
        Ok(())
    }

    /// Returns whether the server has closed the connection.
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
                Ok(0) => return Err(CallError::Closed),
                // Linux returns this error, once, for a Unix socket whose other end was closed with
                // bytes in it that were not read (unix_release_sock). The end of a call was among
                // them: a server reads it before it processes the call.
                Err(Errno::ECONNRESET) => return Err(CallError::NotReceived),
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

    /// Waits until the socket is ready for `events`.
    fn wait(&self, events: PollFlags, deadline: Instant) -> Result<(), CallError> {
        loop {
            // Rounded up, because a timeout of 0 ms would poll in a busy loop until the deadline.
            let millis = time_left(deadline)?.as_millis().saturating_add(1);
            let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.socket.as_fd(), events)], timeout) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(CallError::Socket(errno)),
            }
        }
    }
}

/// Returns the time until `deadline`, or [`CallError::TimedOut`] when it has passed.
fn time_left(deadline: Instant) -> Result<Duration, CallError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(CallError::TimedOut) } else { Ok(left) }
}
