//! Rows of every kind: one with everything set, one with everything that may be missing missing.

use spillway_admin::{
    AcceptedRow, BackendRow, BackendState, CheckKind, ClusterStatus, ConntrackRow, DropReport,
    DropRow, FeedStatus, FlowState, FrontendKind, HealthRow, HealthState, LeaderStatus, LinkState,
    MacAddress, NeighborRow, NeighborState, NodeRow, ObjectKind, PacketTotals, PollMode, PoolRow,
    PortRange, PortRow, Protocol, RefusedRow, Scheduler, ServiceBackendRow, ServiceRow, SnatRow,
    Source, Status, WorkerRow, WriteCounts,
};

const REFUSED: &str = "connection refused";

pub(crate) fn service() -> ServiceRow {
    ServiceRow {
        id: 1,
        name: "web".to_owned(),
        frontend: "172.26.50.101:30645".parse().unwrap(),
        protocol: Protocol::Tcp,
        kind: FrontendKind::NodePort,
        scheduler: Scheduler::Random,
        backends: vec![service_backend(1, "10.0.1.72:80", BackendState::Active)],
        flows: 12,
        flows_total: 1_234_567,
        refused_total: 3,
    }
}

pub(crate) fn service_backend(index: u32, address: &str, state: BackendState) -> ServiceBackendRow {
    let down = state == BackendState::Down;
    ServiceBackendRow {
        index,
        address: address.parse().unwrap(),
        state,
        reason: down.then(|| REFUSED.to_owned()),
        weight: if state == BackendState::Drained { 0 } else { 100 },
        flows: if down { 0 } else { 12 },
    }
}

pub(crate) fn services() -> Vec<ServiceRow> {
    let mut dns = ServiceRow {
        id: 2,
        name: "kube-system/dns".to_owned(),
        frontend: "198.51.100.10:53".parse().unwrap(),
        protocol: Protocol::Udp,
        kind: FrontendKind::LoadBalancer,
        scheduler: Scheduler::Maglev,
        ..service()
    };
    dns.backends = vec![
        service_backend(1, "10.0.1.72:5353", BackendState::Active),
        service_backend(2, "10.0.1.73:5353", BackendState::Down),
        service_backend(3, "10.0.1.74:5353", BackendState::Drained),
    ];
    let empty = ServiceRow {
        id: 3,
        name: "empty".to_owned(),
        frontend: "198.51.100.11:443".parse().unwrap(),
        kind: FrontendKind::ClusterIp,
        backends: Vec::new(),
        flows: 0,
        flows_total: 0,
        refused_total: 0,
        ..service()
    };
    vec![service(), dns, empty]
}

pub(crate) fn backends() -> Vec<BackendRow> {
    let active = BackendRow {
        address: "10.0.1.72:80".parse().unwrap(),
        protocol: Protocol::Tcp,
        services: vec!["web".to_owned(), "shop".to_owned()],
        state: BackendState::Active,
        reason: None,
        weight: 100,
        since_seconds: 7_440,
        flows: 12_345,
    };
    let down = BackendRow {
        address: "10.0.1.73:80".parse().unwrap(),
        services: vec!["web".to_owned()],
        state: BackendState::Down,
        reason: Some(REFUSED.to_owned()),
        since_seconds: 5,
        flows: 0,
        ..active.clone()
    };
    vec![active, down]
}

pub(crate) fn conntrack() -> Vec<ConntrackRow> {
    let tcp = ConntrackRow {
        protocol: Protocol::Tcp,
        client: "172.26.50.1:45012".parse().unwrap(),
        frontend: "172.26.50.101:30645".parse().unwrap(),
        snat: "10.0.1.1:31210".parse().unwrap(),
        backend: "10.0.1.72:80".parse().unwrap(),
        state: FlowState::Established,
        idle_seconds: 3,
        expires_seconds: 7_437,
        worker: 0,
        service: Some("web".to_owned()),
    };
    let udp = ConntrackRow {
        protocol: Protocol::Udp,
        client: "192.0.2.7:5000".parse().unwrap(),
        state: FlowState::Unreplied,
        idle_seconds: 0,
        expires_seconds: 30,
        worker: 2,
        service: None,
        ..tcp.clone()
    };
    vec![tcp, udp]
}

pub(crate) fn snat() -> Vec<SnatRow> {
    let used = SnatRow {
        address: "10.0.1.1".parse().unwrap(),
        ports: PortRange { first: 32_768, last: 60_999 },
        backend: Some("10.0.1.72:80".parse().unwrap()),
        protocol: Some(Protocol::Tcp),
        in_use: 14_116,
        capacity: 28_232,
    };
    let idle = SnatRow {
        address: "10.0.1.2".parse().unwrap(),
        ports: PortRange { first: 31_210, last: 31_210 },
        backend: None,
        protocol: None,
        in_use: 0,
        capacity: 1,
    };
    vec![used, idle]
}

pub(crate) fn neighbors() -> Vec<NeighborRow> {
    let known = NeighborRow {
        address: "10.0.1.72".parse().unwrap(),
        mac: Some(MacAddress([2, 0, 0, 0, 1, 0x72])),
        port: "nodes".to_owned(),
        state: NeighborState::Reachable,
        age_seconds: Some(75),
        waiting_frames: 0,
    };
    let asked = NeighborRow {
        address: "10.0.1.99".parse().unwrap(),
        mac: None,
        state: NeighborState::Incomplete,
        age_seconds: None,
        waiting_frames: 4,
        ..known.clone()
    };
    vec![known, asked]
}

pub(crate) fn health() -> Vec<HealthRow> {
    let up = HealthRow {
        service: "web".to_owned(),
        backend: "10.0.1.72:80".parse().unwrap(),
        kind: CheckKind::Http,
        target: "http://10.0.1.72:80/healthz".to_owned(),
        state: HealthState::Up,
        last_error: Some("status 503".to_owned()),
        last_check_seconds_ago: Some(1),
        last_latency_micros: Some(842),
        successes: 7,
        failures: 0,
        transitions: 2,
        interval_millis: 1000,
        timeout_millis: 500,
        fall: 3,
        rise: 2,
    };
    let fresh = HealthRow {
        backend: "10.0.1.73:80".parse().unwrap(),
        kind: CheckKind::Tcp,
        target: "10.0.1.73:80".to_owned(),
        state: HealthState::Unknown,
        last_error: None,
        last_check_seconds_ago: None,
        last_latency_micros: None,
        successes: 0,
        transitions: 0,
        ..up.clone()
    };
    vec![up, fresh]
}

pub(crate) fn ports() -> Vec<PortRow> {
    let clients = PortRow {
        id: 0,
        name: "clients".to_owned(),
        driver: "net_af_packet".to_owned(),
        device: "net_af_packet0".to_owned(),
        mac: MacAddress([2, 0, 0, 0, 0, 1]),
        link: LinkState::Up,
        speed_mbps: Some(10_000),
        mtu: 1500,
        vlan: Some(50),
        addresses: vec!["172.26.50.101/24".to_owned(), "172.26.50.102/24".to_owned()],
        rx_queues: 1,
        tx_queues: 1,
        rx_packets: 1_234_567,
        rx_bytes: 987_654_321,
        tx_packets: 1_234_000,
        tx_bytes: 987_000_000,
        rx_missed: 12,
        rx_errors: 1,
        tx_errors: 2,
        rx_no_mbuf: 0,
        features: vec!["rss".to_owned(), "tx-checksum".to_owned()],
    };
    let nodes = PortRow {
        id: 1,
        name: "nodes".to_owned(),
        device: "0000:03:00.0".to_owned(),
        mac: MacAddress([2, 0, 0, 0, 0, 2]),
        link: LinkState::Down,
        speed_mbps: None,
        vlan: None,
        addresses: Vec::new(),
        features: Vec::new(),
        ..clients.clone()
    };
    vec![clients, nodes]
}

pub(crate) fn packets() -> PacketTotals {
    PacketTotals {
        rx: 1_234_567,
        tx: 1_234_500,
        local: 40,
        originated: 35,
        handed_over: 10,
        dropped: 62,
        lost_on_tx: 0,
    }
}

pub(crate) fn drops() -> DropReport {
    let row = |number, reason: &str, count, workers: [u64; 2], description: &str| DropRow {
        number,
        reason: reason.to_owned(),
        count,
        workers: workers.to_vec(),
        description: description.to_owned(),
    };
    DropReport {
        balance: packets(),
        drops: vec![
            row(1, "truncated", 0, [0, 0], "The frame ends before its headers do."),
            row(24, "unlisted-port", 60, [50, 10], "No frontend has this port of this address."),
            row(27, "no-backend", 2, [0, 2], "No backend of the Service takes new flows."),
        ],
    }
}

pub(crate) fn status() -> Status {
    let worker = WorkerRow {
        id: 0,
        core: 1,
        flows: 600_000,
        flows_max: 1_048_576,
        generation: 7,
        busy_percent: Some(12.5),
        rx_packets: 1_234_000,
        tx_packets: 1_233_950,
        local_packets: 20,
        originated: 30,
        handed_over: 10,
        dropped: 50,
        lost_on_tx: 0,
    };
    let second = WorkerRow {
        id: 1,
        core: 2,
        busy_percent: None,
        rx_packets: 567,
        tx_packets: 550,
        originated: 5,
        handed_over: 0,
        dropped: 12,
        ..worker.clone()
    };
    Status {
        name: "edge-1".to_owned(),
        version: "0.1.0".to_owned(),
        pid: 4711,
        uptime_seconds: 93_784,
        generation: 7,
        poll: PollMode::Adaptive,
        source: Source::Static,
        cluster: None,
        workers: vec![worker, second],
        flows: 1_200_000,
        flows_max: 2_097_152,
        services: 3,
        frontends: 4,
        backends_serving: 5,
        backends: 6,
        packets: packets(),
    }
}

fn feed(kind: ObjectKind, objects: u64, age: f64) -> FeedStatus {
    let last_contact_seconds_ago = Some(age);
    FeedStatus { kind, synced: true, objects, last_contact_seconds_ago, error: None, held: None }
}

/// The box in front of a cluster that answers.
pub(crate) fn status_of_cluster() -> Status {
    let cluster = ClusterStatus {
        endpoint: "https://10.0.0.1:6443".to_owned(),
        server_version: Some("v1.36.2".to_owned()),
        stale: false,
        from_cache: false,
        feeds: vec![
            feed(ObjectKind::Service, 120, 0.412),
            feed(ObjectKind::EndpointSlice, 12_345, 0.1),
            feed(ObjectKind::Node, 3, 0.25),
        ],
        leader: LeaderStatus { is_leader: true, holder: Some("edge-1".to_owned()) },
        writes: WriteCounts { done: 17, failed: 0, pending: 1, read_only: false },
        refused: 2,
    };
    Status { source: Source::Kubernetes, cluster: Some(cluster), ..status() }
}

/// The same while the API server is away, after it had shown a list that is hard to believe.
pub(crate) fn status_of_lost_cluster() -> Status {
    let mut status = status_of_cluster();
    if let Some(cluster) = &mut status.cluster {
        cluster.stale = true;
        cluster.feeds[0].last_contact_seconds_ago = Some(73.9);
        cluster.feeds[0].error = Some("connection refused".to_owned());
        cluster.feeds[0].held = Some(4);
        cluster.leader = LeaderStatus { is_leader: false, holder: Some("edge-2".to_owned()) };
        cluster.writes.read_only = true;
        cluster.refused = 0;
    }
    status
}

/// The same when it was never reached since the daemon started.
pub(crate) fn status_of_remembered_cluster() -> Status {
    let mut status = status_of_cluster();
    if let Some(cluster) = &mut status.cluster {
        (cluster.stale, cluster.from_cache, cluster.server_version) = (true, true, None);
        for feed in &mut cluster.feeds {
            (feed.synced, feed.last_contact_seconds_ago) = (false, None);
            feed.error = Some("certificate has expired".to_owned());
        }
        cluster.leader = LeaderStatus::default();
    }
    status
}

pub(crate) fn refused() -> Vec<RefusedRow> {
    let port = RefusedRow {
        service: "voice/sip".to_owned(),
        port: Some("signal".to_owned()),
        kind: Some(FrontendKind::LoadBalancer),
        reason: "sctp".to_owned(),
        message: "port signal: SCTP is not forwarded".to_owned(),
    };
    let whole = RefusedRow {
        service: "default/web".to_owned(),
        port: None,
        kind: None,
        reason: "no-address".to_owned(),
        message: "pool public has no free address".to_owned(),
    };
    vec![port, whole]
}

pub(crate) fn nodes() -> Vec<NodeRow> {
    let good = NodeRow {
        name: "node-1".to_owned(),
        addresses: vec!["10.0.1.71".parse().unwrap(), "fd00:1::71".parse().unwrap()],
        eligible: true,
        reason: None,
        pod_cidrs: vec!["10.244.1.0/24".to_owned()],
        ready: Some(true),
        kube_proxy: Some(HealthState::Up),
        kube_proxy_error: None,
        services: 12_345,
    };
    let failing = NodeRow {
        name: "node-2".to_owned(),
        addresses: vec!["10.0.1.72".parse().unwrap()],
        ready: Some(false),
        kube_proxy: Some(HealthState::Down),
        kube_proxy_error: Some("HTTP 503".to_owned()),
        ..good.clone()
    };
    let excluded = NodeRow {
        name: "node-3".to_owned(),
        addresses: Vec::new(),
        eligible: false,
        reason: Some("no InternalIP".to_owned()),
        pod_cidrs: Vec::new(),
        ready: None,
        kube_proxy: None,
        services: 0,
        ..good.clone()
    };
    vec![good, failing, excluded]
}

pub(crate) fn pools() -> Vec<PoolRow> {
    let public = PoolRow {
        name: "public".to_owned(),
        addresses: vec!["198.51.100.0/28".to_owned(), "192.0.2.10-192.0.2.13".to_owned()],
        size: 20,
        used: 15,
        auto_assign: true,
        priority: 10,
        namespaces: Vec::new(),
        labels: Vec::new(),
    };
    let bank = PoolRow {
        name: "bank".to_owned(),
        addresses: vec!["2001:db8:1::/48".to_owned()],
        size: u64::MAX,
        used: 1,
        auto_assign: false,
        priority: 0,
        namespaces: vec!["bank".to_owned(), "audit".to_owned()],
        labels: vec!["tier=gold".to_owned(), "pci".to_owned()],
    };
    vec![public, bank]
}

pub(crate) fn accepted() -> Vec<AcceptedRow> {
    vec![AcceptedRow { kind: ObjectKind::Service, objects_before: 120, objects: 4 }]
}
