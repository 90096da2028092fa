//! What a change costs, printed: `cargo test -p spillway-cluster -- --ignored --nocapture cost`.

use std::time::Instant;

use serde_json::json;
use spillway_cluster::{BackendMode, Change, Cluster, Kind, Object, Policy};

use crate::world::{node, policy, pool, ready, service, slice};

const SERVICES: usize = 10_000;
const ENDPOINTS: usize = 10;

fn web(at: usize) -> Object {
    let node_port = 30_000 + at;
    let mut json = service(
        &format!("web-{at}"),
        json!({ "ports": [{ "name": "http", "port": 80, "nodePort": node_port }] }),
    );
    json["metadata"]["uid"] = json!(format!("uid-{at:06}"));
    Object::parse(Kind::Service, &json).unwrap()
}

fn endpoints(at: usize, count: usize) -> Object {
    let addresses: Vec<String> =
        (0..count).map(|it| format!("10.244.{}.{}", 1 + it % 3, 1 + (at + it) % 250)).collect();
    let endpoints: Vec<_> = addresses.iter().map(|it| (it.as_str(), "node-a", ready())).collect();
    Object::parse(
        Kind::EndpointSlice,
        &slice(&format!("web-{at}-x"), &format!("web-{at}"), &endpoints),
    )
    .unwrap()
}

/// Of this thread; the machine may have other work.
fn cpu_ns() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or(f64::NAN)
}

fn timed(what: &str, mode: BackendMode, work: impl FnOnce()) {
    let (start, cpu) = (Instant::now(), cpu_ns());
    work();
    let wall = start.elapsed().as_secs_f64() * 1e3;
    println!("{mode:?}: {what}: {wall:.1} ms, {:.1} ms of CPU", (cpu_ns() - cpu) / 1e6);
}

#[test]
#[ignore = "a measurement: it prints and asserts nothing"]
fn cost() {
    for mode in [BackendMode::Node, BackendMode::Pod] {
        let mut cluster = Cluster::new(
            Policy { mode, node_port_range: 30_000..=50_000, ..policy() },
            vec![pool("public", "203.0.0.0/16")],
        );
        let services: Vec<Object> = (0..SERVICES).map(web).collect();
        let slices: Vec<Object> = (0..SERVICES).map(|at| endpoints(at, ENDPOINTS)).collect();
        for (name, number) in [("node-a", 1), ("node-b", 2), ("node-c", 3)] {
            cluster.apply(Change::Upsert(Object::parse(Kind::Node, &node(name, number)).unwrap()));
        }
        timed("10,000 Services and slices applied", mode, || {
            cluster.apply(Change::Replace { kind: Kind::Service, objects: services });
            cluster.apply(Change::Replace { kind: Kind::EndpointSlice, objects: slices });
        });
        timed("first view", mode, || drop(cluster.view()));
        println!("{mode:?}: {} lb Services", cluster.view().model.services.len());
        for round in 0..3 {
            timed("one endpoint", mode, || {
                cluster.apply(Change::Upsert(endpoints(4_711, ENDPOINTS - 1 - round)));
                drop(cluster.view());
            });
        }
        timed("one Service goes", mode, || {
            let key = web(17).key();
            cluster.apply(Change::Delete { kind: Kind::Service, key });
            drop(cluster.view());
        });
        timed("one Service comes", mode, || {
            cluster.apply(Change::Upsert(web(17)));
            drop(cluster.view());
        });
        timed("one node goes", mode, || {
            let key = Object::parse(Kind::Node, &node("node-b", 2)).unwrap().key();
            cluster.apply(Change::Delete { kind: Kind::Node, key });
            drop(cluster.view());
        });
    }
}
