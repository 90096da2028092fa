//! Messages of `NETLINK_SOCK_DIAG`, as bytes: sock_diag(7), `<linux/inet_diag.h>`, `<linux/sock_diag.h>`.
//!
//! Headers are in the machine's order, addresses and ports in network order.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Bytes of `struct nlmsghdr`.
const HEADER_LEN: usize = 16;
/// Bytes of `struct inet_diag_sockid`.
pub(super) const ID_LEN: usize = 48;
/// Bytes of `struct inet_diag_msg`.
const DIAG_LEN: usize = 72;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;

pub(super) const AF_INET: u8 = 2;
pub(super) const AF_INET6: u8 = 10;

/// States of a socket that has a peer: established, SYN sent, FIN wait 1 and 2, close wait.
const WITH_PEER: u32 = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 8;

/// Which sockets a dump is of.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// `AF_INET6` has the sockets that speak IPv4 by mapped addresses too.
    pub(super) family: u8,
    pub(super) protocol: u8,
}

/// One socket of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) kind: Kind,
    /// `struct inet_diag_sockid` as it came: both ends, the device, the cookie.
    pub(super) id: [u8; ID_LEN],
    /// IPv4, where it is mapped.
    pub(super) peer: SocketAddr,
    /// What no other socket since the start of the machine has had.
    pub(super) cookie: u64,
}

/// One message of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Socket(Box<Seen>),
    Done,
    /// An errno, positive; 0 acknowledges.
    Error(i32),
}

/// Asks for all sockets with a peer.
pub(super) fn dump(kind: Kind) -> Vec<u8> {
    message(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, &request(kind, &[0; ID_LEN]))
}

/// Closes one socket: its owner gets ECONNABORTED.
pub(super) fn destroy(socket: &Seen) -> Vec<u8> {
    message(SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, &request(socket.kind, &socket.id))
}

fn request(kind: Kind, id: &[u8; ID_LEN]) -> Vec<u8> {
    let mut request = vec![kind.family, kind.protocol, 0, 0];
    request.extend(WITH_PEER.to_ne_bytes());
    request.extend(id);
    request
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(HEADER_LEN + body.len()).unwrap_or(u32::MAX);
    let mut message = Vec::with_capacity(HEADER_LEN + body.len());
    message.extend(len.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Sequence number and sender: one request at a time is under way on a socket of its own.
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// The messages of one datagram; what is torn ends it.
pub(super) fn messages(mut datagram: &[u8], protocol: u8) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some((kind, body, rest)) = split_message(datagram) {
        datagram = rest;
        let it = match kind {
            SOCK_DIAG_BY_FAMILY => seen(body, protocol).map(|it| Message::Socket(Box::new(it))),
            // A dump that fails later than at once says so here.
            NLMSG_DONE => Some(match integer(body) {
                Some(negative @ ..0) => Message::Error(negative.saturating_neg()),
                Some(0..) | None => Message::Done,
            }),
            NLMSG_ERROR => integer(body).map(|errno| Message::Error(errno.saturating_neg())),
            _ => None,
        };
        messages.extend(it);
    }
    messages
}

fn integer(body: &[u8]) -> Option<i32> {
    body.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes))
}

fn split_message(datagram: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (header, _) = datagram.split_first_chunk::<HEADER_LEN>()?;
    let [a, b, c, d, kind_0, kind_1, ..] = *header;
    let len = usize::try_from(u32::from_ne_bytes([a, b, c, d])).ok()?;
    let body = datagram.get(HEADER_LEN..len)?;
    let rest = datagram.get(len.next_multiple_of(4)..).unwrap_or_default();
    Some((u16::from_ne_bytes([kind_0, kind_1]), body, rest))
}

fn seen(body: &[u8], protocol: u8) -> Option<Seen> {
    let header = body.first_chunk::<DIAG_LEN>()?;
    let family = *header.first()?;
    let id: [u8; ID_LEN] = header.get(4..4 + ID_LEN)?.try_into().ok()?;
    let peer = peer(family, &id)?;
    let cookie = cookie(&id)?;
    Some(Seen { kind: Kind { family, protocol }, id, peer, cookie })
}

/// `idiag_cookie`: the low half first (`sock_diag_save_cookie`).
fn cookie(id: &[u8; ID_LEN]) -> Option<u64> {
    let [low, high] = *id.get(40..)?.as_chunks::<4>().0 else { return None };
    Some(u64::from(u32::from_ne_bytes(low)) | u64::from(u32::from_ne_bytes(high)) << 32)
}

/// `idiag_dst` and `idiag_dport`.
fn peer(family: u8, id: &[u8; ID_LEN]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(*id.get(2..)?.first_chunk()?);
    let octets: [u8; 16] = *id.get(20..)?.first_chunk()?;
    let address = match family {
        AF_INET => IpAddr::from(*octets.first_chunk::<4>()?),
        AF_INET6 => IpAddr::V6(Ipv6Addr::from(octets)).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
