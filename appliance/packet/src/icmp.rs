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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{hex, with};
    use crate::{build, flow};
    use proptest::prelude::*;

    const LINK: &str = "020000000002 020000000001 0800";
    const REQUEST: &str = "45000020 00004000 0301bb42 ac1a3201 ac1a3265 080006fa 12340001 70696e67";
    const REPLY: &str = "45000020 00004000 40017e42 ac1a3265 ac1a3201 00000efa 12340001 70696e67";

    #[test]
    fn a_golden_request_becomes_the_golden_reply() {
        let mut frame = [hex(LINK), hex(REQUEST)].concat();
        assert!(echo_reply_in_place(&mut frame, 14, 34));
        assert_eq!(frame[14..], hex(REPLY));
        assert_eq!(frame[..14], hex(LINK), "the link header is the caller's");
    }

    #[test]
    fn what_is_no_request_is_left_alone() {
        let request = [hex(LINK), hex(REQUEST)].concat();
        for frame in [
            with(&request, &[(34, 0)]),
            with(&request, &[(34, 3)]),
            with(&request, &[(35, 1)]),
            request[..41].to_vec(),
            request[..30].to_vec(),
            Vec::new(),
        ] {
            let mut after = frame.clone();
            assert!(!echo_reply_in_place(&mut after, 14, 34), "{frame:02x?}");
            assert_eq!(after, frame);
        }
        for (l3, l4) in [(15, 34), (34, 14), (usize::MAX, 34), (14, usize::MAX), (0, 0)] {
            let mut after = request.clone();
            assert!(!echo_reply_in_place(&mut after, l3, l4), "{l3} {l4}");
            assert_eq!(after, request);
        }
    }

    #[test]
    fn errors_are_told_from_questions() {
        let errors: Vec<u8> = (0..=255).filter(|icmp_type| is_error(*icmp_type)).collect();
        assert_eq!(errors, [3, 4, 5, 11, 12]);
    }

    proptest! {
        #[test]
        fn a_reply_is_what_a_host_would_build(
            src: u32, dst: u32, id: u16, sequence: u16, ttl in 1u8.., data: Vec<u8>, vlan in proptest::option::of(1u16..4095)
        ) {
            let (src, dst) = (src.into(), dst.into());
            let mut frame =
                build::icmp_echo(src, dst, id, sequence).ttl(ttl).payload(&data).vlan(vlan).finish();
            let parsed = flow::parse(&frame);
            prop_assert!(echo_reply_in_place(&mut frame, parsed.l3.into(), parsed.l4.into()));
            let reply =
                build::icmp_echo_reply(dst, src, id, sequence).payload(&data).vlan(vlan).finish();
            prop_assert_eq!(frame, reply);
        }

        #[test]
        fn arbitrary_frames_and_offsets_never_panic(mut bytes: Vec<u8>, l3 in 0usize..64, l4 in 0usize..64) {
            echo_reply_in_place(&mut bytes, l3, l4);
        }
    }
}
