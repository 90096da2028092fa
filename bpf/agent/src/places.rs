//! Which addresses the node serves and speaks from: what the configuration, the Node object and the devices say,
//! put together.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use spillway_control::settings::node::{NodePortSettings, NodeSettings};

use crate::devices::{DeviceView, Role};
use crate::layout::{self, Address, SERVICE_PREFIXES};
use crate::ledger::NodePlaces;

/// Where NodePorts are served. `internal` are the InternalIPs of the Node object.
pub fn node_places(
    ports: &NodePortSettings,
    internal: &[IpAddr],
    devices: &DeviceView,
) -> NodePlaces {
    let global = || devices.addresses.iter().filter(|it| it.is_global);
    let mut addresses: Vec<IpAddr> = if !ports.addresses.is_empty() {
        let is_wanted = |address: &IpAddr| ports.addresses.iter().any(|net| net.contains(address));
        global().map(|it| it.address).filter(is_wanted).collect()
    } else if internal.is_empty() {
        let is_netdev = |ifindex| {
            devices.roles().any(|(device, role)| device.ifindex == ifindex && role == Role::Netdev)
        };
        global().filter(|it| is_netdev(it.ifindex)).map(|it| it.address).collect()
    } else {
        internal.to_vec()
    };
    addresses.sort_unstable();
    addresses.dedup();
    let host_only = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    NodePlaces { addresses, host_only }
}

/// The row of `settings`. What goes to other nodes leaves from an InternalIP, or else from the first address that
/// serves NodePorts.
pub fn settings_row(
    settings: &NodeSettings,
    internal: &[IpAddr],
    places: &NodePlaces,
    host_netns: Option<u64>,
) -> layout::Settings {
    let candidates = || internal.iter().chain(&places.addresses).copied();
    let node = |is_wanted: fn(&IpAddr) -> bool| {
        candidates().find(is_wanted).map(Address::from).unwrap_or_default()
    };
    let snat = &settings.datapath.snat_ports;
    let node_ports = &settings.policy.node_port_range;
    let mut row = layout::Settings {
        node_ipv4: node(IpAddr::is_ipv4),
        node_ipv6: node(IpAddr::is_ipv6),
        // No cookie is ever 0.
        host_netns: host_netns.unwrap_or(0),
        snat_port_min: *snat.start(),
        snat_port_max: *snat.end(),
        node_port_min: *node_ports.start(),
        node_port_max: *node_ports.end(),
        ..layout::Settings::default()
    };
    if settings.refuse_unowned {
        row.flags |= layout::SETTINGS_REFUSE_UNOWNED;
    }
    if settings.node_ports.guard {
        row.flags |= layout::SETTINGS_GUARD_NODE_PORTS;
    }
    for (place, net) in row.service_prefix.iter_mut().zip(&settings.service_prefixes) {
        *place = prefix(*net);
        row.service_prefixes += 1;
    }
    debug_assert!(
        settings.service_prefixes.len() <= SERVICE_PREFIXES,
        "checked with the configuration"
    );
    row
}

/// Of sixteen bytes, as all addresses are.
fn prefix(net: IpNet) -> layout::Prefix {
    let mapped_bits = match net {
        IpNet::V4(_) => 96,
        IpNet::V6(_) => 0,
    };
    let bits = u32::from(net.prefix_len()) + mapped_bits;
    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
    layout::Prefix { address: net.network().into(), mask: Address(mask.to_be_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::{Device, DeviceRef, Kind, NodeAddress, Way};

    fn devices() -> DeviceView {
        let device = |ifindex, name: &str, role, way| Device {
            device: DeviceRef { ifindex, name: name.to_owned() },
            kind: Kind::Physical,
            role,
            way,
        };
        let address = |text: &str, ifindex, is_global| NodeAddress {
            address: text.parse().unwrap(),
            ifindex,
            is_global,
        };
        DeviceView {
            devices: vec![
                device(2, "eth0", Some(Role::Netdev), None),
                device(3, "veth1", Some(Role::Pod), Some(Way::Peer)),
                device(4, "eth1", None, None),
            ],
            addresses: vec![
                address("172.26.50.101", 2, true),
                address("fd00:26::101", 2, true),
                address("fe80::1", 2, false),
                address("10.0.0.1", 3, true),
                address("192.0.2.1", 4, true),
            ],
        }
    }

    fn places(ports: &[&str], internal: &[&str]) -> Vec<String> {
        let addresses = ports.iter().map(|it| it.parse().unwrap()).collect();
        let internal: Vec<IpAddr> = internal.iter().map(|it| it.parse().unwrap()).collect();
        let ports = NodePortSettings { addresses, guard: true };
        let places = node_places(&ports, &internal, &devices());
        assert_eq!(places.host_only.len(), 2);
        places.addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn node_ports_are_on_the_internal_addresses_of_the_node() {
        assert_eq!(
            places(&[], &["172.26.50.101", "fd00:26::101"]),
            ["172.26.50.101", "fd00:26::101"]
        );
    }

    #[test]
    fn without_a_node_object_they_are_on_the_devices_to_the_world() {
        assert_eq!(places(&[], &[]), ["172.26.50.101", "fd00:26::101"]);
    }

    #[test]
    fn the_operator_s_prefixes_choose_among_the_addresses_that_exist() {
        assert_eq!(
            places(&["192.0.2.0/24", "10.0.0.0/8"], &["172.26.50.101"]),
            ["10.0.0.1", "192.0.2.1"]
        );
        assert!(places(&["198.51.100.0/24"], &["172.26.50.101"]).is_empty());
    }

    #[test]
    fn prefixes_of_both_families_are_masks_of_sixteen_bytes() {
        let v4 = prefix("10.96.0.0/12".parse().unwrap());
        assert_eq!(IpAddr::from(v4.address).to_string(), "10.96.0.0");
        assert_eq!(v4.mask.0[10..], [0xff, 0xff, 0xff, 0xf0, 0, 0]);
        let v6 = prefix("fd00:96::/112".parse().unwrap());
        assert_eq!(v6.mask.0[12..], [0xff, 0xff, 0, 0]);
        assert_eq!(prefix("::/0".parse().unwrap()).mask.0, [0; 16]);
    }
}
