//! Whose addresses they are, and when they are announced.

use super::*;
use spillway_lb::model::{PortNetwork, SnatRange};

pub(crate) fn network() -> Network {
    let port = |name: &str, addresses: &[&str], gateway: Option<&str>| PortNetwork {
        name: name.to_owned(),
        vlan: None,
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        gateway: gateway.map(|gateway| gateway.parse().unwrap()),
        neighbors: Vec::new(),
    };
    Network {
        ports: vec![
            port("front", &["192.0.2.1/24", "198.51.100.1/24"], Some("192.0.2.254")),
            port("back", &["10.0.1.1/24"], None),
        ],
        snat: vec![SnatRange { address: "10.0.1.2".parse().unwrap(), ports: 1024..=60_000 }],
        probe_ports: 61_000..=61_999,
    }
}

const FRONT: PortId = PortId::new(0);
const BACK: PortId = PortId::new(1);

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn owned(addresses: &[&str]) -> Owned {
    let mut owned = Owned::default();
    owned.replace(Moment::ZERO, &network(), addresses.iter().map(|text| ip(text)));
    owned
}

#[test]
fn an_address_is_owned_on_the_ports_of_its_link_only() {
    let owned = owned(&["192.0.2.80", "10.0.1.2"]);
    assert!(owned.is_owned_on(FRONT, ip("192.0.2.80")));
    assert!(!owned.is_owned_on(BACK, ip("192.0.2.80")));
    assert!(owned.is_owned_on(BACK, ip("10.0.1.2")));
    assert!(!owned.is_owned_on(FRONT, ip("10.0.1.2")));
    assert!(!owned.is_owned_on(FRONT, ip("192.0.2.81")), "nobody's");
}

#[test]
fn an_address_of_no_link_is_owned_on_all_ports() {
    let owned = owned(&["203.0.113.1"]);
    assert!(owned.is_owned_on(FRONT, ip("203.0.113.1")));
    assert!(owned.is_owned_on(BACK, ip("203.0.113.1")));
}

#[test]
fn an_address_is_announced_three_times_a_second_apart_and_then_each_minute() {
    let mut owned = owned(&["192.0.2.80"]);
    let mut at = Vec::new();
    for ms in (0..200_000).step_by(100) {
        let now = Moment::from_millis(ms);
        at.extend(owned.poll(now).iter().map(|announcement| {
            assert_eq!(*announcement, (FRONT, ip("192.0.2.80")));
            ms
        }));
    }
    assert_eq!(at, [0, 1_000, 2_000, 62_000, 122_000, 182_000]);
}

#[test]
fn a_publication_announces_only_what_is_new() {
    let mut owned = owned(&["192.0.2.80"]);
    assert_eq!(owned.poll(Moment::ZERO).len(), 1);
    let again = ["192.0.2.80", "192.0.2.81"].map(ip);
    owned.replace(Moment::from_millis(10), &network(), again);
    assert_eq!(owned.poll(Moment::from_millis(20)), [(FRONT, ip("192.0.2.81"))]);
    owned.replace(Moment::from_millis(30), &network(), []);
    assert_eq!(owned.next_due(), None);
    assert!(!owned.is_owned(ip("192.0.2.80")));
}

#[test]
fn many_new_addresses_are_announced_apart() {
    let mut owned = Owned::default();
    let all = (0..1_000).map(|n| Ipv4Addr::from_bits(0xc000_0200 + n));
    owned.replace(Moment::ZERO, &network(), all);
    assert!(owned.poll(Moment::from_millis(10)).len() < 50);
    // Two ports for those beyond the link.
    let mut announced = 0;
    for ms in 11..900 {
        announced += owned.poll(Moment::from_millis(ms)).len();
    }
    assert!(announced > 900, "{announced}");
}

#[test]
fn a_claim_is_answered_once_in_ten_seconds() {
    let mut owned = owned(&["192.0.2.80"]);
    let defended = (0..25_000)
        .step_by(10)
        .filter(|ms| owned.defend(Moment::from_millis(*ms), ip("192.0.2.80")))
        .count();
    assert_eq!(defended, 3);
    assert!(!owned.defend(Moment::ZERO, ip("192.0.2.81")), "not ours");
}

#[test]
fn a_question_is_asked_from_an_address_of_the_same_link() {
    let network = network();
    assert_eq!(asking_address(&network, FRONT, ip("198.51.100.7")), ip("198.51.100.1"));
    assert_eq!(asking_address(&network, FRONT, ip("192.0.2.7")), ip("192.0.2.1"));
    assert_eq!(asking_address(&network, FRONT, ip("203.0.113.7")), ip("192.0.2.1"));
}
