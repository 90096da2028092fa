//! Follows the kernel: asks for everything at start, and again when it says that something changed.
//!
//! What exactly changed is not looked at: a list of all devices of a node is a millisecond, and cannot be missed by a
//! notification that was lost.
#![expect(clippy::wildcard_enum_match_arm, reason = "enums of netlink, of which a few matter here")]

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{info, warn};

use super::netlink::Netlink;
use super::{DeviceRef, DeviceView, Kind, Link, NodeAddress, Role, Rules, Snapshot, classify};

/// Notifications come in bursts; within this time they are one.
const SETTLE: Duration = Duration::from_millis(10);
/// Rest after a list that failed.
const RETRY: Duration = Duration::from_millis(100);

/// Groups of `linux/rtnetlink.h`: links, addresses and routes of both families.
const GROUP_LINK: u32 = 1;
const GROUP_IPV4_ADDRESS: u32 = 5;
const GROUP_IPV4_ROUTE: u32 = 7;
const GROUP_IPV6_ADDRESS: u32 = 9;
const GROUP_IPV6_ROUTE: u32 = 11;

/// Why the devices cannot be followed.
#[derive(Debug, Error)]
pub enum DevicesError {
    #[error("devices of this node: {attempt}: {error}")]
    Netlink { attempt: &'static str, error: io::Error },
}

impl DevicesError {
    fn netlink(attempt: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Netlink { attempt, error }
    }
}

/// The devices of the network namespace that `start` was called in, as they come and go. Dropped, it stops.
#[derive(Debug)]
pub struct Devices {
    rules: watch::Sender<Rules>,
    view: watch::Receiver<Arc<DeviceView>>,
    task: JoinHandle<()>,
}

impl Devices {
    /// Asks the kernel, and follows it from a task of the runtime that this is called in.
    pub fn start(rules: Rules) -> Result<Self, DevicesError> {
        // First the ear, then the question: nothing falls between.
        let news = listen().map_err(DevicesError::netlink("listen to the kernel"))?;
        let mut netlink = Netlink::open().map_err(DevicesError::netlink("open a socket"))?;
        let first = look(&mut netlink, &rules).map_err(DevicesError::netlink("list them"))?;
        let (view_sender, view) = watch::channel(Arc::new(first));
        let (rules, rules_receiver) = watch::channel(rules);
        let task = tokio::spawn(follow(netlink, news, rules_receiver, view_sender));
        Ok(Self { rules, view, task })
    }

    /// The newest view; `changed()` of the receiver wakes up when there is another.
    pub fn view(&self) -> watch::Receiver<Arc<DeviceView>> {
        self.view.clone()
    }

    /// Tells the node's InternalIPs, once they are known or when they change.
    pub fn set_node_addresses(&self, node_addresses: &[std::net::IpAddr]) {
        self.rules.send_if_modified(|rules| {
            let is_new = rules.node_addresses != node_addresses;
            if is_new {
                rules.node_addresses = node_addresses.to_vec();
            }
            is_new
        });
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn listen() -> io::Result<AsyncFd<Socket>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind(&SocketAddr::new(0, 0))?;
    socket.set_non_blocking(true)?;
    for group in
        [GROUP_LINK, GROUP_IPV4_ADDRESS, GROUP_IPV4_ROUTE, GROUP_IPV6_ADDRESS, GROUP_IPV6_ROUTE]
    {
        socket.add_membership(group)?;
    }
    register(socket)
}

#[expect(unsafe_code, reason = "tokio asks for a promise that the descriptor stays open")]
fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: the socket owns its descriptor, always tells the same one, and is moved into the `AsyncFd`.
    let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
    registered.map_err(io::Error::from)
}

async fn follow(
    mut netlink: Netlink,
    news: AsyncFd<Socket>,
    mut rules: watch::Receiver<Rules>,
    view: watch::Sender<Arc<DeviceView>>,
) {
    loop {
        tokio::select! {
            () = view.closed() => return,
            changed = rules.changed() => if changed.is_err() { return },
            () = wait(&news) => {}
        }
        sleep(SETTLE).await;
        drain(news.get_ref());
        let wanted = rules.borrow_and_update().clone();
        match look(&mut netlink, &wanted) {
            Ok(seen) => tell(&view, seen),
            Err(error) => {
                warn!(%error, "cannot list the devices of this node; trying again");
                sleep(RETRY).await;
                rules.mark_changed();
            }
        }
    }
}

async fn wait(news: &AsyncFd<Socket>) {
    match news.readable().await {
        Ok(mut ready) => {
            drain(news.get_ref());
            ready.clear_ready();
        }
        Err(error) => {
            warn!(%error, "cannot listen to the kernel's news of devices");
            sleep(RETRY).await;
        }
    }
}

/// What the messages say does not matter; nor does it that some were lost (ENOBUFS).
fn drain(socket: &Socket) {
    let mut datagram = Vec::with_capacity(4096);
    loop {
        datagram.clear();
        match socket.recv(&mut datagram, 0) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(error) => {
                warn!(%error, fd = socket.as_raw_fd(), "cannot read the kernel's news of devices");
                return;
            }
        }
    }
}

fn tell(view: &watch::Sender<Arc<DeviceView>>, seen: DeviceView) {
    view.send_if_modified(|known| {
        if **known == seen {
            return false;
        }
        let netdevs = |view: &DeviceView| -> Vec<String> {
            let is_netdev = |&(_, role): &(&DeviceRef, Role)| role == Role::Netdev;
            view.roles().filter(is_netdev).map(|(device, _)| device.name.clone()).collect()
        };
        let (old, new) = (netdevs(known), netdevs(&seen));
        if old != new {
            info!(devices = ?new, "the devices that the world is behind changed");
        }
        *known = Arc::new(seen);
        true
    });
}

fn look(netlink: &mut Netlink, rules: &Rules) -> io::Result<DeviceView> {
    let mut snapshot = Snapshot::default();
    for message in netlink.dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()))? {
        if let RouteNetlinkMessage::NewLink(message) = message {
            snapshot.links.extend(link(message));
        }
    }
    for message in netlink.dump(&RouteNetlinkMessage::GetAddress(AddressMessage::default()))? {
        if let RouteNetlinkMessage::NewAddress(message) = message {
            snapshot.addresses.extend(address(&message));
        }
    }
    // Where the devices are named, no default route matters.
    if rules.devices.netdevs.is_empty() {
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut question = RouteMessage::default();
            question.header.address_family = family;
            for message in netlink.dump(&RouteNetlinkMessage::GetRoute(question))? {
                if let RouteNetlinkMessage::NewRoute(message) = message {
                    snapshot.default_routes.extend(default_route(&message));
                }
            }
        }
    }
    Ok(classify(&snapshot, rules))
}

fn link(message: LinkMessage) -> Option<Link> {
    let ifindex = message.header.index;
    let is_loopback = message.header.link_layer_type == LinkLayerType::Loopback
        || message.header.flags.contains(LinkFlags::Loopback);
    let (mut name, mut master, mut is_peer_elsewhere) = (None, None, false);
    let mut kind = if is_loopback { Kind::Loopback } else { Kind::Physical };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text),
            LinkAttribute::Controller(index) => master = Some(index).filter(|&index| index != 0),
            LinkAttribute::LinkNetNsId(_) => is_peer_elsewhere = true,
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Kind(text) = info {
                        kind = kind_of(&text);
                    }
                }
            }
            _ => {}
        }
    }
    let device = DeviceRef { ifindex, name: name? };
    Some(Link { device, kind, master, is_peer_elsewhere })
}

fn kind_of(kind: &InfoKind) -> Kind {
    match kind {
        InfoKind::Veth | InfoKind::Netkit => Kind::Veth,
        InfoKind::Bridge => Kind::Bridge,
        InfoKind::Vxlan => Kind::Vxlan,
        InfoKind::IpVlan | InfoKind::IpVtap => Kind::IpVlan,
        InfoKind::MacVlan | InfoKind::MacVtap => Kind::MacVlan,
        other => Kind::Other(other.to_string()),
    }
}

fn address(message: &AddressMessage) -> Option<NodeAddress> {
    let ifindex = message.header.index;
    let is_global = message.header.scope == AddressScope::Universe;
    // Of a point-to-point link, `Address` is the other end and `Local` ours (rtnetlink(7)).
    let (mut local, mut any) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => any = Some(*address),
            _ => {}
        }
    }
    Some(NodeAddress { address: local.or(any)?, ifindex, is_global })
}

/// The devices that a route names, if it is a default one.
fn default_route(message: &RouteMessage) -> Vec<u32> {
    let header = &message.header;
    if header.destination_prefix_length != 0 || header.kind != RouteType::Unicast {
        return Vec::new();
    }
    let mut devices = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => devices.push(*index),
            RouteAttribute::MultiPath(hops) => {
                devices.extend(hops.iter().map(|hop| hop.interface_index));
            }
            _ => {}
        }
    }
    devices
}
