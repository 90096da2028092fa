//! One flow: both keys, its state and its place on the wheel, in one cache line.

use std::net::SocketAddrV4;

use bytemuck::{Pod, Zeroable};
use spillway_packet::checksum::Delta;
use spillway_packet::rewrite::Rewrite;

use super::key::{Direction, Ends, FlowKey, pack_addresses, pack_ports, unpack};
use super::state::FlowState;
use crate::ids::{BackendId, ServiceId};
use crate::model::Protocol;
use crate::time::Tick;

/// Index of a record; 0 is never a flow.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct FlowIndex(pub(super) u32);

/// A flow that is to be recorded.
#[derive(Copy, Clone, Debug)]
pub struct NewFlow {
    pub protocol: Protocol,
    pub client: SocketAddrV4,
    pub frontend: SocketAddrV4,
    pub backend: SocketAddrV4,
    pub snat: SocketAddrV4,
    pub service: ServiceId,
    pub backend_id: BackendId,
}

/// A flow's record. Position-independent: holds indices and no pointers.
#[derive(Copy, Clone, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct FlowRecord {
    /// Client, frontend.
    original_addresses: u64,
    /// Backend, SNAT address.
    reply_addresses: u64,
    original_ports: u32,
    reply_ports: u32,
    pub(super) last_seen: u32,
    service: u32,
    backend_id: u32,
    /// Next record in the same wheel slot, or next free record.
    pub(super) wheel_next: u32,
    /// Previous record in the same wheel slot, or the slot itself with the high bit set.
    pub(super) wheel_prev: u32,
    created: u32,
    /// Checksum change of the original direction; the reply's is its negation.
    l3_delta: u16,
    l4_delta: u16,
    protocol: u8,
    /// A [`FlowState`]; 0 when the record is free.
    state: u8,
    spare: [u8; 10],
}

const _: () = assert!(size_of::<FlowRecord>() == 64);

impl FlowRecord {
    pub(super) fn new(flow: &NewFlow, now: Tick) -> Self {
        let original = Ends { source: flow.client, destination: flow.frontend };
        let reply = Ends { source: flow.backend, destination: flow.snat };
        let addresses = Delta::NONE
            .replace32(flow.client.ip().to_bits(), flow.snat.ip().to_bits())
            .replace32(flow.frontend.ip().to_bits(), flow.backend.ip().to_bits());
        let all = addresses
            .replace16(flow.client.port(), flow.snat.port())
            .replace16(flow.frontend.port(), flow.backend.port());
        Self {
            original_addresses: pack_addresses(original),
            reply_addresses: pack_addresses(reply),
            original_ports: pack_ports(original),
            reply_ports: pack_ports(reply),
            last_seen: now.get(),
            service: flow.service.get(),
            backend_id: flow.backend_id.get(),
            wheel_next: 0,
            wheel_prev: 0,
            created: now.get(),
            l3_delta: addresses.get(),
            l4_delta: all.get(),
            protocol: flow.protocol.number(),
            state: FlowState::opening(flow.protocol) as u8,
            spare: [0; 10],
        }
    }

    #[inline]
    pub(super) const fn key(&self, direction: Direction) -> FlowKey {
        match direction {
            Direction::Original => FlowKey {
                addresses: self.original_addresses,
                ports: self.original_ports,
                protocol: self.protocol,
            },
            Direction::Reply => FlowKey {
                addresses: self.reply_addresses,
                ports: self.reply_ports,
                protocol: self.protocol,
            },
        }
    }

    /// Does a live flow have this key?
    #[inline]
    pub(super) fn matches(&self, key: FlowKey, direction: Direction) -> bool {
        self.state != 0 && self.key(direction) == key
    }

    /// `None`: the record is free.
    pub fn state(&self) -> Option<FlowState> {
        FlowState::from_number(self.state)
    }

    pub(super) fn set_state(&mut self, state: FlowState) {
        self.state = state as u8;
    }

    pub(super) fn clear(&mut self) {
        self.state = 0;
    }

    pub fn protocol(&self) -> Protocol {
        if self.protocol == Protocol::Udp.number() { Protocol::Udp } else { Protocol::Tcp }
    }

    pub fn last_seen(&self) -> Tick {
        Tick::new(self.last_seen)
    }

    pub fn service(&self) -> ServiceId {
        ServiceId::new(self.service)
    }

    pub fn backend_id(&self) -> BackendId {
        BackendId::new(self.backend_id)
    }

    /// Client and frontend.
    pub fn original(&self) -> Ends {
        unpack(self.original_addresses, self.original_ports)
    }

    /// Backend and SNAT address.
    pub fn reply(&self) -> Ends {
        unpack(self.reply_addresses, self.reply_ports)
    }

    /// What a packet of `direction` is turned into.
    #[inline]
    pub fn rewrite(&self, direction: Direction) -> Rewrite {
        let l3 = Delta::from_raw(self.l3_delta);
        let l4 = Delta::from_raw(self.l4_delta);
        let (towards, l3_delta, l4_delta) = match direction {
            Direction::Original => (self.reply(), l3, l4),
            Direction::Reply => (self.original(), l3.negated(), l4.negated()),
        };
        // The other direction's key, turned round: its destination is our new source.
        Rewrite {
            src: *towards.destination.ip(),
            dst: *towards.source.ip(),
            sport: towards.destination.port(),
            dport: towards.source.port(),
            l3_delta,
            l4_delta,
        }
    }
}
