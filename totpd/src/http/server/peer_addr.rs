//! The source of a connection, and the group of sources that it counts for.

use std::net::IpAddr;
use totp_core::Source;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PeerAddr {
    /// A TCP connection from this address.
    Address(IpAddr),
    /// A connection over a Unix socket from a process with this uid.
    Uid(u32),
}

/// Sources that share a connection limit: one client has many addresses of its network, and this
/// host may run a proxy for many clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SourceGroup {
    /// A network, as wide as one subscriber is given.
    Network(Source),
    /// Any loopback address.
    Loopback,
    /// The processes of one uid.
    Uid(u32),
}

impl PeerAddr {
    /// The IP address, for a TCP connection.
    pub(crate) const fn address(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address),
            Self::Uid(_) => None,
        }
    }

    /// The group that the connection counts for.
    pub(crate) fn group(self) -> SourceGroup {
        match self {
            Self::Address(address) if address.is_loopback() => SourceGroup::Loopback,
            Self::Address(address) => SourceGroup::Network(Source::of(address)),
            Self::Uid(uid) => SourceGroup::Uid(uid),
        }
    }
}
