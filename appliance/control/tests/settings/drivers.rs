//! Every driver's keys arrive in its settings.

use std::path::PathBuf;

use spillway_control::settings::{DeviceSettings, MemifRole, PciAddress};

use crate::folder::Folder;

fn device(keys: &str) -> DeviceSettings {
    let folder =
        Folder::with(&format!("[[port]]\nname = \"one\"\naddresses = [\"10.0.1.1/24\"]\n{keys}\n"));
    let mut settings = folder.load().unwrap_or_else(|mistakes| panic!("{mistakes}"));
    settings.ports.remove(0).device
}

#[test]
fn every_driver_is_read_with_all_of_its_keys() {
    let capture = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    let pcap = format!(
        "driver = \"pcap\"\nrx = \"{}\"\ntx = \"out.pcap\"\ninfinite_rx = true",
        capture.display()
    );
    let pci = PciAddress { domain: 0x10, bus: 0x3b, device: 0x1f, function: 7 };
    let cases = [
        ("driver = \"pci\"\naddress = \"0010:3b:1f.7\"", DeviceSettings::Pci { address: pci }),
        (
            "driver = \"af_packet\"\ninterface = \"eth1\"",
            DeviceSettings::AfPacket { interface: "eth1".into() },
        ),
        (
            "driver = \"af_xdp\"\ninterface = \"eth1\"\nbusy_budget = 0",
            DeviceSettings::AfXdp { interface: "eth1".into(), busy_budget: 0 },
        ),
        (
            "driver = \"tap\"\ninterface = \"tap0\"",
            DeviceSettings::Tap { interface: "tap0".into() },
        ),
        (
            "driver = \"memif\"\nrole = \"client\"\nid = 3\nsocket = \"/run/m.sock\"",
            DeviceSettings::Memif { role: MemifRole::Client, id: 3, socket: "/run/m.sock".into() },
        ),
        (
            pcap.as_str(),
            DeviceSettings::Pcap { rx: capture, tx: Some("out.pcap".into()), infinite_rx: true },
        ),
        ("driver = \"ring\"", DeviceSettings::Ring),
        (
            "driver = \"null\"\nframe_bytes = 128\ncopy = true",
            DeviceSettings::Null { frame_bytes: 128, copy: true },
        ),
    ];
    for (keys, expected) in cases {
        assert_eq!(device(keys), expected, "{keys}");
    }
}

#[test]
fn keys_that_a_driver_can_do_without_have_defaults() {
    assert_eq!(
        device("driver = \"af_xdp\"\ninterface = \"eth1\""),
        DeviceSettings::AfXdp { interface: "eth1".into(), busy_budget: 64 }
    );
    assert_eq!(device("driver = \"null\""), DeviceSettings::Null { frame_bytes: 64, copy: false });
}

#[test]
fn a_pci_address_is_shown_as_lspci_shows_it_and_may_leave_out_domain_0() {
    let DeviceSettings::Pci { address } = device("driver = \"pci\"\naddress = \"3b:00.1\"") else {
        panic!("not a PCI device");
    };
    assert_eq!(address.to_string(), "0000:3b:00.1");
}

#[test]
fn a_port_keeps_what_is_said_about_it_besides_its_device() {
    let folder = Folder::with(
        "[[port]]\nname = \"one\"\ndriver = \"ring\"\naddresses = [\"10.0.1.1/24\", \"10.0.2.1/24\"]\n\
         vlan = 100\nmtu = 9000\npromiscuous = true\nrx_queues = 2\ngateway = \"10.0.1.254\"\n\
         neighbors = { \"10.0.1.72\" = \"02:00:00:00:00:72\" }\n",
    );
    let settings = folder.load().unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let (port, network) = (&settings.ports[0], &settings.network.ports[0]);
    assert_eq!((port.mtu, port.promiscuous, port.rx_queues), (9000, true, Some(2)));
    assert_eq!((port.name.as_str(), network.name.as_str()), ("one", "one"));
    assert_eq!(network.vlan, Some(100));
    assert_eq!(network.addresses[1].to_string(), "10.0.2.1/24");
    assert_eq!(network.gateway, Some("10.0.1.254".parse().unwrap()));
    assert_eq!(network.neighbors[0].mac, [2, 0, 0, 0, 0, 0x72]);
}
