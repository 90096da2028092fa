//! The RST that answers a segment of no connection.

use crate::addr;
use crate::checksum;
use crate::ipv4::{self, Ipv4Repr, protocol};
use crate::tcp::{Tcp, TcpFlags, TcpRepr};

/// Length of what [`reset`] writes in bytes: IPv4 header and TCP header.
pub const RESET_LEN: usize = ipv4::HEADER_LEN + super::HEADER_LEN;

/// Writes the IPv4 packet with the RST that RFC 9293, 3.10.7.1 sends in answer to the segment in
/// `original_l3` and returns its length.
///
/// `None`, and nothing written, when there must be no answer: the segment is itself a RST, is a
/// fragment, is not TCP, is malformed, or an address of it names no single host.
pub fn reset(original_l3: &[u8], out: &mut [u8; RESET_LEN]) -> Option<usize> {
    let packet = ipv4::parse(original_l3).ok()?;
    if packet.protocol != protocol::TCP
        || packet.is_fragment()
        || addr::is_bogon_source(packet.src)
        || !addr::is_unicast_destination(packet.dst)
    {
        return None;
    }
    let segment = Tcp::parse(packet.payload(original_l3)).ok()?;
    if segment.flags().rst() {
        return None;
    }
    let (seq, ack, flags) = if segment.flags().ack() {
        (segment.ack(), 0, TcpFlags::RST)
    } else {
        let ack = segment.seq().wrapping_add(segment.seq_len());
        (0, ack, TcpFlags::RST | TcpFlags::ACK)
    };
    let (sport, dport) = (segment.dst_port(), segment.src_port());
    let tcp = TcpRepr { sport, dport, seq, ack, flags, window: 0 };
    let check = checksum::transport_ipv4(packet.dst, packet.src, protocol::TCP, &tcp.emit(0));
    let ip = Ipv4Repr::own(packet.dst, packet.src, protocol::TCP, 20);
    let (l3, l4) = out.split_at_mut_checked(ipv4::HEADER_LEN)?;
    l3.copy_from_slice(&ip.emit());
    l4.copy_from_slice(&tcp.emit(check));
    Some(RESET_LEN)
}
