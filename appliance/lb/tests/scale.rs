//! One endpoint of 10,000 services changes: what is built anew, and how long that takes on this machine.
//! The times are printed (`cargo test -p spillway-lb --test scale -- --nocapture`), not judged.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::Ipv4Net;
use spillway_lb::hash::HashKey;
use spillway_lb::model::{
    Backend, Frontend, Model, Network, PortNetwork, Protocol, Route, Scheduler, Service,
    ServiceKind, SnatRange,
};
use spillway_lb::route::Routes;
use spillway_lb::snapshot::{Identities, Snapshot};
use spillway_lb::tables::Tables;

const SERVICES: u32 = 10_000;
const BACKENDS: u32 = 10;
const KEY: HashKey = HashKey([1, 2]);

fn network() -> Network {
    let front = PortNetwork {
        name: "front".into(),
        vlan: None,
        addresses: vec![Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 1), 16)],
        gateway: None,
        neighbors: Vec::new(),
    };
    let snat = SnatRange { address: Ipv4Addr::new(10, 0, 0, 2), ports: 1024..=60_000 };
    Network { ports: vec![front], snat: vec![snat], probe_ports: 61_000..=65_535 }
}

fn service(number: u32, scheduler: Scheduler) -> Arc<Service> {
    let pod = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0af4_0000 + number * BACKENDS + n));
    let address = IpAddr::V4(Ipv4Addr::from_bits(0xcb00_0000 + number));
    Arc::new(Service {
        frontends: vec![Frontend { address, port: 443, protocol: Protocol::Tcp }],
        backends: (0..BACKENDS)
            .map(|n| Backend { address: pod(n), port: 8443, weight: 1 })
            .collect(),
        scheduler,
        ..Service::new(format!("namespace-{number}/service:https"), ServiceKind::LoadBalancer)
    })
}

fn model(scheduler: Scheduler) -> Model {
    let route = |n: u32| Route {
        prefix: Ipv4Net::new_assert(Ipv4Addr::from_bits(0x0af4_0000 + n * 256), 24),
        via: Ipv4Addr::from_bits(0x0a00_0100 + n),
    };
    Model {
        services: (0..SERVICES).map(|number| service(number, scheduler)).collect(),
        routes: (0..5_000).map(route).collect(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the time is printed only")]
fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    let took: Duration = start.elapsed();
    println!("{what:<44} {:>9.3} ms", took.as_secs_f64() * 1e3);
    result
}

fn step(
    what: &str,
    identities: &mut Identities,
    model: &Model,
    before: &Tables,
) -> (Snapshot, Tables) {
    let snapshot =
        timed(&format!("{what}: snapshot"), || identities.snapshot(model, |_| Vec::new()));
    let tables = timed(&format!("{what}: tables"), || {
        Tables::compile_after(before, &snapshot, &network(), KEY)
    });
    (snapshot, tables)
}

fn rebuilt(before: &Tables, after: &Tables) -> usize {
    let pairs = before.services().iter().zip(after.services());
    pairs.filter(|(before, after)| !Arc::ptr_eq(before, after)).count()
}

#[test]
fn one_endpoint_of_ten_thousand_services_rebuilds_one_service() {
    for scheduler in [Scheduler::Random, Scheduler::Maglev] {
        println!("{scheduler:?}, {SERVICES} services x {BACKENDS} backends, 5000 routes");
        let (mut model, mut identities) = (model(scheduler), Identities::default());
        let snapshot = timed("first: snapshot", || identities.snapshot(&model, |_| Vec::new()));
        let first = timed("first: tables", || Tables::compile(&snapshot, &network(), KEY));

        Arc::make_mut(&mut model.services[7_777]).backends[3].weight = 2;
        let (_, weight) = step("one weight", &mut identities, &model, &first);
        assert_eq!(rebuilt(&first, &weight), 1);

        let pod = &mut Arc::make_mut(&mut model.services[7_777]).backends[3];
        pod.address = Ipv4Addr::new(10, 245, 0, 1).into();
        let (_, replaced) = step("one endpoint replaced", &mut identities, &model, &weight);
        assert_eq!(rebuilt(&weight, &replaced), 1);

        Arc::make_mut(&mut model.services[7_777]).frontends[0].port = 444;
        let (_, moved) = step("one frontend moved", &mut identities, &model, &replaced);
        assert_eq!(rebuilt(&replaced, &moved), 1);

        model.services.remove(7_777);
        let (_, removed) = step("one service removed", &mut identities, &model, &moved);
        let kept = |at: usize| {
            Arc::ptr_eq(&moved.services()[at + usize::from(at >= 7_777)], &removed.services()[at])
        };
        assert!((0..removed.services().len()).all(kept));
    }
}

#[test]
fn the_way_to_an_address_with_five_thousand_routes() {
    let learned = model(Scheduler::Random).routes;
    let asked: Vec<Ipv4Addr> = (0..1_000_000u32)
        .map(|n| Ipv4Addr::from_bits(0x0af4_0000 + n.wrapping_mul(7_919) % 1_280_000))
        .collect();
    for (what, routes) in [
        ("a million look-ups, no route", Routes::new(&network())),
        ("a million look-ups, 5000 routes", Routes::with(&network(), learned)),
    ] {
        let found = timed(what, || asked.iter().filter(|to| routes.to(**to).is_some()).count());
        assert_eq!(found, if routes.learned().is_empty() { 0 } else { asked.len() });
    }
}
