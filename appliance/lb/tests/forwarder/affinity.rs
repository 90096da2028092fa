//! A client that keeps its backend: affinity by address.

use std::collections::HashMap;
use std::net::SocketAddrV4;

use spillway_lb::verdict::DropReason;

use crate::world::*;

const FRONTEND: &str = "172.26.50.101:30645";
const BACKENDS: [&str; 4] = ["10.0.1.71:80", "10.0.1.72:80", "10.0.1.73:80", "10.0.1.74:80"];

fn web() -> ServiceSetup {
    let web = service("web").tcp(FRONTEND).udp(FRONTEND).sticky();
    BACKENDS.iter().fold(web, |web, backend| web.backend(backend))
}

fn client(host: u16, port: u16) -> SocketAddrV4 {
    at(&format!("198.51.{}.{}:{port}", host >> 8, host & 255))
}

/// The backend of each of 200 clients, asked from a port that none has used yet.
fn choices(world: &mut World, port: u16) -> Vec<SocketAddrV4> {
    (0..200).map(|host| world.open(client(host, port), FRONTEND).backend).collect()
}

fn world(service: ServiceSetup) -> World {
    Setup::new().service(service).flows_max(4096).world()
}

#[test]
fn all_flows_of_a_client_go_to_one_backend_whatever_port_protocol_and_scheduler() {
    for service in [web(), web().maglev()] {
        let mut world = world(service);
        let first = choices(&mut world, 2000);
        for port in 2001..2010 {
            assert_eq!(choices(&mut world, port), first);
        }
        assert_eq!(world.ask(client(7, 3000), FRONTEND).backend, first[7]);
        let mut shares = HashMap::<_, u32>::new();
        for backend in &first {
            *shares.entry(*backend).or_default() += 1;
        }
        assert_eq!(shares.len(), BACKENDS.len(), "all are used: {shares:?}");
    }
}

#[test]
fn every_worker_and_a_box_that_was_started_anew_choose_alike() {
    let first = choices(&mut world(web()), 2000);
    let many = Setup::new().service(web()).workers(3).seed(99).flows_max(4096);
    for (host, expected) in (0..).zip(&first) {
        let mut other = many.clone().world();
        for (worker, port) in [(0, 2000), (1, 2001), (2, 2002)] {
            assert_eq!(other.open_at(worker, client(host, port), FRONTEND).backend, *expected);
        }
        if host == 20 {
            break;
        }
    }
}

#[test]
fn without_affinity_a_client_meets_several_backends() {
    let mut plain = web().done();
    plain.affinity = spillway_lb::model::Affinity::None;
    let mut world = world(web());
    world.change(|model| *first_service(model) = plain);
    let mut met: Vec<_> =
        (0..40).map(|n| world.open(client(7, 2000 + n), FRONTEND).backend).collect();
    met.sort_unstable();
    met.dedup();
    assert_eq!(met.len(), BACKENDS.len());
}

#[test]
fn a_client_meets_the_same_node_on_all_ports_of_a_service() {
    let tls =
        BACKENDS.iter().fold(service("tls").tcp("172.26.50.101:30646").sticky(), |tls, at| {
            tls.backend(&at.replace(":80", ":31443"))
        });
    let mut world = Setup::new().service(web()).service(tls).flows_max(4096).world();
    for (host, web) in (0..).zip(choices(&mut world, 2000)) {
        let tls = world.open(client(host, 2000), "172.26.50.101:30646").backend;
        assert_eq!((tls.ip(), tls.port()), (web.ip(), 31443));
    }
}

#[test]
fn a_backend_that_goes_takes_only_its_own_clients_along_and_gets_them_back() {
    let mut world = world(web());
    let before = choices(&mut world, 2000);
    world.backend_down(BACKENDS[2]);
    let during = choices(&mut world, 2001);
    let gone = at(BACKENDS[2]);
    let moved = before.iter().zip(&during).filter(|(a, b)| **a != gone && a != b).count();
    assert!(moved <= 10, "{moved} clients of other backends moved");
    assert!(during.iter().all(|backend| *backend != gone));
    world.backend_up(BACKENDS[2]);
    assert_eq!(choices(&mut world, 2002), before);
}

#[test]
fn with_no_backend_an_affine_client_is_refused_aloud() {
    let mut world = World::with(service("web").tcp(FRONTEND).sticky());
    world
        .ingress(syn(client(7, 2000), FRONTEND))
        .expect_refusal(DropReason::NoBackend)
        .expect_counters(&[
            ("received", 1),
            ("generated", 1),
            ("transmitted", 1),
            ("no-backend", 1),
        ]);
}
