//! sendto() and recvfrom() of sockets that are not connected.

use spillway_lb::model::Protocol::Udp;
use spillway_node::layout::{BACKEND_TERMINATING, FRONTEND_TERMINATING};

use crate::client::Client;
use crate::world::{Extra, PODS_V4, PODS_V6, World, run, serve};

fn exchange(client: &mut Client, socket: &str, to: &str) -> String {
    client.ask_all(&[&format!("send {socket} {to}"), &format!("receive {socket}")])
}

#[test]
fn one_socket_speaks_to_two_services_at_once() {
    let mut world = World::new();
    world.service(Udp, "10.96.0.1:53", &PODS_V4[..1]);
    world.service(Udp, "10.96.0.2:53", &PODS_V4[1..2]);
    world.service(Udp, "[fd00:96::3]:53", &PODS_V6[2..]);
    let mut host = world.host();
    host.ask("open s 0.0.0.0:0");
    host.ask_all(&["send s 10.96.0.1:53", "send s 10.96.0.2:53"]);
    let mut answers = [host.ask("receive s"), host.ask("receive s")];
    answers.sort();
    assert_eq!(answers, ["1@10.96.0.1:53", "2@10.96.0.2:53"]);
    // A socket of IPv6 speaks to all three.
    host.ask("open six [::]:0");
    for (to, answer) in [
        ("[::ffff:10.96.0.1]:53", "1@[::ffff:10.96.0.1]:53"),
        ("[::ffff:10.96.0.2]:53", "2@[::ffff:10.96.0.2]:53"),
        ("[fd00:96::3]:53", "3@[fd00:96::3]:53"),
        ("[::ffff:10.96.0.1]:53", "1@[::ffff:10.96.0.1]:53"),
    ] {
        assert_eq!(exchange(&mut host, "six", to), answer);
    }
    assert_eq!(world.counter("send"), 6);
    assert_eq!(world.counter("receive"), 6);
}

#[test]
fn a_socket_keeps_its_backend_and_sockets_are_spread() {
    let mut world = World::new();
    world.service(Udp, "10.96.0.1:53", &PODS_V4);
    let mut host = world.host();
    let mut pods = std::collections::BTreeSet::new();
    for number in 0..30 {
        let socket = format!("s{number}");
        host.ask(&format!("open {socket} 0.0.0.0:0"));
        let first = exchange(&mut host, &socket, "10.96.0.1:53");
        for _ in 0..5 {
            assert_eq!(exchange(&mut host, &socket, "10.96.0.1:53"), first);
        }
        pods.insert(first);
    }
    // That one of three is missed by 30 sockets has a chance of 1 in 60,000.
    assert_eq!(pods.len(), 3, "{pods:?}");
}

#[test]
fn a_vanished_backend_is_replaced_at_the_next_datagram() {
    let mut world = World::new();
    let service = world.service(Udp, "10.96.0.1:53", &PODS_V4[..1]);
    let mut host = world.host();
    host.ask("open s 0.0.0.0:0");
    assert_eq!(exchange(&mut host, "s", "10.96.0.1:53"), "1@10.96.0.1:53");
    let row = service * 10;
    world.backend(row + 1, service, PODS_V4[1], 1);
    world.frontend(Udp, "10.96.0.1:53", service, &[row + 1], Extra::default());
    assert_eq!(exchange(&mut host, "s", "10.96.0.1:53"), "1@10.96.0.1:53", "it still lives");
    world.free(row);
    assert_eq!(exchange(&mut host, "s", "10.96.0.1:53"), "2@10.96.0.1:53");
    assert_eq!(world.counter("send-reselected"), 1);
    // The row is another backend's of the same service by now, and that is not whom the socket knew.
    world.backend(row + 1, service, PODS_V4[2], 1);
    assert_eq!(exchange(&mut host, "s", "10.96.0.1:53"), "3@10.96.0.1:53");
    assert_eq!(world.counter("send-reselected"), 2);
}

#[test]
fn a_terminating_backend_is_left_unless_there_are_no_others() {
    let mut world = World::new();
    let service = world.service(Udp, "10.96.0.1:53", &PODS_V4[..1]);
    let mut host = world.host();
    host.ask("open s 0.0.0.0:0");
    assert_eq!(exchange(&mut host, "s", "10.96.0.1:53"), "1@10.96.0.1:53");
    let row = service * 10;
    world.backend(row, service, PODS_V4[0], BACKEND_TERMINATING);
    world.backend(row + 1, service, PODS_V4[1], BACKEND_TERMINATING);
    let terminating = Extra { flags: FRONTEND_TERMINATING, ..Extra::default() };
    world.frontend(Udp, "10.96.0.1:53", service, &[row + 1], terminating);
    assert_eq!(exchange(&mut host, "s", "10.96.0.1:53"), "1@10.96.0.1:53");
    world.frontend(Udp, "10.96.0.1:53", service, &[row + 1], Extra::default());
    assert_eq!(exchange(&mut host, "s", "10.96.0.1:53"), "2@10.96.0.1:53");
}

#[test]
fn an_answer_of_the_backend_before_is_still_the_services() {
    let mut world = World::new();
    let service = world.service(Udp, "10.96.0.1:53", &PODS_V4[..1]);
    let mut host = world.host();
    host.ask_all(&["open s 0.0.0.0:0", "send s 10.96.0.1:53"]);
    let row = service * 10;
    world.free(row);
    world.backend(row + 1, service, PODS_V4[1], 1);
    world.frontend(Udp, "10.96.0.1:53", service, &[row + 1], Extra::default());
    host.ask("send s 10.96.0.1:53");
    let mut answers = [host.ask("receive s"), host.ask("receive s")];
    answers.sort();
    assert_eq!(answers, ["1@10.96.0.1:53", "2@10.96.0.1:53"]);
}

#[test]
fn a_connected_socket_that_names_the_service_again_stays_with_its_backend() {
    let mut world = World::new();
    world.service(Udp, "10.96.0.1:53", &PODS_V4);
    let mut host = world.host();
    for number in 0..10 {
        let socket = format!("s{number}");
        host.ask(&format!("open {socket} 0.0.0.0:0"));
        host.ask(&format!("connect {socket} 10.96.0.1:53"));
        let first = host.ask_all(&[&format!("send {socket}"), &format!("receive {socket}")]);
        assert_eq!(exchange(&mut host, &socket, "10.96.0.1:53"), first);
    }
}

#[test]
fn who_speaks_to_a_pod_by_its_own_address_hears_it_by_that() {
    let mut world = World::new();
    world.service(Udp, "10.96.0.1:53", &PODS_V4[..1]);
    let mut host = world.host();
    host.ask("open s 0.0.0.0:0");
    assert_eq!(exchange(&mut host, "s", "10.96.0.1:53"), "1@10.96.0.1:53");
    assert_eq!(exchange(&mut host, "s", "10.244.0.1:8080"), "1@10.244.0.1:8080");
    assert_eq!(exchange(&mut host, "s", "10.96.0.1:53"), "1@10.96.0.1:53");
    host.ask("connect s 10.244.0.1:8080");
    assert_eq!(host.ask_all(&["send s", "receive s"]), "1@10.244.0.1:8080");
}

#[test]
fn two_services_over_one_pod_are_told_apart_by_the_last_question() {
    let mut world = World::new();
    world.service(Udp, "10.96.0.1:53", &PODS_V4[..1]);
    world.service(Udp, "10.96.0.2:53", &PODS_V4[..1]);
    let mut host = world.host();
    host.ask("open s 0.0.0.0:0");
    for _ in 0..3 {
        assert_eq!(exchange(&mut host, "s", "10.96.0.1:53"), "1@10.96.0.1:53");
        assert_eq!(exchange(&mut host, "s", "10.96.0.2:53"), "1@10.96.0.2:53");
    }
}

#[test]
fn a_socket_with_more_peers_than_it_can_remember_still_reaches_all() {
    let mut world = World::new();
    // Nine services, each over a pod of its own: on nine addresses of the node.
    for number in 1..=9 {
        run(&format!("ip address add 10.244.7.{number}/32 dev lo"));
        serve(format!("10.244.7.{number}:8080").parse().unwrap());
        world.service(Udp, &format!("10.96.7.{number}:53"), &[&format!("10.244.7.{number}")]);
    }
    let mut host = world.host();
    host.ask("open s 0.0.0.0:0");
    for round in 0..2 {
        for number in 1..=9 {
            let to = format!("10.96.7.{number}:53");
            let answer = exchange(&mut host, "s", &to);
            assert_eq!(answer, format!("{number}@{to}"), "round {round}");
        }
    }
}
