//! From what the kernel lists to roles and ways. Pure.

use std::collections::HashSet;

use super::{Device, DeviceRef, DeviceRules, DeviceView, Kind, NodeAddress, Role, Way};

/// A device as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub device: DeviceRef,
    pub kind: Kind,
    /// The bridge or bond that it is a port of.
    pub master: Option<u32>,
    /// Its other end (veth) or its lower device (ipvlan, vlan) is in another network namespace.
    pub is_peer_elsewhere: bool,
}

/// What the kernel listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub links: Vec<Link>,
    pub addresses: Vec<NodeAddress>,
    /// Devices of default routes of either family, of all tables.
    pub default_routes: Vec<u32>,
}

/// Gives every device its role and way.
pub fn classify(snapshot: &Snapshot, rules: &DeviceRules) -> DeviceView {
    let netdevs = netdevs(snapshot, rules);
    let is_pod = |link: &Link| {
        link.kind == Kind::Veth && link.is_peer_elsewhere && !netdevs.contains(&link.device.ifindex)
    };
    let pod_bridges: HashSet<u32> =
        snapshot.links.iter().filter(|link| is_pod(link)).filter_map(|link| link.master).collect();
    let device = |link: &Link| {
        let is_netdev = netdevs.contains(&link.device.ifindex);
        let role = if is_netdev {
            Some(Role::Netdev)
        } else if is_pod(link) {
            Some(Role::Pod)
        } else {
            None
        };
        let way = match link.kind {
            // A port is never what a route names: its bridge is.
            Kind::Veth if is_pod(link) && link.master.is_none() => Some(Way::Peer),
            Kind::Bridge if pod_bridges.contains(&link.device.ifindex) => Some(Way::Neighbor),
            Kind::IpVlan | Kind::MacVlan if !is_netdev => Some(Way::Pass),
            Kind::Loopback
            | Kind::Physical
            | Kind::Veth
            | Kind::Bridge
            | Kind::Vxlan
            | Kind::IpVlan
            | Kind::MacVlan
            | Kind::Other(_) => None,
        };
        Device { device: link.device.clone(), kind: link.kind.clone(), role, way }
    };
    let mut view = DeviceView {
        devices: snapshot.links.iter().map(device).collect(),
        addresses: snapshot.addresses.clone(),
    };
    view.devices.sort_by_key(|device| device.device.ifindex);
    view.addresses.sort_unstable();
    view.addresses.dedup();
    view
}

fn netdevs(snapshot: &Snapshot, rules: &DeviceRules) -> HashSet<u32> {
    let is_netdev = |link: &&Link| {
        let ifindex = link.device.ifindex;
        if !rules.netdev.is_empty() {
            return rules.netdev.iter().any(|pattern| matches(pattern, &link.device.name));
        }
        // An InternalIP on `lo` (a node that announces itself by BGP) is reached by other devices.
        link.kind != Kind::Loopback
            && (snapshot.default_routes.contains(&ifindex)
                || snapshot.addresses.iter().any(|address| {
                    address.ifindex == ifindex && rules.node_addresses.contains(&address.address)
                }))
    };
    snapshot.links.iter().filter(is_netdev).map(|link| link.device.ifindex).collect()
}

/// `*` stands for any text, also none.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = name.find(part) else { return false };
        name = name.get(at + part.len()..).unwrap_or_default();
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(ifindex: u32, name: &str, kind: Kind) -> Link {
        let device = DeviceRef { ifindex, name: name.to_owned() };
        Link { device, kind, master: None, is_peer_elsewhere: false }
    }

    fn pod(ifindex: u32, name: &str) -> Link {
        Link { is_peer_elsewhere: true, ..link(ifindex, name, Kind::Veth) }
    }

    fn address(ifindex: u32, address: &str) -> NodeAddress {
        NodeAddress { address: address.parse().unwrap(), ifindex, is_global: true }
    }

    fn node() -> Snapshot {
        Snapshot {
            links: vec![
                link(1, "lo", Kind::Loopback),
                link(2, "eth0", Kind::Physical),
                link(3, "eth1", Kind::Physical),
                link(4, "vxlan0", Kind::Vxlan),
                link(5, "cni0", Kind::Bridge),
                Link { master: Some(5), ..pod(6, "vetha") },
                pod(7, "calib"),
                link(8, "vethhost", Kind::Veth),
                link(9, "docker0", Kind::Bridge),
                link(10, "shim", Kind::MacVlan),
                link(11, "ipvl", Kind::IpVlan),
                link(12, "tun0", Kind::Other("tun".to_owned())),
            ],
            addresses: vec![
                address(1, "127.0.0.1"),
                address(2, "192.0.2.10"),
                address(3, "198.51.100.10"),
                address(4, "10.244.0.0"),
            ],
            default_routes: vec![2],
        }
    }

    fn roles(snapshot: &Snapshot, rules: &DeviceRules) -> Vec<(u32, Role)> {
        classify(snapshot, rules).roles().map(|(device, role)| (device.ifindex, role)).collect()
    }

    fn named(netdev: &[&str]) -> DeviceRules {
        let netdev = netdev.iter().map(|&name| name.to_owned()).collect();
        DeviceRules { netdev, ..DeviceRules::default() }
    }

    const PODS: [(u32, Role); 2] = [(6, Role::Pod), (7, Role::Pod)];

    #[test]
    fn the_world_is_behind_the_default_route_and_the_internal_ip() {
        let rules = DeviceRules::default();
        assert_eq!(roles(&node(), &rules), [&[(2, Role::Netdev)][..], &PODS].concat());
        let node_addresses = vec!["198.51.100.10".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        let rules = DeviceRules { node_addresses, ..rules };
        let both = [(2, Role::Netdev), (3, Role::Netdev)];
        assert_eq!(roles(&node(), &rules), [&both[..], &PODS].concat(), "but never lo");
    }

    #[test]
    fn names_take_the_place_of_what_is_found_and_may_be_tunnels() {
        let rules = named(&["eth1", "vxlan*"]);
        let both = [(3, Role::Netdev), (4, Role::Netdev)];
        assert_eq!(roles(&node(), &rules), [&both[..], &PODS].concat());
    }

    #[test]
    fn a_veth_that_the_default_route_goes_by_is_no_pod() {
        // As in a node that is itself a container: its eth0 is a veth.
        let mut snapshot = node();
        snapshot.default_routes = vec![7];
        let view = classify(&snapshot, &DeviceRules::default());
        let device = view.devices.iter().find(|device| device.device.ifindex == 7).unwrap();
        assert_eq!((device.role, device.way), (Some(Role::Netdev), None));
    }

    #[test]
    fn ways_follow_from_what_a_route_to_a_pod_names() {
        let view = classify(&node(), &DeviceRules::default());
        let ways: Vec<_> =
            view.devices.iter().filter_map(|d| Some((d.device.ifindex, d.way?))).collect();
        let want = [(5, Way::Neighbor), (7, Way::Peer), (10, Way::Pass), (11, Way::Pass)];
        assert_eq!(ways, want, "no port, no bridge without pods, no tunnel, no uplink");
    }

    #[test]
    fn rows_are_those_that_the_programs_read() {
        let view = classify(&node(), &DeviceRules::default());
        let rows: Vec<_> = view.rows().map(|(ifindex, row)| (ifindex, row.way)).collect();
        assert_eq!(rows, [(5, 2), (7, 1), (10, 0), (11, 0)]);
    }

    #[test]
    fn the_order_of_the_listing_does_not_matter() {
        let mut snapshot = node();
        snapshot.links.reverse();
        snapshot.addresses.reverse();
        let rules = DeviceRules::default();
        assert_eq!(classify(&snapshot, &rules), classify(&node(), &rules));
    }

    #[test]
    fn a_star_stands_for_any_text() {
        let cases = [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("eth*", "eth12", true),
            ("eth*", "veth1", false),
            ("*", "anything", true),
            ("en*f*n1", "enp1s0f0n1", true),
            ("en*f*n1", "enp1s0f0n2", false),
            ("*np0", "enp1s0np0", true),
            ("a*a", "a", false),
        ];
        for (pattern, name, want) in cases {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
    }
}
