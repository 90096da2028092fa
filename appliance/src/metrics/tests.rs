//! The metrics over a real connection, and against their documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use spillway_admin::{
    ClusterStatus, DropRow, FeedStatus, LeaderStatus, LinkState, MacAddress, ObjectKind,
    PacketTotals, PollMode, PortRange, Source, WorkerRow, WriteCounts,
};

use super::*;
use crate::mailbox::NoAnswer;

fn status() -> Status {
    let worker = WorkerRow {
        id: 0,
        core: 1,
        flows: 12,
        flows_max: 1024,
        generation: 7,
        busy_percent: Some(12.5),
        rx_packets: 100,
        tx_packets: 90,
        local_packets: 3,
        originated: 4,
        handed_over: 1,
        dropped: 10,
        lost_on_tx: 0,
    };
    let second = WorkerRow { id: 1, busy_percent: None, rx_packets: 200, ..worker.clone() };
    let feed = |kind, objects| FeedStatus {
        kind,
        synced: true,
        objects,
        last_contact_seconds_ago: Some(0.25),
        error: None,
        held: None,
    };
    Status {
        name: "edge <1>".to_owned(),
        version: "0.1.0".to_owned(),
        pid: 1,
        uptime_seconds: 60,
        generation: 7,
        poll: PollMode::Busy,
        source: Source::Kubernetes,
        cluster: Some(ClusterStatus {
            endpoint: "https://10.0.0.1:6443".to_owned(),
            server_version: None,
            stale: false,
            from_cache: false,
            feeds: vec![
                feed(ObjectKind::Service, 120),
                FeedStatus { held: Some(1), ..feed(ObjectKind::Node, 3) },
            ],
            leader: LeaderStatus { is_leader: true, holder: None },
            writes: WriteCounts { done: 5, failed: 1, pending: 2, read_only: false },
            refused: 4,
        }),
        workers: vec![worker, second],
        flows: 24,
        flows_max: 2048,
        services: 3,
        frontends: 3,
        backends_serving: 5,
        backends: 6,
        packets: PacketTotals::default(),
    }
}

fn service(name: &str) -> ServiceSample {
    ServiceSample {
        name: name.to_owned(),
        kind: FrontendKind::LoadBalancer,
        frontends: vec!["192.0.2.1:80/TCP".to_owned()],
        flows_total: 40,
        refused_total: 2,
        backends: 3,
        backends_serving: 0,
    }
}

fn sample() -> Sample {
    let snat = |backend: &str, in_use| SnatRow {
        address: "10.0.1.1".parse().unwrap(),
        ports: PortRange { first: 1000, last: 1999 },
        backend: Some(backend.parse().unwrap()),
        protocol: None,
        in_use,
        capacity: 1000,
    };
    let drop = DropRow {
        number: 27,
        reason: "no-backend".to_owned(),
        count: 10,
        workers: vec![4, 5],
        description: "No backend.".to_owned(),
    };
    let port = PortRow {
        id: 0,
        name: "front".to_owned(),
        driver: String::new(),
        device: String::new(),
        mac: MacAddress([0; 6]),
        link: LinkState::Up,
        speed_mbps: None,
        mtu: 1500,
        vlan: None,
        addresses: Vec::new(),
        rx_queues: 1,
        tx_queues: 1,
        rx_packets: 1,
        rx_bytes: 2,
        tx_packets: 3,
        tx_bytes: 4,
        rx_missed: 5,
        rx_errors: 6,
        tx_errors: 7,
        rx_no_mbuf: 8,
        features: Vec::new(),
    };
    let pool = PoolRow {
        name: "public".to_owned(),
        addresses: Vec::new(),
        size: 16,
        used: 4,
        auto_assign: true,
        priority: 0,
        namespaces: Vec::new(),
        labels: Vec::new(),
    };
    Sample {
        status: status(),
        drops: DropReport { balance: PacketTotals::default(), drops: vec![drop] },
        ports: vec![port],
        snat: vec![snat("10.0.1.72:80", 900), snat("10.0.1.73:80", 100)],
        services: vec![service("default/web:http"), service("a\"<b>\\\n")],
        flows_total: 81,
        health: HealthSums { states: vec![(HealthState::Up, 5)], transitions_total: 9 },
        host: HostCounters::default(),
        pools: vec![pool],
        nodes: (2, 3),
    }
}

/// A box that answers as it is told.
struct Fake {
    vitals: Option<Vitals>,
}

impl Observed for Fake {
    async fn vitals(&self) -> Result<Vitals, DeskError> {
        self.vitals.clone().ok_or_else(|| NoAnswer(1).into())
    }

    async fn sample(&self) -> Result<Sample, DeskError> {
        self.vitals().await.map(|_| sample())
    }
}

fn well() -> Fake {
    Fake { vitals: Some(Vitals { status: status(), is_known: true }) }
}

/// Serves a box on loopback for as long as the test's thread lives.
fn served(fake: Fake) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            serve(listener, Arc::new(fake)).await;
        });
    });
    told.recv().unwrap()
}

/// Sends raw bytes and returns the raw answer, head and body.
fn raw(at: SocketAddr, request: &[u8]) -> (String, String) {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_owned(), body.to_owned())
}

fn get(at: SocketAddr, path: &str) -> (String, String) {
    raw(at, format!("GET {path} HTTP/1.1\r\nHost: box\r\n\r\n").as_bytes())
}

#[test]
fn a_scrape_has_every_number_under_its_name_and_labels() {
    let (head, body) = get(served(well()), "/metrics");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    for line in [
        "# TYPE spillway_dropped_packets counter",
        "spillway_build_info{version=\"0.1.0\"} 1",
        "spillway_worker_rx_packets_total{worker=\"1\"} 200",
        "spillway_worker_busy_ratio{worker=\"0\"} 0.125",
        "spillway_dropped_packets_total{worker=\"1\",reason=\"no-backend\"} 5",
        "spillway_dropped_packets_total{worker=\"host\",reason=\"no-backend\"} 1",
        "spillway_flows_admitted_total 81",
        "spillway_service_flows_admitted_total{service=\"default/web:http\",kind=\"LoadBalancer\"} 40",
        "spillway_service_flows_refused_total{service=\"a\\\"<b>\\\\\\n\",kind=\"LoadBalancer\"} 2",
        "spillway_service_backends_serving{service=\"default/web:http\",kind=\"LoadBalancer\"} 0",
        "spillway_services_unlisted 1",
        "spillway_snat_ports_used{address=\"10.0.1.1\"} 1000",
        "spillway_snat_ports_used_ratio{address=\"10.0.1.1\"} 0.9",
        "spillway_cluster_age_seconds{kind=\"Service\"} 0.25",
        "spillway_cluster_shrink_held{kind=\"Service\"} 0",
        "spillway_cluster_shrink_held{kind=\"Node\"} 1",
        "spillway_cluster_writes_total{result=\"failed\"} 1",
        "spillway_leader 1",
        "spillway_pool_addresses_used{pool=\"public\"} 4",
    ] {
        assert!(body.lines().any(|have| have == line), "no `{line}` in\n{body}");
    }
}

#[test]
fn a_box_without_a_cluster_has_no_metrics_of_one() {
    let mut alone = sample();
    alone.status.cluster = None;
    let text = families::text(alone).unwrap();
    assert!(!text.contains("cluster") && !text.contains("leader"), "{text}");
}

/// Names of the metrics with their type and labels, as served.
fn families_of(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut families = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let suffix = if kind == "counter" { "_total" } else { "" };
            families.insert(format!("{name}{suffix}"), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let labels = line.split_once('{').map_or("", |(_, rest)| rest);
            let known = &mut families.get_mut(name).unwrap_or_else(|| panic!("{line}")).1;
            let keys = labels.split("=\"").filter_map(|part| part.rsplit(',').next());
            known.extend(
                keys.filter(|key| !key.is_empty() && !key.contains('"')).map(str::to_owned),
            );
        }
    }
    families
}

fn repository(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

#[test]
fn the_page_lists_exactly_the_metrics_that_are_served_with_type_and_labels() {
    let mut listed = BTreeMap::new();
    for line in repository("appliance/docs/metrics.md").lines() {
        let Some(row) = line.strip_prefix("| `spillway_") else { continue };
        let cells: Vec<&str> = row.split(" | ").collect();
        let name = format!("spillway_{}", cells[0].trim_end_matches('`'));
        let labels = cells[2].split(", ").filter(|label| !label.is_empty() && *label != "-");
        let labels = labels.map(|label| label.trim_matches('`').to_owned()).collect();
        let again = listed.insert(name, (cells[1].to_owned(), labels));
        assert_eq!(again, None, "{line}");
    }
    assert_eq!(listed, families_of(&families::text(sample()).unwrap()));
}

#[test]
fn every_alert_asks_for_metrics_that_exist() {
    let served = families_of(&families::text(sample()).unwrap());
    let rules = repository("config/prometheus/rules.yml");
    let mut asked = 0;
    for at in rules.match_indices("spillway_").map(|(at, _)| at) {
        let word = &rules[at..];
        let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap();
        assert!(served.contains_key(&word[..end]), "{} is not served", &word[..end]);
        asked += 1;
    }
    assert!(asked >= 5);
}

#[test]
fn ten_thousand_services_are_all_listed() {
    let mut many = sample();
    many.services = (0..SERVICES_MAX).map(|at| service(&format!("ns/service-{at}:http"))).collect();
    let text = families::text(many).unwrap();
    let listed = text.lines().filter(|line| line.starts_with("spillway_service_backends{"));
    assert_eq!(listed.count(), SERVICES_MAX);
}

#[test]
fn a_box_is_ready_while_its_cluster_is_away_and_says_stale() {
    let mut away = status();
    away.cluster.as_mut().unwrap().stale = true;
    let (head, body) =
        get(served(Fake { vitals: Some(Vitals { status: away, is_known: true }) }), "/readyz");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(body, "ready\ngeneration=7\nstale=true\n");
    let (_, body) = get(served(well()), "/readyz");
    assert_eq!(body, "ready\ngeneration=7\nstale=false\n");
}

#[test]
fn a_box_is_not_ready_before_its_cluster_was_heard_or_a_worker_serves() {
    let unheard = Vitals { status: status(), is_known: false };
    let mut fresh = status();
    fresh.workers[1].generation = 0;
    let fresh = Vitals { status: fresh, is_known: true };
    for (vitals, why) in [(unheard, "the cluster was not heard"), (fresh, "no Generation")] {
        let at = served(Fake { vitals: Some(vitals) });
        let (head, body) = get(at, "/readyz");
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        assert!(body.contains(why), "{body}");
        assert!(get(at, "/healthz").0.starts_with("HTTP/1.1 200 "), "it lives all the same");
    }
}

#[test]
fn a_worker_that_hangs_makes_the_box_unwell() {
    let at = served(Fake { vitals: None });
    for path in ["/healthz", "/readyz", "/metrics", "/"] {
        let (head, body) = get(at, path);
        assert!(head.starts_with("HTTP/1.1 503 "), "{path}: {head}");
        assert_eq!(body, "worker 1 does not answer\n", "{path}");
    }
}

#[test]
fn the_page_shows_services_and_no_name_can_write_html() {
    let (head, body) = get(served(well()), "/");
    assert!(head.contains("content-type: text/html"), "{head}");
    assert!(body.contains("edge &lt;1&gt;") && !body.contains("<1>"), "{body}");
    assert!(body.contains("a&quot;&lt;b&gt;") && !body.contains("<b>"), "{body}");
    assert!(body.contains("<td>default/web:http<td>LoadBalancer<td>192.0.2.1:80/TCP<td>0 of 3"));
    assert!(body.contains("<p>1 more:"), "{body}");
}

#[test]
fn only_get_and_head_of_known_paths_are_answered_and_the_connection_closes() {
    let at = served(well());
    let (head, body) = raw(at, b"HEAD /metrics HTTP/1.1\r\nHost: box\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK") && body.is_empty(), "{head}\n{body}");
    assert!(head.contains("connection: close"), "{head}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let (head, _) =
            raw(at, format!("{method} /metrics HTTP/1.1\r\nHost: box\r\n\r\n").as_bytes());
        assert!(head.starts_with("HTTP/1.1 405 ") && head.contains("allow: GET, HEAD"), "{head}");
    }
    assert!(get(at, "/metrics/x").0.starts_with("HTTP/1.1 404 "));
}

#[test]
fn what_is_no_http_or_too_long_is_refused() {
    let at = served(well());
    assert!(!raw(at, b"\x16\x03\x01\x02\x00\x01\r\n\r\n").0.starts_with("HTTP/1.1 200"));
    let long = format!("GET / HTTP/1.1\r\nHost: box\r\nX: {}\r\n\r\n", "x".repeat(64 << 10));
    let mut stream = TcpStream::connect(at).unwrap();
    // The server may close while we still talk.
    let _ = stream.write_all(long.as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    assert!(get(at, "/healthz").0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn clients_that_say_nothing_are_let_go_and_others_are_served() {
    let at = served(well());
    let silent: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(at).unwrap()).collect();
    assert!(get(at, "/healthz").0.starts_with("HTTP/1.1 200 "), "after the silent ones");
    drop(silent);
}
