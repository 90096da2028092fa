//! Services for pods whose sockets we do not see.

use spillway_lb::verdict::DropReason;
use spillway_node::layout::{
    CONNTRACK_EAST_WEST, FRONTEND_ELSEWHERE, FRONTEND_HOST_ONLY, Prefix, SETTINGS_REFUSE_UNOWNED,
    WAY_PEER,
};

use crate::frame::{ACK, Frame, SYN, tcp, udp};
use crate::world::{Hook, POD_HOST_MAC, POD_MAC, Spec, World, address, original};

const V4: [&str; 3] = ["10.0.0.72:40000", "10.96.0.10:80", "10.0.1.72:8080"];
const V6: [&str; 3] = ["[fd00::72]:40000", "[fd00:96::10]:80", "[fd00:0:0:1::72]:8080"];

fn from_pod(frame: Frame) -> Frame {
    frame.macs(POD_HOST_MAC, POD_MAC)
}

#[test]
fn a_pods_packet_to_a_service_gets_a_backend_and_keeps_its_source() {
    let mut world = World::new();
    for [pod, service, backend] in [V4, V6] {
        world.serve(Spec::cluster_ip(service), &[backend]);
        world.serve(Spec::cluster_ip(service).udp(), &[backend]);
        for asked in [tcp(pod, service, SYN), udp(pod, service)] {
            let asked = from_pod(asked);
            let forwarded = asked.translated(pod, backend);
            world.run(Hook::FromContainer, &asked).passed_as(&forwarded);
            let row = world.conntrack(&original(asked.protocol, pod, service)).unwrap();
            assert_eq!(row.flags, CONNTRACK_EAST_WEST);

            // The answer is undone where it comes to the pod, and nowhere else.
            let answered = forwarded.answer(SYN | ACK).macs(POD_MAC, POD_HOST_MAC).hops(61);
            world.run(Hook::ToNetdev, &answered).untouched(&answered);
            world.run(Hook::ToContainer, &answered).passed_as(&answered.translated(service, pod));
        }
    }
    assert_eq!(world.rows(), (8, 0));
}

#[test]
fn a_flow_between_pods_gets_its_reply_row_back() {
    let mut world = World::new();
    world.serve(Spec::cluster_ip(V4[1]), &[V4[2]]);
    world.run(Hook::FromContainer, &from_pod(tcp(V4[0], V4[1], SYN)));
    world.forget_conntrack(&crate::world::reply(6, V4[2], V4[0]));
    world.run(Hook::FromContainer, &from_pod(tcp(V4[0], V4[1], ACK)));
    let answered = tcp(V4[2], V4[0], ACK);
    world.run(Hook::ToContainer, &answered).passed_as(&answered.translated(V4[1], V4[0]));
}

#[test]
fn a_flow_that_we_have_not_seen_begin_is_left_to_who_has() {
    let mut world = World::new();
    world.serve(Spec::cluster_ip(V4[1]), &[V4[2]]);
    let asked = from_pod(tcp(V4[0], V4[1], ACK));
    world.run(Hook::FromContainer, &asked).untouched(&asked);
}

#[test]
fn a_service_without_backends_is_silent() {
    let mut world = World::new();
    world.serve(Spec::cluster_ip(V4[1]), &[]);
    let asked = from_pod(tcp(V4[0], V4[1], SYN));
    world.run(Hook::FromContainer, &asked).dropped(DropReason::NoBackend);
    world.serve(Spec::cluster_ip(V4[1]).row(|row| row.flags = FRONTEND_ELSEWHERE), &[]);
    world.run(Hook::FromContainer, &asked).dropped(DropReason::NoBackend);
}

#[test]
fn a_service_address_that_nobody_owns_is_refused() {
    let mut world = World::new();
    let asked = from_pod(tcp(V4[0], "10.96.9.9:80", SYN));
    world.run(Hook::FromContainer, &asked).untouched(&asked);
    world.settings(|settings| {
        settings.flags = SETTINGS_REFUSE_UNOWNED;
        settings.service_prefixes = 1;
        settings.service_prefix[0] = Prefix {
            address: address("10.96.0.0"),
            mask: address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:0"),
        };
    });
    world.run(Hook::FromContainer, &asked).dropped(DropReason::UnlistedPort);
    let beyond = from_pod(tcp(V4[0], "10.97.0.1:80", SYN));
    world.run(Hook::FromContainer, &beyond).untouched(&beyond);
}

#[test]
fn a_loopback_frontend_of_the_host_is_not_the_pods() {
    let mut world = World::new();
    let spec = Spec::cluster_ip("127.0.0.1:30645").row(|row| row.flags = FRONTEND_HOST_ONLY);
    world.serve(spec, &[V4[2]]);
    let asked = from_pod(tcp(V4[0], "127.0.0.1:30645", SYN));
    world.run(Hook::FromContainer, &asked).untouched(&asked);
}

#[test]
fn a_pod_that_is_its_own_backend_meets_the_node() {
    let mut world = World::new();
    world.way(WAY_PEER);
    for [pod, service, itself, node] in [
        [V4[0], V4[1], "10.0.0.72:8080", "172.26.50.101:31210"],
        [V6[0], V6[1], "[fd00::72]:8080", "[2001:db8:50::101]:31210"],
    ] {
        world.serve(Spec::cluster_ip(service), &[itself]);
        let asked = from_pod(tcp(pod, service, SYN));
        let back = asked.translated(node, itself).hops(63).macs(POD_MAC, POD_HOST_MAC);
        world.run(Hook::FromContainer, &asked).redirected_as(&back);
        let answered = from_pod(back.answer(SYN | ACK));
        let home = answered.translated(service, pod).hops(63).macs(POD_MAC, POD_HOST_MAC);
        world.run(Hook::FromContainer, &answered).redirected_as(&home);
        let more = from_pod(tcp(pod, service, ACK));
        let back = more.translated(node, itself).hops(63).macs(POD_MAC, POD_HOST_MAC);
        world.run(Hook::FromContainer, &more).redirected_as(&back);
    }
}
