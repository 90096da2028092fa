//! What an IPv4 address may be used for.

use core::net::Ipv4Addr;

/// True when no single host on a routed network can have sent from `source`: `0.0.0.0/8`,
/// `127.0.0.0/8`, multicast `224.0.0.0/4`, reserved `240.0.0.0/4` and the limited broadcast
/// (RFC 1122, 3.2.1.3; RFC 6890).
///
/// A LAND packet (source equal to destination) and directed broadcasts are the caller's to find:
/// they depend on the packet and on the box's prefixes.
#[inline]
pub const fn is_bogon_source(source: Ipv4Addr) -> bool {
    matches!(source.octets()[0], 0 | 127 | 224..=255)
}

/// True for an address that names one host, as far as the address alone can tell.
#[inline]
pub const fn is_unicast_destination(destination: Ipv4Addr) -> bool {
    !is_bogon_source(destination)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_that_nobody_may_have_are_bogons() {
        for text in [
            "0.0.0.0",
            "0.255.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            let address = text.parse().unwrap();
            assert!(is_bogon_source(address), "{text}");
            assert!(!is_unicast_destination(address), "{text}");
        }
    }

    #[test]
    fn sources_of_hosts_are_not_bogons() {
        for text in [
            "1.0.0.0",
            "10.0.0.1",
            "126.255.255.255",
            "128.0.0.1",
            "172.26.50.101",
            "223.255.255.255",
        ] {
            let address = text.parse().unwrap();
            assert!(!is_bogon_source(address), "{text}");
            assert!(is_unicast_destination(address), "{text}");
        }
    }
}
