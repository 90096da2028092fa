//! Reads one `[[port]]`.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use spillway_lb::model::StaticNeighbor;

use super::device::DeviceSettings;
use super::driver::{self, DRIVERS};
use super::form;
use super::merge::Node;
use super::report::{Report, Span, Spanned};
use super::section::{List, Section};

/// A port as read; its addresses have yet to be checked against everything else.
#[derive(Debug)]
pub(super) struct PortDraft {
    pub(super) name: Spanned<String>,
    pub(super) device: Option<Spanned<DeviceSettings>>,
    pub(super) rx_queues: Option<u16>,
    pub(super) mtu: u16,
    pub(super) promiscuous: bool,
    pub(super) vlan: Option<u16>,
    pub(super) addresses: Vec<Spanned<Ipv4Net>>,
    pub(super) gateway: Option<Spanned<Ipv4Addr>>,
    pub(super) neighbors: Vec<Spanned<StaticNeighbor>>,
    /// Its addresses or its gateway could not all be read: what is reachable is not known.
    pub(super) network_is_incomplete: bool,
}

pub(super) fn read(key: &str, node: &Node, report: &Report) -> Option<PortDraft> {
    let mut section = Section::open(node, format!("port \"{key}\""), report)?;
    let name = section.parse("name", form::PORT_NAME);
    if let Some(name) = &name {
        section.at = name.at;
    }
    section.missing("name", "give the port a name of your own, such as name = \"front\"");
    let device = read_device(&mut section);

    let mistakes = report.count();
    let addresses: Option<List<Ipv4Net>> = section.parse_list("addresses", form::PREFIX);
    let without = "give the port an address with its prefix, such as addresses = [\"10.0.1.1/24\"]";
    section.missing("addresses", without);
    if let Some(addresses) = addresses.as_ref().filter(|addresses| addresses.is_empty) {
        section.error(addresses.at, "addresses is empty", Some(without));
    }
    let gateway = section.parse("gateway", form::ADDRESS);
    let network_is_incomplete = mistakes != report.count();

    let draft = PortDraft {
        name: name.unwrap_or_else(|| Spanned::new(key.to_owned(), section.at)),
        device,
        rx_queues: section.integer("rx_queues", 1..=64).map(|queues| queues.value),
        // RFC 791: every link carries 68 bytes. Above 9200 no driver follows.
        mtu: section.integer("mtu", 68..=9200).map_or(1500, |mtu| mtu.value),
        promiscuous: section.boolean("promiscuous").unwrap_or(false),
        vlan: section.integer("vlan", 1..=4094).map(|vlan| vlan.value),
        addresses: addresses.map(|addresses| addresses.items).unwrap_or_default(),
        gateway,
        neighbors: read_neighbors(&mut section),
        network_is_incomplete,
    };
    let driver = draft.device.as_ref().map(|device| driver::name_of(&device.value));
    section.finish_with(|key| driver::explain_foreign_key(driver, key));
    Some(draft)
}

fn read_device(section: &mut Section<'_>) -> Option<Spanned<DeviceSettings>> {
    let driver = section.choice("driver", &DRIVERS);
    let names: Vec<&str> = DRIVERS.iter().map(|(name, _)| *name).collect();
    section.missing("driver", &format!("one of: {}", names.join(", ")));
    let Some(driver) = driver else {
        // Which keys are right cannot be said; that none of them is unknown can.
        driver::take_all_keys(section);
        return None;
    };
    driver::read(section, &driver)
}

fn read_neighbors(section: &mut Section<'_>) -> Vec<Spanned<StaticNeighbor>> {
    let Some(neighbors) = section.section("neighbors", &section_name(section)) else {
        return Vec::new();
    };
    let mut pins = Vec::new();
    for (key, node) in neighbors.entries() {
        let mac = neighbors.parse_node(key, node, form::MAC);
        match (form::ADDRESS.parse)(key) {
            Ok(address) => {
                let pin = mac.map(|mac| StaticNeighbor { address, mac: mac.value });
                pins.extend(pin.map(|pin| Spanned::new(pin, node.key)));
            }
            Err(wrong) => neighbors.error(node.key, &wrong.message, wrong.help.as_deref()),
        }
    }
    pins
}

fn section_name(section: &Section<'_>) -> String {
    format!("{}: neighbors", section.what())
}

/// Where a port's device is named, for mistakes about two ports on one device.
pub(super) fn device_at(draft: &PortDraft) -> Span {
    draft.device.as_ref().map_or(draft.name.at, |device| device.at)
}
