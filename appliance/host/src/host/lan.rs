//! A whole LAN in memory: nodes with real TCP stacks around one host stack, in simulated time.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use spillway_lb::ids::PortId;
use spillway_packet::MacAddr;
use spillway_packet::arp::{self, ArpOp};
use spillway_packet::ethernet::{self, ethertype};
use spillway_packet::flow::{self, Kind};
use spillway_packet::tcp::{Tcp, TcpFlags};

use crate::probe::wire::Wire;
use crate::{Host, Moment, Transmit};

/// One way through the LAN takes this long.
const LATENCY: Duration = Duration::from_micros(50);

/// What a listening node says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// Accepts, and waits for the other side to close.
    Quiet,
    /// Answers a complete request and closes.
    Answers(&'static str),
    /// Closes as soon as somebody connects.
    ClosesAtOnce,
    /// Sends RST as soon as a request comes.
    Resets,
}

/// A machine on the link.
pub(super) struct Node {
    pub(super) port: PortId,
    pub(super) mac: MacAddr,
    /// Answered for in ARP.
    pub(super) address: Ipv4Addr,
    pub(super) answers_arp: bool,
    /// Off: IP packets vanish.
    pub(super) answers_ip: bool,
    pub(super) vlan: Option<u16>,
    interface: Interface,
    sockets: SocketSet<'static>,
    servers: Vec<(SocketHandle, u16, Service)>,
    wire: Wire,
    peer: MacAddr,
    /// Flags of the TCP segments that came.
    pub(super) flags_seen: Vec<TcpFlags>,
    /// Requests that came, in full.
    pub(super) requests: Vec<String>,
    /// Questions that came: to all, or to this node alone.
    pub(super) questions: Vec<MacAddr>,
}

fn instant(now: Moment) -> Instant {
    Instant::from_micros(i64::try_from(now.micros()).unwrap())
}

impl Node {
    /// A node that speaks under `ip` and answers ARP for `address`: the same, but for a router
    /// and what is behind it.
    pub(super) fn new(port: u16, last: u8, address: &str, ip: &str) -> Self {
        let mut wire = Wire::default();
        let config = Config::new(HardwareAddress::Ip);
        let mut interface = Interface::new(config, &mut wire, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(IpAddress::Ipv4(ip.parse().unwrap()), 32)).unwrap();
        });
        Self {
            port: PortId::new(port),
            mac: MacAddr([2, 0, 0, 0, 1, last]),
            address: address.parse().unwrap(),
            answers_arp: true,
            answers_ip: true,
            vlan: None,
            interface,
            sockets: SocketSet::new(Vec::new()),
            servers: Vec::new(),
            wire,
            peer: MacAddr::ZERO,
            flags_seen: Vec::new(),
            requests: Vec::new(),
            questions: Vec::new(),
        }
    }

    /// Listens; several connections at once, as a kernel would.
    pub(super) fn serve(mut self, port: u16, service: Service) -> Self {
        for _ in 0..4 {
            let buffer = || SocketBuffer::new(vec![0; 4096]);
            let mut socket = Socket::new(buffer(), buffer());
            socket.listen(port).unwrap();
            self.servers.push((self.sockets.add(socket), port, service));
        }
        self
    }

    /// Stops or changes what listens.
    pub(super) fn set_service(&mut self, service: Option<Service>) {
        match service {
            Some(service) => self.servers.iter_mut().for_each(|server| server.2 = service),
            None => {
                for (handle, ..) in self.servers.drain(..) {
                    self.sockets.remove(handle);
                }
            }
        }
    }

    fn receive(&mut self, now: Moment, frame: &[u8]) -> Vec<Vec<u8>> {
        let parsed = flow::parse(frame);
        let (dst, src) = ethernet::addresses(frame).unwrap();
        if parsed.vlan != self.vlan || (dst != self.mac && dst != MacAddr::BROADCAST) {
            return Vec::new();
        }
        let l3 = &frame[usize::from(parsed.l3)..];
        match parsed.kind {
            Kind::Arp => self.receive_arp(dst, l3),
            Kind::Tcp(tcp) => {
                self.flags_seen.push(tcp.flags);
                if !self.answers_ip {
                    return Vec::new();
                }
                self.peer = src;
                self.wire.received.push_back(l3.into());
                self.poll(now)
            }
            Kind::Udp(_)
            | Kind::IcmpEchoRequest(_)
            | Kind::IcmpEchoReply(_)
            | Kind::IcmpOther(_)
            | Kind::OtherTransport(_)
            | Kind::Fragment(_)
            | Kind::Options(_)
            | Kind::NotIp(_)
            | Kind::Malformed(_) => panic!("a node got {:?}", parsed.kind),
        }
    }

    fn receive_arp(&mut self, dst: MacAddr, l3: &[u8]) -> Vec<Vec<u8>> {
        let question = arp::parse(l3).unwrap();
        if question.op != ArpOp::Request || question.target_ip != self.address {
            return Vec::new();
        }
        self.questions.push(dst);
        if !self.answers_arp {
            return Vec::new();
        }
        let mut frame = [0; arp::FRAME_LEN_MAX];
        let answer = question.answer(self.mac);
        let len = answer.emit(&mut frame, question.sender_mac, self.vlan).unwrap();
        vec![frame[..len].to_vec()]
    }

    fn poll(&mut self, now: Moment) -> Vec<Vec<u8>> {
        for _ in 0..2 {
            self.interface.poll(instant(now), &mut self.wire, &mut self.sockets);
            self.run_servers();
        }
        self.interface.poll(instant(now), &mut self.wire, &mut self.sockets);
        let sent = std::mem::take(&mut self.wire.sent);
        sent.iter().map(|l3| self.frame(l3)).collect()
    }

    fn run_servers(&mut self) {
        for (handle, port, service) in &self.servers {
            let socket = self.sockets.get_mut::<Socket<'_>>(*handle);
            if matches!(socket.state(), State::Closed | State::TimeWait) {
                socket.abort();
                socket.listen(*port).unwrap();
            }
            if socket.state() == State::CloseWait {
                socket.close();
            }
            if *service == Service::ClosesAtOnce && socket.state() == State::Established {
                socket.close();
            }
            if !socket.can_recv() {
                continue;
            }
            let request = socket.peek(4096).unwrap().to_vec();
            if !request.ends_with(b"\r\n\r\n") {
                continue;
            }
            socket.recv(|bytes| (bytes.len(), ())).unwrap();
            self.requests.push(String::from_utf8(request).unwrap());
            match service {
                Service::Answers(answer) => {
                    socket.send_slice(answer.as_bytes()).unwrap();
                    socket.close();
                }
                Service::Resets => socket.abort(),
                Service::Quiet | Service::ClosesAtOnce => {}
            }
        }
    }

    /// An IPv4 packet of this node in a frame to the box.
    pub(super) fn frame(&self, l3: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; ethernet::header_len(self.vlan)];
        ethernet::emit(&mut frame, self.peer, self.mac, self.vlan, ethertype::IPV4);
        frame.extend_from_slice(l3);
        // The driver pads to Ethernet's minimum, with anything.
        frame.resize(frame.len().max(60), 0xa5);
        frame
    }
}

/// A frame that left the box, with its time.
pub(super) struct Left {
    pub(super) at: Moment,
    pub(super) port: PortId,
    pub(super) frame: Vec<u8>,
}

/// The box's ports, which take everything.
#[derive(Default)]
pub(super) struct Ports(pub(super) Vec<(PortId, Vec<u8>)>);

impl Transmit for Ports {
    fn transmit(&mut self, port: PortId, frame: &[u8]) -> bool {
        self.0.push((port, frame.to_vec()));
        true
    }
}

/// Host stack and nodes on common time.
pub(super) struct Lan {
    pub(super) now: Moment,
    pub(super) host: Host,
    pub(super) nodes: Vec<Node>,
    pub(super) left: Vec<Left>,
    in_flight: VecDeque<(Moment, Flight)>,
}

enum Flight {
    ToNodes(PortId, Vec<u8>),
    ToHost(PortId, Vec<u8>),
}

impl Lan {
    pub(super) fn new(host: Host, nodes: Vec<Node>) -> Self {
        Self { now: Moment::ZERO, host, nodes, left: Vec::new(), in_flight: VecDeque::new() }
    }

    /// Runs until `until`, or until the condition holds.
    pub(super) fn run_until(&mut self, until: Moment, stop: impl Fn(&Host) -> bool) {
        loop {
            let mut ports = Ports::default();
            let next = self.host.poll(self.now, &mut ports);
            assert!(next.is_none_or(|next| next > self.now || !ports.0.is_empty()), "spins");
            for (port, frame) in ports.0 {
                self.left.push(Left { at: self.now, port, frame: frame.clone() });
                let arrives = self.now.plus(LATENCY);
                self.in_flight.push_back((arrives, Flight::ToNodes(port, frame)));
            }
            if stop(&self.host) {
                return;
            }
            let arrival = self.in_flight.front().map(|(at, _)| *at);
            let next = [next, arrival].into_iter().flatten().min().unwrap_or(until);
            self.now = next.max(self.now).min(until);
            if self.now == until {
                return;
            }
            self.deliver();
        }
    }

    pub(super) fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now.plus(duration), |_| false);
    }

    fn deliver(&mut self) {
        while let Some((at, _)) = self.in_flight.front()
            && *at <= self.now
        {
            match self.in_flight.pop_front().unwrap().1 {
                Flight::ToHost(port, frame) => self.host.receive(self.now, port, &frame),
                Flight::ToNodes(port, frame) => {
                    for node in self.nodes.iter_mut().filter(|node| node.port == port) {
                        for answer in node.receive(self.now, &frame) {
                            let arrives = self.now.plus(LATENCY);
                            self.in_flight.push_back((arrives, Flight::ToHost(port, answer)));
                        }
                    }
                }
            }
        }
    }

    /// ARP messages that left, with their time, port, destination and sender.
    pub(super) fn arp_left(&self) -> Vec<(Moment, PortId, MacAddr, arp::Arp)> {
        let read = |left: &Left| {
            let link = ethernet::parse(&left.frame).unwrap();
            let arp = arp::parse(&left.frame[link.header_len..]).ok();
            let arp = arp.filter(|_| link.ethertype == ethertype::ARP)?;
            Some((left.at, left.port, link.dst, arp))
        };
        self.left.iter().filter_map(read).collect()
    }

    /// Source, destination and sequence number of the newest segment to an address.
    pub(super) fn newest_segment_to(
        &self,
        address: Ipv4Addr,
    ) -> Option<(SocketAddrV4, SocketAddrV4, u32)> {
        self.left.iter().rev().find_map(|left| {
            let parsed = flow::parse(&left.frame);
            let Kind::Tcp(tcp) = parsed.kind else { return None };
            let segment = Tcp::parse(&left.frame[usize::from(parsed.l4)..]).unwrap();
            let from = SocketAddrV4::new(tcp.src, tcp.sport);
            let to = SocketAddrV4::new(tcp.dst, tcp.dport);
            (tcp.dst == address).then_some((from, to, segment.seq()))
        })
    }

    /// TCP segments that left, with source and destination.
    pub(super) fn tcp_left(&self) -> Vec<(SocketAddrV4, SocketAddrV4, TcpFlags)> {
        let read = |left: &Left| {
            let Kind::Tcp(tcp) = flow::parse(&left.frame).kind else { return None };
            let from = SocketAddrV4::new(tcp.src, tcp.sport);
            Some((from, SocketAddrV4::new(tcp.dst, tcp.dport), tcp.flags))
        };
        self.left.iter().filter_map(read).collect()
    }
}

pub(super) fn is_tcp(frame: &[u8]) -> bool {
    matches!(flow::parse(frame).kind, Kind::Tcp(_))
}
