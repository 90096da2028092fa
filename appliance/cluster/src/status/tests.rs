//! Each state from the API's answers, and every plan carried out until nothing is left.

use serde_json::{Value, json};
use spillway_lb::ids::Generation;

use super::*;
use crate::addresses::AddressBook;
use crate::change::{Kind, ObjectKey};
use crate::events::Reason;
use crate::object::{Object, Service};
use crate::pool::{Pool, Span};

mod clean_up;
mod serve;

const NOW: &str = "2026-11-21T10:00:00.000000Z";

fn book() -> AddressBook {
    AddressBook::new(vec![Pool {
        name: "a".to_owned(),
        spans: vec![Span::Prefix("203.0.113.0/24".parse().unwrap())],
        namespaces: Vec::new(),
        labels: Vec::new(),
        auto_assign: true,
        priority: 0,
        avoid_buggy_ips: false,
    }])
}

/// A Service as the API server would send it: ours by its class, plus whatever `patch` says.
fn service(patch: &Value) -> Value {
    let mut object = json!({
        "kind": "Service", "apiVersion": "v1",
        "metadata": { "name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7" },
        "spec": {
            "type": "LoadBalancer", "loadBalancerClass": "spillway.io/box",
            "ports": [{ "protocol": "TCP", "port": 80 }]
        },
        "status": { "loadBalancer": {} }
    });
    merge(&mut object, patch);
    object
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key.as_str()], value);
        }
    }
}

fn read(object: &Value) -> Service {
    let Object::Service(service) = Object::parse(Kind::Service, object).unwrap() else {
        panic!("{object:#} is no Service")
    };
    (*service).clone()
}

fn intent(state: IntentState) -> Intent {
    let service = ObjectKey { namespace: "shop".to_owned(), name: "web".to_owned() };
    Intent { service, uid: "u1".to_owned(), state }
}

fn port(port: u16, protocol: Transport, error: Option<PortError>) -> IngressPort {
    IngressPort { port, protocol, error }
}

fn serve() -> Intent {
    let ports = vec![port(80, Transport::Tcp, None)];
    let ip = "203.0.113.9".parse().unwrap();
    let ingress = vec![Ingress { ip, ip_mode: IpMode::Proxy, ports }];
    intent(IntentState::Serve { ingress, generation: Generation::new(5) })
}

fn pending() -> Intent {
    let (reason, message) = (PendingReason::PoolExhausted, "no address is free".to_owned());
    intent(IntentState::Pending { reason, message })
}

fn clean_up(is_deleted: bool) -> Intent {
    intent(IntentState::CleanUp { is_deleted, generation: Generation::new(5) })
}

fn plan_at(intent: &Intent, object: &Value, served: u64) -> Vec<Write> {
    let (book, served) = (book(), Generation::new(served));
    let at = Circumstances { now: NOW, served, class: "spillway.io/box", book: &book };
    plan(intent, &read(object), &at)
}

/// The patch body and the events of one plan.
fn split(writes: &[Write]) -> (Option<(bool, Value)>, Vec<Reason>) {
    let patch = writes.iter().find_map(|write| match write {
        Write::PatchService { is_status, body, .. } => Some((*is_status, body.clone())),
        Write::Event(_) => None,
    });
    let events = writes.iter().filter_map(|write| match write {
        Write::Event(draft) => Some(draft.reason),
        Write::PatchService { .. } => None,
    });
    (patch, events.collect())
}

/// Plans and carries out until nothing is left; the events on the way. A new version after each write.
fn settle(intent: &Intent, object: &mut Value) -> Vec<Reason> {
    let mut told = Vec::new();
    for version in 100..110 {
        let writes = plan_at(intent, object, 5);
        let patches = writes.iter().filter(|write| matches!(write, Write::PatchService { .. }));
        assert!(patches.count() <= 1);
        let (Some((is_status, body)), events) = split(&writes) else { return told };
        assert_eq!(body["metadata"]["resourceVersion"], object["metadata"]["resourceVersion"]);
        assert_eq!(body["metadata"]["uid"], "u1");
        assert_eq!(is_status, body.get("status").is_some(), "a status patch drops all else");
        assert_eq!(!is_status, body["metadata"].get("finalizers").is_some());
        merge(object, &body);
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        told.extend(events);
    }
    panic!("it never settles: {object:#}");
}
