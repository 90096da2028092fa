//! Several Services on one address.

use super::*;

fn shares(name: &str, second: u32, port: u16) -> Request {
    let ports = vec![(Protocol::Tcp, port)];
    Request { sharing_key: Some("k".to_owned()), ports, ..wants(name, second) }
}

fn book() -> AddressBook {
    AddressBook::new(vec![pool("a", &["192.0.2.0/29"])])
}

#[test]
fn one_key_and_other_ports_share_the_address_that_is_lent_before_a_free_one_is() {
    let mut book = book();
    book.assign(&[wants("low", 1), shares("x", 2, 80)]);
    // 192.0.2.0 is free again and lower, but the key already has an address.
    let answers = book.assign(&[shares("x", 2, 80), shares("y", 3, 443)]);
    assert_eq!(got(&answers, "y"), ips(&["192.0.2.1"]));
}

#[test]
fn udp_and_tcp_of_one_number_are_two_ports() {
    let dns = Request { ports: vec![(Protocol::Udp, 53)], ..shares("udp", 2, 53) };
    let answers = book().assign(&[shares("tcp", 1, 53), dns]);
    assert_eq!(got(&answers, "udp"), got(&answers, "tcp"));
}

#[test]
fn the_same_port_another_key_or_no_key_gets_an_address_of_its_own() {
    let other = Request { sharing_key: Some("l".to_owned()), ..shares("l", 3, 444) };
    let empty = |name, second, port| Request {
        sharing_key: Some(String::new()),
        ..shares(name, second, port)
    };
    let answers = book().assign(&[
        shares("x", 1, 80),
        shares("y", 2, 80),
        other,
        empty("e", 4, 445),
        empty("f", 5, 446),
    ]);
    let all: std::collections::BTreeSet<_> =
        ["x", "y", "l", "e", "f"].iter().flat_map(|name| got(&answers, name)).collect();
    assert_eq!(all.len(), 5);
}

#[test]
fn local_shares_with_local_of_the_same_pods_only() {
    let local = |name, second, port, selector: &str| Request {
        is_local: true,
        selector: selector.to_owned(),
        ..shares(name, second, port)
    };
    let mut foreign = local("s", 5, 5, "app=x");
    foreign.service.namespace = "elsewhere".to_owned();
    let elsewhere = foreign.service.clone();
    let answers = book().assign(&[
        local("p", 1, 1, "app=x"),
        local("q", 2, 2, "app=x"),
        local("r", 3, 3, "app=y"),
        shares("cluster", 4, 4),
        foreign,
    ]);
    assert_eq!(got(&answers, "p"), got(&answers, "q"));
    assert_ne!(got(&answers, "p"), got(&answers, "r"));
    assert_ne!(got(&answers, "p"), got(&answers, "cluster"));
    assert_ne!(got(&answers, "p"), answers[&elsewhere].as_ref().unwrap().addresses);
}

#[test]
fn who_changes_a_port_to_one_that_is_taken_leaves_even_if_he_is_the_older() {
    let mut book = book();
    book.assign(&[shares("old", 1, 80), shares("young", 2, 443)]);
    let answers = book.assign(&[shares("old", 1, 443), shares("young", 2, 443)]);
    assert_eq!(got(&answers, "young"), ips(&["192.0.2.0"]));
    let old = answers[&key("old")].as_ref().unwrap();
    assert_eq!(old.addresses, ips(&["192.0.2.1"]));
    assert!(old.notes[0].to_string().contains("both want port 443/TCP"), "{:?}", old.notes);
}

#[test]
fn a_requested_address_is_shared_by_the_same_rule() {
    let asks = |request| Request { addresses: ips(&["192.0.2.5"]), ..request };
    let answers = book().assign(&[
        asks(shares("x", 1, 80)),
        asks(shares("y", 2, 443)),
        asks(shares("z", 3, 443)),
    ]);
    assert_eq!(got(&answers, "y"), ips(&["192.0.2.5"]));
    assert!(refusal(&answers, "z").contains("taken by Service default/y: both want port 443/TCP"));
}
