//! Which packets are served at all.

use spillway_lb::model::ServiceKind;
use spillway_lb::verdict::DropReason;
use spillway_node::layout::{FRONTEND_ELSEWHERE, FRONTEND_GUARDED, FRONTEND_MAGLEV};

use crate::frame::{ACK, FIN, Frame, RST, SYN, tcp, udp};
use crate::world::{ETH0_MAC, Hook, Spec, WORLD_MAC, World, original};

const CLIENT: &str = "172.26.50.180:10000";
const NODE_PORT: &str = "172.26.50.101:30645";
const VIP: &str = "192.0.2.80:80";
const BACKEND: &str = "10.0.1.72:80";

fn from_world(frame: Frame) -> Frame {
    frame.macs(ETH0_MAC, WORLD_MAC)
}

fn vip() -> Spec {
    Spec::external(VIP, ServiceKind::LoadBalancer)
}

#[test]
fn a_cluster_ip_is_not_served_to_the_outside() {
    let mut world = World::new();
    world.serve(Spec::cluster_ip("10.96.0.10:80"), &[BACKEND]);
    let asked = from_world(tcp(CLIENT, "10.96.0.10:80", SYN));
    world.run(Hook::FromNetdev, &asked).untouched(&asked);
}

#[test]
fn another_port_or_protocol_of_the_node_is_untouched() {
    let mut world = World::new();
    world.serve(Spec::node_port(NODE_PORT), &[BACKEND]);
    for frame in [tcp(CLIENT, "172.26.50.101:22", SYN), udp(CLIENT, NODE_PORT)] {
        let frame = from_world(frame);
        world.run(Hook::FromNetdev, &frame).untouched(&frame);
    }
    assert_eq!(world.rows(), (0, 0));
}

#[test]
fn a_frame_to_another_host_is_untouched() {
    let mut world = World::new();
    world.serve(Spec::node_port(NODE_PORT), &[BACKEND]);
    let overheard = tcp(CLIENT, NODE_PORT, SYN).macs([2, 0, 0, 0, 0, 0x55], WORLD_MAC);
    world.run(Hook::FromNetdev, &overheard).untouched(&overheard);
}

#[test]
fn only_clients_in_the_source_ranges_are_served() {
    let mut world = World::new();
    world.settings(|settings| settings.snat_port_max = 31300);
    world.serve(vip().row(|row| row.flags = FRONTEND_GUARDED), &[BACKEND]);
    world.allow(7, "198.51.100.0", 96 + 24);
    world.allow(8, "0.0.0.0", 96); // another service's
    let asked = from_world(tcp(CLIENT, VIP, SYN));
    world.run(Hook::FromNetdev, &asked).dropped(DropReason::SourceRange);
    let asked = from_world(tcp("198.51.100.7:10000", VIP, SYN));
    world.run(Hook::FromNetdev, &asked);
    assert_eq!(world.counter("forward"), 1);
}

#[test]
fn a_client_that_is_shut_out_later_is_cut_off() {
    let mut world = World::new();
    world.serve(vip(), &[BACKEND]);
    world.run(Hook::FromNetdev, &from_world(tcp(CLIENT, VIP, SYN)));
    world.frontend(vip().row(|row| row.flags = FRONTEND_GUARDED), &[1]);
    let more = from_world(tcp(CLIENT, VIP, ACK));
    world.run(Hook::FromNetdev, &more).dropped(DropReason::SourceRange);
}

#[test]
fn nobody_behind_a_node_port_is_answered_by_the_stack() {
    let mut world = World::new();
    world.serve(Spec::node_port(NODE_PORT), &[]);
    let asked = from_world(tcp(CLIENT, NODE_PORT, SYN));
    world.run(Hook::FromNetdev, &asked).untouched(&asked);
}

#[test]
fn nobody_of_this_node_behind_a_node_port_is_silence() {
    let mut world = World::new();
    world.serve(Spec::node_port(NODE_PORT).row(|row| row.flags = FRONTEND_ELSEWHERE), &[]);
    let asked = from_world(tcp(CLIENT, NODE_PORT, SYN));
    world.run(Hook::FromNetdev, &asked).dropped(DropReason::NoBackend);
}

#[test]
fn nobody_behind_an_external_address_is_told_by_its_reason() {
    let mut world = World::new();
    world.serve(vip(), &[]);
    let asked = from_world(tcp(CLIENT, VIP, SYN));
    world.run(Hook::FromNetdev, &asked).dropped(DropReason::NoBackend);
}

#[test]
fn a_choice_that_is_no_backend_of_the_service_is_not_taken() {
    let mut world = World::new();
    let backends = world.backends(8, &[BACKEND]);
    world.frontend(Spec::node_port(NODE_PORT), &backends);
    let asked = from_world(tcp(CLIENT, NODE_PORT, SYN));
    world.run(Hook::FromNetdev, &asked).dropped(DropReason::NoBackend);
}

#[test]
fn a_stray_packet_to_a_node_port_is_answered_by_the_stack() {
    let mut world = World::new();
    world.serve(Spec::node_port(NODE_PORT), &[BACKEND]);
    for flags in [ACK, SYN | ACK, RST, FIN | ACK, 0] {
        let stray = from_world(tcp(CLIENT, NODE_PORT, flags));
        world.run(Hook::FromNetdev, &stray).untouched(&stray);
    }
}

#[test]
fn a_stray_packet_to_an_external_address_is_dropped() {
    let mut world = World::new();
    world.serve(vip(), &[BACKEND]);
    let stray = from_world(tcp(CLIENT, VIP, ACK));
    world.run(Hook::FromNetdev, &stray).dropped(DropReason::NotSyn);
}

#[test]
fn flags_that_contradict_each_other_open_nothing() {
    let mut world = World::new();
    world.serve(Spec::node_port(NODE_PORT), &[BACKEND]);
    for flags in [SYN | FIN, SYN | RST] {
        let asked = from_world(tcp(CLIENT, NODE_PORT, flags));
        world.run(Hook::FromNetdev, &asked).dropped(DropReason::BadTcpFlags);
    }
    let asked = from_world(tcp("172.26.50.180:0", NODE_PORT, SYN));
    world.run(Hook::FromNetdev, &asked).dropped(DropReason::ZeroPort);
}

#[test]
fn sources_that_are_nobody_get_nothing() {
    let mut world = World::new();
    world.serve(Spec::node_port(NODE_PORT), &[BACKEND]);
    for source in ["127.0.0.1:1", "0.1.2.3:1", "224.0.0.1:1", "255.255.255.255:1", NODE_PORT] {
        let asked = from_world(tcp(source, NODE_PORT, SYN));
        world.run(Hook::FromNetdev, &asked).dropped(DropReason::BogonSource);
    }
    let frontend = "[2001:db8:50::101]:30645";
    world.serve(Spec::node_port(frontend), &["[fd00:0:0:1::72]:80"]);
    for source in ["[::]:1", "[::1]:1", "[ff02::1]:1", "[::ffff:192.0.2.1]:1", frontend] {
        let asked = from_world(tcp(source, frontend, SYN));
        world.run(Hook::FromNetdev, &asked).dropped(DropReason::BogonSource);
    }
}

#[test]
fn a_client_with_affinity_meets_its_backend_by_every_flow() {
    let mut world = World::new();
    world.settings(|settings| settings.snat_port_max = 32000);
    let ends: Vec<String> = (1..=50).map(|host| format!("10.0.1.{host}:80")).collect();
    let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
    world.serve(
        vip().row(|row| {
            row.affinity_s = 60;
            row.flags = FRONTEND_MAGLEV;
        }),
        &ends,
    );
    let mut met = std::collections::HashSet::new();
    for port in 1000..1020 {
        let client = format!("172.26.50.180:{port}");
        world.run(Hook::FromNetdev, &from_world(tcp(&client, VIP, SYN)));
        met.insert(world.conntrack(&original(6, &client, VIP)).unwrap().backend);
    }
    assert_eq!(met.len(), 1);
}

#[test]
fn a_maglev_table_leads_a_flow_to_the_same_place_on_every_node() {
    let ends: Vec<String> = (1..=50).map(|host| format!("10.0.1.{host}:80")).collect();
    let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
    let mut places = [NODE_PORT, "172.26.50.222:30645"].map(|frontend| {
        let mut world = World::new();
        world.settings(|settings| settings.snat_port_max = 32000);
        world.serve(Spec::node_port(frontend).row(|row| row.flags = FRONTEND_MAGLEV), &ends);
        (1000..1040)
            .map(|port| {
                let client = format!("172.26.50.180:{port}");
                world.run(Hook::FromNetdev, &from_world(tcp(&client, frontend, SYN)));
                world.conntrack(&original(6, &client, frontend)).unwrap().backend
            })
            .collect::<Vec<_>>()
    });
    assert_eq!(places[0], places[1]);
    places[0].sort_unstable();
    places[0].dedup();
    assert!(places[0].len() > 15, "40 flows over 50 places met {} of them", places[0].len());
}
