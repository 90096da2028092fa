//! Who may open flows: source ranges of a Service.

use std::net::{Ipv4Addr, SocketAddrV4};

use ipnet::{IpNet, Ipv4Net};
use proptest::collection::vec;
use proptest::prelude::*;
use spillway_lb::verdict::DropReason;

use crate::world::*;

const FRONTEND: &str = "172.26.50.101:30645";
const INSIDE: &str = "198.51.100.7:40000";
const OUTSIDE: &str = "203.0.113.7:40000";

fn web() -> ServiceSetup {
    service("web").tcp(FRONTEND).udp(FRONTEND).backend("10.0.1.72:80").from("198.51.100.0/24")
}

#[test]
fn a_client_inside_is_served_and_one_outside_hears_nothing() {
    let mut world = World::with(web());
    let flow = world.establish(INSIDE, FRONTEND);
    world.client_says(flow, ACK).backend_says(flow, ACK);
    for frame in [syn(OUTSIDE, FRONTEND), udp(OUTSIDE, FRONTEND)] {
        world
            .ingress(frame)
            .expect_drop(DropReason::SourceRange)
            .expect_counters(&[("received", 1), ("source-range", 1)]);
    }
    // Not even a reset for a segment of no flow, which everybody else gets.
    world.ingress(tcp(OUTSIDE, FRONTEND, ACK)).expect_drop(DropReason::SourceRange);
    world.ingress(tcp("198.51.100.7:40001", FRONTEND, ACK)).expect_refusal(DropReason::NotSyn);
    let count = world.workers[0].service_counts()[0];
    assert_eq!((count.flows_created, count.refused), (1, 3));
    assert_eq!((world.flows().len(), world.lent()), (1, 1));
}

#[test]
fn an_outsider_is_not_told_that_there_is_no_backend() {
    let mut world = World::with(service("web").tcp(FRONTEND).from("198.51.100.0/24"));
    world.ingress(syn(OUTSIDE, FRONTEND)).expect_drop(DropReason::SourceRange);
    world.ingress(syn(INSIDE, FRONTEND)).expect_refusal(DropReason::NoBackend);
}

#[test]
fn only_ipv6_ranges_let_no_ipv4_client_in_and_mixed_ones_the_ipv4_ones() {
    let mut world = World::with(web().from("2001:db8::/32"));
    world.establish(INSIDE, FRONTEND);
    world.change(|model| {
        first_service(model).source_ranges.retain(|range| matches!(range, IpNet::V6(_)));
    });
    world.ingress(syn("198.51.100.7:40001", FRONTEND)).expect_drop(DropReason::SourceRange);
}

#[test]
fn a_flow_goes_on_when_its_client_is_shut_out_and_its_next_one_does_not_begin() {
    let mut world = World::with(web());
    let flow = world.establish(INSIDE, FRONTEND);
    let range = "192.0.2.0/24".parse().unwrap();
    world.change(|model| first_service(model).source_ranges = vec![range]);
    world.client_says(flow, ACK).backend_says(flow, FIN_ACK).client_says(flow, FIN_ACK);
    // Over: the same client and port may not open again.
    world.ingress(syn(INSIDE, FRONTEND)).expect_drop(DropReason::SourceRange);
    world.change(|model| first_service(model).source_ranges.clear());
    world.establish(INSIDE, FRONTEND);
    world.establish(OUTSIDE, FRONTEND);
}

#[test]
fn ranges_are_of_one_service_and_not_of_its_address() {
    let open = service("open").tcp("172.26.50.101:30646").backend("10.0.1.72:80");
    let mut world = Setup::new().service(web()).service(open).world();
    world.ingress(syn(OUTSIDE, FRONTEND)).expect_drop(DropReason::SourceRange);
    world.establish(OUTSIDE, "172.26.50.101:30646");
}

#[test]
fn ten_thousand_ranges_are_kept_to_the_address() {
    let mut world = Setup::new().service(web()).flows_max(2048).world();
    let even = |n: u32| Ipv4Net::new(Ipv4Addr::from_bits(0x2d00_0000 + 2 * n), 32).unwrap();
    world.change(|model| {
        first_service(model).source_ranges = (0..10_000).map(|n| IpNet::V4(even(n))).collect();
    });
    for n in (0..20_000).step_by(37) {
        let client = SocketAddrV4::new(Ipv4Addr::from_bits(0x2d00_0000 + n), 40_000);
        let outcome = world.ingress(syn(client, FRONTEND));
        if n % 2 == 0 {
            outcome.sent();
        } else {
            outcome.expect_drop(DropReason::SourceRange);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn never_a_flow_from_outside_the_ranges(
        ranges in vec((0u8..4, 20u8..=32, any::<u16>()), 1..8),
        clients in vec((0u8..4, any::<u16>(), any::<bool>(), 0u16..3), 1..40),
        workers in 1u16..4,
    ) {
        let net = |(block, len, bits): &(u8, u8, u16)| {
            let address = Ipv4Addr::from_bits(0x2d00_0000 + u32::from(*block) * 0x1_0000 + u32::from(*bits));
            Ipv4Net::new(address, *len).unwrap()
        };
        let ranges: Vec<Ipv4Net> = ranges.iter().map(net).collect();
        let limited = ranges.iter().fold(
            service("web").tcp(FRONTEND).udp(FRONTEND).backend("10.0.1.72:80"),
            |web, range| web.from(&range.to_string()),
        );
        let mut world = Setup::new().service(limited).workers(workers).world();
        for (n, (block, bits, is_tcp, near)) in (0..).zip(clients) {
            // Half of them at the edge of a range.
            let range = ranges[usize::from(bits) % ranges.len()];
            let address = match near {
                0 => Ipv4Addr::from_bits(0x2d00_0000 + u32::from(block) * 0x1_0000 + u32::from(bits)),
                1 => Ipv4Addr::from_bits(range.network().to_bits().wrapping_sub(u32::from(bits & 1))),
                _ => Ipv4Addr::from_bits(range.broadcast().to_bits() + u32::from(bits & 1)),
            };
            let client = SocketAddrV4::new(address, 1024 + n);
            let frame = if is_tcp { syn(client, FRONTEND) } else { udp(client, FRONTEND) };
            let outcome = world.ingress_at(n % workers, frame);
            if ranges.iter().any(|range| range.contains(&address)) {
                outcome.sent();
            } else {
                outcome.expect_drop(DropReason::SourceRange);
            }
        }
        for (_, record) in world.flows() {
            let client = *record.original().source.ip();
            prop_assert!(ranges.iter().any(|range| range.contains(&client)), "{}", client);
        }
    }
}
