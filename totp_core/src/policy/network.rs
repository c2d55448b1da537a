//! A network in a rule: an address or a CIDR block. Never a host name, which the owner of the
//! address's reverse DNS zone chooses (CVE-2024-10963).

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// An address, or a CIDR block such as `10.0.0.0/8` or `2001:db8::/32` (RFC 4632, RFC 4291 section
/// 2.3). An IPv4-mapped IPv6 address counts as the IPv4 address.
///
/// ```
/// use totp_core::policy::{InvalidNetwork, Network};
/// let network: Network = "10.0.0.0/8".parse().unwrap();
/// assert!(network.contains("10.1.2.3".parse().unwrap()));
/// assert!(network.contains("::ffff:10.1.2.3".parse().unwrap()));
/// assert_eq!("10.1.2.3/8".parse::<Network>(), Err(InvalidNetwork::HostBits));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Why a text is not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidNetwork {
    /// It is neither an address nor a block: a host name, for example.
    Shape,
    /// Bits after the prefix are set, so it is unclear which network is meant.
    HostBits,
}

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shape => "a network is an address or a block such as 10.0.0.0/8; host names never match",
            Self::HostBits => {
                "a block has no address bits after its prefix: write 10.0.0.0/8, not 10.1.2.3/8"
            }
        })
    }
}

impl core::error::Error for InvalidNetwork {}

impl Network {
    /// Returns whether `address` is in this network.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        width(address) == width(self.address) && masked(address, self.bits) == to_bits(self.address)
    }

    /// Returns whether every address of `other` is in this network.
    pub fn covers(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.contains(other.address)
    }
}

const fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn masked(address: IpAddr, bits: u8) -> u128 {
    let host_bits = u32::from(width(address).saturating_sub(bits));
    // A shift by all 128 bits, as for `::/0`, leaves an empty mask.
    let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
    to_bits(address) & mask
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let written: IpAddr = address.parse().map_err(|_| InvalidNetwork::Shape)?;
        let address = written.to_canonical();
        // It is unclear how many bits of an IPv4-mapped address are meant.
        if address != written && bits.is_some() {
            return Err(InvalidNetwork::Shape);
        }
        let bits = match bits {
            None => width(address),
            Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => {
                bits.parse().ok().filter(|b| *b <= width(address)).ok_or(InvalidNetwork::Shape)?
            }
            Some(_) => return Err(InvalidNetwork::Shape),
        };
        if masked(address, bits) != to_bits(address) {
            return Err(InvalidNetwork::HostBits);
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn contains(block: &str, address: &str) -> bool {
        network(block).contains(address.parse().unwrap())
    }

    #[test]
    fn an_address_is_in_its_blocks() {
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"), "an IPv4-mapped address");
        assert!(contains("192.0.2.7", "192.0.2.7") && !contains("192.0.2.7", "192.0.2.6"));
        assert!(contains("2001:db8::/32", "2001:db8:1::5") && !contains("2001:db8::/32", "2001:db9::1"));
        assert!(contains("0.0.0.0/0", "8.8.8.8") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1") && !contains("::/0", "8.8.8.8"));
    }

    #[test]
    fn names_and_unclear_blocks_are_refused() {
        for bad in ["", "example.org", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "10.0.0.0/+8", "::/129", "/8"]
        {
            assert_eq!(bad.parse::<Network>(), Err(InvalidNetwork::Shape), "{bad}");
        }
        for bad in ["10.1.2.3/8", "2001:db8::1/32"] {
            assert_eq!(bad.parse::<Network>(), Err(InvalidNetwork::HostBits), "{bad}");
        }
    }

    #[test]
    fn a_block_covers_what_lies_within() {
        assert!(network("10.0.0.0/8").covers(&network("10.2.0.0/16")));
        assert!(!network("10.2.0.0/16").covers(&network("10.0.0.0/8")));
        assert!(!network("::/0").covers(&network("10.0.0.0/8")));
    }
}
