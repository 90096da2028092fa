//! A view that was made of changes is the view that a fresh node has of the same objects.

use proptest::prelude::*;
use serde_json::{Value, json};
use spillway_cluster::node::{NodeCluster, NodeView};
use spillway_cluster::{Change, Kind, Object, ObjectKey};

use crate::world::{lines, policy};

/// One step of the watch; the numbers choose among a few of each, so that they collide.
#[derive(Clone, Debug)]
enum Step {
    Put(Kind, u8, [u8; 4]),
    Delete(Kind, u8),
    Replace(Kind, Vec<(u8, [u8; 4])>),
    Look,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Service), Just(Kind::EndpointSlice), Just(Kind::Node)]
}

fn choice() -> impl Strategy<Value = [u8; 4]> {
    prop::array::uniform4(any::<u8>())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (kind(), 0..5u8, choice()).prop_map(|(kind, name, choice)| Step::Put(kind, name, choice)),
        2 => (kind(), 0..5u8).prop_map(|(kind, name)| Step::Delete(kind, name)),
        1 => (kind(), prop::collection::vec((0..5u8, choice()), 0..6))
            .prop_map(|(kind, objects)| Step::Replace(kind, objects)),
        3 => Just(Step::Look),
    ]
}

fn pick<'a, T: ?Sized>(from: &[&'a T], choice: u8) -> &'a T {
    from[usize::from(choice) % from.len()]
}

fn object(kind: Kind, name: u8, choice: [u8; 4]) -> Object {
    let json = match kind {
        Kind::Service => service(name, choice),
        Kind::EndpointSlice => slice(name, choice),
        Kind::Node => node(name, choice),
    };
    Object::parse(kind, &json).unwrap()
}

fn service(name: u8, [what, ports, more, time]: [u8; 4]) -> Value {
    if what == 255 {
        return json!({ "metadata": { "name": format!("s{name}"), "namespace": "d" }, "spec": [] });
    }
    let one = json!([{ "name": "p", "port": 80, "nodePort": 30080 }]);
    let two = json!([{ "name": "p", "port": 80, "nodePort": 30081 }, { "port": 53, "protocol": "UDP", "nodePort": 30053 }]);
    let none = json!([{ "name": "p", "port": 80 }]);
    let ip = format!("10.96.0.{}", if time & 8 == 0 { name } else { 9 });
    let mut json = json!({
        "metadata": {
            "name": format!("s{name}"), "namespace": "d", "uid": format!("u{name}"),
            "creationTimestamp": format!("2026-01-01T00:00:{:02}Z", time % 4),
        },
        "spec": {
            "type": pick(&["LoadBalancer", "LoadBalancer", "NodePort", "ClusterIP", "ExternalName"], what),
            "clusterIPs": [if more & 64 == 0 { ip.as_str() } else { "None" }],
            "ports": pick(&[&one, &two, &none], ports),
            "externalTrafficPolicy": pick(&["Cluster", "Local"], more),
            "internalTrafficPolicy": pick(&["Cluster", "Local", "Odd"], ports >> 4),
            "healthCheckNodePort": if more & 2 == 0 { 0 } else { 31000 + u16::from(name / 2) },
            "publishNotReadyAddresses": more & 4 != 0,
        },
        "status": { "loadBalancer": { "ingress": [{
            "ip": pick(&["203.0.113.2", "203.0.113.3", "10.0.0.10", "127.0.0.1"], time >> 4),
            "ipMode": pick(&["VIP", "VIP", "Proxy"], time >> 2),
        }] } },
    });
    if more & 8 != 0 {
        json["spec"]["externalIPs"] = json!(["203.0.113.200", "203.0.113.2", "8.8.8.8"]);
    }
    if more & 16 != 0 {
        json["spec"]["loadBalancerSourceRanges"] = json!([pick(&["192.0.2.0/24", "x"], more >> 5)]);
    }
    json
}

fn slice(name: u8, [of, state, first, second]: [u8; 4]) -> Value {
    let addresses = ["10.244.1.1", "10.244.1.2", "10.244.2.1", "127.0.0.1", "8.8.8.8"];
    let endpoint = |choice: u8, bits: u8| {
        let mut endpoint = json!({
            "addresses": [pick(&addresses, choice)],
            "nodeName": pick(&["node-a", "node-b"], choice >> 4),
            "conditions": { "ready": bits & 1 != 0, "serving": bits & 2 != 0, "terminating": bits & 4 != 0 },
        });
        if choice & 64 != 0 {
            endpoint["hints"] = json!({
                "forZones": [{ "name": pick(&["z0", "z1"], choice >> 7) }],
                "forNodes": if choice & 32 == 0 { json!([]) } else { json!([{ "name": "node-a" }]) },
            });
        }
        endpoint
    };
    json!({
        "metadata": {
            "name": format!("e{name}"), "namespace": "d",
            "labels": { "kubernetes.io/service-name": format!("s{}", of % 5) },
        },
        "addressType": if of > 240 { "FQDN" } else { "IPv4" },
        "endpoints": [endpoint(first, state), endpoint(second, state >> 3)],
        "ports": [{ "name": "p", "port": 8080 + u16::from(state >> 7) }, { "protocol": "UDP", "port": 5353 }],
    })
}

fn node_name(name: u8) -> String {
    if name == 0 { "node-a".to_owned() } else { format!("node-{name}") }
}

fn node(name: u8, [address, zone, taint, _]: [u8; 4]) -> Value {
    json!({
        "metadata": {
            "name": node_name(name), "uid": format!("u{name}"),
            "labels": { "topology.kubernetes.io/zone": format!("z{}", zone % 3) },
        },
        "spec": { "taints": if taint % 4 == 0 { json!([{ "key": "ToBeDeletedByClusterAutoscaler" }]) } else { json!([]) } },
        "status": { "addresses": [{ "type": "InternalIP", "address": format!("10.0.0.{}", 10 + address % 3) }] },
    })
}

fn name_of(kind: Kind, name: u8) -> ObjectKey {
    let (namespace, name) = match kind {
        Kind::Service => ("d", format!("s{name}")),
        Kind::EndpointSlice => ("d", format!("e{name}")),
        Kind::Node => ("", node_name(name)),
    };
    ObjectKey { namespace: namespace.to_owned(), name }
}

/// What the reader of a view may rely on.
fn assert_laws(view: &NodeView) {
    let mut places = std::collections::HashSet::new();
    let mut last = None;
    for service in &view.services {
        let name = (service.name.clone(), service.family);
        assert!(last.as_ref() < Some(&name), "{name:?} is out of its order");
        last = Some(name);
        assert!(!service.frontends.is_empty() && service.pools.len() <= 4, "{service:#?}");
        assert!(
            service.backends.is_sorted()
                && service.frontends.is_sorted_by_key(|it| (it.place, it.port))
        );
        for front in &service.frontends {
            let place = (service.family, service.protocol, front.place, front.port);
            assert!(places.insert(place), "{place:?} has two owners");
        }
        for pool in &service.pools {
            assert!(pool.members.is_sorted());
        }
        // Reads every pool of every frontend, and checks who is in it.
        lines(service);
    }
    assert!(view.health_ports.is_sorted_by(|a, b| a.port < b.port), "{:?}", view.health_ports);
    for sentence in &view.refused {
        assert!(!sentence.chars().any(char::is_control), "{sentence:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_view_of_changes_is_the_view_of_what_is_left(steps in prop::collection::vec(step(), 1..60)) {
        let mut live = NodeCluster::new(policy());
        for step in steps {
            match step {
                Step::Put(kind, name, choice) => live.apply(Change::Upsert(object(kind, name, choice))),
                Step::Delete(kind, name) => live.apply(Change::Delete { kind, key: name_of(kind, name) }),
                Step::Replace(kind, objects) => {
                    let objects = objects.into_iter().map(|(name, choice)| object(kind, name, choice)).collect();
                    live.apply(Change::Replace { kind, objects });
                }
                Step::Look => assert_laws(&live.view()),
            }
        }
        let objects: Vec<Object> = live.index().objects().collect();
        let now = live.view();
        assert_laws(&now);
        for is_reversed in [false, true] {
            let mut fresh = NodeCluster::new(policy());
            let mut order: Vec<Object> = objects.clone();
            if is_reversed {
                order.reverse();
            }
            for object in order {
                fresh.apply(Change::Upsert(object));
            }
            prop_assert_eq!(&*fresh.view(), &*now);
        }
    }
}
