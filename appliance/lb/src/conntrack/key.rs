//! What names a flow in one direction.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::model::Protocol;

/// Which of a flow's two keys a packet matched.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Client to frontend.
    Original,
    /// Backend to SNAT address.
    Reply,
}

/// Source, destination and protocol of a packet, packed for comparing and hashing.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// Source in the high half, destination in the low half.
    pub(super) addresses: u64,
    /// Source port in the high half, destination port in the low half.
    pub(super) ports: u32,
    pub(super) protocol: u8,
}

/// The two ends of a packet.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    pub source: SocketAddrV4,
    pub destination: SocketAddrV4,
}

pub(super) fn pack_addresses(ends: Ends) -> u64 {
    u64::from(ends.source.ip().to_bits()) << 32 | u64::from(ends.destination.ip().to_bits())
}

pub(super) fn pack_ports(ends: Ends) -> u32 {
    u32::from(ends.source.port()) << 16 | u32::from(ends.destination.port())
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of a packed pair")]
pub(super) fn unpack(addresses: u64, ports: u32) -> Ends {
    let source = Ipv4Addr::from_bits((addresses >> 32) as u32);
    let destination = Ipv4Addr::from_bits(addresses as u32);
    Ends {
        source: SocketAddrV4::new(source, (ports >> 16) as u16),
        destination: SocketAddrV4::new(destination, ports as u16),
    }
}

impl FlowKey {
    #[inline]
    pub fn new(protocol: Protocol, ends: Ends) -> Self {
        Self {
            addresses: pack_addresses(ends),
            ports: pack_ports(ends),
            protocol: protocol.number(),
        }
    }

    /// The key as two words, for hashing.
    #[inline]
    pub const fn words(self) -> [u64; 2] {
        [self.addresses, (self.ports as u64) << 8 | self.protocol as u64]
    }

    pub fn ends(self) -> Ends {
        unpack(self.addresses, self.ports)
    }
}
