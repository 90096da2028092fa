//! ICMP (RFC 792): echo, and the errors that the box sends.

mod error;

use crate::checksum;
use crate::ipv4;

pub use error::{
    ERROR_LEN_MAX, ErrorKind, error, may_answer_with_error, port_unreachable, time_exceeded,
};

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 8;

/// Message types (IANA).
pub mod icmp_type {
    pub const ECHO_REPLY: u8 = 0;
    pub const UNREACHABLE: u8 = 3;
    pub const SOURCE_QUENCH: u8 = 4;
    pub const REDIRECT: u8 = 5;
    pub const ECHO_REQUEST: u8 = 8;
    pub const TIME_EXCEEDED: u8 = 11;
    pub const PARAMETER_PROBLEM: u8 = 12;
}

/// True for the types that report an error and quote a packet (RFC 1122, 3.2.2).
#[inline]
pub const fn is_error(icmp_type: u8) -> bool {
    matches!(
        icmp_type,
        icmp_type::UNREACHABLE
            | icmp_type::SOURCE_QUENCH
            | icmp_type::REDIRECT
            | icmp_type::TIME_EXCEEDED
            | icmp_type::PARAMETER_PROBLEM
    )
}

/// Turns an echo request into its reply where it lies: addresses swapped, type 0, TTL 64, both
/// checksums updated incrementally, so that a request that came broken goes back broken. The MAC
/// addresses are the caller's to swap.
///
/// `l3` and `l4` are offsets as [`crate::flow::parse`] gave them. False, and nothing changed, when
/// there is no echo request at `l4`.
pub fn echo_reply_in_place(frame: &mut [u8], l3: usize, l4: usize) -> bool {
    let Some((before, after)) = frame.split_at_mut_checked(l4) else { return false };
    let Some(ip) = before.get_mut(l3..).and_then(<[u8]>::first_chunk_mut::<{ ipv4::HEADER_LEN }>)
    else {
        return false;
    };
    let Some([kind, code, c0, c1, ..]) = after.first_chunk_mut::<HEADER_LEN>() else {
        return false;
    };
    if (*kind, *code) != (icmp_type::ECHO_REQUEST, 0) {
        return false;
    }
    let check = u16::from_be_bytes([*c0, *c1]);
    let old = u16::from_be_bytes([*kind, *code]);
    [*c0, *c1] = checksum::update(check, old, 0).to_be_bytes();
    *kind = icmp_type::ECHO_REPLY;

    let [_, _, _, _, _, _, _, _, ttl, protocol, h0, h1, s0, s1, s2, s3, d0, d1, d2, d3] = ip;
    let old = u16::from_be_bytes([*ttl, *protocol]);
    let new = u16::from_be_bytes([ipv4::TTL_DEFAULT, *protocol]);
    // Swapping source and destination moves words about and leaves their sum alone.
    let check = checksum::update(u16::from_be_bytes([*h0, *h1]), old, new);
    [*h0, *h1] = check.to_be_bytes();
    *ttl = ipv4::TTL_DEFAULT;
    ([*s0, *s1, *s2, *s3], [*d0, *d1, *d2, *d3]) = ([*d0, *d1, *d2, *d3], [*s0, *s1, *s2, *s3]);
    true
}
