//! Frames as words, and as octets. Checksums are always computed in full, by code that shares nothing with the programs.

use std::net::{IpAddr, SocketAddr};

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 1 << 1;
pub(crate) const RST: u8 = 1 << 2;
pub(crate) const ACK: u8 = 1 << 4;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// One piece of a fragmented packet.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) id: u32,
    /// In octets of the whole.
    pub(crate) offset: u16,
    pub(crate) more: bool,
}

/// A TCP or UDP packet in an Ethernet frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) macs: [[u8; 6]; 2],
    pub(crate) hops: u8,
    pub(crate) protocol: u8,
    pub(crate) flags: u8,
    pub(crate) payload: Vec<u8>,
    pub(crate) has_checksum: bool,
    /// IPv4 options, or IPv6 extension headers before the transport, without their first "next header".
    pub(crate) options: Vec<u8>,
    pub(crate) piece: Option<Piece>,
    pub(crate) vlan: Option<u16>,
    /// Octets after the end of the packet.
    pub(crate) padding: usize,
}

fn end(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no address:port"))
}

pub(crate) fn tcp(source: &str, destination: &str, flags: u8) -> Frame {
    Frame {
        source: end(source),
        destination: end(destination),
        macs: [[0; 6]; 2],
        hops: 64,
        protocol: TCP,
        flags,
        payload: Vec::new(),
        has_checksum: true,
        options: Vec::new(),
        piece: None,
        vlan: None,
        padding: 0,
    }
}

pub(crate) fn udp(source: &str, destination: &str) -> Frame {
    let mut frame = tcp(source, destination, 0);
    frame.protocol = UDP;
    frame.payload = b"any question?".to_vec();
    frame
}

impl Frame {
    /// Destination and source.
    pub(crate) fn macs(mut self, destination: [u8; 6], source: [u8; 6]) -> Self {
        self.macs = [destination, source];
        self
    }

    pub(crate) fn hops(mut self, hops: u8) -> Self {
        self.hops = hops;
        self
    }

    pub(crate) fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    pub(crate) fn without_checksum(mut self) -> Self {
        self.has_checksum = false;
        self
    }

    pub(crate) fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    pub(crate) fn vlan(mut self, tag: u16) -> Self {
        self.vlan = Some(tag);
        self
    }

    pub(crate) fn padding(mut self, octets: usize) -> Self {
        self.padding = octets;
        self
    }

    /// This piece of the packet; `size` octets from `offset` of what follows the IP header.
    pub(crate) fn piece(mut self, id: u32, offset: u16, more: bool) -> Self {
        self.piece = Some(Piece { id, offset, more });
        self
    }

    /// From other ends, one hop further.
    pub(crate) fn translated(&self, source: &str, destination: &str) -> Self {
        let mut frame = self.clone();
        frame.source = end(source);
        frame.destination = end(destination);
        frame
    }

    /// What came is sent back.
    pub(crate) fn answer(&self, flags: u8) -> Self {
        let mut frame = self.clone();
        (frame.source, frame.destination) = (self.destination, self.source);
        frame.flags = flags;
        frame.hops = 64;
        frame
    }

    fn transport(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.source.port().to_be_bytes());
        bytes.extend(self.destination.port().to_be_bytes());
        let checksum_at = if self.protocol == TCP {
            bytes.extend([0, 0, 0x10, 1, 0, 0, 0x20, 2, 0x50, self.flags, 0xff, 0, 0, 0, 0, 0]);
            16
        } else {
            bytes.extend(u16::try_from(8 + self.payload.len()).unwrap().to_be_bytes());
            bytes.extend([0, 0]);
            6
        };
        bytes.extend(&self.payload);
        if self.has_checksum {
            let mut pseudo = match (self.source.ip(), self.destination.ip()) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    [source.octets(), destination.octets()].concat()
                }
                (IpAddr::V6(source), IpAddr::V6(destination)) => {
                    [source.octets(), destination.octets()].concat()
                }
                (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                    panic!("two families")
                }
            };
            pseudo.extend([0, self.protocol]);
            pseudo.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
            pseudo.extend(&bytes);
            let sum = match checksum(&pseudo) {
                0 if self.protocol == UDP => 0xffff,
                sum => sum,
            };
            bytes[checksum_at..checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        bytes
    }

    /// What follows the IP header: a piece of the transport, or all of it.
    fn content(&self) -> Vec<u8> {
        let whole = self.transport();
        let Some(piece) = self.piece else { return whole };
        let from = usize::from(piece.offset);
        if piece.more { whole[from..from + 16].to_vec() } else { whole[from..].to_vec() }
    }

    fn packet_v4(&self, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let content = self.content();
        let header = 20 + self.options.len();
        let (id, fragment) = match self.piece {
            Some(piece) => (piece.id, (piece.offset / 8) | (u16::from(piece.more) << 13)),
            None => (0x1234, 0x4000),
        };
        let mut bytes = vec![0x40 | u8::try_from(header / 4).unwrap(), 0];
        bytes.extend(u16::try_from(header + content.len()).unwrap().to_be_bytes());
        bytes.extend(u16::try_from(id).unwrap().to_be_bytes());
        bytes.extend(fragment.to_be_bytes());
        bytes.extend([self.hops, self.protocol, 0, 0]);
        bytes.extend(source);
        bytes.extend(destination);
        bytes.extend(&self.options);
        let sum = checksum(&bytes);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend(content);
        bytes
    }

    fn packet_v6(&self, source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
        let mut content = self.content();
        let mut next = self.protocol;
        if let Some(piece) = self.piece {
            let mut header = vec![next, 0];
            header.extend((piece.offset | u16::from(piece.more)).to_be_bytes());
            header.extend(piece.id.to_be_bytes());
            content.splice(0..0, header);
            next = 44;
        }
        if !self.options.is_empty() {
            // Destination options: next header, length, content.
            let mut header = vec![next];
            header.extend(&self.options);
            content.splice(0..0, header);
            next = 60;
        }
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        bytes.extend([next, self.hops]);
        bytes.extend(source);
        bytes.extend(destination);
        bytes.extend(content);
        bytes
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (kind, packet) = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                (0x0800_u16, self.packet_v4(source.octets(), destination.octets()))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                (0x86dd, self.packet_v6(source.octets(), destination.octets()))
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                panic!("two families")
            }
        };
        let mut bytes = self.macs.concat();
        if let Some(tag) = self.vlan {
            bytes.extend([0x81, 0]);
            bytes.extend(tag.to_be_bytes());
        }
        bytes.extend(kind.to_be_bytes());
        bytes.extend(packet);
        bytes.extend(vec![0; self.padding]);
        bytes
    }
}

/// RFC 1071, in full.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}
