//! `config/node.toml`.

use std::path::Path;

use spillway_cluster::Access;
use spillway_control::settings::node::{self, MapSizes, NodeSettings};
use spillway_control::settings::{LogLevel, Sources};
use spillway_lb::model::ServiceKind;

const TEXT: &str = include_str!("../../../../../config/node.toml");

fn shipped() -> NodeSettings {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/node.toml");
    let sources = Sources { file, ..Sources::default() };
    node::load(&sources, "node-1").unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// Every default said, and the examples that `keep` names.
fn spelled_out(keep: &[&str]) -> String {
    let examples = ["context", "api_servers", "addresses"];
    let line = |line: &str| {
        let Some((key, _)) = line.strip_prefix("# ").and_then(|rest| rest.split_once(" = ")) else {
            return line.to_owned();
        };
        let is_key = key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let is_wanted = is_key && (!examples.contains(&key) || keep.contains(&key));
        if is_wanted { line.trim_start_matches("# ").to_owned() } else { String::new() }
    };
    TEXT.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_serves_the_cluster_and_has_every_default() {
    let settings = shipped();
    let kubernetes = settings.kubernetes.unwrap();
    assert_eq!(kubernetes.access, Access::InCluster);
    assert_eq!(kubernetes.cache, Some("/var/lib/spillway-node/cluster.json".into()));
    assert_eq!(settings.policy.node, "node-1");
    assert_eq!(settings.policy.node_port_range, 30_000..=32_767);
    assert_eq!((settings.policy.external_ips, settings.policy.services), (vec![], vec![]));
    assert!(settings.node_ports.guard && settings.node_ports.addresses.is_empty());
    assert!(!settings.refuse_unowned, "without a prefix nothing can be refused");
    assert_eq!(settings.maps, MapSizes::default());
    assert_eq!(settings.health, Some("0.0.0.0:10256".parse().unwrap()));
    assert_eq!(settings.metrics, None);
    assert_eq!(settings.log_level, LogLevel::Info);
    assert_eq!(settings.datapath.snat_ports, 1_024..=29_999);
}

#[test]
fn what_the_example_shows_as_default_is_the_default() {
    let text = spelled_out(&[]);
    for key in ["\nname = ", "\nrefuse_unowned = ", "\nevents_bytes = ", "\nlisten = "] {
        assert!(text.contains(key), "nothing to test: {key:?}");
    }
    assert_eq!(super::good(&text), shipped());
}

#[test]
fn the_maps_of_the_example_are_those_of_the_programs() {
    let header = include_str!("../../../../../bpf/include/spillway/maps.h");
    let sizes = MapSizes::default();
    let rows = [
        ("frontends, BPF_MAP_TYPE_HASH", sizes.frontends),
        ("choices, BPF_MAP_TYPE_ARRAY", sizes.choices),
        ("backends, BPF_MAP_TYPE_ARRAY", sizes.backends),
        ("source_ranges, BPF_MAP_TYPE_LPM_TRIE", sizes.source_ranges),
        ("clients, BPF_MAP_TYPE_HASH", sizes.clients),
        ("devices, BPF_MAP_TYPE_HASH", sizes.devices),
        ("affinity, BPF_MAP_TYPE_LRU_HASH", sizes.affinity),
        ("conntrack, BPF_MAP_TYPE_LRU_HASH", sizes.conntrack),
        ("nat, BPF_MAP_TYPE_LRU_HASH", sizes.nat),
    ];
    for (map, size) in rows {
        let line = header.lines().find(|line| line.contains(&format!("PINNED_MAP({map}")));
        let line = line.unwrap_or_else(|| panic!("no {map}"));
        assert!(line.contains(&format!(", {size},")), "{size}: {line}");
    }
}

#[test]
fn the_example_can_be_read_with_its_examples_too() {
    let service = TEXT.lines().skip_while(|line| !line.starts_with("# [[service]]"));
    let service: Vec<&str> = service.map(|line| line.trim_start_matches("# ")).collect();
    let text = spelled_out(&["addresses"]) + "\n" + &service.join("\n");
    let settings = super::good(&text);
    assert_eq!(settings.node_ports.addresses.len(), 1);
    let [web] = settings.policy.services.as_slice() else { panic!("{:?}", settings.policy) };
    let [frontend] = web.frontends.as_slice() else { panic!("{web:?}") };
    assert_eq!((frontend.kind, frontend.port), (ServiceKind::NodePort, 30_080));
    assert_eq!(web.backends.iter().filter(|backend| backend.is_local).count(), 1);
}
