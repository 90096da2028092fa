//! What a real API server said, event by event, and what a real kube-proxy made of it.
//!
//! The hand-written tables are the box's. Its mode `pod` lists the endpoints that policy Cluster has, its mode `node`
//! weighs node-a by the ready endpoints there: the same is asked of the node. [`DEPARTURES`] is where a node departs from
//! the box by its rules.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;
use spillway_cluster::addresses::Family;
use spillway_cluster::node::{NodeCluster, NodePolicy, NodeService, NodeView, Place};
use spillway_cluster::{Change, Kind, Object};
use spillway_lb::model::ServiceKind;

use crate::world::{World, lines, policy};

/// Recording, first and last step, service, endpoints.
const DEPARTURES: [(&str, u64, u64, &str, &str); 2] = [
    // Hints of PreferSameZone: node-a and node-c are in zone-1.
    (
        "b-controller",
        13,
        17,
        "default/web:http",
        "10.244.1.40:8080,10.244.1.43:8080,10.244.3.42:8080,10.244.3.45:8080",
    ),
    // Mirrored from Endpoints by hand, in no podCIDR: believed, as kube-proxy does.
    ("b-controller", 15, 17, "default/mirror:x", "192.0.2.50:9000"),
];

fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kube").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One line of a recording as a change; none for a bookmark.
fn change(line: &Value) -> Option<Change<Object>> {
    let kind = match line["kind"].as_str().unwrap() {
        "Service" => Kind::Service,
        "EndpointSlice" => Kind::EndpointSlice,
        _ => Kind::Node,
    };
    let parse = |json: &Value| Object::parse(kind, json).unwrap();
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

/// The view after every event, with its step.
fn replay(name: &str, mut look: impl FnMut(u64, &mut NodeCluster)) {
    let mut live = NodeCluster::new(policy());
    for text in read(&format!("{name}.jsonl")).lines() {
        let line: Value = serde_json::from_str(text).unwrap();
        if let Some(change) = change(&line) {
            live.apply(change);
        }
        look(line["step"].as_u64().unwrap(), &mut live);
    }
}

/// Of each service of a table the endpoints (mode `pod`), or the weight of node-a (mode `node`), after each step.
fn table(name: &str, mode: &str) -> BTreeMap<u64, BTreeMap<String, String>> {
    let (mut step, mut now, mut ends) = (0, BTreeMap::new(), BTreeMap::new());
    for line in read(&format!("expected/{name}.txt")).lines() {
        if let Some(number) = line.strip_prefix("step ") {
            ends.insert(step, now.clone());
            step = number.parse().unwrap();
        } else if line == "* gone" {
            now.clear();
        } else if let Some(rest) = line.strip_prefix(mode).and_then(|rest| rest.strip_prefix(' ')) {
            let service = rest.split(' ').next().unwrap().to_owned();
            match rest.split_once(" => ") {
                Some((_, backends)) => now.insert(service, backends.to_owned()),
                None => now.remove(&service),
            };
        }
    }
    ends.insert(step, now);
    ends
}

fn sockets(service: &NodeService, is_local: bool) -> String {
    let pool = service.pools.iter().find(|pool| pool.is_local == is_local);
    let members = pool.unwrap_or_else(|| panic!("{service:#?}")).members.iter();
    let backend = |at: &u16| service.backends[usize::from(*at)];
    let sockets =
        members.map(|at| SocketAddr::new(backend(at).address, backend(at).port).to_string());
    let sockets: Vec<String> = sockets.collect();
    if sockets.is_empty() { "-".to_owned() } else { sockets.join(",") }
}

/// The same of a view.
fn served(view: &NodeView) -> BTreeMap<String, String> {
    let name = |service: &NodeService| match service.family {
        Family::V4 => service.name.clone(),
        Family::V6 => format!("{}/ipv6", service.name),
    };
    // Of policy Local for pods, there is no pool to compare.
    let has_pool =
        |service: &&std::sync::Arc<NodeService>| service.pools.iter().any(|it| !it.is_local);
    view.services.iter().filter(has_pool).map(|it| (name(it), sockets(it, false))).collect()
}

/// Compares at the end of every step; says how many endpoint lists were.
fn compare(name: &str) -> usize {
    let expected = table(name, "pod");
    let mut ends = BTreeMap::new();
    replay(name, |step, live| {
        ends.insert(step, served(&live.view()));
    });
    let mut compared = 0;
    for (step, ours) in &ends {
        let (_, theirs) = expected.range(..=step).next_back().unwrap();
        for (service, backends) in theirs {
            let departure = DEPARTURES.iter().find(|(of, first, last, it, _)| {
                *of == name && (first..=last).contains(&step) && it == service
            });
            let backends = departure.map_or(backends.as_str(), |(.., backends)| backends);
            let Some(our) = ours.get(service) else { panic!("{name} step {step}: no {service}") };
            let our = if backends.starts_with('#') {
                format!("#{}", our.split(',').count())
            } else {
                our.clone()
            };
            assert_eq!(our, backends, "{name} after step {step}: {service}");
            compared += 1;
        }
    }
    compared
}

#[test]
fn the_cluster_has_the_endpoints_of_the_hand_written_tables() {
    let counts = ["a-manual", "b-controller", "c-errors", "d-dualstack"].map(compare);
    // Not vacuously.
    assert!(
        counts.iter().all(|count| *count > 0) && counts.iter().sum::<usize>() > 300,
        "{counts:?}"
    );
}

#[test]
fn a_health_port_counts_what_the_tables_weigh_the_node_by() {
    for (name, service, frontend) in [
        ("a-manual", "lb-local", "default/lb-local:http"),
        ("b-controller", "lb-local", "default/lb-local:http"),
        ("d-dualstack", "web-lb", "default/web-lb:http"),
    ] {
        let expected = table(name, "node");
        let mut ends = BTreeMap::new();
        replay(name, |step, live| {
            let view = live.view();
            let found = view.health_ports.iter().find(|it| it.name == service);
            ends.insert(step, found.map(|it| it.local_endpoints));
        });
        let mut seen = BTreeSet::new();
        for (step, ours) in ends {
            let (_, theirs) = expected.range(..=step).next_back().unwrap();
            let weight = theirs.get(frontend).map(|backends| {
                let node_a =
                    |it: &&str| it.starts_with("10.0.0.11:") || it.starts_with("10.0.0.21:");
                let node = backends.split(',').find(node_a).unwrap();
                node.split_once('*').map_or(1, |(_, weight)| weight.parse().unwrap())
            });
            assert_eq!(ours, weight, "{name} after step {step}");
            seen.insert(weight);
        }
        assert!(seen.len() > 2, "{name}: {seen:?}");
    }
}

/// The places of every Service after a step, written by hand from the recorder's steps. `*`: policy Local for who is
/// outside; `!`: guarded.
const PLACES: [(&str, u64, &[&str]); 4] = [
    (
        "a-manual",
        12,
        &[
            "default/dns:dns ClusterIP 10.96.117.31:53/UDP",
            "default/dns:dns-tcp ClusterIP 10.96.117.31:53/TCP",
            "default/kubernetes:https ClusterIP 10.96.0.1:443/TCP",
            "default/lb-cluster:http ClusterIP 10.96.229.52:80/TCP",
            "default/lb-cluster:http LoadBalancer 203.0.113.10:80/TCP !",
            "default/lb-cluster:http NodePort V4:30192/TCP",
            "default/lb-cluster:https ClusterIP 10.96.229.52:443/TCP",
            "default/lb-cluster:https LoadBalancer 203.0.113.10:443/TCP !",
            "default/lb-cluster:https NodePort V4:32286/TCP",
            "default/lb-cluster:quic ClusterIP 10.96.229.52:443/UDP",
            "default/lb-cluster:quic LoadBalancer 203.0.113.10:443/UDP !",
            "default/lb-cluster:quic NodePort V4:32286/UDP",
            // Its status says ipMode Proxy, and a name.
            "default/lb-local:http ClusterIP 10.96.125.160:80/TCP",
            "default/lb-local:http NodePort V4:31812/TCP *",
            // Its other port is SCTP.
            "default/lb-nonp:http ClusterIP 10.96.145.104:80/TCP",
            // externalIP 203.0.113.9 is not in the operator's range, 203.0.113.128/25.
            "default/noselector:x ClusterIP 10.96.241.165:9000/TCP",
            "default/np-local:game ClusterIP 10.96.201.189:7777/UDP",
            "default/np-local:game NodePort V4:32120/UDP *",
            "default/np:http ClusterIP 10.96.182.99:80/TCP",
            "default/np:http NodePort V4:30080/TCP",
            "default/pub:x ClusterIP 10.96.163.206:9100/TCP",
            "default/web:http ClusterIP 10.96.73.124:80/TCP",
            "default/web:https ClusterIP 10.96.73.124:443/TCP",
        ],
    ),
    (
        "a-manual",
        18,
        &[
            "default/dns:dns ClusterIP 10.96.117.31:53/UDP",
            "default/dns:dns-tcp ClusterIP 10.96.117.31:53/TCP",
            "default/kubernetes:https ClusterIP 10.96.0.1:443/TCP",
            // Step 15: Local now.
            "default/lb-cluster:http ClusterIP 10.96.229.52:80/TCP",
            "default/lb-cluster:http LoadBalancer 203.0.113.10:80/TCP *!",
            "default/lb-cluster:http NodePort V4:30192/TCP *",
            "default/lb-cluster:https ClusterIP 10.96.229.52:443/TCP",
            "default/lb-cluster:https LoadBalancer 203.0.113.10:443/TCP *!",
            "default/lb-cluster:https NodePort V4:32286/TCP *",
            "default/lb-cluster:quic ClusterIP 10.96.229.52:443/UDP",
            "default/lb-cluster:quic LoadBalancer 203.0.113.10:443/UDP *!",
            "default/lb-cluster:quic NodePort V4:32286/UDP *",
            "default/lb-nonp:http ClusterIP 10.96.145.104:80/TCP",
            "default/noselector:x ClusterIP 10.96.241.165:9000/TCP",
            "default/np-local:game ClusterIP 10.96.201.189:7777/UDP",
            "default/np-local:game NodePort V4:32120/UDP *",
            // Step 15: its nodePort is released.
            "default/np:http ClusterIP 10.96.182.99:80/TCP",
            "default/pub:x ClusterIP 10.96.163.206:9100/TCP",
            // Made again.
            "default/web:http ClusterIP 10.96.37.170:80/TCP",
        ],
    ),
    ("b-controller", 18, &["default/kubernetes:https ClusterIP 10.96.0.1:443/TCP"]),
    (
        "d-dualstack",
        5,
        &[
            "default/kubernetes:https ClusterIP 10.96.0.1:443/TCP",
            "default/web-lb:dns ClusterIP 10.96.41.223:53/UDP",
            "default/web-lb:dns LoadBalancer 203.0.113.10:53/UDP *",
            "default/web-lb:dns NodePort V4:32255/UDP *",
            "default/web-lb:dns LoadBalancer [2001:db8::10]:53/UDP *",
            "default/web-lb:dns ClusterIP [fd00:10:96::c1e0]:53/UDP",
            "default/web-lb:dns NodePort V6:32255/UDP *",
            "default/web-lb:http ClusterIP 10.96.41.223:80/TCP",
            "default/web-lb:http LoadBalancer 203.0.113.10:80/TCP *",
            "default/web-lb:http NodePort V4:31121/TCP *",
            "default/web-lb:http LoadBalancer [2001:db8::10]:80/TCP *",
            "default/web-lb:http ClusterIP [fd00:10:96::c1e0]:80/TCP",
            "default/web-lb:http NodePort V6:31121/TCP *",
            "default/web6:http ClusterIP [fd00:10:96::d62f]:80/TCP",
            "default/web:http ClusterIP 10.96.244.175:80/TCP",
        ],
    ),
];

fn place(service: &NodeService, line: &str, at: usize) -> String {
    let (place, _) = line.split_once(" in ").unwrap();
    let front = service.frontends[at];
    let is_local = front.external.is_some_and(|pool| service.pools[usize::from(pool)].is_local);
    let marks = [(is_local, "*"), (front.is_guarded, "!")];
    let marks: String = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
    if marks.is_empty() { place.to_owned() } else { format!("{place} {marks}") }
}

#[test]
fn every_place_is_served_that_the_steps_say_and_no_other() {
    for (name, step, expected) in PLACES {
        let mut end = None;
        replay(name, |now, live| {
            if now <= step {
                end = Some(live.view());
            }
        });
        let mut found = Vec::new();
        for service in &end.unwrap().services {
            let lines = lines(service);
            found.extend(lines.iter().enumerate().map(|(at, line)| place(service, line, at)));
        }
        assert_eq!(found, expected, "{name} after step {step}");
    }
}

#[test]
fn after_every_event_the_view_is_that_of_a_fresh_node() {
    for name in ["a-manual", "d-dualstack"] {
        replay(name, |step, live| {
            let now = live.view();
            let mut fresh = NodeCluster::new(policy());
            for object in live.index().objects() {
                fresh.apply(Change::Upsert(object));
            }
            assert_eq!(*fresh.view(), *now, "{name} step {step}");
        });
    }
}

/// `ns/name/protocol/port` to the endpoints that kube-proxy's chains of this prefix lead to.
fn chains(ruleset: &str, prefix: &str) -> BTreeMap<String, String> {
    let (mut chains, mut chain) = (BTreeMap::new(), None);
    for text in ruleset.lines().map(str::trim) {
        if let Some(rest) = text.strip_prefix("chain ") {
            // `service-D2RGPZ6L-default/lb/tcp/http {`
            let rest = rest.strip_prefix(prefix).and_then(|rest| rest.split_once('-'));
            chain =
                rest.filter(|(_, it)| it.contains('/')).map(|(_, it)| it.trim_end_matches(" {"));
        }
        if let Some(chain) = chain.filter(|_| text.contains("numgen random")) {
            let map = text.split_once('{').unwrap().1.trim_end_matches(['}', ' ']);
            let endpoints = map.split(", ").map(|entry| match entry.split_once("__") {
                Some((_, endpoint)) => endpoint.trim().replace('/', ":"),
                None => entry.split_once(": ").unwrap().1.trim().replace(" . ", ":"),
            });
            let endpoints: BTreeSet<String> = endpoints.collect();
            let endpoints: Vec<String> = endpoints.into_iter().collect();
            chains.insert(chain.to_owned(), endpoints.join(","));
        }
    }
    chains
}

/// Keys of a map of kube-proxy's first table, which is that of IPv4: ` . ` between their parts.
fn keys(ruleset: &str, map: &str) -> BTreeSet<String> {
    let start = format!("map {map} {{");
    let body = ruleset.split_once(&start).unwrap().1.split_once("\n\t}").unwrap().0;
    let Some((_, elements)) = body.split_once("elements = {") else { return BTreeSet::new() };
    let entries = elements.trim_end().trim_end_matches('}').split(',');
    entries.map(|entry| entry.split_once(" :").unwrap().0.trim().to_owned()).collect()
}

fn node_of(objects: &str) -> World {
    let mut world =
        World::with(NodePolicy { external_ips: vec!["0.0.0.0/0".parse().unwrap()], ..policy() });
    let list: Value = serde_json::from_str(&read(objects)).unwrap();
    for item in list["items"].as_array().unwrap() {
        if item["kind"] == "Service" {
            world.service(item);
        } else {
            world.slice(item);
        }
    }
    world
}

#[test]
fn kube_proxy_on_the_same_node_serves_the_same_places_by_the_same_endpoints() {
    for (objects, ruleset, locals) in [
        ("objects.json", "nft-ruleset.txt", 0),
        ("objects-lb-local.json", "nft-ruleset-lb-local.txt", 2),
    ] {
        let rules = read(ruleset);
        let view = node_of(objects).view();
        let (mut cluster, mut local) = (BTreeMap::new(), BTreeMap::new());
        let mut places: [BTreeSet<String>; 3] = Default::default();
        for service in &view.services {
            let (name, port) = service.name.split_once(':').unwrap();
            let protocol = service.protocol.to_string().to_lowercase();
            let chain = format!("{name}/{protocol}/{port}");
            cluster.insert(chain.clone(), sockets(service, false));
            if service.pools.iter().any(|pool| pool.is_local) {
                local.insert(chain, sockets(service, true));
            }
            for front in &service.frontends {
                let (key, kind) = match front.place {
                    Place::Address(address) => {
                        (format!("{address} . {protocol} . {}", front.port), 0)
                    }
                    Place::Node => (format!("{protocol} . {}", front.port), 1),
                };
                if front.is_guarded {
                    assert_eq!(front.kind, ServiceKind::LoadBalancer);
                    places[2].insert(key.clone());
                }
                places[kind].insert(key);
            }
        }
        assert_eq!(cluster, chains(&rules, "service-"), "{objects}");
        assert_eq!(local, chains(&rules, "local-"), "{objects}");
        assert_eq!(local.len(), locals);
        let maps = ["service-ips", "service-nodeports", "firewall-ips"];
        assert_eq!(places, maps.map(|map| keys(&rules, map)), "{objects}");
    }
}
