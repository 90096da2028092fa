//! What is known about a port: device, features, link, counters.

use std::fmt;

use dpdk_sys as c;

/// An Ethernet address as the device has it.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ":" };
            write!(f, "{separator}{byte:02x}")?;
        }
        Ok(())
    }
}

/// What the driver says that the device can do.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, none excludes another")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortInfo {
    /// The driver's name, e.g. `net_af_packet`.
    pub driver: String,
    pub rx_queues_max: u16,
    pub tx_queues_max: u16,
    pub rx_descriptors_min: u16,
    pub rx_descriptors_max: u16,
    pub tx_descriptors_min: u16,
    pub tx_descriptors_max: u16,
    pub mtu_min: u16,
    pub mtu_max: u16,
    /// It can distribute flows over rx queues by a hash of addresses and ports.
    pub rss: bool,
    /// Bytes of its RSS key; 0 where it does not say.
    pub rss_key_bytes: u8,
    pub rx_ip_checksum: bool,
    pub rx_l4_checksum: bool,
    pub tx_ip_checksum: bool,
    pub tx_l4_checksum: bool,
    /// Memory node; `None` for a device without one.
    pub numa: Option<u16>,
}

/// What a port was configured to do.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, none excludes another")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortFeatures {
    pub rx_queues: u16,
    pub tx_queues: u16,
    pub rx_descriptors: u16,
    pub tx_descriptors: u16,
    pub mtu: u16,
    /// The device distributes flows over its rx queues by hash. `false` with several queues means
    /// that the distribution is the driver's own, or none.
    pub rss: bool,
    /// [`crate::Mbuf::rx_ip_checksum`] and [`crate::Mbuf::rx_l4_checksum`] may say more than unknown.
    pub rx_checksum: bool,
    /// A request for an IPv4 header checksum is honoured.
    pub tx_ip_checksum: bool,
    /// A request for a TCP or UDP checksum is honoured.
    pub tx_l4_checksum: bool,
    /// Promiscuity was asked for and got.
    pub promiscuous: bool,
}

/// The state of a link. `AF_PACKET` and `AF_XDP` follow the carrier of their interface (their drivers
/// do not, so it is asked for here); file, loop and null devices are up from their start on.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub up: bool,
    /// 0 where unknown.
    pub speed_mbps: u32,
    pub full_duplex: bool,
}

impl From<c::rte_eth_link> for Link {
    fn from(link: c::rte_eth_link) -> Self {
        // RTE_ETH_SPEED_NUM_UNKNOWN
        let speed_mbps = if link.link_speed == u32::MAX { 0 } else { link.link_speed };
        Self { up: link.link_status() != 0, speed_mbps, full_duplex: link.link_duplex() != 0 }
    }
}

/// The driver's counters since the port's start.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    /// Lost in the device because nobody polled in time.
    pub rx_missed: u64,
    /// Broken frames.
    pub rx_errors: u64,
    /// Frames that the device could not send.
    pub tx_errors: u64,
    /// Failures to get an mbuf for a received frame.
    pub rx_no_mbuf: u64,
}

impl From<&c::rte_eth_stats> for PortStats {
    fn from(stats: &c::rte_eth_stats) -> Self {
        Self {
            rx_packets: stats.ipackets,
            rx_bytes: stats.ibytes,
            tx_packets: stats.opackets,
            tx_bytes: stats.obytes,
            rx_missed: stats.imissed,
            rx_errors: stats.ierrors,
            tx_errors: stats.oerrors,
            rx_no_mbuf: stats.rx_nombuf,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_reads_as_usual() {
        let mac = MacAddress([0x02, 0, 0, 0xab, 0xcd, 0x0f]);
        assert_eq!(mac.to_string(), "02:00:00:ab:cd:0f");
    }

    #[test]
    fn an_unknown_speed_is_zero() {
        let mut link = c::rte_eth_link { link_speed: u32::MAX, ..Default::default() };
        link.set_link_status(1);
        assert_eq!(Link::from(link), Link { up: true, speed_mbps: 0, full_duplex: false });
    }
}
