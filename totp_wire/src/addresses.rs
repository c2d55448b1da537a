//! The addresses of the host itself, for the module: the daemon has no network and cannot know
//! them.

use std::net::IpAddr;

/// Whether `rhost` is an address of an interface of this host. A name is not one, and a host that
/// cannot list its interfaces knows none.
pub fn is_host_address(rhost: &str) -> bool {
    let Ok(address) = rhost.split('%').next().unwrap_or_default().parse::<IpAddr>() else { return false };
    let address = address.to_canonical();
    let Ok(mut interfaces) = nix::ifaddrs::getifaddrs() else { return address.is_loopback() };
    address.is_loopback()
        || interfaces.any(|interface| {
            interface.address.is_some_and(|own| {
                let v4 = own.as_sockaddr_in().map(|own| IpAddr::V4(own.ip()));
                v4.or_else(|| own.as_sockaddr_in6().map(|own| IpAddr::V6(own.ip()))) == Some(address)
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_a_host_address_and_a_remote_one_is_not() {
        for own in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            assert!(is_host_address(own), "{own}");
        }
        for other in ["192.0.2.1", "2001:db8::1", "localhost", "", "127.0.0.1.example.org"] {
            assert!(!is_host_address(other), "{other}");
        }
    }

    #[test]
    fn every_interface_address_is_a_host_address() {
        for interface in nix::ifaddrs::getifaddrs().unwrap() {
            let Some(address) = interface.address else { continue };
            let v4 = address.as_sockaddr_in().map(|own| own.ip().to_string());
            let Some(own) = v4.or_else(|| address.as_sockaddr_in6().map(|own| own.ip().to_string())) else {
                continue;
            };
            assert!(is_host_address(&own), "{own}");
        }
    }
}
