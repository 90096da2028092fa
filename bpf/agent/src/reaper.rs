//! Closes sockets whose backend vanished: a connected UDP client would otherwise speak to nobody for ever.
//!
//! The kernel is asked in every network namespace of the node for sockets with a peer and for what `socket_peer` says
//! of them, so that only those are closed that came by the service which lost the backend: a socket that was connected
//! to the pod's own address stays. Where the kernel cannot tell the rows (see [`RowsError`]), the peer's address alone
//! decides. The owner of a socket gets ECONNABORTED at its next call and connects again.
//!
//! Sockets that are not connected need no help: their next datagram goes elsewhere. TCP has its own timers and
//! stays, unless asked for.

mod rows;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
};
use nix::sys::time::TimeVal;
use spillway_lb::model::Protocol;

use self::rows::ByCookie;
pub use self::rows::{Rows, RowsError};
use self::wire::{AF_INET, AF_INET6, Kind, Message, Seen};
use crate::ledger::GoneBackend;
use crate::namespaces::{self, Places};

/// How long the kernel may take for one answer.
const ANSWER_S_MAX: i64 = 5;
/// The kernel fills datagrams of a dump up to 32 KiB.
const DATAGRAM_LEN_MAX: usize = 64 * 1024;

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Sockets that were closed.
    pub sockets: usize,
    /// Whether the peer's address alone decided somewhere.
    pub by_address_alone: bool,
    /// Sentences, each with the name of its namespace.
    pub errors: Vec<String>,
}

/// Closes sockets in all namespaces of the node.
#[derive(Debug)]
pub struct Reaper {
    /// `None`: the peer's address alone decides.
    rows: Option<Rows>,
    places: Places,
    protocols: Vec<Protocol>,
}

/// The number in IP headers.
const fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    }
}

/// Services that lost a backend, by the backend.
type Losses = BTreeMap<SocketAddr, BTreeSet<u32>>;

impl Reaper {
    /// Without `rows`, the peer's address alone decides; with `tcp`, connections are closed too.
    pub fn new(rows: Option<Rows>, places: Places, tcp: bool) -> Self {
        let protocols = if tcp { vec![Protocol::Udp, Protocol::Tcp] } else { vec![Protocol::Udp] };
        Self { rows, places, protocols }
    }

    /// Closes the sockets of vanished backends. Blocks: some milliseconds for hundreds of namespaces.
    pub fn reap(&self, gone: &[GoneBackend]) -> Reaped {
        let mut reaped = Reaped { by_address_alone: self.rows.is_none(), ..Reaped::default() };
        let losses: Vec<(Protocol, Losses)> = self
            .protocols
            .iter()
            .map(|protocol| (*protocol, losses(gone, *protocol)))
            .filter(|(_, losses)| !losses.is_empty())
            .collect();
        if losses.is_empty() {
            return reaped;
        }
        let visited = namespaces::visit(&self.places, |_| self.reap_here(&losses));
        match visited {
            Ok(visited) => {
                for here in visited.found {
                    reaped.sockets += here;
                }
                reaped.errors = visited.errors;
            }
            Err(error) => reaped.errors.push(format!("no namespace was searched: {error}")),
        }
        reaped
    }

    /// How many in the namespace that the thread is in.
    fn reap_here(&self, losses: &[(Protocol, Losses)]) -> Result<usize, String> {
        let told = |error| format!("sock_diag: {error}");
        let mut closed = 0;
        let netlink = open().map_err(told)?;
        for (protocol, losses) in losses {
            let mut candidates = Vec::new();
            for family in [AF_INET, AF_INET6] {
                let kind = Kind { family, protocol: number(*protocol) };
                let sockets = dump(&netlink, kind).map_err(told)?;
                candidates.extend(sockets.into_iter().filter(|it| losses.contains_key(&it.peer)));
            }
            if candidates.is_empty() {
                continue;
            }
            let rows = self.rows.as_ref().map(|rows| rows.here(*protocol)).transpose();
            let rows = rows.map_err(|error| format!("rows of its sockets: {error}"))?;
            for socket in candidates.iter().filter(|it| is_stranded(it, losses, rows.as_ref())) {
                closed += usize::from(destroy(&netlink, socket)?);
            }
        }
        Ok(closed)
    }
}

fn losses(gone: &[GoneBackend], protocol: Protocol) -> Losses {
    let mut losses = Losses::new();
    for backend in gone.iter().filter(|it| it.protocol == protocol) {
        let socket = SocketAddr::new(backend.address.ip().to_canonical(), backend.address.port());
        losses.entry(socket).or_default().insert(backend.service);
    }
    losses
}

/// Whether the socket's peer is a backend that its service lost.
fn is_stranded(socket: &Seen, losses: &Losses, rows: Option<&ByCookie>) -> bool {
    let Some(services) = losses.get(&socket.peer) else { return false };
    let Some(rows) = rows else { return true };
    // A row may be older than the peer: a socket can be dissolved, and connected by another way.
    rows.get(&socket.cookie).is_some_and(|row| {
        let backend = SocketAddr::new(row.backend_address.into(), row.backend_port.into());
        backend == socket.peer && services.contains(&row.service)
    })
}

fn open() -> nix::Result<OwnedFd> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    setsockopt(&netlink, ReceiveTimeout, &TimeVal::new(ANSWER_S_MAX, 0))?;
    Ok(netlink)
}

fn dump(netlink: &OwnedFd, kind: Kind) -> nix::Result<Vec<Seen>> {
    let mut sockets = Vec::new();
    request(netlink, kind, &wire::dump(kind), |socket| sockets.push(socket))?;
    Ok(sockets)
}

/// Whether it was there to be closed.
fn destroy(netlink: &OwnedFd, socket: &Seen) -> Result<bool, String> {
    match request(netlink, socket.kind, &wire::destroy(socket), drop) {
        Ok(()) => Ok(true),
        // It was closed, or closed and replaced, meanwhile.
        Err(Errno::ENOENT | Errno::ESTALE) => Ok(false),
        Err(Errno::EOPNOTSUPP) => {
            Err("the kernel closes no sockets: CONFIG_INET_DIAG_DESTROY is needed".to_owned())
        }
        Err(error) => Err(format!("a socket towards {} stays: {error}", socket.peer)),
    }
}

/// Sends a request and reads its answer to the end.
fn request(
    netlink: &OwnedFd,
    kind: Kind,
    request: &[u8],
    mut each: impl FnMut(Seen),
) -> nix::Result<()> {
    send(netlink.as_raw_fd(), request, MsgFlags::empty())?;
    let mut buffer = vec![0; DATAGRAM_LEN_MAX];
    loop {
        let len = recv(netlink.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let messages = wire::messages(buffer.get(..len).unwrap_or_default(), kind.protocol);
        for message in messages {
            match message {
                Message::Socket(socket) => each(*socket),
                Message::Done | Message::Error(0) => return Ok(()),
                Message::Error(errno) => return Err(Errno::from_raw(errno)),
            }
        }
    }
}
