//! What stands between the network and the routes: listening, TLS, limits on connections, timeouts.

pub(crate) mod connection;
pub(crate) mod connection_limits;
pub(crate) mod idle_timeout;
pub(crate) mod listener;
pub(crate) mod malformed;
pub(crate) mod tls;
pub(crate) mod validity;
pub(crate) mod write_timeout;
