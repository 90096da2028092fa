//! What a real API server said, event by event, against tables that were written by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Value, json};
use spillway_cluster::{BackendMode, Change, Cluster, Kind, Object, Policy};

use crate::world::{World, line, policy, pool};

/// So that the endpoints of ClusterIP Services can be seen from outside.
const EXTERNAL_IPS: [(&str, &str); 7] = [
    ("web", "203.0.113.201"),
    ("dns", "203.0.113.202"),
    ("pub", "203.0.113.203"),
    ("big", "203.0.113.204"),
    ("mirror", "203.0.113.205"),
    ("web", "2001:db8::201"),
    ("web6", "2001:db8::206"),
];

fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kube").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn recorded_policy(mode: BackendMode, ipv6: bool) -> Policy {
    let mut policy = Policy { mode, ipv6, class: "example.com/rust".to_owned(), ..policy() };
    policy.external_ips =
        vec!["203.0.113.0/24".parse().unwrap(), "2001:db8::/112".parse().unwrap()];
    if ipv6 {
        policy.node_port_addresses.push("2001:db8::5".parse().unwrap());
    }
    policy
}

fn cluster(policy: &Policy) -> Cluster {
    let pools = vec![pool("public", "203.0.113.0/28"), pool("public6", "2001:db8:1::/120")];
    Cluster::new(policy.clone(), pools)
}

/// Adds what the tables' heads say that is added.
fn dressed(kind: Kind, mut object: Value) -> Value {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if kind == Kind::Service
        && object["spec"]["type"] == "ClusterIP"
        && object["spec"]["externalIPs"].is_null()
    {
        let families = object["spec"]["ipFamilies"].to_string();
        let has = |ip: &str| families.contains(if ip.contains(':') { "IPv6" } else { "IPv4" });
        let ips: Vec<&str> = EXTERNAL_IPS
            .iter()
            .filter(|(of, ip)| *of == name && has(ip))
            .map(|(_, ip)| *ip)
            .collect();
        object["spec"]["externalIPs"] = json!(ips);
    }
    if kind == Kind::Node
        && object["spec"]["podCIDRs"].as_array().is_some_and(|cidrs| cidrs.len() == 1)
    {
        let number = name.bytes().last().unwrap_or(b'a') - b'a' + 1;
        let cidrs = object["spec"]["podCIDRs"].as_array_mut().unwrap();
        cidrs.push(json!(format!("fd00:10:244:{number}::/64")));
    }
    object
}

/// One line of a recording as changes; none for a bookmark.
fn changes(line: &Value) -> Option<Change<Object>> {
    let kind = match line["kind"].as_str().unwrap() {
        "Service" => Kind::Service,
        "EndpointSlice" => Kind::EndpointSlice,
        _ => Kind::Node,
    };
    let parse = |json: &Value| Object::parse(kind, &dressed(kind, json.clone())).unwrap();
    if let Some(list) = line.get("list") {
        let items = list["items"].as_array().cloned().unwrap_or_default();
        return Some(Change::Replace { kind, objects: items.iter().map(parse).collect() });
    }
    let event = &line["event"];
    match event["type"].as_str().unwrap() {
        "ADDED" | "MODIFIED" => Some(Change::Upsert(parse(&event["object"]))),
        "DELETED" => Some(Change::Delete { kind, key: parse(&event["object"]).key() }),
        _ => None,
    }
}

/// `name kind` to the whole line.
type Lines = BTreeMap<String, String>;

fn keyed(lines: impl Iterator<Item = String>) -> Lines {
    lines.map(|line| (line.split(' ').take(2).collect::<Vec<_>>().join(" "), line)).collect()
}

/// A table: what is served at the end of each step, and what at some moment of it.
#[derive(Default)]
struct Table {
    ends: BTreeMap<u64, Lines>,
    moments: BTreeMap<u64, BTreeSet<String>>,
}

/// Reads the lines of one mode.
fn table(text: &str, mode: &str) -> Table {
    let mut table = Table::default();
    let (mut step, mut now) = (0, Lines::new());
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(number) = line.strip_prefix("step ") {
            table.ends.insert(step, now.clone());
            step = number.parse().unwrap();
        } else if line == "* gone" {
            now.clear();
        } else if let Some(rest) = line.strip_prefix("during ") {
            if let Some(rest) = rest.strip_prefix(mode) {
                table.moments.entry(step).or_default().insert(rest.trim().to_owned());
            }
        } else if let Some(rest) = line.strip_prefix(mode) {
            let (key, line) = keyed(std::iter::once(rest.trim().to_owned())).pop_first().unwrap();
            if line.ends_with(" gone") {
                assert!(now.remove(&key).is_some(), "{key} was not there");
            } else {
                now.insert(key, line);
            }
        }
    }
    table.ends.insert(step, now);
    table
}

fn served(cluster: &mut Cluster) -> Lines {
    keyed(cluster.view().model.services.iter().map(|service| line(service)))
}

/// Replays a recording, event by event, and compares it at the end of every step.
fn replay(name: &str, mode: BackendMode, ipv6: bool) {
    let mode_name = if mode == BackendMode::Node { "node " } else { "pod " };
    let table = table(&read(&format!("expected/{name}.txt")), mode_name);
    let policy = recorded_policy(mode, ipv6);
    let (mut live, mut all) = (cluster(&policy), Vec::new());
    let mut seen: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    let mut ends: BTreeMap<u64, Lines> = BTreeMap::new();
    for text in read(&format!("{name}.jsonl")).lines() {
        let text: Value = serde_json::from_str(text).unwrap();
        let step = text["step"].as_u64().unwrap();
        if let Some(change) = changes(&text) {
            all.push(change.clone());
            live.apply(change);
        }
        let now = served(&mut live);
        seen.entry(step).or_default().extend(now.values().cloned());
        ends.insert(step, now);
    }
    let last = *ends.keys().last().unwrap();
    for step in 0..=last {
        let expected = table.ends.range(..=step).next_back().unwrap().1;
        let actual = ends.range(..=step).next_back().unwrap().1;
        assert_eq!(counted(actual, expected), *expected, "{name} {mode_name}after step {step}");
    }
    for (step, lines) in &table.moments {
        for line in lines {
            assert!(seen[step].contains(line), "{name} {mode_name}step {step}: never\n{line}");
        }
    }
    assert!(table.ends.values().any(|lines| !lines.is_empty()), "the table is empty");
}

/// Writes the number of backends where the table does.
fn counted(actual: &Lines, expected: &Lines) -> Lines {
    let count = |(key, line): (&String, &String)| {
        let is_counted = expected.get(key).is_some_and(|line| line.contains("=> #"));
        let (front, backends) = line.split_once(" => ").unwrap();
        let line = if is_counted {
            format!("{front} => #{}", backends.split(',').count())
        } else {
            line.clone()
        };
        (key.clone(), line)
    };
    actual.iter().map(count).collect()
}

#[test]
fn the_manual_recording_is_served_as_its_table_says() {
    replay("a-manual", BackendMode::Node, false);
    replay("a-manual", BackendMode::Pod, false);
}

#[test]
fn the_controllers_recording_is_served_as_its_table_says() {
    replay("b-controller", BackendMode::Node, false);
    replay("b-controller", BackendMode::Pod, false);
}

#[test]
fn the_dual_stack_recording_is_served_as_its_table_says() {
    replay("d-dualstack", BackendMode::Node, true);
    replay("d-dualstack", BackendMode::Pod, true);
}

#[test]
fn a_cut_stream_and_410_in_every_stream_change_nothing_of_what_is_served() {
    replay("c-errors", BackendMode::Node, false);
    replay("c-errors", BackendMode::Pod, false);
}

#[test]
fn after_every_event_the_view_is_that_of_a_fresh_cluster() {
    for (name, ipv6) in [("a-manual", false), ("d-dualstack", true)] {
        for mode in [BackendMode::Node, BackendMode::Pod] {
            let policy = recorded_policy(mode, ipv6);
            let mut live = cluster(&policy);
            for text in read(&format!("{name}.jsonl")).lines() {
                let Some(change) = changes(&serde_json::from_str(text).unwrap()) else { continue };
                live.apply(change);
                let now = served(&mut live);
                let mut fresh = cluster(&policy);
                for object in live.index().objects() {
                    fresh.apply(Change::Upsert(object));
                }
                // Addresses are the one thing that depends on the past: those who came first have the first.
                let strip = |lines: Lines| -> Vec<String> {
                    lines.into_values().filter(|line| !line.contains(" LoadBalancer ")).collect()
                };
                assert_eq!(strip(served(&mut fresh)), strip(now));
            }
        }
    }
}

/// `ns/name/protocol/port` to the endpoints that kube-proxy's chains of this prefix lead to.
fn kube_proxy(ruleset: &str, prefix: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut chains = BTreeMap::new();
    let mut chain: Option<String> = None;
    for text in ruleset.lines().map(str::trim) {
        if let Some(rest) = text.strip_prefix("chain ") {
            // `service-D2RGPZ6L-default/lb/tcp/http {`
            let rest = rest.strip_prefix(prefix).and_then(|rest| rest.split_once('-'));
            chain = rest
                .filter(|(_, it)| it.contains('/'))
                .map(|(_, it)| it.trim_end_matches(" {").to_owned());
        }
        if let Some(chain) = chain.as_ref().filter(|_| text.contains("numgen random")) {
            let map = text.split_once('{').unwrap().1.trim_end_matches(['}', ' ']);
            let endpoints = map.split(", ").map(|entry| match entry.split_once("__") {
                Some((_, endpoint)) => endpoint.trim().replace('/', ":"),
                None => entry.split_once(": ").unwrap().1.trim().replace(" . ", ":"),
            });
            chains.insert(chain.clone(), endpoints.collect());
        }
    }
    chains
}

/// The same of ours, in mode pod.
fn ours(objects: &str) -> (World, BTreeMap<String, BTreeSet<String>>) {
    let mut world = World::new(Policy { mode: BackendMode::Pod, ..policy() });
    put_all(&mut world, objects);
    let mut found = BTreeMap::new();
    for service in &world.view().model.services {
        let (name, port) = service.name.split_once(':').unwrap();
        let protocol = service.frontends[0].protocol.to_string().to_lowercase();
        let endpoints =
            service.backends.iter().map(|it| format!("{}:{}", it.address, it.port)).collect();
        found.insert(format!("{name}/{protocol}/{port}"), endpoints);
    }
    (world, found)
}

fn put_all(world: &mut World, objects: &str) {
    let list: Value = serde_json::from_str(&read(objects)).unwrap();
    for item in list["items"].as_array().unwrap() {
        let kind = if item["kind"] == "Service" { Kind::Service } else { Kind::EndpointSlice };
        world.put(kind, item);
    }
}

#[test]
fn kube_proxy_forwards_to_the_same_endpoints() {
    for (objects, ruleset, count) in [
        ("objects.json", "nft-ruleset.txt", 1),
        ("objects-lb-local.json", "nft-ruleset-lb-local.txt", 3),
    ] {
        let (_, ours) = ours(objects);
        let mut theirs = kube_proxy(&read(ruleset), "service-");
        // The API server itself: type ClusterIP, nothing outside.
        assert!(theirs.remove("default/kubernetes/tcp/https").is_some());
        assert_eq!(ours, theirs, "{objects}");
        assert_eq!(ours.len(), count);
    }
}

#[test]
fn kube_proxy_holds_as_many_local_endpoints_as_we_weigh_its_node() {
    let theirs = kube_proxy(&read("nft-ruleset-lb-local.txt"), "local-");
    let mut world = World::new(policy());
    put_all(&mut world, "objects-lb-local.json");
    assert_eq!(theirs.len(), 2);
    for (chain, endpoints) in theirs {
        let parts: Vec<&str> = chain.split('/').collect();
        let name = format!("{}/{}:{}", parts[0], parts[1], parts[3]);
        let service = world.find(&name, spillway_lb::model::ServiceKind::LoadBalancer);
        let node_a =
            service.backends.iter().find(|it| it.address.to_string() == "10.0.0.11").unwrap();
        assert_eq!(usize::from(node_a.weight), endpoints.len(), "{name}");
    }
}
