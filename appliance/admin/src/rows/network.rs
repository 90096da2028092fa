//! Ports of the box and the neighbors on their links.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::values::{LinkState, MacAddress, NeighborState};

/// One next hop on a port's link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighborRow {
    pub address: IpAddr,
    /// `None` while it is not known.
    pub mac: Option<MacAddress>,
    /// Name of the port.
    pub port: String,
    pub state: NeighborState,
    /// Seconds since the neighbor last confirmed its address; `None` when it never did.
    pub age_seconds: Option<u64>,
    /// Frames that wait for the address (gauge).
    pub waiting_frames: u32,
}

/// One port of the box. Counters come from the driver and count since it was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRow {
    /// From 0, in the order of the configuration.
    pub id: u16,
    /// Name in the configuration.
    pub name: String,
    /// DPDK's driver, e.g. `net_af_packet`.
    pub driver: String,
    /// PCI address or virtual device, e.g. `0000:03:00.0`.
    pub device: String,
    pub mac: MacAddress,
    pub link: LinkState,
    /// Link speed in Mbit/s; `None` when down or not known.
    pub speed_mbps: Option<u32>,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// 802.1Q tag of every frame; `None`: untagged.
    pub vlan: Option<u16>,
    /// Our addresses with their on-link prefix, e.g. `10.0.1.1/24`.
    pub addresses: Vec<String>,
    pub rx_queues: u16,
    pub tx_queues: u16,
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    /// Packets that the device dropped because no queue had room.
    pub rx_missed: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    /// Receptions that failed for want of an Mbuf.
    pub rx_no_mbuf: u64,
    /// What the device does for us, e.g. `rss`, `tx-checksum`.
    pub features: Vec<String>,
}
