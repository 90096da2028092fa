//! The classic flow: 172.26.50.180:10000 → 172.26.50.101:30645 leaves as 172.26.50.101:31210 →
//! 10.0.1.72:80, and the answer comes back the same way.

use spillway_lb::conntrack::FlowState;
use spillway_lb::ids::PortId;
use spillway_lb::verdict::DropReason;

use crate::world::*;

const CLIENT: &str = "172.26.50.180:10000";
const FRONTEND: &str = "172.26.50.101:30645";
const LENT: &str = "172.26.50.101:31210";
const BACKEND: &str = "10.0.1.72:80";

fn node_port() -> ServiceSetup {
    service("default/web").tcp(FRONTEND).backend(BACKEND)
}

/// The SNAT range is the single port 31210.
fn setup() -> Setup {
    Setup::new().service(node_port()).snat("172.26.50.101", 31210..=31210)
}

/// What comes in by which port, and what leaves: four packets with every checksum written out.
const PACKETS: [(PortId, &str, &str); 4] = [
    // SYN with a maximum segment size.
    (
        FRONT,
        "02000000b000 0210ac1a32b4 0800
         4500002c 12344000 40066b4a ac1a32b4 ac1a3265
         271077b5 000003e8 00000000 6002faf0 3d3a0000 020405b4",
        "02100a000148 02000000b001 0800
         4500002c 12344000 3f063fd1 ac1a3265 0a000148
         79ea0050 000003e8 00000000 6002faf0 354c0000 020405b4",
    ),
    // SYN and ACK of the backend.
    (
        BACK,
        "02000000b001 02100a000148 0800
         4500002c 00004000 40065105 0a000148 ac1a3265
         005079ea 00001388 000003e9 6012fe88 1e1b0000 020405b4",
        "0210ac1a32b4 02000000b000 0800
         4500002c 00004000 3f067e7e ac1a3265 ac1a32b4
         77b52710 00001388 000003e9 6012fe88 26090000 020405b4",
    ),
    // ACK with 19 bytes, an odd number.
    (
        FRONT,
        "02000000b000 0210ac1a32b4 0800
         4500003b 12354000 40066b3a ac1a32b4 ac1a3265
         271077b5 000003e9 00001389 5018faf0 41a30000
         47455420 2f204854 54502f31 2e300d0a 0d0a21",
        "02100a000148 02000000b001 0800
         4500003b 12354000 3f063fc1 ac1a3265 0a000148
         79ea0050 000003e9 00001389 5018faf0 39b50000
         47455420 2f204854 54502f31 2e300d0a 0d0a21",
    ),
    // The answer.
    (
        BACK,
        "02000000b001 02100a000148 0800
         45000038 00014000 400650f8 0a000148 ac1a3265
         005079ea 00001389 000003fc 5018fe88 d12c0000
         48545450 2f312e30 20323034 0d0a0d0a",
        "0210ac1a32b4 02000000b000 0800
         45000038 00014000 3f067e71 ac1a3265 ac1a32b4
         77b52710 00001389 000003fc 5018fe88 d91a0000
         48545450 2f312e30 20323034 0d0a0d0a",
    ),
];

#[test]
fn the_four_packets_of_the_classic_flow_are_translated_byte_by_byte() {
    let mut world = setup().world();
    for (at, (port, incoming, outgoing)) in PACKETS.into_iter().enumerate() {
        let created: &[_] = if at == 0 { &[("flows_created", 1)] } else { &[] };
        let counted = [&[("received", 1), ("transmitted", 1)], created].concat();
        world.ingress_raw(port, hex(incoming)).expect_bytes(outgoing).expect_counters(&counted);
    }
    let flows = world.flows();
    let [(_, record)] = &flows[..] else { panic!("{flows:?}") };
    assert_eq!(record.state(), Some(FlowState::Established));
    assert_eq!(record.original().source, at(CLIENT));
    assert_eq!(record.original().destination, at(FRONTEND));
    assert_eq!(record.reply().source, at(BACKEND));
    assert_eq!(record.reply().destination, at(LENT));
}

#[test]
fn link_padding_after_the_packet_leaves_as_it_came() {
    let mut world = World::with(node_port());
    let flow = world.establish(CLIENT, FRONTEND);
    let (port, mut padded) = world.dressed(tcp(CLIENT, FRONTEND, ACK));
    padded.resize(60, 0);
    let outcome = world.ingress_raw(port, padded);
    assert_eq!(outcome.sent().len(), 60);
    assert_eq!(outcome.sent_from_to(), (flow.snat, flow.backend));
}

#[test]
fn the_tag_of_each_port_is_put_on_what_leaves_there() {
    for (front, back) in [(Some(7), None), (None, Some(9)), (Some(7), Some(9)), (Some(7), Some(7))]
    {
        let mut world = setup().vlans(front, back).world();
        // `expect_egress` knows the tag of the port that a frame leaves by.
        world.ingress(syn(CLIENT, FRONTEND)).expect_egress(syn(LENT, BACKEND));
        world.ingress(tcp(BACKEND, LENT, SYN_ACK)).expect_egress(tcp(FRONTEND, CLIENT, SYN_ACK));
    }
}

#[test]
fn one_arm_is_enough() {
    // The backend is on the clients' link.
    let on_the_link = service("web").tcp(FRONTEND).backend("172.26.60.9:80");
    let mut world = Setup::new().service(on_the_link).snat("172.26.50.101", 31210..=31210).world();
    world.ingress(syn(CLIENT, FRONTEND)).expect_egress(syn(LENT, "172.26.60.9:80"));
    world
        .ingress(tcp("172.26.60.9:80", LENT, SYN_ACK))
        .expect_egress(tcp(FRONTEND, CLIENT, SYN_ACK));
}

#[test]
fn a_client_beyond_the_router_is_answered_by_the_router() {
    let mut world = setup().world();
    let far = "203.0.113.9:10000";
    let flow = world.establish(far, FRONTEND);
    let outcome = world.ingress(tcp(BACKEND, flow.snat, ACK));
    let Fate::Sent(egress, _) = &outcome.handled.fate else { panic!("{:?}", outcome.handled) };
    assert_eq!((egress.port, egress.next_hop.to_string().as_str()), (FRONT, "172.26.50.1"));
}

#[test]
fn a_backend_may_be_the_client_of_its_own_service() {
    let mut world = World::with(node_port());
    // From the very port that it serves at.
    let flow = world.establish(BACKEND, FRONTEND);
    assert_eq!((flow.client, flow.backend), (at(BACKEND), at(BACKEND)));
}

#[test]
fn nobody_but_the_backend_can_answer() {
    let mut world = setup().world();
    world.establish(CLIENT, FRONTEND);
    for stranger in ["10.0.1.72:81", "10.0.1.73:80", "172.26.50.180:80", CLIENT] {
        world
            .ingress(tcp(stranger, LENT, ACK))
            .expect_drop(DropReason::NoFlow)
            .expect_counters(&[("received", 1), ("no-flow", 1)]);
    }
    world.ingress(udp(BACKEND, LENT)).expect_drop(DropReason::NoFlow);
}
