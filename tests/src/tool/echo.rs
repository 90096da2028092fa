//! UDP echo: every datagram goes back to its sender. One that starts with `?` gets our name before
//! it, so that a client can see who answered.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use tokio::net::UdpSocket;

/// Longest UDP payload over IPv4.
const DATAGRAM_MAX: usize = 65_507;

/// Any free port of a peer's family.
pub(crate) fn any(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

pub(crate) async fn serve(socket: UdpSocket, name: Rc<str>) {
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        // Errors here are ICMP answers to earlier echoes: the client has gone.
        let Ok((len, from)) = socket.recv_from(&mut buffer).await else { continue };
        let datagram = buffer.get(..len).unwrap_or_default();
        let _ = if datagram.starts_with(b"?") {
            let named = [name.as_bytes(), b" ", datagram].concat();
            socket.send_to(&named, from).await
        } else {
            socket.send_to(datagram, from).await
        };
    }
}
