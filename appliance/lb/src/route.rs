//! Where a packet leaves: an on-link prefix, a route to a prefix behind a neighbour, or the gateway.
//!
//! The first is the box's own configuration and wins for its addresses, so that no learned route can
//! take a neighbour away. Among routes the longest prefix wins; they come and go with Generations, such as
//! each node's pods. Asked for every packet: one hash look-up per prefix length in use.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::net::Ipv4Addr;

use crate::hash;
use crate::ids::PortId;
use crate::model::{Network, Route};
use crate::verdict::Egress;

#[derive(Copy, Clone, Debug)]
struct OnLink {
    network: u32,
    mask: u32,
    port: PortId,
}

/// The routes of one prefix length.
#[derive(Clone, Debug)]
struct Prefixes {
    mask: u32,
    ways: HashMap<u32, Egress, Mix>,
}

/// The routes of the box, most specific first.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    on_link: Vec<OnLink>,
    prefixes: Vec<Prefixes>,
    gateway: Option<Egress>,
    learned: Vec<Route>,
}

impl Routes {
    /// What the configuration says, and nothing learned.
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

    /// With learned routes. One whose `via` is on no link and behind no gateway, or is the box itself, is
    /// as good as none; of two usable ones to a prefix the first counts.
    pub fn with(network: &Network, learned: Vec<Route>) -> Self {
        let mut routes = Self::new(network);
        for route in &learned {
            if network.is_own(route.via) {
                continue;
            }
            // There are no other prefixes yet: this is by link or gateway.
            let Some(way) = routes.to_neighbor(route.via) else { continue };
            routes.add(*route, way);
        }
        routes.prefixes.sort_by_key(|prefixes| std::cmp::Reverse(prefixes.mask));
        routes.learned = learned;
        routes
    }

    fn add(&mut self, route: Route, way: Egress) {
        let mask = route.prefix.netmask().to_bits();
        let network = route.prefix.network().to_bits();
        if let Some(same) = self.prefixes.iter_mut().find(|prefixes| prefixes.mask == mask) {
            same.ways.entry(network).or_insert(way);
        } else {
            let ways = std::iter::once((network, way)).collect();
            self.prefixes.push(Prefixes { mask, ways });
        }
    }

    /// The learned routes as they were given, also those that are of no use.
    pub fn learned(&self) -> &[Route] {
        &self.learned
    }

    /// The way to an address; `None` when it is on no link, no route leads there and there is no gateway.
    #[inline]
    pub fn to(&self, address: Ipv4Addr) -> Option<Egress> {
        if self.prefixes.is_empty() { self.to_neighbor(address) } else { self.search(address) }
    }

    #[inline]
    fn to_neighbor(&self, address: Ipv4Addr) -> Option<Egress> {
        self.on_link(address).or(self.gateway)
    }

    #[inline]
    fn on_link(&self, address: Ipv4Addr) -> Option<Egress> {
        let bits = address.to_bits();
        let link = self.on_link.iter().find(|link| bits & link.mask == link.network)?;
        Some(Egress { port: link.port, next_hop: address })
    }

    fn search(&self, address: Ipv4Addr) -> Option<Egress> {
        let bits = address.to_bits();
        let learned = || {
            let way = |prefixes: &Prefixes| prefixes.ways.get(&(bits & prefixes.mask)).copied();
            self.prefixes.iter().find_map(way)
        };
        self.on_link(address).or_else(learned).or(self.gateway)
    }
}

/// Hashes a prefix in one multiplication. Needs no secret: who sends packets chooses what is looked up, but
/// not what is in the table.
#[derive(Copy, Clone, Debug, Default)]
struct Mix(u64);

impl BuildHasher for Mix {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self::default()
    }
}

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32((*byte).into());
        }
    }

    #[inline]
    fn write_u32(&mut self, word: u32) {
        self.0 = hash::fold(self.0 ^ u64::from(word), 0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use ipnet::Ipv4Net;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::model::{PortNetwork, SnatRange};

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

    fn route(prefix: &str, via: &str) -> Route {
        Route { prefix: prefix.parse().unwrap(), via: via.parse().unwrap() }
    }

    fn network(gateway: Option<&str>) -> Network {
        Network {
            ports: vec![
                port("front", "172.26.50.101/16", gateway),
                port("back", "10.0.0.1/16", None),
            ],
            snat: vec![SnatRange { address: Ipv4Addr::new(10, 0, 0, 2), ports: 1024..=2047 }],
            probe_ports: 61000..=65535,
        }
    }

    fn next_hop(routes: &Routes, to: &str) -> Option<(u16, String)> {
        let egress = routes.to(to.parse().unwrap())?;
        Some((egress.port.get(), egress.next_hop.to_string()))
    }

    #[test]
    fn the_longest_prefix_wins_whatever_the_order() {
        let mut learned = vec![
            route("10.244.0.0/16", "10.0.1.1"),
            route("10.244.7.99/24", "10.0.1.2"),
            route("10.244.7.9/32", "172.26.50.9"),
            route("0.0.0.0/0", "10.0.1.3"),
        ];
        for _ in 0..4 {
            learned.rotate_left(1);
            let routes = Routes::with(&network(Some("172.26.50.1")), learned.clone());
            assert_eq!(next_hop(&routes, "10.244.8.1"), Some((1, "10.0.1.1".into())));
            assert_eq!(next_hop(&routes, "10.244.7.8"), Some((1, "10.0.1.2".into())));
            assert_eq!(next_hop(&routes, "10.244.7.9"), Some((0, "172.26.50.9".into())));
            assert_eq!(next_hop(&routes, "192.0.2.1"), Some((1, "10.0.1.3".into())));
        }
    }

    #[test]
    fn what_is_on_link_goes_direct_whatever_is_learned() {
        let learned = vec![route("10.0.1.0/24", "172.26.50.9"), route("10.0.1.7/32", "10.0.1.8")];
        let routes = Routes::with(&network(None), learned);
        assert_eq!(next_hop(&routes, "10.0.1.7"), Some((1, "10.0.1.7".into())));
    }

    #[test]
    fn a_route_by_a_neighbour_of_no_link_goes_by_the_gateway_or_is_none() {
        let learned = vec![route("10.244.7.0/24", "192.0.2.1")];
        let routes = Routes::with(&network(Some("172.26.50.1")), learned.clone());
        assert_eq!(next_hop(&routes, "10.244.7.9"), Some((0, "172.26.50.1".into())));
        assert_eq!(next_hop(&Routes::with(&network(None), learned), "10.244.7.9"), None);
    }

    #[test]
    fn an_unusable_route_leaves_the_prefix_to_the_next_one() {
        let learned = ["10.0.0.1", "10.0.0.2", "192.0.2.1", "10.0.1.1", "10.0.1.2"]
            .map(|via| route("10.244.7.0/24", via));
        let routes = Routes::with(&network(None), learned.to_vec());
        assert_eq!(next_hop(&routes, "10.244.7.9"), Some((1, "10.0.1.1".into())));
        assert_eq!(routes.learned(), learned);
    }

    proptest! {
        #[test]
        fn routes_agree_with_a_search_over_all_prefixes(
            prefixes in vec((0u32..64, 24u8..=32), 1..40), asked in vec(0u32..0x4000, 40)
        ) {
            // Close together, so that they nest: 64 places in 10.244.0.0/18.
            let learned: Vec<Route> = (1..).zip(&prefixes).map(|(at, (place, len))| {
                let address = Ipv4Addr::from_bits(0x0af4_0000 + place * 0x100 + at);
                let prefix = Ipv4Net::new(address, *len).unwrap();
                Route { prefix, via: Ipv4Addr::from_bits(0x0a00_0100 + at) }
            }).collect();
            let routes = Routes::with(&network(Some("172.26.50.1")), learned.clone());
            for address in asked.into_iter().map(|bits| Ipv4Addr::from_bits(0x0af4_0000 + bits)) {
                let mut best: Option<&Route> = None;
                for route in learned.iter().filter(|route| route.prefix.contains(&address)) {
                    if best.is_none_or(|best| best.prefix.prefix_len() < route.prefix.prefix_len()) {
                        best = Some(route);
                    }
                }
                let via = best.map_or(Ipv4Addr::new(172, 26, 50, 1), |route| route.via);
                prop_assert_eq!(routes.to(address).map(|egress| egress.next_hop), Some(via));
            }
        }
    }

    #[test]
    fn without_a_gateway_what_is_on_no_link_has_no_route() {
        let ports = vec![port("one", "10.0.0.1/24", None)];
        let network = Network { ports, snat: Vec::new(), probe_ports: 1..=2 };
        assert_eq!(Routes::new(&network).to(Ipv4Addr::new(10, 0, 1, 1)), None);
    }
}
