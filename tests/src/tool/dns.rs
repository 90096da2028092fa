//! A name server (RFC 1035) for whom every name is at its own address, so that a client can see who answered.

use std::net::IpAddr;

use tokio::net::UdpSocket;

/// Longest message over plain UDP (RFC 1035, 4.2.1).
const MESSAGE_MAX: usize = 512;
const HEADER_LEN: usize = 12;
/// "The name in the question": a pointer to the octet after the header (RFC 1035, 4.1.4).
const SAME_NAME: [u8; 2] = [0xc0, 12];
const TYPE_A: [u8; 2] = [0, 1];
const TYPE_AAAA: [u8; 2] = [0, 28];
const CLASS_IN: [u8; 2] = [0, 1];
/// A response, authoritative, recursion available; no error.
const FLAGS: [u8; 2] = [0x84, 0x80];

pub(crate) async fn serve(socket: UdpSocket, addresses: Vec<IpAddr>) {
    let mut buffer = vec![0; MESSAGE_MAX];
    loop {
        // Errors here are ICMP answers to earlier messages: the client has gone.
        let Ok((len, from)) = socket.recv_from(&mut buffer).await else { continue };
        let message = buffer.get(..len).unwrap_or_default();
        if let Some(answer) = answer(message, &addresses) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

/// The answer to a message with one question; what follows the question (EDNS) is passed over.
fn answer(message: &[u8], addresses: &[IpAddr]) -> Option<Vec<u8>> {
    let (header, rest) = message.split_at_checked(HEADER_LEN)?;
    let id = header.first_chunk::<2>()?;
    // Labels up to the empty one, then type and class.
    let mut name_len = 0_usize;
    loop {
        let label = usize::from(*rest.get(name_len)?);
        name_len = name_len.checked_add(label)?.checked_add(1)?;
        if label == 0 {
            break;
        }
    }
    let question = rest.get(..name_len.checked_add(4)?)?;
    let kind = question.get(name_len..)?.first_chunk::<2>()?;
    let records: Vec<Vec<u8>> = addresses.iter().filter_map(|at| record(*kind, *at)).collect();
    let count = u8::try_from(records.len()).ok()?;
    let counts = [0, 1, 0, count, 0, 0, 0, 0];
    Some([&id[..], &FLAGS, &counts, question, &records.concat()].concat())
}

fn record(kind: [u8; 2], address: IpAddr) -> Option<Vec<u8>> {
    let data = match (kind, address) {
        (TYPE_A, IpAddr::V4(v4)) => v4.octets().to_vec(),
        (TYPE_AAAA, IpAddr::V6(v6)) => v6.octets().to_vec(),
        _ => return None,
    };
    let len = u16::try_from(data.len()).ok()?.to_be_bytes();
    let ttl = [0; 4];
    Some([&SAME_NAME[..], &kind, &CLASS_IN, &ttl, &len, &data].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\x20\0\x01\0\0\0\0\0\x01\x03web\0\0\x01\0\x01";

    #[test]
    fn a_name_is_at_the_servers_own_address() {
        let addresses = ["10.0.1.72".parse().unwrap(), "fd10::1".parse().unwrap()];
        let expected: &[u8] = b"\x12\x34\x84\x80\0\x01\0\x01\0\0\0\0\x03web\0\0\x01\0\x01\
            \xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x0a\0\x01\x48";
        assert_eq!(answer(QUERY, &addresses).unwrap(), expected);
    }

    #[test]
    fn a_message_cut_short_gets_no_answer() {
        for len in 0..QUERY.len() {
            assert_eq!(answer(&QUERY[..len], &[]), None, "{len} octets");
        }
    }
}
