//! The configurations in `config/`.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use spillway_control::settings::{DeviceSettings, Poll, Settings, Sources, load};
use spillway_lb::model::{CheckKind, Protocol, Scheduler, ServiceKind};

fn shipped(name: &str) -> Settings {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config").join(name);
    let sources = Sources { file, cpus_online: 2, ..Sources::default() };
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
    assert_eq!(
        (check.interval, check.timeout, check.fall, check.rise, check.jitter_percent),
        (Duration::from_secs(1), Duration::from_millis(500), 2, 2, 10)
    );
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

#[test]
fn what_the_example_shows_as_default_is_the_default() {
    let shipped_text = include_str!("../../../../config/static.toml");
    let spelled_out: Vec<String> = shipped_text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            // Keys that have no default are examples.
            Some(key)
                if ["gateway", "vlan", "rx_queues", "neighbors"]
                    .iter()
                    .any(|k| key.starts_with(k)) =>
            {
                String::new()
            }
            Some(key) if key.split_once(" = ").is_some_and(|(key, _)| is_key(key)) => {
                key.to_owned()
            }
            _ => line.to_owned(),
        })
        .collect();
    assert!(spelled_out.iter().any(|line| line.starts_with("tcp_established")), "nothing to test");
    let folder = crate::folder::Folder::with(&spelled_out.join("\n"));
    let settings = folder.load().unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(settings, shipped("static.toml"));
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
