//! A view that was made of changes is the view that a fresh cluster has of the same objects.

use proptest::prelude::*;
use serde_json::{Value, json};
use spillway_cluster::{BackendMode, Change, Cluster, Kind, Object, ObjectKey, Policy, View};

use crate::laws::assert_laws;
use crate::world::{line, policy, pool};

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
    let mut json = json!({
        "metadata": {
            "name": format!("s{name}"), "namespace": "d", "uid": format!("u{name}"),
            "creationTimestamp": format!("2026-01-01T00:00:{:02}Z", time % 4),
            // Each has its own address: which one it gets must not depend on who came first.
            "annotations": { "spillway.io/addresses": format!("203.0.113.{name}") },
        },
        "spec": {
            "type": pick(&["LoadBalancer", "LoadBalancer", "NodePort", "ClusterIP"], what),
            "ports": pick(&[&one, &two, &none], ports),
            "externalTrafficPolicy": pick(&["Cluster", "Local"], more),
            "healthCheckNodePort": if more & 2 == 0 { 0 } else { 31000 + u16::from(name) },
            "publishNotReadyAddresses": more & 4 != 0,
        },
    });
    if more & 8 != 0 {
        json["spec"]["externalIPs"] = json!(["203.0.113.200", "203.0.113.2"]);
    }
    if more & 0x30 == 0x30 {
        json["metadata"]["annotations"]["spillway.io/forward"] =
            json!(pick(&["pod", "node", "bad"], more >> 6));
    }
    if time & 0xf0 == 0xf0 {
        json["metadata"]["deletionTimestamp"] = json!("2026-02-01T00:00:00Z");
    }
    json
}

fn slice(name: u8, [of, state, first, second]: [u8; 4]) -> Value {
    let addresses = [
        "10.244.1.1",
        "10.244.1.2",
        "10.244.2.1",
        "10.244.3.1",
        "10.0.0.11",
        "10.244.0.1",
        "8.8.8.8",
    ];
    let endpoint = |choice: u8, bits: u8| {
        json!({
            "addresses": [pick(&addresses, choice)],
            "nodeName": format!("n{}", choice % 4),
            "conditions": { "ready": bits & 1 != 0, "serving": bits & 2 != 0, "terminating": bits & 4 != 0 },
        })
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

fn node(name: u8, [address, cidr, label, time]: [u8; 4]) -> Value {
    let labels = if label % 4 == 0 {
        json!({ "node.kubernetes.io/exclude-from-external-load-balancers": "" })
    } else {
        json!({})
    };
    // Mostly its own; sometimes that of a neighbour.
    let number = |choice: u8| if choice > 200 { choice % 4 } else { name };
    json!({
        "metadata": {
            "name": format!("n{name}"), "uid": format!("u{name}"), "labels": labels,
            "creationTimestamp": format!("2026-01-01T00:00:{:02}Z", time % 4),
        },
        "spec": { "podCIDRs": [format!("10.244.{}.0/24", number(cidr))], "unschedulable": label % 5 == 0 },
        "status": { "addresses": [{ "type": "InternalIP", "address": format!("10.0.0.{}", 10 + number(address)) }] },
    })
}

fn name_of(kind: Kind, name: u8) -> ObjectKey {
    let (namespace, letter) = match kind {
        Kind::Service => ("d", "s"),
        Kind::EndpointSlice => ("d", "e"),
        Kind::Node => ("", "n"),
    };
    ObjectKey { namespace: namespace.to_owned(), name: format!("{letter}{name}") }
}

fn rules(mode: BackendMode) -> Policy {
    Policy { mode, external_ips: vec!["203.0.113.0/24".parse().unwrap()], ..policy() }
}

fn cluster(policy: &Policy) -> Cluster {
    Cluster::new(policy.clone(), vec![pool("public", "203.0.113.0/28")])
}

/// Everything in a view that can be compared.
fn shown(view: &View) -> (Vec<String>, String) {
    let services = view
        .model
        .services
        .iter()
        .map(|service| format!("{} {service:?}", line(service)))
        .collect();
    (
        services,
        format!(
            "{:#?} {:#?} {:#?} {:#?}",
            view.refused, view.intents, view.nodes, view.model.routes
        ),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_view_of_changes_is_the_view_of_what_is_left(
        steps in prop::collection::vec(step(), 1..60),
        is_pod: bool,
    ) {
        let policy = rules(if is_pod { BackendMode::Pod } else { BackendMode::Node });
        let mut live = cluster(&policy);
        for step in steps {
            match step {
                Step::Put(kind, name, choice) => live.apply(Change::Upsert(object(kind, name, choice))),
                Step::Delete(kind, name) => live.apply(Change::Delete { kind, key: name_of(kind, name) }),
                Step::Replace(kind, objects) => {
                    let objects = objects.into_iter().map(|(name, choice)| object(kind, name, choice)).collect();
                    live.apply(Change::Replace { kind, objects });
                }
                Step::Look => assert_laws(&live.view(), &policy, &["203.0.113.0/28".parse().unwrap()]),
            }
        }
        let objects: Vec<Object> = live.index().objects().collect();
        let now = shown(&live.view());
        for is_reversed in [false, true] {
            let mut fresh = cluster(&policy);
            let mut order: Vec<Object> = objects.clone();
            if is_reversed {
                order.reverse();
            }
            for object in order {
                fresh.apply(Change::Upsert(object));
            }
            prop_assert_eq!(&shown(&fresh.view()), &now);
        }
    }

    #[test]
    fn a_replace_leaves_what_it_holds(
        before in prop::collection::vec((0..5u8, choice()), 0..6),
        after in prop::collection::vec((0..5u8, choice()), 0..6),
        kind in kind(),
    ) {
        let policy = rules(BackendMode::Node);
        let (mut live, mut fresh) = (cluster(&policy), cluster(&policy));
        let all = |list: &[(u8, [u8; 4])]| list.iter().map(|(name, choice)| object(kind, *name, *choice)).collect();
        live.apply(Change::Replace { kind, objects: all(&before) });
        live.view();
        live.apply(Change::Replace { kind, objects: all(&after) });
        fresh.apply(Change::Replace { kind, objects: all(&after) });
        prop_assert!(live.index().objects().eq(fresh.index().objects()));
        prop_assert_eq!(shown(&live.view()), shown(&fresh.view()));
    }
}
