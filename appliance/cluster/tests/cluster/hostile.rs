//! Manifests that somebody wrote to do harm, each with what is to be said of it. A good Service lives beside them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};
use spillway_cluster::{BackendMode, Change, Kind, Object, Policy};

use crate::laws::assert_laws;
use crate::world::{World, policy, ready, service, slice};

/// One file of `fixtures/hostile`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    about: String,
    /// `object reason`, all of them, each once.
    refused: BTreeSet<String>,
    /// How many sentences the nodes' rows have.
    #[serde(default)]
    node_notes: usize,
    /// How many of the objects are none.
    #[serde(default)]
    nameless: usize,
    objects: Vec<Value>,
    /// Of the watches that they come by, where that is not what they say themselves.
    #[serde(default)]
    kinds: Vec<Kind>,
}

fn cases() -> Vec<(String, Case)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hostile");
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let case = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, case)
    };
    let mut cases: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| read(entry.unwrap().path())).collect();
    cases.sort_by(|left, right| left.0.cmp(&right.0));
    cases
}

/// Older than all of them, with an address, a nodePort and an external IP that they would like to have.
fn good() -> Value {
    let mut good = service(
        "good",
        json!({
            "externalIPs": ["203.0.113.250"],
            "ports": [{ "name": "http", "port": 99, "nodePort": 30999 }],
        }),
    );
    good["metadata"]["creationTimestamp"] = json!("2025-01-01T00:00:00Z");
    good["metadata"]["annotations"] = json!({ "spillway.io/addresses": "203.0.113.14" });
    good
}

fn world(mode: BackendMode) -> World {
    let mut world = World::new(Policy { mode, ..policy() });
    world.service(&good()).slice(&slice("good-1", "good", &[("10.244.1.7", "node-a", ready())]));
    world
}

fn kind_of(object: &Value) -> Kind {
    match object["kind"].as_str().unwrap() {
        "Service" => Kind::Service,
        "EndpointSlice" => Kind::EndpointSlice,
        "Node" => Kind::Node,
        other => panic!("{other}"),
    }
}

#[test]
fn hostile_manifests_are_refused_with_their_reason_and_harm_nobody() {
    let cases = cases();
    assert!(cases.len() >= 60, "{}", cases.len());
    let pools = ["203.0.113.0/28".parse().unwrap(), "2001:db8:1::/120".parse().unwrap()];
    let mut wrong = Vec::new();
    for (name, case) in cases {
        for mode in [BackendMode::Node, BackendMode::Pod] {
            let mut world = world(mode);
            let before = world.lines();
            let mut nameless = 0;
            for (at, object) in case.objects.iter().enumerate() {
                let kind = case.kinds.get(at).copied().unwrap_or_else(|| kind_of(object));
                match Object::parse(kind, object) {
                    Ok(object) => world.cluster.apply(Change::Upsert(object)),
                    Err(_) => nameless += 1,
                }
            }
            let label = format!("{name} ({}) in mode {mode:?}", case.about);
            let view = world.view();
            assert_laws(&view, world.cluster.policy(), &pools);
            let refused: BTreeSet<String> =
                view.refused.iter().map(|row| format!("{} {}", row.service, row.reason)).collect();
            let notes = view.nodes.iter().map(|row| row.notes.len()).sum::<usize>();
            if (&refused, notes, nameless) != (&case.refused, case.node_notes, case.nameless) {
                wrong.push(format!(
                    "{label}: {notes} notes, {nameless} nameless, {:#?}",
                    view.refused
                ));
            }
            if view.refused.len() > 2 {
                wrong.push(format!("{label}: {} rows for one object", view.refused.len()));
            }
            let lines = world.lines().into_iter();
            let good: Vec<String> =
                lines.filter(|line| line.starts_with("default/good:")).collect();
            if without_evil(good) != without_evil(before) {
                wrong.push(format!("{label} changed another Service"));
            }
            let routes =
                view.model.routes.iter().filter(|it| it.via.to_string() != "10.0.0.66").count();
            if !matches!(routes, 0 | 3) {
                wrong.push(format!("{label} changed the way to others' pods"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A node that has an address of its own is a backend, however evil its podCIDR.
fn without_evil(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().map(|line| line.replace(",10.0.0.66:30999", "")).collect()
}
