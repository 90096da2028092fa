//! One family, nobody shares.

use super::*;

#[test]
fn the_oldest_service_gets_the_lowest_address() {
    let mut book = AddressBook::new(vec![pool("a", &["192.0.2.16/30"])]);
    let answers = book.assign(&[wants("young", 2), wants("old", 1)]);
    assert_eq!(got(&answers, "old"), ips(&["192.0.2.16"]));
    assert_eq!(got(&answers, "young"), ips(&["192.0.2.17"]));
    assert_eq!(answers[&key("old")].as_ref().unwrap().pool, "a");
}

#[test]
fn what_is_held_is_kept_when_an_older_service_comes_and_a_lower_address_is_freed() {
    let mut book = AddressBook::new(vec![pool("a", &["192.0.2.16/30"])]);
    book.assign(&[wants("gone", 2), wants("stays", 3)]);
    let answers = book.assign(&[wants("stays", 3), wants("older", 1)]);
    assert_eq!(got(&answers, "stays"), ips(&["192.0.2.17"]));
    assert_eq!(got(&answers, "older"), ips(&["192.0.2.16"]));
}

#[test]
fn after_a_restart_the_status_is_imported_before_anything_is_requested_or_assigned() {
    let mut book = AddressBook::new(vec![pool("a", &["192.0.2.16/30"])]);
    let held = Request { current: ips(&["192.0.2.16"]), ..wants("held", 9) };
    let greedy = Request { addresses: ips(&["192.0.2.16"]), ..wants("greedy", 1) };
    let answers = book.assign(&[greedy, wants("new", 2), held]);
    assert_eq!(got(&answers, "held"), ips(&["192.0.2.16"]));
    assert_eq!(got(&answers, "new"), ips(&["192.0.2.17"]));
    assert_eq!(
        refusal(&answers, "greedy"),
        "Service default/greedy: 192.0.2.16 is taken by Service default/held: give both the same \
         sharing key or ask for another address"
    );
}

#[test]
fn a_status_that_two_services_claim_goes_to_the_older_and_the_younger_hears_of_it() {
    let mut book = AddressBook::new(vec![pool("a", &["192.0.2.16/30"])]);
    let claims = |name, second| Request { current: ips(&["192.0.2.18"]), ..wants(name, second) };
    let answers = book.assign(&[claims("young", 2), claims("old", 1)]);
    assert_eq!(got(&answers, "old"), ips(&["192.0.2.18"]));
    let young = answers[&key("young")].as_ref().unwrap();
    assert_eq!(young.addresses, ips(&["192.0.2.16"]));
    assert!(young.notes[0].is_conflict());
    assert!(young.notes[0].to_string().contains("taken by Service default/old"));
}

#[test]
fn twins_of_one_second_are_told_apart_by_their_uid() {
    let mut book = AddressBook::new(vec![pool("a", &["192.0.2.16/31"])]);
    let twin = |name, uid: &str| Request { uid: uid.to_owned(), ..wants(name, 1) };
    let answers = book.assign(&[twin("x", "b"), twin("y", "a")]);
    assert_eq!(got(&answers, "y"), ips(&["192.0.2.16"]));
}

#[test]
fn a_status_outside_the_pools_is_not_imported() {
    let mut book = AddressBook::new(vec![pool("a", &["192.0.2.16/30"])]);
    let foreign = Request { current: ips(&["8.8.8.8"]), ..wants("x", 1) };
    assert_eq!(got(&book.assign(&[foreign]), "x"), ips(&["192.0.2.16"]));
    assert!(!book.owns(ip("8.8.8.8")));
    assert!(book.owns(ip("192.0.2.19")));
}

#[test]
fn a_requested_address_comes_also_from_a_pool_that_does_not_assign_by_itself() {
    let silent = Pool { auto_assign: false, ..pool("silent", &["198.51.100.0/24"]) };
    let mut book = AddressBook::new(vec![silent]);
    let asks = Request { addresses: ips(&["198.51.100.7"]), ..wants("asks", 1) };
    let names = Request { pool: Some("silent".to_owned()), ..wants("names", 2) };
    let answers = book.assign(&[asks, names, wants("nothing", 3)]);
    assert_eq!(got(&answers, "asks"), ips(&["198.51.100.7"]));
    assert_eq!(got(&answers, "names"), ips(&["198.51.100.0"]));
    assert_eq!(
        refusal(&answers, "nothing"),
        "Service default/nothing: no pool gives it an IPv4 address by itself; ask for a pool, or \
         let one with IPv4 addresses assign to this namespace and these labels"
    );
}

#[test]
fn a_service_that_asks_for_another_address_loses_the_first() {
    let mut book = AddressBook::new(vec![pool("a", &["192.0.2.16/30"])]);
    book.assign(&[wants("x", 1)]);
    let moved = Request { addresses: ips(&["192.0.2.19"]), ..wants("x", 1) };
    let answers = book.assign(&[moved, wants("y", 2)]);
    assert_eq!(got(&answers, "x"), ips(&["192.0.2.19"]));
    assert_eq!(got(&answers, "y"), ips(&["192.0.2.16"]));
}

#[test]
fn pools_are_tried_by_priority_and_then_in_their_order() {
    let low = pool("low", &["192.0.2.1/32"]);
    let high = Pool { priority: 5, ..pool("high", &["192.0.2.9/32"]) };
    let last = pool("last", &["192.0.2.0/32"]);
    let mut book = AddressBook::new(vec![low, high, last]);
    let answers = book.assign(&[wants("a", 1), wants("b", 2), wants("c", 3), wants("d", 4)]);
    assert_eq!(got(&answers, "a"), ips(&["192.0.2.9"]));
    assert_eq!(got(&answers, "b"), ips(&["192.0.2.1"]));
    assert_eq!(got(&answers, "c"), ips(&["192.0.2.0"]));
    assert_eq!(
        refusal(&answers, "d"),
        "Service default/d: no IPv4 address is free in pools high, low, last; enlarge a pool or \
         delete a Service"
    );
}

#[test]
fn a_pool_keeps_to_its_namespaces_and_labels() {
    let team = Pool { namespaces: vec!["team".to_owned()], ..pool("team", &["192.0.2.0/31"]) };
    let rule = LabelRule { key: "tier".to_owned(), value: Some("edge".to_owned()) };
    let edge = Pool { labels: vec![rule], ..pool("edge", &["198.51.100.0/31"]) };
    let any = LabelRule { key: "vip".to_owned(), value: None };
    let vip = Pool { labels: vec![any], ..pool("vip", &["203.0.113.0/31"]) };
    let mut book = AddressBook::new(vec![team, edge, vip]);
    let label = |name, second, key: &str, value: &str| Request {
        labels: BTreeMap::from([(key.to_owned(), value.to_owned())]),
        ..wants(name, second)
    };
    let mut other = wants("t", 1);
    other.service.namespace = "team".to_owned();
    let in_team = other.service.clone();
    let asks = |pool: &str, name| Request { pool: Some(pool.to_owned()), ..wants(name, 9) };
    let answers = book.assign(&[
        other,
        label("e", 2, "tier", "edge"),
        label("f", 3, "tier", "core"),
        label("v", 4, "vip", "x"),
        asks("team", "g"),
        asks("edge", "h"),
        asks("vip", "i"),
        asks("none", "j"),
        Request { addresses: ips(&["192.0.2.1"]), ..wants("k", 9) },
    ]);
    assert_eq!(answers[&in_team].as_ref().unwrap().addresses, ips(&["192.0.2.0"]));
    assert_eq!(got(&answers, "e"), ips(&["198.51.100.0"]));
    assert!(answers[&key("f")].is_err());
    assert_eq!(got(&answers, "v"), ips(&["203.0.113.0"]));
    let says = |name, text| assert!(refusal(&answers, name).contains(text), "{answers:?}");
    says("g", "may not use pool team: it serves namespace team only");
    says("h", "may not use pool edge: it serves Services with label tier=edge only");
    says("i", "may not use pool vip: it serves Services with a label vip only");
    says("j", "pool none is not configured; the pools are: team, edge, vip");
    says("k", "may not use pool team: it serves namespace team only");
}

#[test]
fn a_service_loses_an_address_whose_pool_is_removed_or_shuts_it_out() {
    let mut book =
        AddressBook::new(vec![pool("a", &["192.0.2.0/31"]), pool("b", &["198.51.100.0/31"])]);
    book.assign(&[wants("x", 1)]);
    let shut = Pool { namespaces: vec!["team".to_owned()], ..pool("a", &["192.0.2.0/31"]) };
    book.replace_pools(vec![shut, pool("b", &["198.51.100.0/31"])]);
    assert_eq!(got(&book.assign(&[wants("x", 1)]), "x"), ips(&["198.51.100.0"]));
    book.replace_pools(vec![pool("c", &["203.0.113.0/31"])]);
    assert_eq!(got(&book.assign(&[wants("x", 1)]), "x"), ips(&["203.0.113.0"]));
    book.replace_pools(Vec::new());
    assert!(refusal(&book.assign(&[wants("x", 1)]), "x").contains("no pool gives it an IPv4"));
}

#[test]
fn buggy_addresses_are_never_lent_not_even_on_request() {
    let careful = Pool { avoid_buggy_ips: true, ..pool("a", &["192.0.2.254-192.0.4.1"]) };
    let mut book = AddressBook::new(vec![careful]);
    let asks = Request { addresses: ips(&["192.0.2.255"]), ..wants("asks", 1) };
    let answers = book.assign(&[asks, wants("a", 2), wants("b", 3)]);
    assert_eq!(
        refusal(&answers, "asks"),
        "Service default/asks: 192.0.2.255 is never lent: pool a avoids .0 and .255; ask for \
         another address"
    );
    assert_eq!(got(&answers, "a"), ips(&["192.0.2.254"]));
    assert_eq!(got(&answers, "b"), ips(&["192.0.3.1"]));
    // 192.0.2.254, .3.1 to .3.254 and .4.1.
    assert_eq!(book.pools()[0].size, 256);
}

#[test]
fn a_request_that_contradicts_itself_or_the_pools_is_refused_with_a_reason() {
    let mut book =
        AddressBook::new(vec![pool("a", &["192.0.2.0/31"]), pool("b", &["198.51.100.0/31"])]);
    let asks = |name, addresses: &[&str]| Request { addresses: ips(addresses), ..wants(name, 1) };
    let answers = book.assign(&[
        Request { pool: Some("b".to_owned()), ..asks("pool", &["192.0.2.0"]) },
        asks("nowhere", &["8.8.8.8"]),
        asks("twice", &["192.0.2.0", "192.0.2.1"]),
        asks("family", &["2001:db8::1"]),
        Request { families: Vec::new(), ..wants("none", 1) },
    ]);
    let says = |name, text| assert!(refusal(&answers, name).contains(text), "{answers:?}");
    says("pool", "192.0.2.0 is not in the requested pool b");
    says("nowhere", "no pool holds 8.8.8.8");
    says("twice", "asks for both 192.0.2.0 and 192.0.2.1");
    says("family", "asks for 2001:db8::1, but wants no IPv6 address");
    says("none", "names no IP family that the box forwards");
}

#[test]
fn a_service_that_is_made_anew_under_the_same_name_is_another_service() {
    let mut book = AddressBook::new(vec![pool("a", &["192.0.2.0/30"])]);
    let high = Request { addresses: ips(&["192.0.2.3"]), ..wants("x", 1) };
    book.assign(&[high]);
    let anew = Request { uid: "another".to_owned(), ..wants("x", 2) };
    assert_eq!(got(&book.assign(&[anew]), "x"), ips(&["192.0.2.0"]));
}

#[test]
fn of_two_requests_of_one_name_the_younger_counts() {
    let mut book = AddressBook::new(vec![pool("a", &["192.0.2.0/30"])]);
    let anew = Request { uid: "another".to_owned(), ..wants("x", 2) };
    let answers = book.assign(&[wants("x", 1), anew]);
    assert_eq!(got(&answers, "x"), ips(&["192.0.2.0"]));
    assert_eq!(book.pools()[0].used, 1);
}

#[test]
fn pools_of_every_address_there_is_are_not_enumerated() {
    let mut book = AddressBook::new(vec![pool("all", &["::/0"]), pool("v4", &["0.0.0.0/0"])]);
    let v6 = Request { families: vec![Family::V6], ..wants("x", 1) };
    let last = Request { addresses: ips(&["255.255.255.255"]), ..wants("y", 2) };
    let answers = book.assign(&[v6, last]);
    assert_eq!(got(&answers, "x"), ips(&["::"]));
    assert_eq!(got(&answers, "y"), ips(&["255.255.255.255"]));
    assert_eq!(book.pools()[0].size, u128::MAX);
    assert_eq!(book.pools()[1].size, 1 << 32);
}

#[test]
fn the_view_of_the_pools_counts_a_shared_address_once() {
    let mut book =
        AddressBook::new(vec![pool("a", &["192.0.2.0/30", "192.0.2.2-192.0.2.8"]), pool("b", &[])]);
    let shares = |name, port| Request {
        sharing_key: Some("k".to_owned()),
        ports: vec![(Protocol::Tcp, port)],
        ..wants(name, 1)
    };
    book.assign(&[shares("x", 80), shares("y", 443), wants("z", 3)]);
    let usage = book.pools();
    assert_eq!((usage[0].size, usage[0].used, usage[0].services), (9, 2, 3));
    assert_eq!((usage[1].size, usage[1].used), (0, 0));
}
