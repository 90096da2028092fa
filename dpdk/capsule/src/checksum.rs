//! Checksums that ports check and fill in.

use dpdk_sys as c;

use crate::mbuf::Mbuf;

/// What the port found out about a checksum of a received packet.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum RxChecksum {
    /// Not checked: check it in software if it matters.
    Unknown,
    Good,
    Bad,
    /// The data is intact but the field was never filled in (virtual links): compute it in full,
    /// an incremental update would be wrong.
    Missing,
}

impl RxChecksum {
    fn from_flags(flags: u64, good: u64, bad: u64) -> Self {
        match (flags & good != 0, flags & bad != 0) {
            (false, false) => Self::Unknown,
            (true, false) => Self::Good,
            (false, true) => Self::Bad,
            (true, true) => Self::Missing,
        }
    }
}

/// The L4 checksum that the port is asked to fill in.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum TxL4 {
    None,
    Tcp,
    Udp,
}

/// A request to a port with the feature to compute checksums while sending.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct TxChecksum {
    /// Bytes before the IP header, up to 127.
    pub l2_bytes: u8,
    /// Bytes of the IP header, up to 511.
    pub l3_bytes: u16,
    pub is_ipv6: bool,
    /// Fill in the IPv4 header checksum (the field must be 0).
    pub ip: bool,
    /// Fill in this checksum (the field must hold the pseudo-header's sum).
    pub l4: TxL4,
}

const TCP_HEADER_BYTES_MIN: usize = 20;
const UDP_HEADER_BYTES: usize = 8;

impl Mbuf {
    /// What the port says about the IPv4 header checksum.
    #[inline]
    pub fn rx_ip_checksum(&self) -> RxChecksum {
        RxChecksum::from_flags(
            self.head().ol_flags,
            c::DPDK_RX_IP_CKSUM_GOOD,
            c::DPDK_RX_IP_CKSUM_BAD,
        )
    }

    /// What the port says about the TCP or UDP checksum.
    #[inline]
    pub fn rx_l4_checksum(&self) -> RxChecksum {
        RxChecksum::from_flags(
            self.head().ol_flags,
            c::DPDK_RX_L4_CKSUM_GOOD,
            c::DPDK_RX_L4_CKSUM_BAD,
        )
    }

    /// Asks the sending port for checksums (`PortFeatures::tx_ip_checksum`, `tx_l4_checksum`).
    ///
    /// A later change of the packet's bounds withdraws the request. Returns `false`, changing
    /// nothing, when the headers do not lie within the data.
    #[inline]
    pub fn request_checksum(&mut self, request: TxChecksum) -> bool {
        let (l4_bytes, l4_flags) = match request.l4 {
            TxL4::None => (0, 0),
            TxL4::Tcp => (TCP_HEADER_BYTES_MIN, c::DPDK_TX_TCP_CKSUM),
            TxL4::Udp => (UDP_HEADER_BYTES, c::DPDK_TX_UDP_CKSUM),
        };
        let (l2, l3) = (usize::from(request.l2_bytes), usize::from(request.l3_bytes));
        let fields_fit = l2 < 1 << c::DPDK_TX_L2_LEN_BITS && l3 < 1 << c::DPDK_TX_L3_LEN_BITS;
        if !fields_fit || l2 + l3 + l4_bytes > self.len() {
            return false;
        }
        let version = if request.is_ipv6 { c::DPDK_TX_IPV6 } else { c::DPDK_TX_IPV4 };
        let ip = if request.ip && !request.is_ipv6 { c::DPDK_TX_IP_CKSUM } else { 0 };
        let head = self.head_mut();
        head.ol_flags = (head.ol_flags & !c::DPDK_TX_OFFLOAD_MASK) | version | ip | l4_flags;
        head.tx_offload = (u64::from(request.l2_bytes) << c::DPDK_TX_L2_LEN_SHIFT)
            | (u64::from(request.l3_bytes) << c::DPDK_TX_L3_LEN_SHIFT);
        true
    }
}
