//! Where an attempt comes from, as far as the lock cares.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// Who asks. The daemon derives it from the peer's credentials and from what a root peer says of
/// the real uid, the service and the remote host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A host program running as root speaks for somebody at this address, which is not one of this host's.
    Remote(IpAddr),
    /// The same at an address of this host's own: whoever is logged in here can connect from it, the user's tunnel too.
    ThisHost,
    /// A host program running as root speaks for somebody whose source proves nothing: a remote host
    /// that is a name, or a service that names neither caller nor remote host.
    Unproven,
    /// A setuid program that this uid started. Whether that is the user themselves is known once
    /// there is an account: [`Origin::resolved`].
    Caller(u32),
    /// The user's own setuid program, such as their sudo.
    Local,
    /// A setuid program that another local user, of this uid, started.
    LocalStranger(u32),
    /// A service at the machine's own console: login, a display manager.
    Console,
    /// The user's own unprivileged process.
    OwnProcess,
    /// An application with credentials of its own.
    Client(String),
}

impl Origin {
    /// Tells a caller who is the user, by the uid that the account is of, from one who is somebody
    /// else. A user without a uid is nobody's own.
    #[must_use]
    pub fn resolved(&self, own: Option<u32>) -> Self {
        match self {
            Self::Caller(uid) if Some(*uid) == own => Self::Local,
            Self::Caller(uid) => Self::LocalStranger(*uid),
            other => other.clone(),
        }
    }
}

/// A network source: an IPv4 address, or an IPv6 /64 (one subscriber has that many addresses to spend).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Source(IpAddr);

impl Source {
    /// The source that `address` belongs to. IPv4 in IPv6 clothes is IPv4.
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
