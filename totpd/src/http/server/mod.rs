//! The server below the routes: listening, TLS, connection limits and timeouts. It knows nothing of
//! the API.

pub(crate) mod connection;
pub(crate) mod connection_limits;
pub(crate) mod endpoint;
pub(crate) mod idle_timeout;
pub(crate) mod listener;
pub(crate) mod malformed;
pub(crate) mod peer_addr;
pub(crate) mod scheme;
pub(crate) mod tls;
pub(crate) mod validity;
pub(crate) mod write_timeout;
