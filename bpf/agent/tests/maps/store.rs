//! Steps of the ledger on the kernel's maps.

use std::net::IpAddr;
use std::sync::Arc;

use spillway_cluster::addresses::Family;
use spillway_cluster::node::{NodeBackend, NodeFrontend, NodeService, NodeView, Place, Pool};
use spillway_lb::model::{Affinity, Protocol, Scheduler, ServiceKind, Timeouts};
use spillway_node::gc::Collector;
use spillway_node::layout::{
    Address, BACKEND_FREE, CONNTRACK_SEEN_REPLY, Conntrack, DIRECTION_ORIGINAL, FrontendKey, Nat,
    SCOPE_INTERNAL, SourceRange, Tuple,
};
use spillway_node::ledger::NodePlaces;
use spillway_node::maps::{Maps, MapsError};
use spillway_node::pins::Pins;
use spillway_node::sync::Sync;
use spillway_node::{gc, maps};

use crate::bpffs::Bpffs;

/// A Service with one ClusterIP, `number` of them all.
pub(crate) fn service(number: u32, backends: u32) -> Arc<NodeService> {
    let at = |base: u32, number: u32| IpAddr::from((base + number).to_be_bytes());
    let backend = |of: u32| NodeBackend {
        address: at(0x0a00_0000, number * 128 + of),
        port: 8080,
        weight: 1,
        is_local: false,
        is_terminating: false,
    };
    let members = (0..u16::try_from(backends).unwrap()).collect();
    Arc::new(NodeService {
        name: format!("default/s{number:05}:http"),
        family: Family::V4,
        protocol: Protocol::Tcp,
        scheduler: Scheduler::Random,
        affinity: Affinity::None,
        source_ranges: vec!["192.0.2.0/24".parse().unwrap()],
        backends: (0..backends).map(backend).collect(),
        pools: vec![Pool { members, is_terminating: false, is_local: false }],
        frontends: vec![NodeFrontend {
            kind: ServiceKind::ClusterIp,
            place: Place::Address(at(0x0a60_0000, number)),
            port: 80,
            internal: 0,
            external: None,
            is_guarded: false,
        }],
    })
}

fn key(number: u32) -> FrontendKey {
    let address = IpAddr::from((0x0a60_0000 + number).to_be_bytes()).into();
    FrontendKey { address, port: 80.into(), protocol: 6, scope: SCOPE_INTERNAL }
}

pub(crate) fn view(services: impl IntoIterator<Item = Arc<NodeService>>) -> NodeView {
    NodeView { services: services.into_iter().collect(), is_eligible: true, ..NodeView::default() }
}

fn sizes(maps: &Maps) -> [usize; 2] {
    let live = maps.backends.iter().filter(|row| row.as_ref().unwrap().state != BACKEND_FREE);
    [maps.frontends.keys().count(), live.count()]
}

#[test]
fn what_is_asked_for_is_in_the_maps_and_a_second_agent_takes_it_up() {
    let bpffs = Bpffs::mount("store");
    let mut maps = bpffs.load(&[]);
    let clock = || bpffs.started.elapsed();
    let places = NodePlaces::default();
    let wanted = view((0..3).map(|number| service(number, 4)));
    let mut sync = Sync::adopt(&mut maps).unwrap();
    let outcome = sync.sync(&mut maps, &wanted, &places, clock).unwrap();
    assert_eq!((&outcome.failed, outcome.touched, outcome.names_changed), (&vec![], 3, true));
    assert_eq!(sizes(&maps), [3, 12]);
    let row = maps.frontends.get(&key(1), 0).unwrap();
    assert_eq!(row.count, 4);
    let first = maps.choices.get(&row.first, 0).unwrap();
    assert_eq!(maps.backends.get(&first, 0).unwrap().service, row.service);
    let source = SourceRange {
        service: row.service,
        source: Address::from("192.0.2.7".parse::<IpAddr>().unwrap()),
    };
    // Any address of the prefix finds it.
    let client = aya::maps::lpm_trie::Key::new(160, source);
    assert_eq!(maps.source_ranges.get(&client, 0).unwrap(), 1);
    drop((sync, maps));

    let mut maps = Maps::open(&bpffs.pins()).unwrap();
    let mut sync = Sync::adopt(&mut maps).unwrap();
    let outcome = sync.sync(&mut maps, &wanted, &places, clock).unwrap();
    assert_eq!((outcome.failed, outcome.steps.len()), (vec![], 0));
    let outcome = sync.sync(&mut maps, &view([service(1, 3)]), &places, clock).unwrap();
    assert_eq!((outcome.failed, outcome.gone.len()), (vec![], 9));
    assert_eq!(sizes(&maps), [1, 3]);
    assert_eq!(maps.frontends.get(&key(1), 0).unwrap().id, row.id);
}

#[test]
fn a_row_that_the_kernel_refuses_fails_its_service_alone() {
    let bpffs = Bpffs::mount("refuse");
    let mut maps = bpffs.load(&[("frontends", 3)]);
    let clock = || bpffs.started.elapsed();
    let mut sync = Sync::adopt(&mut maps).unwrap();
    // Somebody else fills the map behind the ledger's back.
    for number in 100..102 {
        maps.frontends.insert(key(number), spillway_node::layout::Frontend::default(), 0).unwrap();
    }
    let wanted = view((0..2).map(|number| service(number, 2)));
    let outcome = sync.sync(&mut maps, &wanted, &NodePlaces::default(), clock).unwrap();
    // The next round has found the foreign rows, deleted them as they make no sense, and barred the second.
    let [failed] = &outcome.failed[..] else { panic!("{:?}", outcome.failed) };
    assert_eq!(failed.service, "default/s00001:http");
    assert!(failed.reason.contains("map frontends: writing fails: "), "{}", failed.reason);
    assert!(outcome.retry_at.is_some());
    assert!(maps.frontends.get(&key(0), 0).is_ok());
    assert_eq!(sizes(&maps), [1, 2], "nothing of the refused one is left");
    let outcome = sync.sync(&mut maps, &wanted, &NodePlaces::default(), clock).unwrap();
    assert_eq!((outcome.failed, sizes(&maps)), (vec![], [2, 4]));
}

#[test]
fn without_pinned_maps_the_error_says_what_to_do() {
    let bpffs = Bpffs::mount("none");
    let pins = bpffs.pins();
    let said = Maps::open(&pins).unwrap_err();
    assert!(matches!(said, MapsError::Missing { .. }), "{said:?}");
    let text = said.to_string();
    assert!(text.starts_with(&pins.map("frontends").display().to_string()), "{text}");
    assert!(text.contains("`spillway-node run` was never started"), "{text}");
    // A map of another kind by the same name.
    bpffs.load(&[]);
    std::fs::rename(pins.map("frontends"), pins.map("was")).unwrap();
    std::fs::rename(pins.map("choices"), pins.map("frontends")).unwrap();
    std::fs::rename(pins.map("was"), pins.map("choices")).unwrap();
    let said = Maps::open(&pins).unwrap_err();
    assert!(matches!(said, MapsError::Foreign { .. }), "{said:?}");
    let nowhere = Maps::open(&Pins::new("/proc/self/comm")).unwrap_err();
    assert!(matches!(nowhere, MapsError::Missing { .. }), "{nowhere:?}");
    assert!(maps::events(&Pins::new("/nowhere")).is_err());
}

#[test]
fn a_sweep_deletes_what_is_over_in_pairs_and_leaves_the_rest() {
    const NOW: u64 = 1_000_000_000_000;
    let bpffs = Bpffs::mount("sweep");
    let mut maps = bpffs.load(&[]);
    let flow = |number: u32| {
        let [client, node, pod] = [number, 0x00ff_ff00, 0x00ff_ff01]
            .map(|host| Address::from(IpAddr::from((0x0a00_0000 + host).to_be_bytes())));
        let key = Tuple {
            source: client,
            destination: node,
            source_port: 4000.into(),
            destination_port: 80.into(),
            protocol: 6,
            direction: DIRECTION_ORIGINAL,
            pad: 0,
        };
        let row = Conntrack {
            address: pod,
            port: 8080.into(),
            flags: CONNTRACK_SEEN_REPLY,
            ..Conntrack::default()
        };
        (key, row)
    };
    let count = u32::try_from(gc::SLICE).unwrap() * 2;
    for number in 0..count {
        let (key, row) = flow(number);
        // Every second one was seen just now.
        let seen = if number.is_multiple_of(2) { NOW } else { 1 };
        let row =
            Conntrack { last_seen_ns: seen, flags: if seen == 1 { 0 } else { row.flags }, ..row };
        let pair = gc::conntrack_pair(&key, &row);
        maps.conntrack.insert(key, row, 0).unwrap();
        let back = Conntrack { address: key.destination, port: key.destination_port, ..row };
        maps.conntrack.insert(pair, back, 0).unwrap();
        let towards = Tuple { destination: row.address, destination_port: row.port, ..key };
        let lent = Nat {
            last_seen_ns: 1,
            address: key.destination,
            port: 40_000.into(),
            ..Nat::default()
        };
        maps.nat.insert(towards, lent, 0).unwrap();
        let home = Nat { address: key.source, port: key.source_port, ..lent };
        maps.nat.insert(gc::nat_pair(&towards, &lent), home, 0).unwrap();
    }
    let (before, before_nat) = (maps.conntrack.keys().count(), maps.nat.keys().count());
    let mut collector = Collector::open(&bpffs.pins()).unwrap();
    let mut pauses = 0;
    let swept = collector.sweep(&Timeouts::default(), || NOW, || pauses += 1).unwrap();
    assert!(pauses >= 2, "{pauses} pauses for {swept:?}");
    assert!(swept.conntrack_deleted > 0 && swept.nat_deleted > 0, "{swept:?}");
    // A few may have been stood on, or the kernel began anew: the next sweep has them.
    collector.sweep(&Timeouts::default(), || NOW, || ()).unwrap();
    let rows = maps.conntrack.iter().map(Result::unwrap);
    let left: Vec<u64> = rows.map(|(_, row)| row.last_seen_ns).collect();
    assert!(left.iter().all(|seen| *seen == NOW), "{} of {before} are left", left.len());
    assert_eq!(left.len(), before / 2);
    assert!(maps.nat.keys().count() < before_nat, "ports whose flows are over are free");
    for number in (0..count).step_by(2) {
        let (key, row) = flow(number);
        let towards = Tuple { destination: row.address, destination_port: row.port, ..key };
        assert!(maps.conntrack.get(&key, 0).is_ok() && maps.nat.get(&towards, 0).is_ok());
    }
}
