//! The configurations in `config/`.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use spillway_control::settings::{DeviceSettings, Poll, Settings, Sources, load};
use spillway_lb::model::{CheckKind, Clockwork, Protocol, Scheduler, ServiceKind};

/// Stands in for the file that only a box has.
fn kubeconfig() -> Vec<(String, String)> {
    crate::folder::pairs(&[("kubernetes.kubeconfig", "/dev/null")])
}

pub(crate) fn shipped(name: &str) -> Settings {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config").join(name);
    let overrides = if name == "kubernetes.toml" { kubeconfig() } else { Vec::new() };
    let sources = Sources { file, overrides, cpus_online: 2, ..Sources::default() };
    load(&sources).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[test]
fn the_example_serves_a_node_port_a_load_balancer_and_udp_over_two_ports() {
    let settings = shipped("static.toml");
    assert_eq!(settings.name, "edge-1");
    assert_eq!(settings.dataplane.worker_cores, [1]);
    assert_eq!(settings.dataplane.poll, Poll::Adaptive);
    let interfaces: Vec<&DeviceSettings> = settings.ports.iter().map(|port| &port.device).collect();
    assert_eq!(
        interfaces,
        [
            &DeviceSettings::AfPacket { interface: "sw-front".into() },
            &DeviceSettings::AfPacket { interface: "sw-back".into() },
        ]
    );
    let [snat] = settings.network.snat.as_slice() else { panic!("{:?}", settings.network.snat) };
    assert_eq!(snat.address, Ipv4Addr::new(172, 26, 50, 101));
    assert_eq!(snat.ports, 31_210..=60_999);

    let [web, public, echo] = settings.model.services.as_slice() else {
        panic!("{:?}", settings.model.services)
    };
    assert_eq!((web.kind, web.scheduler), (ServiceKind::NodePort, Scheduler::Random));
    let check = web.checks.first().unwrap();
    let Clockwork { interval, timeout, fall, rise, jitter_percent, hold_down: _ } = check.clockwork;
    assert_eq!((interval, timeout), (Duration::from_secs(1), Duration::from_millis(500)));
    assert_eq!((fall, rise, jitter_percent), (2, 2, 10));
    assert_eq!(
        check.kind,
        CheckKind::Http { path: "/healthz".into(), host: None, expect: 200..=399 }
    );
    assert_eq!((public.kind, public.scheduler), (ServiceKind::LoadBalancer, Scheduler::Maglev));
    assert_eq!(echo.frontends[0].protocol, Protocol::Udp);
    assert_eq!(echo.checks.first().unwrap().port, Some(80));
    for service in [web, public, echo] {
        assert_eq!(service.backends.len(), 3, "{}", service.name);
    }
}

/// The text of an example with every default spelled out; what has none is an example, and left out.
fn spelled_out(text: &str, examples: &[&str]) -> String {
    let line = |line: &str| match line.strip_prefix("# ").and_then(|key| key.split_once(" = ")) {
        Some((key, _)) if examples.contains(&key) => String::new(),
        Some((key, value)) if is_key(key) => format!("{key} = {value}"),
        Some(_) | None => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_the_example_shows_as_default_is_the_default() {
    let text = spelled_out(
        include_str!("../../../../config/static.toml"),
        &["gateway", "vlan", "rx_queues", "neighbors", "source_ranges"],
    );
    for key in ["\ntcp_established = ", "\nhold_down = ", "\naffinity = "] {
        assert!(text.contains(key), "nothing to test: {key:?}");
    }
    let folder = crate::folder::Folder::with(&text);
    let settings = folder.load().unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(settings, shipped("static.toml"));
}

#[test]
fn what_the_clusters_example_shows_as_default_is_the_default() {
    let examples = ["context", "api_servers", "node_port_addresses", "namespaces", "labels"];
    let text = spelled_out(include_str!("../../../../config/kubernetes.toml"), &examples);
    for key in ["\nidentity = ", "\nfail_open = ", "\navoid_buggy_ips = "] {
        assert!(text.contains(key), "nothing to test: {key:?}");
    }
    let folder = crate::folder::Folder::with(&text);
    let sources = Sources { overrides: kubeconfig(), ..folder.sources() };
    let settings = load(&sources).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(settings, shipped("kubernetes.toml"));
}

#[test]
fn the_clusters_example_can_be_read_with_its_examples_too() {
    let text = include_str!("../../../../config/kubernetes.toml");
    let folder = crate::folder::Folder::with(&spelled_out(text, &[]));
    let sources = Sources { overrides: kubeconfig(), ..folder.sources() };
    let settings = load(&sources).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let kubernetes = settings.kubernetes.unwrap();
    let [public] = kubernetes.pools.as_slice() else { panic!("{:?}", kubernetes.pools) };
    assert_eq!((public.namespaces.len(), public.labels.len()), (1, 2));
    assert_eq!(kubernetes.policy.node_port_addresses.len(), 1);
    assert_eq!(settings.metrics, Some("127.0.0.1:9100".parse().unwrap()));
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

#[test]
fn the_classic_flow_has_its_literal_addresses_and_a_single_snat_port() {
    let settings = shipped("classic.toml");
    let [snat] = settings.network.snat.as_slice() else { panic!("{:?}", settings.network.snat) };
    assert_eq!((snat.address, &snat.ports), (Ipv4Addr::new(172, 26, 50, 101), &(31_210..=31_210)));
    let [web] = settings.model.services.as_slice() else { panic!("{:?}", settings.model) };
    assert_eq!(web.kind, ServiceKind::NodePort);
    let [frontend] = web.frontends.as_slice() else { panic!("{:?}", web.frontends) };
    assert_eq!((frontend.address, frontend.port), ("172.26.50.101".parse().unwrap(), 30_645));
    let [backend] = web.backends.as_slice() else { panic!("{:?}", web.backends) };
    assert_eq!((backend.address, backend.port), ("10.0.1.72".parse().unwrap(), 80));
    assert_eq!(web.checks, []);
    assert_eq!(settings.dataplane.worker_cores.len(), 1);
}
