//! A Service's scheduler with its table: which backend a new flow gets.
//!
//! **Affinity** is consistent hashing of the client's address alone. Whatever the scheduler, a Service with
//! [`Affinity::ClientIp`] has a Maglev table, and all flows of an address find the same slot in it: on every
//! worker, on every box, after a restart, and with no memory that could fill up. The hash knows no
//! Service and the table no port of a backend, so that a client meets the same node on all ports
//! of one Kubernetes Service.
//!
//! Its limits: the timeout is not kept (an address has its backend for ever), and when the backends or
//! their weights change, the clients of a backend that left are spread over the others, one that
//! came takes its share of all clients, and beyond that about one in a hundred moves. Flows that exist stay
//! where they are. All clients behind one NAT count as one, so the load may be uneven.

use std::net::IpAddr;

use crate::conntrack::FlowKey;
use crate::hash;
use crate::maglev::{self, MaglevBackend, Table};
use crate::model::{Affinity, Backend, Scheduler};
use crate::scheduler::{Rng, WeightedRandom};

/// Seed of every Maglev table. No secret and the same everywhere, so that all boxes agree, as they do on
/// the hashes that look a flow up in it ([`hash::shared`], [`hash::client`]).
const MAGLEV_SEED: [u8; 16] = *b"spillway maglev\0";

/// A scheduler with its table, compiled for one Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    Random(WeightedRandom),
    /// By the client's tuple.
    Maglev(Table),
    /// By the client's address.
    Client(Table),
}

impl Selector {
    /// Compiles a scheduler over the backends of a Service. A backend of weight 0 is never picked but
    /// still counts for the size of a Maglev table: give those that are out of service that way, and
    /// their coming and going moves few of the other backends' flows (see [`Table::build`]).
    pub fn build(scheduler: Scheduler, affinity: Affinity, backends: &[Backend]) -> Self {
        match (affinity, scheduler) {
            (Affinity::ClientIp { timeout: _ }, Scheduler::Random | Scheduler::Maglev) => {
                Self::Client(Table::build(&nodes(backends), MAGLEV_SEED))
            }
            (Affinity::None, Scheduler::Random) => {
                let weights: Vec<u16> = backends.iter().map(|backend| backend.weight).collect();
                Self::Random(WeightedRandom::build(&weights))
            }
            (Affinity::None, Scheduler::Maglev) => {
                let identified = backends.iter().map(|backend| MaglevBackend {
                    identity: maglev::identity(backend.address, backend.port),
                    weight: backend.weight,
                });
                Self::Maglev(Table::build(&identified.collect::<Vec<_>>(), MAGLEV_SEED))
            }
        }
    }

    /// The index of a backend in the order in which the selector was given them; `None` when none takes
    /// new flows. `rng` is drawn from for random.
    #[inline]
    pub fn pick(&self, flow: FlowKey, rng: &mut Rng) -> Option<u16> {
        match self {
            Self::Random(random) => random.pick(rng.next_u64()),
            Self::Maglev(table) => table.pick(hash::shared(flow)),
            Self::Client(table) => table.pick(hash::client((*flow.ends().source.ip()).into())),
        }
    }
}

/// The backends by their addresses: ports only tell those of one address apart, by their order.
fn nodes(backends: &[Backend]) -> Vec<MaglevBackend> {
    let mut ordered: Vec<(IpAddr, u16, usize)> =
        (0..).zip(backends).map(|(at, it)| (it.address, it.port, at)).collect();
    ordered.sort_unstable();
    let mut nodes = vec![MaglevBackend { identity: 0, weight: 0 }; backends.len()];
    let mut before: Option<(IpAddr, u16)> = None;
    for (address, _, at) in ordered {
        let rank = match before {
            Some((same, rank)) if same == address => rank.saturating_add(1),
            Some(_) | None => 0,
        };
        before = Some((address, rank));
        if let (Some(node), Some(backend)) = (nodes.get_mut(at), backends.get(at)) {
            let identity = maglev::identity(address, rank);
            *node = MaglevBackend { identity, weight: backend.weight };
        }
    }
    nodes
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};
    use std::time::Duration;

    use super::*;
    use crate::conntrack::Ends;
    use crate::model::Protocol;

    const CLIENT_IP: Affinity = Affinity::ClientIp { timeout: Duration::from_hours(3) };

    fn backends(hosts: &[u8], port: u16) -> Vec<Backend> {
        let backend = |host: &u8| Backend { address: [10, 0, 0, *host].into(), port, weight: 1 };
        hosts.iter().map(backend).collect()
    }

    fn flow(client: u32, sport: u16, dport: u16) -> FlowKey {
        let source = SocketAddrV4::new(Ipv4Addr::from_bits(0xc633_0000 + client), sport);
        let destination = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), dport);
        FlowKey::new(Protocol::Tcp, Ends { source, destination })
    }

    #[test]
    fn the_selector_follows_the_scheduler() {
        let backends = backends(&[1, 2, 3], 80);
        let mut rng = Rng::new(3);
        let maglev = Selector::build(Scheduler::Maglev, Affinity::None, &backends);
        let first = maglev.pick(flow(7, 1000, 80), &mut rng);
        let mut again = (0..100).map(|_| maglev.pick(flow(7, 1000, 80), &mut rng));
        assert!(again.all(|pick| pick == first), "one flow, one backend");
        let random = Selector::build(Scheduler::Random, Affinity::None, &backends);
        let mut seen = [false; 3];
        for _ in 0..100 {
            seen[usize::from(random.pick(flow(7, 1000, 80), &mut rng).unwrap())] = true;
        }
        assert_eq!(seen, [true; 3]);
        for scheduler in [Scheduler::Random, Scheduler::Maglev] {
            for affinity in [Affinity::None, CLIENT_IP] {
                let selector = Selector::build(scheduler, affinity, &[]);
                assert_eq!(selector.pick(flow(7, 1000, 80), &mut rng), None);
            }
        }
    }

    #[test]
    fn with_affinity_the_address_alone_decides_whatever_the_scheduler() {
        let backends = backends(&[1, 2, 3, 4], 80);
        let random = Selector::build(Scheduler::Random, CLIENT_IP, &backends);
        assert_eq!(random, Selector::build(Scheduler::Maglev, CLIENT_IP, &backends));
        let mut rng = Rng::new(3);
        let mut seen = [0; 4];
        for client in 0..400 {
            let pick = random.pick(flow(client, 1, 80), &mut rng);
            assert!((2..50).all(|port| random.pick(flow(client, port, port), &mut rng) == pick));
            seen[usize::from(pick.unwrap())] += 1;
        }
        // Each a quarter of 400 clients, give or take four standard deviations.
        assert!(seen.iter().all(|clients| (65..135).contains(clients)), "{seen:?}");
    }

    #[test]
    fn two_ports_of_the_same_nodes_give_a_client_the_same_node() {
        let selector = |hosts: &[u8], port| {
            Selector::build(Scheduler::Random, CLIENT_IP, &backends(hosts, port))
        };
        let (web, tls) = (selector(&[1, 2, 3], 30080), selector(&[3, 1, 2], 30443));
        let mut rng = Rng::new(3);
        for client in 0..300 {
            let web = web.pick(flow(client, 1, 80), &mut rng).unwrap();
            let tls = tls.pick(flow(client, 2, 443), &mut rng).unwrap();
            assert_eq!([1, 2, 3][usize::from(web)], [3, 1, 2][usize::from(tls)]);
        }
    }

    #[test]
    fn backends_of_one_address_all_get_clients_in_whatever_order_they_are_given() {
        let mut given = backends(&[1, 1, 1], 80);
        (0..).zip(&mut given).for_each(|(at, backend)| backend.port += at);
        let turned: Vec<Backend> = given.iter().rev().copied().collect();
        let [one, other] =
            [&given, &turned].map(|it| Selector::build(Scheduler::Random, CLIENT_IP, it));
        let mut rng = Rng::new(3);
        let mut seen = [false; 3];
        for client in 0..200 {
            let pick = one.pick(flow(client, 1, 80), &mut rng).unwrap();
            assert_eq!(other.pick(flow(client, 1, 80), &mut rng).map(|pick| 2 - pick), Some(pick));
            seen[usize::from(pick)] = true;
        }
        assert_eq!(seen, [true; 3]);
    }
}
