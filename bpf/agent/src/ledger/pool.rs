//! The choices of a pool: a list to draw from, or a Maglev table to look up.

use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher13;
use spillway_cluster::node::{NodeService, Pool};
use spillway_lb::maglev::Table;
use spillway_lb::model::{Affinity, Backend, Scheduler};
use spillway_lb::selector::Selector;

/// Places that a list of weighted backends may take; heavier ones become a table that is drawn from.
const LIST_MAX: usize = 1024;

/// The choices of one pool, as indices of [`NodeService::backends`].
pub(super) fn choices(service: &NodeService, pool: &Pool) -> Vec<u16> {
    match (service.affinity, service.scheduler) {
        (Affinity::None, Scheduler::Random) => {
            list(service, pool).unwrap_or_else(|| table(service, pool, Scheduler::Maglev))
        }
        (Affinity::None, Scheduler::Maglev)
        | (Affinity::ClientIp { timeout: _ }, Scheduler::Random | Scheduler::Maglev) => {
            table(service, pool, service.scheduler)
        }
    }
}

/// Whether a hash is looked up in the choices; else they are drawn from.
pub(super) const fn is_table(service: &NodeService) -> bool {
    match (service.affinity, service.scheduler) {
        (Affinity::None, Scheduler::Random) => false,
        (Affinity::None, Scheduler::Maglev)
        | (Affinity::ClientIp { timeout: _ }, Scheduler::Random | Scheduler::Maglev) => true,
    }
}

/// Number of the choices' content, by which pools that stayed are told from those that changed.
pub(super) fn fingerprint(rows: &[u32]) -> u64 {
    let mut hasher = SipHasher13::new();
    rows.hash(&mut hasher);
    hasher.finish()
}

/// Every backend as often as its share says, in lowest terms; `None`: that would be too many places.
fn list(service: &NodeService, pool: &Pool) -> Option<Vec<u16>> {
    let weight = |at: &u16| service.backends.get(usize::from(*at)).map_or(0, |it| it.weight);
    let divisor = pool.members.iter().map(weight).fold(0, gcd);
    if divisor == 0 {
        return Some(Vec::new());
    }
    let share = |at: &u16| usize::from(weight(at) / divisor);
    let places: usize = pool.members.iter().map(share).sum();
    // As many places as members: all weigh the same.
    (places <= LIST_MAX.max(pool.members.len())).then(|| {
        let members = pool.members.iter();
        members.flat_map(|at| std::iter::repeat_n(*at, share(at))).collect()
    })
}

const fn gcd(a: u16, b: u16) -> u16 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The very table that an appliance in front of the cluster builds: those that are not in the pool count for
/// its size.
fn table(service: &NodeService, pool: &Pool, scheduler: Scheduler) -> Vec<u16> {
    let mut backends: Vec<Backend> = service
        .backends
        .iter()
        .map(|it| Backend { address: it.address, port: it.port, weight: 0 })
        .collect();
    for at in pool.members.iter().map(|at| usize::from(*at)) {
        if let (Some(backend), Some(of)) = (backends.get_mut(at), service.backends.get(at)) {
            backend.weight = of.weight;
        }
    }
    match Selector::build(scheduler, service.affinity, &backends) {
        Selector::Maglev(table) | Selector::Client(table) => Table::slots(&table).to_vec(),
        // Not asked for.
        Selector::Random(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::time::Duration;

    use spillway_cluster::addresses::Family;
    use spillway_cluster::node::NodeBackend;
    use spillway_lb::model::Protocol;

    use super::*;

    fn service(scheduler: Scheduler, affinity: Affinity, weights: &[u16]) -> NodeService {
        let backend = |(host, weight): (u32, &u16)| NodeBackend {
            address: Ipv4Addr::from_bits(0x0a00_0000 + host).into(),
            port: 80,
            weight: *weight,
            is_local: false,
            is_terminating: false,
        };
        NodeService {
            name: "default/web:http".to_owned(),
            family: Family::V4,
            protocol: Protocol::Tcp,
            scheduler,
            affinity,
            source_ranges: Vec::new(),
            backends: (1..).zip(weights).map(backend).collect(),
            pools: Vec::new(),
            frontends: Vec::new(),
        }
    }

    fn pool(members: &[u16]) -> Pool {
        Pool { members: Arc::from(members), is_terminating: false, is_local: false }
    }

    #[test]
    fn a_list_has_every_backend_by_its_share_in_lowest_terms() {
        let random = service(Scheduler::Random, Affinity::None, &[200, 100, 0, 300]);
        assert_eq!(choices(&random, &pool(&[0, 1, 2, 3])), [0, 0, 1, 3, 3, 3]);
        assert_eq!(choices(&random, &pool(&[1, 2])), [1]);
        assert_eq!(choices(&random, &pool(&[2])), [0u16; 0]);
        assert_eq!(choices(&random, &pool(&[])), [0u16; 0]);
        assert!(!is_table(&random));
    }

    #[test]
    fn weights_without_a_common_divisor_are_drawn_from_a_table() {
        let random = service(Scheduler::Random, Affinity::None, &[1021, 1019]);
        let places = choices(&random, &pool(&[0, 1]));
        assert_eq!(places.len(), 251);
        assert!(!is_table(&random), "it is drawn from all the same");
        let fits = service(Scheduler::Random, Affinity::None, &[1023, 1]);
        assert_eq!(choices(&fits, &pool(&[0, 1])).len(), 1024);
    }

    #[test]
    fn many_equal_backends_are_a_list_however_many() {
        let many = service(Scheduler::Random, Affinity::None, &[7; 3000]);
        let all: Vec<u16> = (0..3000).collect();
        assert_eq!(choices(&many, &pool(&all)), all);
    }

    #[test]
    fn with_affinity_the_table_is_the_appliances_own() {
        let affinity = Affinity::ClientIp { timeout: Duration::from_hours(3) };
        for scheduler in [Scheduler::Random, Scheduler::Maglev] {
            let sticky = service(scheduler, affinity, &[1, 1, 1]);
            let backends: Vec<Backend> = (1..=3)
                .map(|host| Backend {
                    address: [10, 0, 0, host].into(),
                    port: 80,
                    // The third is out of service.
                    weight: u16::from(host < 3),
                })
                .collect();
            let Selector::Client(table) = Selector::build(scheduler, affinity, &backends) else {
                panic!("affinity is by client");
            };
            assert_eq!(choices(&sticky, &pool(&[0, 1])), table.slots());
            assert!(is_table(&sticky));
        }
    }

    #[test]
    fn a_fingerprint_tells_order_and_length_apart() {
        let prints = [&[1, 2][..], &[2, 1], &[1, 2, 0], &[]].map(fingerprint);
        let distinct: std::collections::BTreeSet<u64> = prints.into_iter().collect();
        assert_eq!(distinct.len(), 4);
    }
}
