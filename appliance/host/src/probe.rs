//! Health checks over TCP: each a conversation of its own, on its own small stack.
//!
//! smoltcp's maintainers do not call it hardened, so it is fenced in: a conversation is handed only
//! packets of exactly its tuple, and runs under `catch_unwind`. A panic costs that conversation;
//! the check is abandoned, which says nothing of the backend, and counted.

mod connection;
mod http;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};

use spillway_control::health::{Answer, ProbeError, ProbeId, ProbeRequest};
use spillway_lb::verdict::Egress;

use crate::Moment;
use crate::icmp::Unreachable;
pub use connection::Connection;

/// What one check needs.
#[derive(Clone, Debug)]
pub struct Opening {
    pub request: ProbeRequest,
    /// A SNAT address and a probe port.
    pub local: SocketAddrV4,
    pub egress: Egress,
    /// For sequence numbers (RFC 6528: not to be guessed).
    pub seed: u64,
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub id: ProbeId,
    /// Where its packets went.
    pub egress: Egress,
    /// `None` when the check was given up for a reason of ours.
    pub answer: Option<Result<Answer, ProbeError>>,
    /// Whether the backend had answered at all.
    pub connected: bool,
}

/// An IPv4 packet of a check, to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub id: ProbeId,
    pub egress: Egress,
    pub l3: Box<[u8]>,
}

/// One check on the wire. The seam at which tests put a stack that panics.
pub trait Conversation: Sized {
    /// Begins; nothing is sent before the first [`Conversation::poll`].
    fn open(now: Moment, opening: &Opening) -> Self;
    /// Takes in one IPv4 packet of this conversation.
    fn deliver(&mut self, l3: &[u8]);
    /// Does what is due. Answers with the check's result, once.
    fn poll(&mut self, now: Moment) -> Option<Result<Answer, ProbeError>>;
    /// Takes the IPv4 packets to be sent.
    fn sent(&mut self) -> Vec<Box<[u8]>>;
    /// When to poll next.
    fn next_due(&mut self, now: Moment) -> Option<Moment>;
    /// Whether the backend has answered the SYN with a SYN.
    fn is_connected(&self) -> bool;
    /// The sequence number of the SYN, while it is not answered.
    fn syn_sequence(&self) -> Option<u32>;
    /// Whether nothing is left to be said.
    fn is_over(&self) -> bool;
}

/// Counted since the start.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeCounters {
    pub started: u64,
    /// Packets to a probe port that belong to no check that is out.
    pub not_admitted: u64,
    /// Panics of the TCP stack; each cost one check, which was not counted for the backend.
    pub panics: u64,
    /// Checks that found no free probe port.
    pub no_port: u64,
}

#[derive(Debug)]
struct Check<C> {
    conversation: C,
    id: ProbeId,
    local: SocketAddrV4,
    remote: SocketAddrV4,
    egress: Egress,
    /// The result is still owed.
    open: bool,
}

/// All checks that are out, by source port.
#[derive(Debug)]
pub struct Prober<C = Connection> {
    checks: BTreeMap<u16, Check<C>>,
    ports: RangeInclusive<u16>,
    port_next: u16,
    seed: u64,
    outcomes: Vec<Outcome>,
    packets: Vec<Packet>,
    counters: ProbeCounters,
}

impl<C: Conversation> Prober<C> {
    /// A prober that sends from `ports`; `seed` must not be guessable from outside.
    ///
    /// The seed also picks the first port: a restarted box that began at the same one each time would
    /// meet its own connections in TIME_WAIT on the nodes, and be met by silence.
    pub fn new(ports: RangeInclusive<u16>, seed: u64) -> Self {
        let offset = seed % ports.len().max(1) as u64;
        Self {
            checks: BTreeMap::new(),
            port_next: ports.start().saturating_add(u16::try_from(offset).unwrap_or(0)),
            ports,
            seed,
            outcomes: Vec::new(),
            packets: Vec::new(),
            counters: ProbeCounters::default(),
        }
    }

    /// Checks that are out, or still closing.
    pub fn open_count(&self) -> usize {
        self.checks.len()
    }

    pub const fn counters(&self) -> ProbeCounters {
        self.counters
    }

    /// Starts a check from `source`.
    pub fn start(
        &mut self,
        now: Moment,
        request: ProbeRequest,
        source: std::net::Ipv4Addr,
        egress: Egress,
    ) {
        let (id, remote) = (request.id, request.address);
        let Some(port) = self.free_port() else {
            self.counters.no_port += 1;
            self.outcomes.push(Outcome { id, egress, answer: None, connected: false });
            return;
        };
        self.counters.started += 1;
        // SplitMix64's increment: every check has sequence numbers of its own.
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let local = SocketAddrV4::new(source, port);
        let opening = Opening { request, local, egress, seed: self.seed };
        let Some(conversation) = contain(|| C::open(now, &opening)) else {
            self.panicked(id, egress, false);
            return;
        };
        let check = Check { conversation, id, local, remote, egress, open: true };
        self.checks.insert(port, check);
        self.advance(now, port);
    }

    /// Takes in a TCP packet of `from` to `to`; false when it belongs to no check that is out.
    pub fn receive(
        &mut self,
        now: Moment,
        from: SocketAddrV4,
        to: SocketAddrV4,
        l3: &[u8],
    ) -> bool {
        let check = self.checks.get_mut(&to.port());
        let Some(check) = check.filter(|check| check.local == to && check.remote == from) else {
            self.counters.not_admitted += 1;
            return false;
        };
        let (id, egress, open) = (check.id, check.egress, check.open);
        if contain(|| check.conversation.deliver(l3)).is_none() {
            self.checks.remove(&to.port());
            self.panicked(id, egress, !open);
            return true;
        }
        self.advance(now, to.port());
        true
    }

    /// Takes in what ICMP says of a segment; true when it ends a check. Only a SYN that is not
    /// answered is believed to be lost, and only with its sequence number (RFC 5927, 4.1 and 6).
    pub(crate) fn unreachable(&mut self, said: &Unreachable) -> bool {
        let check = self.checks.get(&said.local.port());
        let Some(check) = check.filter(|check| {
            let tuple = check.local == said.local && check.remote == said.remote;
            tuple && check.open && check.conversation.syn_sequence() == Some(said.sequence)
        }) else {
            self.counters.not_admitted += 1;
            return false;
        };
        self.fail(check.id, said.error);
        true
    }

    /// Ends a check that cannot succeed, when its result is still owed.
    pub fn fail(&mut self, id: ProbeId, error: ProbeError) {
        let found = self.checks.iter().find(|(_, check)| check.id == id && check.open);
        let Some(port) = found.map(|(port, _)| *port) else { return };
        if let Some(check) = self.checks.remove(&port) {
            let (egress, connected) = (check.egress, check.conversation.is_connected());
            self.outcomes.push(Outcome { id, egress, answer: Some(Err(error)), connected });
        }
    }

    /// Does what is due in every conversation.
    pub fn poll(&mut self, now: Moment) {
        let ports: Vec<u16> = self.checks.keys().copied().collect();
        for port in ports {
            self.advance(now, port);
        }
    }

    /// When [`Prober::poll`] is worth calling again.
    pub fn next_due(&mut self, now: Moment) -> Option<Moment> {
        let dues = self.checks.values_mut().map(|check| {
            // A panic here is met again, and dealt with, by the poll that this asks for.
            contain(|| check.conversation.next_due(now)).unwrap_or(Some(now))
        });
        dues.flatten().min()
    }

    /// Takes the results since the last call.
    pub fn outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes)
    }

    /// Takes the IPv4 packets to be sent since the last call.
    pub fn packets(&mut self) -> Vec<Packet> {
        std::mem::take(&mut self.packets)
    }

    fn advance(&mut self, now: Moment, port: u16) {
        let Some(check) = self.checks.get_mut(&port) else { return };
        let (id, egress) = (check.id, check.egress);
        let conversation = &mut check.conversation;
        let polled = contain(|| {
            let answer = conversation.poll(now);
            (answer, conversation.sent(), conversation.is_connected(), conversation.is_over())
        });
        let Some((answer, sent, connected, over)) = polled else {
            let reported = !check.open;
            self.checks.remove(&port);
            self.panicked(id, egress, reported);
            return;
        };
        self.packets.extend(sent.into_iter().map(|l3| Packet { id, egress, l3 }));
        if let Some(answer) = answer.filter(|_| check.open) {
            check.open = false;
            self.outcomes.push(Outcome { id, egress, answer: Some(answer), connected });
        }
        if over {
            self.checks.remove(&port);
        }
    }

    fn panicked(&mut self, id: ProbeId, egress: Egress, reported: bool) {
        self.counters.panics += 1;
        if !reported {
            self.outcomes.push(Outcome { id, egress, answer: None, connected: false });
        }
    }

    /// The next source port that no check holds. Round robin: a port rests as long as it can.
    fn free_port(&mut self) -> Option<u16> {
        let (first, last) = (*self.ports.start(), *self.ports.end());
        for _ in self.ports.clone() {
            let port = self.port_next;
            self.port_next = if port >= last { first } else { port + 1 };
            if !self.checks.contains_key(&port) {
                return Some(port);
            }
        }
        None
    }
}

/// Runs what may panic; `None` when it did. What it was working on must be thrown away then, which
/// is why unwinding out of it is safe.
fn contain<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

#[cfg(test)]
mod tests;
