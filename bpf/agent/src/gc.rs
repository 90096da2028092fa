//! Deletes the rows of flows that are over.
//!
//! `conntrack` and `nat` are LRU maps and would make room by themselves, though of what was silent for longest: an idle
//! connection goes before a burst of finished ones. So what is over is deleted, both rows of a pair at once:
//!
//! | row | is over |
//! |---|---|
//! | original of `conntrack` | when neither row was seen for as long as the flow's state allows; at once when it is UDP and its backend is gone |
//! | reply of `conntrack` | with its original; without one, by its own time |
//! | `nat` | when its flow has no row in `conntrack`, and was not seen for [`Timeouts::tcp_closing`]: the port rests |
//!
//! Times are CLOCK_MONOTONIC in nanoseconds, as the programs write them (bpf_ktime_get_ns).

use std::time::Duration;

use aya::Pod;
use aya::maps::{HashMap, MapData, MapError};
use spillway_lb::model::{Protocol, Timeouts};

use crate::layout::{
    BACKEND_FREE, Backend, CONNTRACK_CLOSED, CONNTRACK_SEEN_REPLY, Conntrack, DIRECTION_ORIGINAL,
    DIRECTION_REPLY, Nat, Tuple,
};
use crate::maps::{Maps, MapsError};
use crate::pins::Pins;

/// Rows that are looked at in one go.
pub const SLICE: usize = 2048;

/// What is looked up on the way; the maps, or a test's.
pub trait Flows {
    fn conntrack(&self, key: &Tuple) -> Option<Conntrack>;
    fn nat(&self, key: &Tuple) -> Option<Nat>;
    fn backend(&self, index: u32) -> Option<Backend>;
}

impl Flows for Maps {
    fn conntrack(&self, key: &Tuple) -> Option<Conntrack> {
        self.conntrack.get(key, 0).ok()
    }

    fn nat(&self, key: &Tuple) -> Option<Nat> {
        self.nat.get(key, 0).ok()
    }

    fn backend(&self, index: u32) -> Option<Backend> {
        self.backends.get(&index, 0).ok()
    }
}

/// The key of the other row of a pair.
pub fn conntrack_pair(key: &Tuple, row: &Conntrack) -> Tuple {
    let Tuple { source, destination, source_port, destination_port, protocol, direction, pad } =
        *key;
    if direction == DIRECTION_ORIGINAL {
        // Client to frontend; the row has the backend.
        Tuple {
            source: row.address,
            source_port: row.port,
            destination: source,
            destination_port: source_port,
            protocol,
            direction: DIRECTION_REPLY,
            pad,
        }
    } else {
        // Backend to client; the row has the frontend.
        Tuple {
            source: destination,
            source_port: destination_port,
            destination: row.address,
            destination_port: row.port,
            protocol,
            direction: DIRECTION_ORIGINAL,
            pad,
        }
    }
}

/// The key of the other row of a pair.
pub fn nat_pair(key: &Tuple, row: &Nat) -> Tuple {
    let Tuple { source, destination, source_port, destination_port, protocol, direction, pad } =
        *key;
    if direction == DIRECTION_ORIGINAL {
        // Client to backend; the row has the node's address.
        Tuple {
            source: destination,
            source_port: destination_port,
            destination: row.address,
            destination_port: row.port,
            protocol,
            direction: DIRECTION_REPLY,
            pad,
        }
    } else {
        // Backend to node; the row has the client.
        Tuple {
            source: row.address,
            source_port: row.port,
            destination: source,
            destination_port: source_port,
            protocol,
            direction: DIRECTION_ORIGINAL,
            pad,
        }
    }
}

/// How long a flow may be silent.
fn silence_max(protocol: u8, flags: u16, timeouts: &Timeouts) -> Duration {
    let has_answered = flags & CONNTRACK_SEEN_REPLY != 0;
    match (protocol == Protocol::Tcp.number(), has_answered) {
        (true, _) if flags & CONNTRACK_CLOSED != 0 => timeouts.tcp_closing,
        (true, true) => timeouts.tcp_established,
        (true, false) => timeouts.tcp_syn,
        (false, true) => timeouts.udp,
        (false, false) => timeouts.udp_unreplied,
    }
}

/// How long it is since the row was seen; a row of the future was seen now.
pub fn silence(now_ns: u64, last_seen_ns: u64) -> Duration {
    Duration::from_nanos(now_ns.saturating_sub(last_seen_ns))
}

/// What is left of a flow's time, and that of its other row if there is one; `None`: it is over.
pub fn time_left(
    key: &Tuple,
    row: &Conntrack,
    other: Option<&Conntrack>,
    timeouts: &Timeouts,
    now_ns: u64,
) -> Option<Duration> {
    let (flags, seen) = other.map_or((row.flags, row.last_seen_ns), |other| {
        (row.flags | other.flags, row.last_seen_ns.max(other.last_seen_ns))
    });
    let max = silence_max(key.protocol, flags, timeouts);
    max.checked_sub(silence(now_ns, seen)).filter(|left| !left.is_zero())
}

/// Whether the row's backend is no longer what it was.
fn has_lost_backend(flows: &impl Flows, key: &Tuple, row: &Conntrack) -> bool {
    let (address, port) = if key.direction == DIRECTION_ORIGINAL {
        (row.address, row.port)
    } else {
        (key.source, key.source_port)
    };
    flows.backend(row.backend).is_none_or(|backend| {
        backend.state == BACKEND_FREE
            || (backend.service, backend.address, backend.port) != (row.service, address, port)
    })
}

/// The rows of `conntrack` that go, if this one does.
pub fn conntrack_over(
    flows: &impl Flows,
    key: &Tuple,
    row: &Conntrack,
    timeouts: &Timeouts,
    now_ns: u64,
) -> Option<[Tuple; 2]> {
    let pair = conntrack_pair(key, row);
    let other = flows.conntrack(&pair);
    if key.direction != DIRECTION_ORIGINAL && other.is_some() {
        // The original decides for both.
        return None;
    }
    let is_udp = key.protocol == Protocol::Udp.number();
    let is_over = (is_udp && has_lost_backend(flows, key, row))
        || time_left(key, row, other.as_ref(), timeouts, now_ns).is_none();
    is_over.then_some([*key, pair])
}

/// The rows of `nat` that go, if this one does.
pub fn nat_over(
    flows: &impl Flows,
    key: &Tuple,
    row: &Nat,
    timeouts: &Timeouts,
    now_ns: u64,
) -> Option<[Tuple; 2]> {
    let pair = nat_pair(key, row);
    let other = flows.nat(&pair);
    if key.direction != DIRECTION_ORIGINAL && other.is_some() {
        return None;
    }
    // Client to backend, turned around, is the reply that `conntrack` knows.
    let original = if key.direction == DIRECTION_ORIGINAL { key } else { &pair };
    let reply = Tuple {
        source: original.destination,
        source_port: original.destination_port,
        destination: original.source,
        destination_port: original.source_port,
        direction: DIRECTION_REPLY,
        ..*original
    };
    let seen = other.map_or(row.last_seen_ns, |other| other.last_seen_ns.max(row.last_seen_ns));
    let is_over =
        flows.conntrack(&reply).is_none() && silence(now_ns, seen) >= timeouts.tcp_closing;
    is_over.then_some([*key, pair])
}

/// What one sweep met.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub conntrack_seen: u64,
    pub conntrack_deleted: u64,
    pub nat_seen: u64,
    pub nat_deleted: u64,
}

/// The collector, with maps of its own: one that stands on a row cannot delete.
#[derive(Debug)]
pub struct Collector {
    maps: Maps,
    conntrack: HashMap<MapData, Tuple, Conntrack>,
    nat: HashMap<MapData, Tuple, Nat>,
}

impl Collector {
    pub fn open(pins: &Pins) -> Result<Self, MapsError> {
        let Maps { conntrack, nat, .. } = Maps::open(pins)?;
        Ok(Self { maps: Maps::open(pins)?, conntrack, nat })
    }

    /// Looks at every row once. Calls `pause` after every [`SLICE`] rows: a million of them keep a processor busy for
    /// seconds, so run it on a thread of its own, and sleep there.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn sweep(
        &mut self,
        timeouts: &Timeouts,
        clock_ns: impl Fn() -> u64,
        mut pause: impl FnMut(),
    ) -> Result<Swept, MapError> {
        let mut swept = Swept::default();
        let sizes = self.maps.sizes();
        let mut now_ns = clock_ns();
        let mut over = Vec::new();
        for key in self.conntrack.keys().take(sizes.conntrack as usize) {
            let key = key?;
            swept.conntrack_seen += 1;
            if let Some(row) = self.maps.conntrack(&key) {
                over.extend(conntrack_over(&self.maps, &key, &row, timeouts, now_ns));
            }
            if swept.conntrack_seen.is_multiple_of(SLICE as u64) {
                swept.conntrack_deleted += delete(&mut self.maps.conntrack, &mut over, Some(key));
                pause();
                now_ns = clock_ns();
            }
        }
        swept.conntrack_deleted += delete(&mut self.maps.conntrack, &mut over, None);
        for key in self.nat.keys().take(sizes.nat as usize) {
            let key = key?;
            swept.nat_seen += 1;
            if let Some(row) = self.maps.nat(&key) {
                over.extend(nat_over(&self.maps, &key, &row, timeouts, now_ns));
            }
            if swept.nat_seen.is_multiple_of(SLICE as u64) {
                swept.nat_deleted += delete(&mut self.maps.nat, &mut over, Some(key));
                pause();
                now_ns = clock_ns();
            }
        }
        swept.nat_deleted += delete(&mut self.maps.nat, &mut over, None);
        Ok(swept)
    }
}

/// Deletes pairs, but for one that has the key which is stood on: without it the kernel would begin anew.
fn delete<V: Pod>(
    map: &mut HashMap<MapData, Tuple, V>,
    over: &mut Vec<[Tuple; 2]>,
    stood_on: Option<Tuple>,
) -> u64 {
    let stays = |pair: &[Tuple; 2]| stood_on.is_some_and(|key| pair.contains(&key));
    let mut kept = Vec::new();
    let mut deleted = 0;
    for pair in over.drain(..) {
        if stays(&pair) {
            kept.push(pair);
            continue;
        }
        for key in pair {
            // The kernel, or a program, may have been faster.
            deleted += u64::from(map.remove(&key).is_ok());
        }
    }
    *over = kept;
    deleted
}
