//! Where a packet leaves: an on-link prefix, or the gateway. Nothing else is known, on purpose.

use std::net::Ipv4Addr;

use crate::ids::PortId;
use crate::model::Network;
use crate::verdict::Egress;

#[derive(Copy, Clone, Debug)]
struct OnLink {
    network: u32,
    mask: u32,
    port: PortId,
}

/// The routes of the box, most specific first.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    on_link: Vec<OnLink>,
    gateway: Option<Egress>,
}

impl Routes {
    pub fn new(network: &Network) -> Self {
        let mut routes = Self::default();
        for (port, settings) in (0..).map(PortId::new).zip(&network.ports) {
            routes.on_link.extend(settings.addresses.iter().map(|net| OnLink {
                network: net.network().to_bits(),
                mask: net.netmask().to_bits(),
                port,
            }));
            if let Some(next_hop) = settings.gateway {
                routes.gateway = Some(Egress { port, next_hop });
            }
        }
        routes.on_link.sort_by_key(|route| std::cmp::Reverse(route.mask));
        routes
    }

    /// The way to an address; `None` when it is on no link and there is no gateway.
    #[inline]
    pub fn to(&self, address: Ipv4Addr) -> Option<Egress> {
        let bits = address.to_bits();
        let route = self.on_link.iter().find(|route| bits & route.mask == route.network);
        match route {
            Some(route) => Some(Egress { port: route.port, next_hop: address }),
            None => self.gateway,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PortNetwork;

    fn port(name: &str, address: &str, gateway: Option<&str>) -> PortNetwork {
        PortNetwork {
            name: name.into(),
            vlan: None,
            addresses: vec![address.parse().unwrap()],
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
            neighbors: Vec::new(),
        }
    }

    #[test]
    fn on_link_goes_direct_the_longest_prefix_wins_and_the_rest_goes_to_the_gateway() {
        let network = Network {
            ports: vec![
                port("front", "172.26.50.101/16", Some("172.26.50.1")),
                port("back", "172.26.60.1/24", None),
            ],
            snat: Vec::new(),
            probe_ports: 61000..=65535,
        };
        let routes = Routes::new(&network);
        let to = |address: &str| {
            let egress = routes.to(address.parse().unwrap()).unwrap();
            (egress.port.get(), egress.next_hop.to_string())
        };
        assert_eq!(to("172.26.50.180"), (0, "172.26.50.180".into()));
        assert_eq!(to("172.26.60.9"), (1, "172.26.60.9".into()));
        assert_eq!(to("192.0.2.1"), (0, "172.26.50.1".into()));
    }

    #[test]
    fn without_a_gateway_what_is_on_no_link_has_no_route() {
        let ports = vec![port("one", "10.0.0.1/24", None)];
        let network = Network { ports, snat: Vec::new(), probe_ports: 1..=2 };
        assert_eq!(Routes::new(&network).to(Ipv4Addr::new(10, 0, 1, 1)), None);
    }
}
