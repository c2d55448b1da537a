//! A network source as a rule names it: an address or a CIDR block. Never a host name, which whoever owns
//! the address's reverse zone chooses (CVE-2024-10963).

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// `10.0.0.0/8`, `2001:db8::/32`, or one address. IPv4 in IPv6 clothes is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// The text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidNetwork {
    /// Neither an address nor a block; a host name, perhaps.
    Shape,
    /// Bits are set behind the prefix: which network is meant cannot be told.
    HostBits,
}

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shape => "a network is an address or a block such as 10.0.0.0/8; host names never match",
            Self::HostBits => "a block's address has no bits behind its prefix: 10.0.0.0/8, not 10.1.2.3/8",
        })
    }
}

impl core::error::Error for InvalidNetwork {}

impl Network {
    /// Whether `address` is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        width(address) == width(self.address) && masked(address, self.bits) == to_bits(self.address)
    }

    /// Whether every address of `other` is in it.
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
    let behind = u32::from(width(address).saturating_sub(bits));
    let kept = u128::MAX.checked_shl(behind).unwrap_or(0);
    to_bits(address) & kept
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let written: IpAddr = address.parse().map_err(|_| InvalidNetwork::Shape)?;
        let address = written.to_canonical();
        // How many bits of an IPv4 address in IPv6 clothes are meant cannot be told.
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
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"), "IPv4 in IPv6 clothes");
        assert!(contains("192.0.2.7", "192.0.2.7") && !contains("192.0.2.7", "192.0.2.6"));
        assert!(contains("2001:db8::/32", "2001:db8:1::5") && !contains("2001:db8::/32", "2001:db9::1"));
        assert!(contains("0.0.0.0/0", "8.8.8.8") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1") && !contains("::/0", "8.8.8.8"));
    }

    #[test]
    fn names_and_unclear_blocks_are_no_networks() {
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
