//! The manifests that were written to harm the box, given to a node: it stays alive, and a good Service beside them
//! is served.

use std::path::PathBuf;

use serde_json::{Value, json};
use spillway_cluster::{Change, Kind, Object};

use crate::world::{World, ready, service, slice};

fn cases() -> Vec<(String, Value)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hostile");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path.display().to_string(), serde_json::from_str(&text).unwrap())
    };
    std::fs::read_dir(folder).unwrap().map(|entry| read(entry.unwrap().path())).collect()
}

#[test]
fn a_good_service_is_served_beside_each_of_them() {
    let cases = cases();
    assert!(cases.len() > 60, "{}", cases.len());
    for (name, case) in cases {
        let mut world = World::new();
        let mut good = service("good", json!({ "clusterIPs": ["10.96.9.9"] }));
        good["metadata"]["creationTimestamp"] = json!("2025-01-01T00:00:00Z");
        world.service(&good).slice(&slice("good-1", "good", &[ready("10.244.1.1", "node-a")]));
        let kinds: Vec<Kind> = serde_json::from_value(case["kinds"].clone()).unwrap_or_default();
        for (at, object) in case["objects"].as_array().unwrap().iter().enumerate() {
            let kind = kinds.get(at).copied().unwrap_or(match object["kind"].as_str() {
                Some("EndpointSlice") => Kind::EndpointSlice,
                Some("Node") => Kind::Node,
                _ => Kind::Service,
            });
            if let Ok(object) = Object::parse(kind, object) {
                world.cluster.apply(Change::Upsert(object));
            }
        }
        let lines = world.lines();
        let line = "default/good:http ClusterIP 10.96.9.9:80/TCP in 10.244.1.1:8080";
        assert!(lines.iter().any(|it| it == line), "{name}: {lines:#?}");
        for sentence in world.refused() {
            assert!(sentence.len() < 1000, "{name}: {sentence}");
            assert!(!sentence.chars().any(char::is_control), "{name}: {sentence:?}");
        }
        for service in &world.view().services {
            for backend in &service.backends {
                let address = backend.address;
                assert!(!address.is_loopback() && !address.is_multicast(), "{name}: {address}");
            }
        }
    }
}
