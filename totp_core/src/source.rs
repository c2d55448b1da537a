//! Where an attempt comes from, as far as failure counters and locks distinguish it.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// The origin of an attempt. The daemon derives it from the peer's credentials, and from the real
/// uid, the service and the remote host that a root peer reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A program that runs as root asks for a user at this address, which is not an address of this
    /// host.
    Remote(IpAddr),
    /// A program that runs as root asks for a user at an address of this host. Every local user can
    /// connect from there, and so can a user's SSH tunnel.
    ThisHost,
    /// A program that runs as root asks for a user whose source is not proved: the remote host is a
    /// name, or the service names neither caller nor remote host.
    Unproven,
    /// A setuid program that this uid started. [`Origin::resolved`] tells whether that is the user
    /// of the account.
    Caller(u32),
    /// A setuid program that the user started, such as their sudo.
    Local,
    /// A setuid program that another local user, of this uid, started.
    LocalStranger(u32),
    /// A service at the machine's console: login(1), a display manager.
    Console,
    /// An unprivileged process of the user.
    OwnProcess,
    /// An application with API credentials, by name.
    Client(String),
}

impl Origin {
    /// Resolves a caller against the account: the user of the account, if the uids are equal, or
    /// another local user. `account_uid` is the uid that the account belongs to; an account without
    /// one belongs to no local user.
    #[must_use]
    pub fn resolved(&self, account_uid: Option<u32>) -> Self {
        match self {
            Self::Caller(uid) if Some(*uid) == account_uid => Self::Local,
            Self::Caller(uid) => Self::LocalStranger(*uid),
            other => other.clone(),
        }
    }
}

/// A network source: an IPv4 address, or an IPv6 /64, since one subscriber has a whole /64 of
/// addresses (RFC 6177).
///
/// ```
/// use totp_core::Source;
/// let source = Source::of("2001:db8:1:2:3:4:5:6".parse().unwrap());
/// assert_eq!(source.to_string(), "2001:db8:1:2::/64");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Source(IpAddr);

impl Source {
    /// Returns the source that `address` belongs to. An IPv4-mapped IPv6 address counts as the IPv4
    /// address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => {
                let network = v6.to_bits() & !u128::from(u64::MAX);
                Self(IpAddr::V6(Ipv6Addr::from_bits(network)))
            }
            v4 @ IpAddr::V4(_) => Self(v4),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

impl FromStr for Source {
    type Err = core::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_suffix("/64").unwrap_or(text).parse().map(Self::of)
    }
}

impl TryFrom<String> for Source {
    type Error = core::net::AddrParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_subscriber_are_one_source() {
        let of = |text: &str| Source::of(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!("2001:db8:1:2::/64".parse::<Source>().unwrap().to_string(), "2001:db8:1:2::/64");
    }
}
