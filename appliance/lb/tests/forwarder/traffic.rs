//! Random traffic over several workers: the laws of [`World::assert_laws`] hold after every packet.

use std::net::SocketAddrV4;
use std::time::Duration;

use proptest::prelude::*;
use spillway_lb::conntrack::FlowRecord;
use spillway_lb::model::Protocol;
use spillway_packet::build::{self, Builder};
use spillway_packet::tcp::TcpFlags;

use crate::world::*;

const FRONTENDS: [&str; 2] = ["172.26.50.101:30645", "172.26.50.110:80"];
const BACKENDS: [&str; 4] = ["10.0.1.71:80", "10.0.1.72:80", "10.0.1.73:80", "10.0.1.73:81"];

#[derive(Clone, Debug)]
enum Step {
    /// A client says something to a frontend.
    Client {
        client: u16,
        frontend: usize,
        segment: Option<TcpFlags>,
        receiver: u16,
    },
    /// The backend of some flow answers; or of none, when there is no such flow.
    Backend {
        flow: usize,
        flags: TcpFlags,
        receiver: u16,
    },
    /// A packet to any SNAT port from any backend.
    Stray {
        backend: usize,
        port: u16,
        receiver: u16,
    },
    Time {
        seconds: u64,
    },
    Health {
        backend: usize,
        up: bool,
    },
}

fn flags() -> impl Strategy<Value = TcpFlags> {
    prop_oneof![3 => Just(SYN), 2 => Just(SYN_ACK), 4 => Just(ACK), 2 => Just(FIN_ACK), 1 => Just(RST)]
}

fn step() -> impl Strategy<Value = Step> {
    let segment = prop_oneof![4 => flags().prop_map(Some), 1 => Just(None)];
    let health = (0..BACKENDS.len(), any::<bool>());
    prop_oneof![
        12 => (0u16..24, 0..FRONTENDS.len(), segment, any::<u16>()).prop_map(
            |(client, frontend, segment, receiver)| {
                Step::Client { client, frontend, segment, receiver }
            }
        ),
        8 => (any::<usize>(), flags(), any::<u16>())
            .prop_map(|(flow, flags, receiver)| Step::Backend { flow, flags, receiver }),
        1 => (0..BACKENDS.len(), 32_000u16..32_016, any::<u16>())
            .prop_map(|(backend, port, receiver)| Step::Stray { backend, port, receiver }),
        2 => (1u64..80).prop_map(|seconds| Step::Time { seconds }),
        1 => health.prop_map(|(backend, up)| Step::Health { backend, up }),
    ]
}

fn world(workers: u16, seed: u64) -> World {
    let web = service("web").tcp(FRONTENDS[0]).udp(FRONTENDS[0]);
    let web = web.backend(BACKENDS[0]).weighted(BACKENDS[1], 3);
    let shop = service("shop").tcp(FRONTENDS[1]).udp(FRONTENDS[1]).maglev();
    let shop = shop.backend(BACKENDS[1]).backend(BACKENDS[2]).backend(BACKENDS[3]);
    // So little of everything that all of it runs out at times.
    Setup::new()
        .service(web)
        .service(shop)
        .snat("172.26.50.101", 32_000..=32_004)
        .snat("10.0.0.2", 32_003..=32_004)
        .workers(workers)
        .flows_max(12)
        .snat_backends_max(8)
        .seed(seed)
        .world()
}

fn client(number: u16) -> SocketAddrV4 {
    at(&format!("198.51.100.7:{}", 1024 + number))
}

impl World {
    /// A frame comes in; if one leaves, it is the right translation for a flow that there is.
    fn plays(&mut self, receiver: u16, frame: Builder) {
        let receiver = receiver % u16::try_from(self.workers.len()).unwrap();
        let came = from_to(tuple_of(&frame.finish()));
        let serving = self.serving();
        let handled = self.ingress_at(receiver, frame).handled;
        let Fate::Sent(_, frame) = handled.fate else { return };
        let went = from_to(tuple_of(&frame));
        let original = |record: &FlowRecord| {
            let (original, reply) = (record.original(), record.reply());
            came == (original.source, original.destination)
                && went == (reply.destination, reply.source)
        };
        let reply = |record: &FlowRecord| {
            let (original, reply) = (record.original(), record.reply());
            came == (reply.source, reply.destination)
                && went == (original.destination, original.source)
        };
        let flows = self.flows();
        let found = flows.iter().find(|(_, record)| original(record) || reply(record));
        let (owner, record) = found.expect("what leaves belongs to a flow");
        assert_eq!(*owner, handled.by, "the owner decided");
        // A flow that was made just now went to a backend of its service that takes flows.
        let count: u64 = self.workers.iter().map(|worker| worker.counters.flows_created).sum();
        if count > serving.flows_created {
            let service = record.service().get() as usize;
            assert!(serving.backends[service].contains(&record.reply().source), "{record:?}");
        }
    }

    fn serving(&self) -> Serving {
        let tables = self.workers[0].tables();
        let backends = FRONTENDS.map(|frontend| {
            let service = tables.service(at(frontend), Protocol::Tcp).unwrap();
            let all = service.backends.iter().map(|backend| backend.address);
            all.filter(|backend| !self.is_down(*backend)).collect()
        });
        let flows_created = self.workers.iter().map(|worker| worker.counters.flows_created).sum();
        Serving { backends, flows_created }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Client { client: number, frontend, segment: Some(flags), receiver } => {
                self.plays(receiver, tcp(client(number), FRONTENDS[frontend], flags));
            }
            Step::Client { client: number, frontend, segment: None, receiver } => {
                self.plays(receiver, udp(client(number), FRONTENDS[frontend]));
            }
            Step::Backend { flow, flags, receiver } => {
                let flows = self.flows();
                if flows.is_empty() {
                    return;
                }
                let (_, record) = flows[flow % flows.len()];
                let (backend, snat) = (record.reply().source, record.reply().destination);
                self.plays(
                    receiver,
                    match record.protocol() {
                        Protocol::Tcp => build::tcp(backend, snat).flags(flags),
                        Protocol::Udp => build::udp(backend, snat),
                    },
                );
            }
            Step::Stray { backend, port, receiver } => {
                let snat = at(&format!("172.26.50.101:{port}"));
                self.plays(receiver, tcp(BACKENDS[backend], snat, ACK));
            }
            Step::Time { seconds } => _ = self.after(Duration::from_secs(seconds)),
            Step::Health { backend, up: true } => _ = self.backend_up(BACKENDS[backend]),
            Step::Health { backend, up: false } => _ = self.backend_down(BACKENDS[backend]),
        }
    }
}

/// Who takes new flows, by service, and how many flows there have been.
struct Serving {
    backends: [Vec<SocketAddrV4>; 2],
    flows_created: u64,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_happens_the_laws_hold_and_in_the_end_nothing_is_left(
        steps in proptest::collection::vec(step(), 1..300), workers in 1u16..=8, seed: u64
    ) {
        let mut world = world(workers, seed / 2);
        for step in &steps {
            world.take(step);
        }
        world.after(Duration::from_hours(3));
        prop_assert_eq!((world.flows().len(), world.lent()), (0, 0));
    }
}

#[test]
fn the_traffic_of_the_property_reaches_every_kind_of_end() {
    // Else the property would say little: a long run has to see refusals, reuse and exhaustion.
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut world = world(2, 3);
    for _ in 0..6_000 {
        let step = step().new_tree(&mut runner).unwrap().current();
        world.take(&step);
    }
    let seen = |reason: &str| {
        let reason = spillway_lb::verdict::DropReason::ALL
            .iter()
            .find(|known| known.name() == reason)
            .unwrap();
        world.workers.iter().map(|worker| worker.counters.dropped(*reason)).sum::<u64>()
    };
    for reason in [
        "no-backend",
        "no-flow",
        "not-syn",
        "snat-ports-exhausted",
        "snat-backends-full",
        "conntrack-full",
    ] {
        assert!(seen(reason) > 0, "{reason} was never seen");
    }
    let expired: u64 = world.workers.iter().map(|worker| worker.counters.flows_expired).sum();
    assert!(expired > 100, "{expired} flows ended");
}
