use super::*;

const UDP4: Kind = Kind { family: AF_INET, protocol: 17 };

/// What the kernel would send of one socket: see `inet_sk_diag_fill`.
fn answer(family: u8, octets: &[u8]) -> Vec<u8> {
    let mut body = vec![family, 1, 0, 0];
    let mut id = [0; ID_LEN];
    id[..2].copy_from_slice(&40_000_u16.to_be_bytes());
    id[2..4].copy_from_slice(&53_u16.to_be_bytes());
    id[20..20 + octets.len()].copy_from_slice(octets);
    id[40..].copy_from_slice(&[7, 0, 0, 0, 1, 0, 0, 0]);
    body.extend(id);
    body.extend([0; 20]);
    // An attribute that nobody asked for: INET_DIAG_SHUTDOWN.
    body.extend([5, 0, 8, 0, 0, 0, 0, 0]);
    message(SOCK_DIAG_BY_FAMILY, 2, &body)
}

fn sockets(datagram: &[u8]) -> Vec<Seen> {
    let socket = |message| match message {
        Message::Socket(seen) => Some(*seen),
        Message::Done | Message::Error(_) => None,
    };
    messages(datagram, 17).into_iter().filter_map(socket).collect()
}

#[test]
fn a_dump_asks_for_sockets_with_a_peer() {
    let plain = dump(UDP4);
    assert_eq!(plain.len(), 72);
    assert_eq!(plain[..8], [72, 0, 0, 0, 20, 0, 0x01, 0x03]);
    assert_eq!(plain[16..24], [2, 17, 0, 0, 0x36, 1, 0, 0]);
}

#[test]
fn a_socket_comes_with_its_peer_and_its_cookie_and_is_closed_by_them() {
    let found = sockets(&answer(AF_INET, &[10, 244, 1, 7]));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].peer, "10.244.1.7:53".parse().unwrap());
    assert_eq!(found[0].cookie, 1 << 32 | 7);
    let wanted = destroy(&found[0]);
    assert_eq!(wanted[4..8], [21, 0, 5, 0]);
    assert_eq!(wanted[24..], found[0].id);
}

#[test]
fn a_mapped_peer_is_the_ipv4_one() {
    let mapped = "::ffff:10.244.1.7".parse::<Ipv6Addr>().unwrap().octets();
    let found = sockets(&answer(AF_INET6, &mapped));
    assert_eq!(found[0].peer, "10.244.1.7:53".parse().unwrap());
    assert_eq!(found[0].kind.family, AF_INET6);
}

#[test]
fn several_messages_of_one_datagram_are_all_read() {
    let mut datagram = answer(AF_INET, &[10, 244, 1, 7]);
    datagram.extend(answer(AF_INET, &[10, 244, 1, 8]));
    datagram.extend(message(NLMSG_DONE, 2, &0_i32.to_ne_bytes()));
    assert_eq!(sockets(&datagram).len(), 2);
    assert_eq!(messages(&datagram, 17).last(), Some(&Message::Done));
}

#[test]
fn errors_are_told_wherever_they_come() {
    let refused = message(NLMSG_ERROR, 0, &(-1_i32).to_ne_bytes());
    assert_eq!(messages(&refused, 17), [Message::Error(1)]);
    let late = message(NLMSG_DONE, 2, &(-90_i32).to_ne_bytes());
    assert_eq!(messages(&late, 17), [Message::Error(90)]);
}

#[test]
fn torn_datagrams_end_early_and_never_panic() {
    let whole = answer(AF_INET, &[10, 244, 1, 7]);
    for len in 0..whole.len() {
        assert_eq!(messages(&whole[..len], 17), [], "{len} bytes");
    }
    let mut lying = whole.clone();
    lying[0] = 8;
    assert_eq!(messages(&lying, 17), []);
}
