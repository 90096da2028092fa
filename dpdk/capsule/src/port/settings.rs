//! What a port is asked for.

/// What a port is asked for; the device decides what it gets ([`super::PortFeatures`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSettings {
    /// At least 1. For `AF_PACKET` as many as the device has, see [`crate::Device::AfPacket`].
    pub rx_queues: u16,
    /// At least 1.
    pub tx_queues: u16,
    /// Per queue.
    pub rx_descriptors: u16,
    /// Per queue.
    pub tx_descriptors: u16,
    /// Bytes of the longest IP packet. A kernel interface gets this MTU too if it differs from 1,500.
    pub mtu: u16,
    /// Toeplitz key of the distribution over several rx queues; `None` for the driver's. Longer keys
    /// of some devices are filled by repeating it.
    pub rss_key: Option<[u8; 40]>,
    /// Receive frames to foreign MAC addresses too.
    pub promiscuous: bool,
    /// Have checksums checked at rx, and offer to compute them at tx.
    pub checksum_offload: bool,
}

impl Default for PortSettings {
    /// One queue pair of 1,024 descriptors, MTU 1,500, no promiscuity, checksums where possible.
    fn default() -> Self {
        Self {
            rx_queues: 1,
            tx_queues: 1,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            mtu: 1500,
            rss_key: None,
            promiscuous: false,
            checksum_offload: true,
        }
    }
}
