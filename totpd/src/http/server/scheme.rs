//! The scheme of a connection, for links to this server.

/// Whether a connection has TLS. An extension of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}
