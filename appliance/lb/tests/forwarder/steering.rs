//! Several workers: a packet reaches the worker that owns its flow, in one step at most.

use spillway_lb::ids::WorkerId;
use spillway_lb::snat::port_owner;

use crate::world::*;

const FRONTEND: &str = "172.26.50.101:30645";

fn setup(workers: u16) -> Setup {
    let web = service("web").tcp(FRONTEND).backend("10.0.1.72:80").backend("10.0.1.73:80");
    Setup::new().service(web).workers(workers)
}

/// Every packet of a connection, received by every worker in turn.
fn all_packets_reach_the_owner(workers: u16) {
    let mut world = setup(workers).world();
    let mut owners = vec![0; usize::from(workers)];
    for client in 0..40 {
        let client = at(&format!("198.51.100.7:{}", 20_000 + client));
        // The SYN and its retransmissions, wherever they arrive.
        let flow = world.open_at(0, client, FRONTEND);
        let owner = world.record(flow).unwrap().0;
        owners[owner.index()] += 1;
        for receiver in 0..workers {
            let elsewhere = WorkerId::new(receiver) != owner;
            let crossing: &[_] =
                if elsewhere { &[("handed_over", 1), ("taken_over", 1)] } else { &[] };
            let received = if elsewhere { 2 } else { 1 };
            let counted = [&[("received", received), ("transmitted", 1)], crossing].concat();
            for (from_to, onward, flags) in [
                ((flow.client, flow.frontend), (flow.snat, flow.backend), SYN),
                ((flow.backend, flow.snat), (flow.frontend, flow.client), SYN_ACK),
                ((flow.client, flow.frontend), (flow.snat, flow.backend), ACK),
                ((flow.backend, flow.snat), (flow.frontend, flow.client), ACK),
            ] {
                world
                    .ingress_at(receiver, tcp(from_to.0, from_to.1, flags))
                    .expect_decided_by(owner.get(), elsewhere)
                    .expect_egress(tcp(onward.0, onward.1, flags))
                    .expect_counters(&counted);
            }
        }
        assert_eq!(port_owner(flow.snat.port(), workers), owner);
    }
    assert!(owners.iter().all(|flows| *flows > 0), "{owners:?}: somebody has nothing to do");
}

#[test]
fn with_one_worker_nothing_is_handed_over() {
    all_packets_reach_the_owner(1);
}

#[test]
fn with_two_workers_every_packet_reaches_the_owner_in_one_step() {
    all_packets_reach_the_owner(2);
}

#[test]
fn with_three_workers_every_packet_reaches_the_owner_in_one_step() {
    all_packets_reach_the_owner(3);
}

#[test]
fn with_eight_workers_every_packet_reaches_the_owner_in_one_step() {
    all_packets_reach_the_owner(8);
}

#[test]
fn where_the_port_steers_clients_stay_and_only_stray_replies_are_handed_over() {
    let mut world = setup(3).steered_by_nic().world();
    for receiver in 0..3 {
        let client = at(&format!("198.51.100.7:{}", 20_000 + receiver));
        world
            .ingress_at(receiver, syn(client, FRONTEND))
            .expect_decided_by(receiver, false)
            .expect_counters(&[("received", 1), ("transmitted", 1), ("flows_created", 1)]);
        let (_, record) = world
            .flows()
            .into_iter()
            .find(|(_, record)| record.original().source == client)
            .unwrap();
        let (backend, snat) = (record.reply().source, record.reply().destination);
        for elsewhere in 0..3 {
            world
                .ingress_at(elsewhere, tcp(backend, snat, SYN_ACK))
                .expect_decided_by(receiver, elsewhere != receiver)
                .expect_egress(tcp(at(FRONTEND), client, SYN_ACK));
        }
    }
}

#[test]
fn a_reply_to_a_port_that_nobody_was_lent_is_dropped_by_its_owner() {
    let mut world = setup(3).world();
    for port in 31_210..31_222 {
        let snat = at(&format!("172.26.50.101:{port}"));
        let owner = port_owner(port, 3);
        world
            .ingress_at(1, tcp(at("10.0.1.72:80"), snat, ACK))
            .expect_decided_by(owner.get(), owner != WorkerId::new(1))
            .expect_drop(spillway_lb::verdict::DropReason::NoFlow);
    }
}

#[test]
fn a_worker_whose_share_is_lent_refuses_and_the_others_go_on() {
    // Four ports: worker 0 has 32768 and 32771 (the fourth share is its own again).
    let web = service("web").tcp(FRONTEND).backend("10.0.1.72:80");
    let mut world =
        Setup::new().service(web).workers(3).snat("172.26.50.101", 32_768..=32_771).world();
    let (mut lent, mut refused) = ([0; 3], [0; 3]);
    for n in 0..60 {
        let client = at(&format!("198.51.100.7:{}", 20_000 + n));
        let handled = world.ingress(syn(client, FRONTEND)).handled;
        let count = match handled.fate {
            Fate::Sent(..) => &mut lent,
            Fate::Refused(..) => &mut refused,
            Fate::Dropped(_) | Fate::Local => panic!("{:?}", handled.fate),
        };
        count[handled.by.index()] += 1;
    }
    assert_eq!(lent, [2, 1, 1]);
    assert!(refused.iter().all(|count| *count > 0), "{refused:?}");
}
