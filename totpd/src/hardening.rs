//! Limits that the daemon and break-glass set on their own process before they read a secret.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that are not connections: files, listening sockets, the runtime's own.
const OTHER_DESCRIPTORS: u64 = 128;

/// Forbids core dumps and tracing, and makes new files private to this user.
///
/// Raises the soft limit of descriptors to the hard one, and returns how many descriptors
/// connections may use.
pub(crate) fn harden() -> u64 {
    let _ = nix::sys::prctl::set_dumpable(false);
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    hard.saturating_sub(OTHER_DESCRIPTORS)
}
