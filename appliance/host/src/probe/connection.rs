//! One check over smoltcp: an interface with one address and one socket.

use std::net::SocketAddrV4;
use std::time::Duration;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use spillway_control::health::{Answer, ProbeError};
use spillway_lb::model::CheckKind;
use spillway_packet::ipv4;
use spillway_packet::tcp::Tcp;

use super::http::{self, Head, Heard, Wanted};
use super::wire::Wire;
use super::{Conversation, Opening};
use crate::Moment;

/// An answer's bytes that are held at once.
const RECEIVE_BUFFER: usize = 2048;
/// How long a check that has its answer waits for the backend to close, before it sends RST.
const LINGER: Duration = Duration::from_millis(250);
/// Packets that wait for smoltcp; it is polled after each, so this is never reached.
const RECEIVED_MAX: usize = 16;

/// What is asked once the handshake is done.
#[derive(Debug)]
enum Question {
    /// Nothing: the handshake was the answer.
    Handshake,
    Http {
        request: Vec<u8>,
        answer: Head,
    },
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Asking,
    /// The result is known; the connection is being closed until then.
    Closing(Moment),
    Over,
}

/// A check on its own TCP stack.
pub struct Connection {
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    wire: Wire,
    question: Question,
    phase: Phase,
    connected: bool,
    syn_sequence: Option<u32>,
    started: Moment,
    deadline: Moment,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("phase", &self.phase).finish_non_exhaustive()
    }
}

fn instant(now: Moment) -> Instant {
    Instant::from_micros(i64::try_from(now.micros()).unwrap_or(i64::MAX))
}

fn interface(now: Moment, local: SocketAddrV4, seed: u64, wire: &mut Wire) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    let mut interface = Interface::new(config, wire, instant(now));
    interface.update_ip_addrs(|addresses| {
        // The list is new and has room for one.
        let pushed = addresses.push(IpCidr::new(IpAddress::Ipv4(*local.ip()), 32));
        debug_assert!(pushed.is_ok());
    });
    interface
}

/// The sequence number of a TCP segment behind an IPv4 header without options: smoltcp writes none.
fn sequence(l3: &[u8]) -> Option<u32> {
    let segment = Tcp::parse(l3.get(ipv4::HEADER_LEN..)?).ok()?;
    Some(segment.seq())
}

impl Conversation for Connection {
    fn open(now: Moment, opening: &Opening) -> Self {
        let Opening { request, local, egress: _, seed } = opening;
        let mut wire = Wire::default();
        let mut interface = interface(now, *local, *seed, &mut wire);
        let question = match &request.kind {
            CheckKind::Tcp => Question::Handshake,
            CheckKind::Http { path, host, expect } => Question::Http {
                request: http::request(path, host.as_deref(), request.address),
                answer: Head::new(Wanted::Status(expect.clone())),
            },
            CheckKind::NodeEndpoints => Question::Http {
                request: http::request("/", None, request.address),
                answer: Head::new(Wanted::Endpoints),
            },
        };
        let room = match &question {
            Question::Handshake => 1,
            Question::Http { request, .. } => request.len(),
        };
        let mut socket = Socket::new(
            SocketBuffer::new(vec![0; RECEIVE_BUFFER]),
            SocketBuffer::new(vec![0; room]),
        );
        // A check is one small write: nothing is gained by waiting for more.
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        let remote = (IpAddress::Ipv4(*request.address.ip()), request.address.port());
        let to = (IpAddress::Ipv4(*local.ip()), local.port());
        // Port 0 or address 0.0.0.0: nothing is sent, and the check times out.
        let connecting = socket.connect(interface.context(), remote, to);
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let socket = sockets.add(socket);
        Self {
            interface,
            sockets,
            socket,
            wire,
            question,
            phase: if connecting.is_ok() { Phase::Connecting } else { Phase::Asking },
            connected: false,
            syn_sequence: None,
            started: now,
            deadline: now.plus(request.timeout),
        }
    }

    fn deliver(&mut self, l3: &[u8]) {
        if self.wire.received.len() < RECEIVED_MAX {
            self.wire.received.push_back(l3.into());
        }
    }

    fn poll(&mut self, now: Moment) -> Option<Result<Answer, ProbeError>> {
        if self.phase == Phase::Over {
            return None;
        }
        self.run_stack(now);
        let answer = self.advance(now);
        // What was written, closed or aborted leaves in the same poll.
        self.run_stack(now);
        let latency = now.since(self.started);
        answer.map(|answer| answer.map(|weight| Answer { latency, weight }))
    }

    fn sent(&mut self) -> Vec<Box<[u8]>> {
        if self.phase == Phase::Connecting && self.syn_sequence.is_none() {
            self.syn_sequence = self.wire.sent.first().and_then(|syn| sequence(syn));
        }
        std::mem::take(&mut self.wire.sent)
    }

    fn next_due(&mut self, now: Moment) -> Option<Moment> {
        let own = match self.phase {
            Phase::Connecting | Phase::Asking => self.deadline,
            Phase::Closing(until) => until,
            Phase::Over => return None,
        };
        let stack = self
            .interface
            .poll_at(instant(now), &self.sockets)
            .map(|at| Moment::from_micros(u64::try_from(at.total_micros()).unwrap_or(0)).max(now));
        Some(stack.map_or(own, |stack| stack.min(own)))
    }

    fn is_connected(&self) -> bool {
        self.connected
    }

    fn syn_sequence(&self) -> Option<u32> {
        self.syn_sequence.filter(|_| self.phase == Phase::Connecting)
    }

    fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }
}

impl Connection {
    fn run_stack(&mut self, now: Moment) {
        // Whether a socket changed is seen from the socket.
        let _changed = self.interface.poll(instant(now), &mut self.wire, &mut self.sockets);
    }

    /// Answers with the check's result, and the weight that came with it.
    fn advance(&mut self, now: Moment) -> Option<Result<Option<u16>, ProbeError>> {
        let answer = match self.phase {
            Phase::Connecting => self.connecting(),
            Phase::Asking => self.asking(),
            Phase::Closing(until) => {
                self.closing(now, until);
                return None;
            }
            Phase::Over => return None,
        };
        let answer =
            answer.or_else(|| (now >= self.deadline).then_some(Err(ProbeError::Timeout)))?;
        let socket = self.sockets.get_mut::<Socket<'_>>(self.socket);
        match answer {
            Ok(_) | Err(ProbeError::HttpStatus(_) | ProbeError::NoEndpoints) => {
                socket.close();
                self.phase = Phase::Closing(now.plus(LINGER));
            }
            Err(_) => {
                socket.abort();
                self.phase = Phase::Over;
            }
        }
        Some(answer)
    }

    fn connecting(&mut self) -> Option<Result<Option<u16>, ProbeError>> {
        let socket = self.sockets.get_mut::<Socket<'_>>(self.socket);
        match socket.state() {
            State::SynSent | State::SynReceived | State::Listen => return None,
            // RFC 9293, 3.5.2: RST in answer to our SYN.
            State::Closed => return Some(Err(ProbeError::Refused)),
            State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck
            | State::TimeWait => {}
        }
        self.connected = true;
        self.phase = Phase::Asking;
        match &self.question {
            Question::Handshake => return Some(Ok(None)),
            Question::Http { request, .. } => {
                // The buffer is as long as the request; if this fails the peer has reset.
                if socket.send_slice(request).is_err() {
                    return Some(Err(ProbeError::Reset));
                }
            }
        }
        self.asking()
    }

    fn asking(&mut self) -> Option<Result<Option<u16>, ProbeError>> {
        let Question::Http { answer, .. } = &mut self.question else { return None };
        let socket = self.sockets.get_mut::<Socket<'_>>(self.socket);
        let mut heard = Heard::More;
        while heard == Heard::More && socket.can_recv() {
            let read = socket.recv(|bytes| (bytes.len(), answer.take(bytes)));
            heard = read.unwrap_or(Heard::Failed(ProbeError::BadHttp));
        }
        if heard == Heard::More && socket.state() == State::Closed {
            return Some(Err(ProbeError::Reset));
        }
        // The backend has closed: what it has said is all there is.
        if heard == Heard::More && self.connected && !socket.may_recv() {
            heard = answer.end();
        }
        match heard {
            Heard::More => None,
            Heard::Good(weight) => Some(Ok(weight)),
            Heard::Failed(error) => Some(Err(error)),
        }
    }

    fn closing(&mut self, now: Moment, until: Moment) {
        let socket = self.sockets.get_mut::<Socket<'_>>(self.socket);
        while socket.can_recv() {
            if socket.recv(|bytes| (bytes.len(), ())).is_err() {
                break;
            }
        }
        if matches!(socket.state(), State::Closed | State::TimeWait) {
            self.phase = Phase::Over;
        } else if now >= until {
            socket.abort();
            self.phase = Phase::Over;
        }
    }
}
