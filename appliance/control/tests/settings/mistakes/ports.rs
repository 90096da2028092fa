//! `[[port]]`: names, drivers, addresses.

use super::check;

#[test]
fn wrong_names_of_ports_are_refused() {
    check(&[
        (
            r#"name = "back""#,
            r#"name = «"front"»"#,
            "port \"front\" is there twice in one file",
            Some("give each its own name; a file in conf.d may change it by the same name"),
        ),
        (r#"name = "back""#, r#"name = «""»"#, "port \"\": name: a name cannot be empty", None),
        (
            r#"name = "back""#,
            r#"name = «"back side"»"#,
            "port \"back side\": name: \"back side\" cannot contain ' '",
            Some("use letters, digits, '-', '_'"),
        ),
    ]);
}

#[test]
fn unknown_and_missing_drivers_are_refused() {
    check(&[
        (
            r#"driver = "af_packet""#,
            r#"driver = «"afpacket"»"#,
            "port \"front\": unknown driver \"afpacket\"",
            Some("did you mean `af_packet`?"),
        ),
        (
            "name = \"back\"\ndriver = \"af_packet\"",
            "name = «\"back\"»",
            "port \"back\": driver is missing",
            Some("one of: pci, af_packet, af_xdp, tap, memif, pcap, ring, null"),
        ),
    ]);
}

#[test]
fn interfaces_that_cannot_be_are_refused() {
    check(&[
        (
            r#"interface = "sw-front""#,
            r#"interface = «"sixteen-letters-"»"#,
            "port \"front\": interface: \"sixteen-letters-\" is 16 bytes long",
            Some("the kernel's names of interfaces have at most 15"),
        ),
        (
            r#"interface = "sw-front""#,
            r#"interface = «"sw/front"»"#,
            "port \"front\": interface: \"sw/front\": an interface's name cannot contain '/'",
            None,
        ),
        (
            r#"interface = "sw-front""#,
            r#"interface = «"sw front"»"#,
            "port \"front\": interface: \"sw front\": an interface's name cannot contain ' '",
            None,
        ),
        (
            r#"interface = "sw-back""#,
            r#"interface = «"sw-front"»"#,
            "port \"back\": interface sw-front is already port \"front\"",
            None,
        ),
    ]);
}

#[test]
fn keys_that_a_driver_lacks_or_does_not_have_are_refused() {
    check(&[
        (
            "driver = \"af_packet\"\ninterface = \"sw-front\"",
            "driver = \"pci\"\naddress = «\"3:00\"»",
            "port \"front\": address: \"3:00\" is not a PCI address",
            Some("domain:bus:device.function as lspci -D shows it, such as \"0000:03:00.0\""),
        ),
        (
            "name = \"front\"\ndriver = \"af_packet\"\ninterface = \"sw-front\"",
            "name = «\"front\"»\ndriver = \"memif\"\nrole = \"server\"\nsocket = \"/run/m.sock\"",
            "port \"front\": id is missing",
            Some("the same number at both ends, such as id = 0"),
        ),
        (
            "name = \"front\"\ndriver = \"af_packet\"\ninterface = \"sw-front\"",
            "name = «\"front\"»\ndriver = \"memif\"\nrole = \"server\"\nid = 1",
            "port \"front\": socket is missing",
            Some("the same path at both ends, such as socket = \"/run/memif.sock\""),
        ),
        (
            "name = \"front\"\ndriver = \"af_packet\"\ninterface = \"sw-front\"",
            "name = «\"front\"»\ndriver = \"pcap\"\ntx = \"out.pcap\"",
            "port \"front\": rx is missing",
            Some("name the file to receive from, such as rx = \"in.pcap\""),
        ),
        (
            "driver = \"af_packet\"\ninterface = \"sw-front\"",
            "driver = \"pcap\"\nrx = «\"no/such.pcap\"»",
            "port \"front\": rx: there is no file no/such.pcap",
            Some("a relative path starts where the daemon was started"),
        ),
        (
            r#"interface = "sw-front""#,
            "interface = \"sw-front\"\n«socket» = \"/run/m.sock\"",
            "port \"front\": `socket` belongs to driver memif; this port's driver is af_packet",
            None,
        ),
        (
            "driver = \"af_packet\"\ninterface",
            "driver = \"null\"\n«interface»",
            "port \"front\": `interface` belongs to drivers af_packet, af_xdp, tap; this port's driver is null",
            None,
        ),
    ]);
}

#[test]
fn link_settings_out_of_range_are_refused() {
    check(&[
        (
            r#"interface = "sw-back""#,
            "interface = \"sw-back\"\nvlan = «4095»",
            "port \"back\": vlan must be 1 to 4094, not 4095",
            None,
        ),
        (
            r#"interface = "sw-back""#,
            "interface = \"sw-back\"\nmtu = «67»",
            "port \"back\": mtu must be 68 to 9200, not 67",
            None,
        ),
        (
            r#"interface = "sw-back""#,
            "interface = \"sw-back\"\nrx_queues = «0»",
            "port \"back\": rx_queues must be 1 to 64, not 0",
            None,
        ),
    ]);
}

#[test]
fn addresses_that_a_port_cannot_have_are_refused() {
    check(&[
        (
            r#"addresses = ["10.0.1.1/24"]"#,
            r#"addresses = [«"10.0.1.1"»]"#,
            "port \"back\": addresses: \"10.0.1.1\" has no prefix length",
            Some("say how much of it is on-link, such as \"10.0.1.1/24\""),
        ),
        (
            r#"addresses = ["10.0.1.1/24"]"#,
            r#"addresses = [«"10.0.1.1/33"»]"#,
            "port \"back\": addresses: \"10.0.1.1/33\": the prefix length must be 8 to 32, not 33",
            None,
        ),
        (
            r#"addresses = ["10.0.1.1/24"]"#,
            r#"addresses = ["10.0.1.1/24", «"fd00::1/64"»]"#,
            "port \"back\": addresses: \"fd00::1\" is IPv6, which is not served yet",
            Some("give an IPv4 address"),
        ),
        (
            "name = \"back\"\ndriver = \"af_packet\"\ninterface = \"sw-back\"\naddresses = [\"10.0.1.1/24\"]",
            "name = \"back\"\ndriver = \"af_packet\"\ninterface = \"sw-back\"\naddresses = «[]»",
            "port \"back\": addresses is empty",
            Some("give the port an address with its prefix, such as addresses = [\"10.0.1.1/24\"]"),
        ),
        (
            r#"addresses = ["10.0.1.1/24"]"#,
            r#"addresses = [«"10.0.1.0/24"»]"#,
            "port \"back\": 10.0.1.0 is the network address of 10.0.1.0/24 on port \"back\"",
            Some("a port needs the address of a host"),
        ),
        (
            r#"addresses = ["10.0.1.1/24"]"#,
            r#"addresses = ["10.0.1.1/24", «"127.0.0.1/8"»]"#,
            "port \"back\": 127.0.0.1 is a loopback address",
            Some("a port needs the address of a host"),
        ),
        (
            r#"addresses = ["10.0.1.1/24"]"#,
            r#"addresses = ["10.0.1.1/24", «"224.0.0.1/24"»]"#,
            "port \"back\": 224.0.0.1 is a multicast address",
            Some("a port needs the address of a host"),
        ),
        (
            r#"addresses = ["10.0.1.1/24"]"#,
            r#"addresses = ["10.0.1.1/24", «"10.0.1.1/24"»]"#,
            "port \"back\": 10.0.1.1 is listed twice",
            None,
        ),
        (
            r#"addresses = ["10.0.1.1/24"]"#,
            r#"addresses = ["10.0.1.1/24", «"172.26.50.101/32"»]"#,
            "port \"back\": 172.26.50.101 is an address of port \"front\" too",
            Some("an address belongs to one port"),
        ),
        (
            r#"addresses = ["10.0.1.1/24"]"#,
            r#"addresses = ["10.0.1.1/24", «"172.26.1.1/16"»]"#,
            "port \"back\": 172.26.0.0/16 overlaps 172.26.50.0/24 on port \"front\"",
            Some("an address must be on the link of one port only; give each its own prefix"),
        ),
    ]);
}

#[test]
fn gateways_that_cannot_be_are_refused() {
    check(&[
        (
            r#"gateway = "172.26.50.1""#,
            r#"gateway = «"172.26.51.1"»"#,
            "port \"front\": gateway 172.26.51.1 is not on this port's link",
            Some("it must be in 172.26.50.0/24"),
        ),
        (
            r#"gateway = "172.26.50.1""#,
            r#"gateway = «"172.26.50.101"»"#,
            "port \"front\": gateway 172.26.50.101 is an address of port \"front\"",
            Some("the gateway is another machine"),
        ),
        (
            r#"gateway = "172.26.50.1""#,
            r#"gateway = «"172.26.50.255"»"#,
            "port \"front\": gateway: 172.26.50.255 is the broadcast address of 172.26.50.0/24 on port \"front\"",
            Some("the gateway is the address of a router"),
        ),
        (
            r#"interface = "sw-back""#,
            "interface = \"sw-back\"\ngateway = «\"10.0.1.254\"»",
            "port \"back\": a second gateway, 10.0.1.254; port \"front\" has one",
            Some("a box has one gateway: the router for all that is on no port's link"),
        ),
        (
            r#"gateway = "172.26.50.1""#,
            r#"gateway = «"172.26.50.1/24"»"#,
            "port \"front\": gateway: \"172.26.50.1/24\" has a prefix; a single address is meant here",
            Some("write \"172.26.50.1\""),
        ),
        (
            r#"gateway = "172.26.50.1""#,
            r#"gateway = «"fe80::1%eth0"»"#,
            "port \"front\": gateway: \"fe80::1%eth0\" is IPv6, which is not served yet",
            Some("give an IPv4 address"),
        ),
    ]);
}

#[test]
fn neighbors_that_cannot_be_are_refused() {
    check(&[
        (
            r#""10.0.1.72" = "02:00:00:00:00:72""#,
            r#"«"10.0.2.72"» = "02:00:00:00:00:72""#,
            "port \"back\": neighbor 10.0.2.72 is not on this port's link",
            Some("only what is on the link is asked for by ARP; the rest goes to the gateway"),
        ),
        (
            r#""10.0.1.72" = "02:00:00:00:00:72""#,
            r#"«"10.0.1.1"» = "02:00:00:00:00:72""#,
            "port \"back\": neighbor 10.0.1.1 is an address of port \"back\"",
            Some("a neighbor is another machine"),
        ),
        (
            r#""10.0.1.72" = "02:00:00:00:00:72""#,
            r#"«node-2» = "02:00:00:00:00:72""#,
            "port \"back\": neighbors: \"node-2\" is not an IPv4 address",
            None,
        ),
        (
            r#""02:00:00:00:00:72""#,
            r#"«"01:00:5e:00:00:72"»"#,
            "port \"back\": neighbors: 10.0.1.72: \"01:00:5e:00:00:72\" is a multicast MAC; a neighbor has its own",
            None,
        ),
        (
            r#""02:00:00:00:00:72""#,
            r#"«"02:00:00:00:72"»"#,
            "port \"back\": neighbors: 10.0.1.72: \"02:00:00:00:72\" is not a MAC address",
            Some("six bytes in hexadecimal, such as \"02:00:00:00:00:72\""),
        ),
        (
            r#""02:00:00:00:00:72""#,
            r#"«"00:00:00:00:00:00"»"#,
            "port \"back\": neighbors: 10.0.1.72: \"00:00:00:00:00:00\" is nobody's MAC",
            None,
        ),
    ]);
}
