//! The flows of a case: who talks to the frontend, and what the box made of it.

use std::net::Ipv4Addr;

use spillway_lb::conntrack::{Conntrack, Direction, FlowRecord};
use spillway_lb::model::Protocol;
use spillway_packet::rewrite::Tuple;

use anyhow::ensure;

/// Most flows of a case.
pub(crate) const FLOWS_MAX: u32 = 1_000_000;
/// The frontend that every client talks to.
pub(crate) const FRONTEND: (Ipv4Addr, u16) = (Ipv4Addr::new(172, 26, 50, 101), 30645);
/// Source of what goes to backends.
pub(crate) const SNAT: Ipv4Addr = Ipv4Addr::new(172, 26, 50, 102);
/// Backends that flows are spread over.
pub(crate) const BACKENDS: u8 = 32;
/// Port of every backend.
pub(crate) const BACKEND_PORT: u16 = 8080;

/// Clients are 1,024 addresses of the range for benchmarks (RFC 2544, appendix C).
const CLIENTS: u32 = Ipv4Addr::new(198, 18, 0, 0).to_bits();
const CLIENT_BITS: u32 = 10;
const CLIENT_PORT_MIN: u16 = 10_000;

/// Address of a backend.
pub(crate) fn backend(at: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 26, 60, at)
}

/// Established flows. Flow `id` of `0..count` is made of its number, except for what the box chose.
#[derive(Debug)]
pub(crate) struct Flows {
    pub(crate) protocol: Protocol,
    pub(crate) count: u32,
    /// By flow: the backend's number in the high half, the SNAT port in the low half.
    choices: Vec<u32>,
}

impl Flows {
    pub(crate) fn new(protocol: Protocol, count: u32) -> Self {
        Self { protocol, count, choices: Vec::new() }
    }

    /// What the client of a flow sends.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a flow's number has 20 bits")]
    pub(crate) fn original(id: u32) -> Tuple {
        Tuple {
            src: Ipv4Addr::from_bits(CLIENTS | (id & ((1 << CLIENT_BITS) - 1))),
            sport: CLIENT_PORT_MIN + (id >> CLIENT_BITS) as u16,
            dst: FRONTEND.0,
            dport: FRONTEND.1,
        }
    }

    /// What the backend of a flow sends; nonsense before [`Flows::learn`].
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a choice")]
    pub(crate) fn reply(&self, id: u32) -> Tuple {
        let choice = self.choices.get(id as usize).copied().unwrap_or(0);
        Tuple {
            src: backend((choice >> 16) as u8),
            sport: BACKEND_PORT,
            dst: SNAT,
            dport: choice as u16,
        }
    }

    /// A packet of a flow as it arrives.
    #[inline]
    pub(crate) fn arriving(&self, id: u32, direction: Direction) -> Tuple {
        match direction {
            Direction::Original => Self::original(id),
            Direction::Reply => self.reply(id),
        }
    }

    /// The same packet as it must leave: the other direction's, turned round.
    pub(crate) fn leaving(&self, id: u32, direction: Direction) -> Tuple {
        match direction {
            Direction::Original => self.reply(id).reversed(),
            Direction::Reply => Self::original(id).reversed(),
        }
    }

    /// Reads from the flow table which backend and SNAT port each flow got.
    pub(crate) fn learn(&mut self, conntrack: &Conntrack<'_>) -> anyhow::Result<()> {
        let mut choices = vec![0; self.count as usize];
        let mut strangers = 0_u32;
        let mut note = |record: &FlowRecord| {
            let place = choices.get_mut(Self::id(record) as usize);
            match place {
                Some(place) => *place = Self::choice(record),
                None => strangers += 1,
            }
        };
        let mut next = Some(0);
        while let Some(from) = next {
            next = conntrack.walk(from, 4096, &mut note);
        }
        ensure!(strangers == 0, "{strangers} flows that no client asked for");
        let missing = choices.iter().position(|choice| *choice == 0);
        ensure!(missing.is_none(), "flow {missing:?} was not made");
        self.choices = choices;
        Ok(())
    }

    fn id(record: &FlowRecord) -> u32 {
        let client = record.original().source;
        let port = client.port().wrapping_sub(CLIENT_PORT_MIN);
        (client.ip().to_bits() ^ CLIENTS) | u32::from(port) << CLIENT_BITS
    }

    fn choice(record: &FlowRecord) -> u32 {
        let reply = record.reply();
        let [.., backend] = reply.source.ip().octets();
        u32::from(backend) << 16 | u32::from(reply.destination.port())
    }
}
