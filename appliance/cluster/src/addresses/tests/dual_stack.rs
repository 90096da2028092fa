//! Two families.

use super::*;

fn dual(name: &str, second: u32, family_policy: FamilyPolicy) -> Request {
    Request { families: vec![Family::V6, Family::V4], family_policy, ..wants(name, second) }
}

fn book() -> AddressBook {
    AddressBook::new(vec![pool("v4", &["192.0.2.0/31"]), pool("v6", &["2001:db8::10/128"])])
}

#[test]
fn each_family_gets_one_in_the_order_of_ip_families() {
    let answers = book().assign(&[dual("x", 1, FamilyPolicy::RequireDualStack)]);
    assert_eq!(got(&answers, "x"), ips(&["2001:db8::10", "192.0.2.0"]));
    assert_eq!(answers[&key("x")].as_ref().unwrap().pool, "v6");
}

#[test]
fn single_stack_gets_the_first_family_only() {
    let answers = book().assign(&[dual("x", 1, FamilyPolicy::SingleStack)]);
    assert_eq!(got(&answers, "x"), ips(&["2001:db8::10"]));
}

#[test]
fn prefer_takes_what_there_is_and_says_what_is_missing() {
    let prefer = FamilyPolicy::PreferDualStack;
    let mut book = book();
    let answers = book.assign(&[dual("x", 1, prefer), dual("y", 2, prefer)]);
    let y = answers[&key("y")].as_ref().unwrap();
    assert_eq!(y.addresses, ips(&["192.0.2.1"]));
    assert!(y.notes[0].to_string().contains("no IPv6 address is free in pool v6"));
    // And gets the rest when it is there, without losing what it has.
    let answers = book.assign(&[dual("y", 2, prefer)]);
    assert_eq!(got(&answers, "y"), ips(&["2001:db8::10", "192.0.2.1"]));
}

#[test]
fn require_gets_both_or_none_and_takes_nothing_from_others() {
    let require = FamilyPolicy::RequireDualStack;
    let answers = book().assign(&[dual("x", 1, require), dual("y", 2, require), wants("z", 3)]);
    assert_eq!(
        refusal(&answers, "y"),
        "Service default/y: RequireDualStack gets both families or none; IPv6 is missing: Service \
         default/y: no IPv6 address is free in pool v6; enlarge a pool or delete a Service"
    );
    assert_eq!(got(&answers, "z"), ips(&["192.0.2.1"]));
}

#[test]
fn require_that_loses_one_family_gives_the_other_to_whoever_waits_even_an_older_one() {
    let mut book = AddressBook::new(vec![pool("v4", &["192.0.2.0/32"]), pool("v6", &["::1/128"])]);
    let pair = dual("pair", 2, FamilyPolicy::RequireDualStack);
    book.assign(std::slice::from_ref(&pair));
    book.replace_pools(vec![pool("v4", &["192.0.2.0/32"])]);
    let answers = book.assign(&[pair, wants("older", 1)]);
    assert!(refusal(&answers, "pair").contains("IPv6 is missing"));
    assert_eq!(got(&answers, "older"), ips(&["192.0.2.0"]));
}

#[test]
fn require_on_a_box_of_one_family_is_refused() {
    let request =
        Request { families: vec![Family::V4], ..dual("x", 1, FamilyPolicy::RequireDualStack) };
    let answers = book().assign(&[request]);
    assert!(refusal(&answers, "x").contains("needs IPv4 and IPv6, and only IPv4 is to be had"));
}

#[test]
fn from_dual_to_single_frees_one() {
    let mut book = book();
    book.assign(&[dual("x", 1, FamilyPolicy::PreferDualStack)]);
    let single = Request { families: vec![Family::V4], ..wants("x", 1) };
    let v6 = Request { families: vec![Family::V6], ..wants("y", 2) };
    let answers = book.assign(&[single, v6]);
    assert_eq!(got(&answers, "x"), ips(&["192.0.2.0"]));
    assert_eq!(got(&answers, "y"), ips(&["2001:db8::10"]));
}

#[test]
fn a_requested_address_of_one_family_leaves_the_other_to_the_pools() {
    let asks =
        Request { addresses: ips(&["192.0.2.1"]), ..dual("x", 1, FamilyPolicy::RequireDualStack) };
    assert_eq!(got(&book().assign(&[asks]), "x"), ips(&["2001:db8::10", "192.0.2.1"]));
}
