//! `conntrack list` and `nat list`: flows of packets. Flows of sockets have no rows: the kernel's own sockets are their
//! memory.

use std::net::SocketAddr;

use serde::Serialize;
use spillway_admin::{AddressMatch, Protocol};
use spillway_lb::model::Timeouts;
use spillway_text::text::{Layout, or_dash, printable};

use super::{View, protocol_name};
use crate::gc::{self, Flows};
use crate::layout::{
    CONNTRACK_CLOSED, CONNTRACK_CLOSING, CONNTRACK_EAST_WEST, CONNTRACK_PASS, CONNTRACK_SEEN_REPLY,
    CONNTRACK_SNAT, Conntrack, DIRECTION_ORIGINAL, DIRECTION_REPLY, Nat, Tuple,
};
use crate::names::Names;

/// Words of [`FlowRow::state`].
pub const STATES: [&str; 6] = ["syn", "established", "closing", "closed", "unreplied", "replied"];

/// Which flows to list: those that satisfy every condition that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowFilter {
    pub client: Option<AddressMatch>,
    pub frontend: Option<AddressMatch>,
    pub backend: Option<AddressMatch>,
    pub snat: Option<AddressMatch>,
    pub protocol: Option<Protocol>,
    /// One of [`STATES`].
    pub state: Option<String>,
}

/// A flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlowRow {
    pub protocol: String,
    pub client: SocketAddr,
    pub frontend: SocketAddr,
    /// The node's address towards a backend elsewhere.
    pub snat: Option<SocketAddr>,
    pub backend: SocketAddr,
    pub state: &'static str,
    pub idle_seconds: u64,
    pub expires_seconds: u64,
    /// `node-port`: from outside; `pod`: opened by a pod of this node.
    pub origin: &'static str,
    /// How the backend is reached: `snat`, `pass`, or `redirect`.
    pub way: &'static str,
    /// Of both directions.
    pub packets: u64,
    pub bytes: u64,
    pub service: u32,
    pub name: Option<String>,
}

/// A source port towards a backend elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NatRow {
    pub protocol: String,
    pub client: SocketAddr,
    pub snat: SocketAddr,
    pub backend: SocketAddr,
    pub idle_seconds: u64,
}

/// A row of `conntrack`, if it is an original one.
pub fn flow(
    flows: &impl Flows,
    key: &Tuple,
    row: &Conntrack,
    names: &Names,
    now_ns: u64,
) -> Option<FlowRow> {
    (key.direction == DIRECTION_ORIGINAL).then_some(())?;
    let reply = flows.conntrack(&gc::conntrack_pair(key, row));
    let flags = row.flags | reply.map_or(0, |reply| reply.flags);
    let seen = reply.map_or(row.last_seen_ns, |reply| reply.last_seen_ns.max(row.last_seen_ns));
    let left = gc::time_left(key, row, reply.as_ref(), &Timeouts::default(), now_ns);
    let translated = Tuple { destination: row.address, destination_port: row.port, ..*key };
    let snat = flows.nat(&translated).filter(|_| flags & CONNTRACK_SNAT != 0);
    let sum = |of: fn(&Conntrack) -> u64| of(row).saturating_add(reply.as_ref().map_or(0, of));
    Some(FlowRow {
        protocol: protocol_name(key.protocol),
        client: key.source(),
        frontend: key.destination(),
        snat: snat.map(|nat| SocketAddr::new(nat.address.into(), nat.port.into())),
        backend: SocketAddr::new(row.address.into(), row.port.into()),
        state: state(key.protocol, flags),
        idle_seconds: gc::silence(now_ns, seen).as_secs(),
        expires_seconds: left.unwrap_or_default().as_secs(),
        origin: if flags & CONNTRACK_EAST_WEST != 0 { "pod" } else { "node-port" },
        way: way(flags),
        packets: sum(|row| row.packets),
        bytes: sum(|row| row.bytes),
        service: row.service,
        name: names.get(row.service).map(str::to_owned),
    })
}

const fn state(protocol: u8, flags: u16) -> &'static str {
    let has_answered = flags & CONNTRACK_SEEN_REPLY != 0;
    match (protocol, has_answered) {
        (6, _) if flags & CONNTRACK_CLOSED != 0 => "closed",
        (6, _) if flags & CONNTRACK_CLOSING != 0 => "closing",
        (6, true) => "established",
        (6, false) => "syn",
        (_, true) => "replied",
        (_, false) => "unreplied",
    }
}

const fn way(flags: u16) -> &'static str {
    match (flags & CONNTRACK_SNAT != 0, flags & CONNTRACK_PASS != 0) {
        (true, _) => "snat",
        (false, true) => "pass",
        (false, false) => "redirect",
    }
}

/// A row of `nat`, if it is an original one.
pub fn nat(flows: &impl Flows, key: &Tuple, row: &Nat, now_ns: u64) -> Option<NatRow> {
    (key.direction != DIRECTION_REPLY).then_some(())?;
    let other = flows.nat(&gc::nat_pair(key, row));
    let seen = other.map_or(row.last_seen_ns, |other| other.last_seen_ns.max(row.last_seen_ns));
    Some(NatRow {
        protocol: protocol_name(key.protocol),
        client: key.source(),
        snat: SocketAddr::new(row.address.into(), row.port.into()),
        backend: key.destination(),
        idle_seconds: gc::silence(now_ns, seen).as_secs(),
    })
}

impl FlowFilter {
    pub fn matches(&self, row: &FlowRow) -> bool {
        is_match(self.client, Some(row.client))
            && is_match(self.frontend, Some(row.frontend))
            && is_match(self.backend, Some(row.backend))
            && is_match(self.snat, row.snat)
            && self.protocol.is_none_or(|wanted| wanted.as_str() == row.protocol)
            && self.state.as_deref().is_none_or(|wanted| wanted == row.state)
    }

    /// What a source port has no part in (frontend, state) is not asked.
    pub fn matches_nat(&self, row: &NatRow) -> bool {
        is_match(self.client, Some(row.client))
            && is_match(self.backend, Some(row.backend))
            && is_match(self.snat, Some(row.snat))
            && self.protocol.is_none_or(|wanted| wanted.as_str() == row.protocol)
    }
}

fn is_match(wanted: Option<AddressMatch>, is: Option<SocketAddr>) -> bool {
    wanted.is_none_or(|wanted| is.is_some_and(|is| wanted.matches(is)))
}

impl View for FlowRow {
    const KEY: &'static str = "flows";

    fn columns(layout: Layout) -> &'static [&'static str] {
        const ALL: &[&str] = &[
            "Protocol", "Client", "Frontend", "SNAT", "Backend", "State", "Idle", "Expires",
            "Origin", "Way", "Packets", "Bytes", "Service",
        ];
        match layout {
            Layout::Table => ALL.split_at(8).0,
            Layout::Wide => ALL,
        }
    }

    fn lines(&self, layout: Layout) -> Vec<Vec<String>> {
        let mut cells = vec![
            self.protocol.clone(),
            self.client.to_string(),
            self.frontend.to_string(),
            or_dash(self.snat),
            self.backend.to_string(),
            self.state.to_owned(),
            layout.seconds(self.idle_seconds),
            layout.seconds(self.expires_seconds),
        ];
        match layout {
            Layout::Table => {}
            Layout::Wide => cells.extend([
                self.origin.to_owned(),
                self.way.to_owned(),
                layout.count(self.packets),
                layout.count(self.bytes),
                self.name
                    .as_deref()
                    .map_or_else(|| self.service.to_string(), |name| printable(name).into_owned()),
            ]),
        }
        vec![cells]
    }
}

impl View for NatRow {
    const KEY: &'static str = "nat";

    fn columns(_: Layout) -> &'static [&'static str] {
        &["Protocol", "Client", "SNAT", "Backend", "Idle"]
    }

    fn lines(&self, layout: Layout) -> Vec<Vec<String>> {
        vec![vec![
            self.protocol.clone(),
            self.client.to_string(),
            self.snat.to_string(),
            self.backend.to_string(),
            layout.seconds(self.idle_seconds),
        ]]
    }
}
