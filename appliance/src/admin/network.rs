//! `snat list`, `neighbor list`, `port list`.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use spillway_admin::{
    LinkState, MacAddress, NeighborRow, NeighborState, PortRange, PortRow, Protocol, SnatRow,
};

use super::conntrack::protocol;
use crate::desk::{Desk, DeskError};
use crate::ports::{PortFacts, feature_words};

/// One row per (SNAT address, backend) that has flows, or one per address that lends to nobody.
pub(crate) async fn snat(desk: &Desk) -> Result<Vec<SnatRow>, DeskError> {
    let mut rows: BTreeMap<(IpAddr, Option<SocketAddr>, Option<Protocol>), SnatRow> =
        BTreeMap::new();
    for worker in 0..desk.workers() {
        for usage in desk.snat(worker).await? {
            let binding = usage.binding;
            let Some(range) = desk.settings.network.snat.get(usize::from(binding.range)) else {
                continue;
            };
            let backend = Some(SocketAddr::V4(binding.backend));
            let protocol = Some(protocol(binding.protocol));
            let key = (IpAddr::V4(range.address), backend, protocol);
            let row = rows.entry(key).or_insert_with(|| SnatRow {
                address: IpAddr::V4(range.address),
                ports: PortRange { first: *range.ports.start(), last: *range.ports.end() },
                backend,
                protocol,
                in_use: 0,
                capacity: u32::from(range.ports.end() - range.ports.start()) + 1,
            });
            row.in_use += usage.lent;
        }
    }
    let lending: HashSet<IpAddr> = rows.values().map(|row| row.address).collect();
    let mut rows: Vec<SnatRow> = rows.into_values().collect();
    for range in &desk.settings.network.snat {
        let address = IpAddr::V4(range.address);
        if !lending.contains(&address) {
            rows.push(SnatRow {
                address,
                ports: PortRange { first: *range.ports.start(), last: *range.ports.end() },
                backend: None,
                protocol: None,
                in_use: 0,
                capacity: u32::from(range.ports.end() - range.ports.start()) + 1,
            });
        }
    }
    rows.sort_by_key(|row| (row.address, row.backend, row.protocol));
    Ok(rows)
}

pub(super) async fn neighbors(desk: &Desk) -> Result<Vec<NeighborRow>, DeskError> {
    let view = desk.view().await?;
    let rows = view.neighbors.iter().map(|row| NeighborRow {
        address: IpAddr::V4(row.address),
        mac: row.mac.map(|mac| MacAddress(mac.0)),
        port: desk.ports.get(row.port.index()).map_or_else(String::new, |port| port.name.clone()),
        state: match row.state {
            spillway_host::NeighborState::Incomplete => NeighborState::Incomplete,
            spillway_host::NeighborState::Reachable => NeighborState::Reachable,
            spillway_host::NeighborState::Stale => NeighborState::Stale,
            spillway_host::NeighborState::Failed => NeighborState::Failed,
            spillway_host::NeighborState::Static => NeighborState::Static,
        },
        age_seconds: row.confirmed.map(|at| view.now.since(at).as_secs()),
        waiting_frames: u32::try_from(row.waiting).unwrap_or(u32::MAX),
    });
    Ok(rows.collect())
}

pub(crate) fn ports(desk: &Desk) -> Vec<PortRow> {
    (0..).zip(&desk.ports).map(|(id, port)| port_row(desk, id, port)).collect()
}

fn port_row(desk: &Desk, id: u16, port: &PortFacts) -> PortRow {
    let link = port.monitor.link();
    let stats = port.monitor.stats();
    let network = desk.settings.network.ports.get(usize::from(id));
    PortRow {
        id,
        name: port.name.clone(),
        driver: port.driver.clone(),
        device: port.device.clone(),
        mac: MacAddress(port.identity.mac.0),
        link: if link.up { LinkState::Up } else { LinkState::Down },
        speed_mbps: (link.speed_mbps > 0).then_some(link.speed_mbps),
        mtu: port.features.mtu,
        vlan: port.identity.vlan,
        addresses: network
            .map(|network| network.addresses.iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
        rx_queues: port.features.rx_queues,
        tx_queues: port.features.tx_queues,
        rx_packets: stats.rx_packets,
        rx_bytes: stats.rx_bytes,
        tx_packets: stats.tx_packets,
        tx_bytes: stats.tx_bytes,
        rx_missed: stats.rx_missed,
        rx_errors: stats.rx_errors,
        tx_errors: stats.tx_errors,
        rx_no_mbuf: stats.rx_no_mbuf,
        features: feature_words(&port.features),
    }
}
