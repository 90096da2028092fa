//! From what the kernel lists to roles and ways. Pure.

use std::collections::HashSet;

use super::{Device, DeviceRef, DeviceView, Kind, NodeAddress, Pattern, Role, Rules, Way};

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
pub fn classify(snapshot: &Snapshot, rules: &Rules) -> DeviceView {
    let bridges: HashSet<u32> = snapshot
        .links
        .iter()
        .filter(|link| link.kind == Kind::Bridge)
        .map(|link| link.device.ifindex)
        .collect();
    let bridge_of = |link: &Link| link.master.filter(|master| bridges.contains(master));
    let pod_bridges: HashSet<u32> = snapshot
        .links
        .iter()
        .filter(|link| role(link, snapshot, rules) == Some(Role::Pod))
        .filter_map(bridge_of)
        .collect();
    let device = |link: &Link| {
        let role = role(link, snapshot, rules);
        let way = match role {
            Some(Role::Netdev) => None,
            // A port is never what a route names: its bridge is.
            Some(Role::Pod) => bridge_of(link).is_none().then(|| way_of_pod(link)),
            None if is_any(&rules.devices.exclude, link) => None,
            None if pod_bridges.contains(&link.device.ifindex) => Some(Way::Neighbor),
            None => matches!(link.kind, Kind::IpVlan | Kind::MacVlan).then_some(Way::Pass),
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

fn role(link: &Link, snapshot: &Snapshot, rules: &Rules) -> Option<Role> {
    if is_any(&rules.devices.exclude, link) {
        return None;
    }
    if is_netdev(link, snapshot, rules) {
        return Some(Role::Netdev);
    }
    let is_pod = if rules.devices.pods.is_empty() {
        link.kind == Kind::Veth && link.is_peer_elsewhere
    } else {
        is_any(&rules.devices.pods, link)
    };
    is_pod.then_some(Role::Pod)
}

fn is_netdev(link: &Link, snapshot: &Snapshot, rules: &Rules) -> bool {
    if !rules.devices.netdevs.is_empty() {
        return is_any(&rules.devices.netdevs, link);
    }
    let ifindex = link.device.ifindex;
    // An InternalIP on `lo` (a node that announces itself by BGP) is reached by other devices.
    link.kind != Kind::Loopback
        && (snapshot.default_routes.contains(&ifindex)
            || snapshot.addresses.iter().any(|address| {
                address.ifindex == ifindex && rules.node_addresses.contains(&address.address)
            }))
}

fn is_any(patterns: &[Pattern], link: &Link) -> bool {
    patterns.iter().any(|pattern| pattern.matches(&link.device.name))
}

fn way_of_pod(link: &Link) -> Way {
    match link.kind {
        Kind::Veth if link.is_peer_elsewhere => Way::Peer,
        Kind::IpVlan | Kind::MacVlan => Way::Pass,
        Kind::Loopback
        | Kind::Physical
        | Kind::Veth
        | Kind::Bridge
        | Kind::Vxlan
        | Kind::Other(_) => Way::Neighbor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::DeviceRules;

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

    fn roles(snapshot: &Snapshot, rules: &Rules) -> Vec<(u32, Role)> {
        classify(snapshot, rules).roles().map(|(device, role)| (device.ifindex, role)).collect()
    }

    fn patterns(names: &[&str]) -> Vec<Pattern> {
        names.iter().map(|&name| Pattern::new(name.to_owned())).collect()
    }

    fn named(netdevs: &[&str], pods: &[&str], exclude: &[&str]) -> Rules {
        let [netdevs, pods, exclude] = [netdevs, pods, exclude].map(patterns);
        Rules { devices: DeviceRules { netdevs, pods, exclude }, ..Rules::default() }
    }

    fn ways(rules: &Rules) -> Vec<(u32, Way)> {
        let view = classify(&node(), rules);
        view.devices.iter().filter_map(|d| Some((d.device.ifindex, d.way?))).collect()
    }

    const PODS: [(u32, Role); 2] = [(6, Role::Pod), (7, Role::Pod)];

    #[test]
    fn the_world_is_behind_the_default_route_and_the_internal_ip() {
        let rules = Rules::default();
        assert_eq!(roles(&node(), &rules), [&[(2, Role::Netdev)][..], &PODS].concat());
        let node_addresses = vec!["198.51.100.10".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        let rules = Rules { node_addresses, ..rules };
        let both = [(2, Role::Netdev), (3, Role::Netdev)];
        assert_eq!(roles(&node(), &rules), [&both[..], &PODS].concat(), "but never lo");
    }

    #[test]
    fn names_take_the_place_of_what_is_found_and_may_be_tunnels() {
        let rules = named(&["eth1", "vxlan*"], &[], &[]);
        let both = [(3, Role::Netdev), (4, Role::Netdev)];
        assert_eq!(roles(&node(), &rules), [&both[..], &PODS].concat());
    }

    #[test]
    fn a_veth_that_the_default_route_goes_by_is_no_pod() {
        // As in a node that is itself a container: its eth0 is a veth.
        let mut snapshot = node();
        snapshot.default_routes = vec![7];
        let view = classify(&snapshot, &Rules::default());
        let device = view.devices.iter().find(|device| device.device.ifindex == 7).unwrap();
        assert_eq!((device.role, device.way), (Some(Role::Netdev), None));
    }

    #[test]
    fn ways_follow_from_what_a_route_to_a_pod_names() {
        let want = [(5, Way::Neighbor), (7, Way::Peer), (10, Way::Pass), (11, Way::Pass)];
        assert_eq!(ways(&Rules::default()), want, "no port, no empty bridge, no tunnel, no uplink");
    }

    #[test]
    fn pods_may_be_named_such_as_the_tap_of_a_vm() {
        let rules = named(&[], &["tun*", "cali*"], &[]);
        assert_eq!(roles(&node(), &rules)[1..], [(7, Role::Pod), (12, Role::Pod)]);
        let want = [(7, Way::Peer), (10, Way::Pass), (11, Way::Pass), (12, Way::Neighbor)];
        assert_eq!(ways(&rules), want, "and no bridge of pods that are none");
    }

    #[test]
    fn what_is_excluded_is_left_alone_whatever_else_is_said() {
        let rules = named(&["eth*"], &[], &["eth1", "vetha", "ipvl"]);
        assert_eq!(roles(&node(), &rules), [(2, Role::Netdev), (7, Role::Pod)]);
        assert_eq!(ways(&rules), [(7, Way::Peer), (10, Way::Pass)]);
    }

    #[test]
    fn a_master_that_is_no_bridge_is_no_way_to_a_pod() {
        let mut snapshot = node();
        let vrf = Kind::Other("vrf".to_owned());
        snapshot.links.push(link(20, "vrf0", vrf));
        snapshot.links.push(Link { master: Some(20), ..pod(21, "vethc") });
        let view = classify(&snapshot, &Rules::default());
        let way = |ifindex| view.devices.iter().find(|d| d.device.ifindex == ifindex).unwrap().way;
        assert_eq!((way(20), way(21)), (None, Some(Way::Peer)));
    }

    #[test]
    fn rows_are_those_that_the_programs_read() {
        let view = classify(&node(), &Rules::default());
        let rows: Vec<_> = view.rows().map(|(ifindex, row)| (ifindex, row.way)).collect();
        assert_eq!(rows, [(5, 2), (7, 1), (10, 0), (11, 0)]);
    }

    #[test]
    fn the_order_of_the_listing_does_not_matter() {
        let mut snapshot = node();
        snapshot.links.reverse();
        snapshot.addresses.reverse();
        let rules = Rules::default();
        assert_eq!(classify(&snapshot, &rules), classify(&node(), &rules));
    }
}
