//! The IP addresses of this host. The module looks them up, because the daemon runs without access
//! to the network.

use std::net::IpAddr;

/// Returns whether `rhost`, the value of `PAM_RHOST`, is a loopback address or an address of one of
/// this host's interfaces (getifaddrs(3)). A host name is neither. If the interfaces cannot be
/// listed, only loopback addresses are recognised.
///
/// ```
/// use totp_wire::addresses::is_host_address;
/// assert!(is_host_address("127.0.0.1") && is_host_address("::1"));
/// assert!(!is_host_address("localhost"), "a name");
/// assert!(!is_host_address("192.0.2.1"), "another host (RFC 5737)");
/// ```
pub fn is_host_address(rhost: &str) -> bool {
    let Ok(address) = rhost.split('%').next().unwrap_or_default().parse::<IpAddr>() else { return false };
    let address = address.to_canonical();
    let Ok(mut interfaces) = nix::ifaddrs::getifaddrs() else { return address.is_loopback() };
    address.is_loopback()
        || interfaces.any(|interface| {
            interface.address.is_some_and(|storage| {
                let v4 = storage.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
                v4.or_else(|| storage.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()))) == Some(address)
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_a_host_address_and_a_remote_one_is_not() {
        for local in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            assert!(is_host_address(local), "{local}");
        }
        for other in ["192.0.2.1", "2001:db8::1", "localhost", "", "127.0.0.1.example.org"] {
            assert!(!is_host_address(other), "{other}");
        }
    }

    #[test]
    fn every_interface_address_is_a_host_address() {
        for interface in nix::ifaddrs::getifaddrs().unwrap() {
            let Some(address) = interface.address else { continue };
            let v4 = address.as_sockaddr_in().map(|v4| v4.ip().to_string());
            let Some(local) = v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().to_string())) else {
                continue;
            };
            assert!(is_host_address(&local), "{local}");
        }
    }
}
