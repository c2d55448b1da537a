//! Why the daemon ends.

use crate::config::ConfigError;
use crate::sockets::listener::SocketError;

/// Why the daemon cannot even refuse, or why a fresh process has to take over.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration names no sockets.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A socket cannot be used.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The configuration is broken, and no supervisor handed over a socket to refuse on.
    #[error("there are no sockets to serve on")]
    NoSockets,
    /// The runtime cannot be started.
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
    /// The store failed or was moved. A fresh process has to reopen it.
    #[error("the store failed or was moved away; ending so that a fresh process opens what is there")]
    Poisoned,
    /// The repaired file names other sockets or another store than the last good configuration.
    #[error(
        "the configuration is right again and names other places; ending so that a fresh process takes them"
    )]
    OtherPlaces,
}
