//! The box in front of a cluster, as its operator sees it: `kubectl` on one side, clients on the other.

use std::time::{Duration, Instant};

use spillway_tests::cluster::{self, Cluster, Endpoint, ask, load_balancer, slice};
use spillway_tests::daemon::{Daemon, Options};
use spillway_tests::error::ensure;
use spillway_tests::lab::topology::NodeId;
use spillway_tests::lab::{HEALTH_CHECK_NODE_PORT, Pod};
use spillway_tests::process::{Process, until};
use spillway_tests::programs;
use spillway_tests::report::{Refusal, Requests};
use spillway_tests::stall::StallWatch;
use spillway_tests::{Lab, LabError, Result, Topology, sandbox};

/// When something that should take a second is given up.
const PATIENCE: Duration = Duration::from_secs(20);

fn options(cluster: &Cluster<'_>) -> Options {
    Options::file(programs::root().join("tests/config/kubernetes.toml"))
        .set(&format!("kubernetes.kubeconfig={}", cluster.kubeconfig().display()))
}

/// Nodes whose NodePorts lead to their servers, and that say that they are well.
fn nodes() -> Result<(Lab, Vec<Process>)> {
    let lab = Lab::with_servers(Topology::two_arm(3))?;
    let mut health = Vec::new();
    for node in lab.node_ids() {
        lab.open_node_ports(node)?;
        health.push(lab.start_node_health(node, Some(HEALTH_CHECK_NODE_PORT))?);
    }
    Ok((lab, health))
}

/// Counts who answers `requests` requests.
fn spread(lab: &Lab, to: &str, requests: u32) -> Result<Requests> {
    lab.start_client(&format!("http --to {to} --requests {requests} --parallel 8"))?.report()
}

/// A box that knows the cluster and writes to it.
fn start_box(lab: &Lab, options: &Options) -> Result<Daemon> {
    let daemon = Daemon::start(lab, options)?;
    until("a box that knows the cluster and holds the Lease", PATIENCE, || {
        let cluster = daemon.status()?.cluster;
        Ok(cluster.is_some_and(|it| !it.stale && it.leader.is_leader).then_some(()))
    })?;
    Ok(daemon)
}

/// Waits until only these servers answer.
fn wait_for_servers(lab: &Lab, daemon: &Daemon, to: &str, names: &[&str]) -> Result<()> {
    let mut last = Requests::default();
    let waited = until(&format!("answers by {names:?} alone"), PATIENCE, || {
        last = spread(lab, to, 40)?;
        let seen: Vec<&str> = last.nodes.keys().map(String::as_str).collect();
        Ok((last.failed == 0 && seen == names).then_some(()))
    });
    waited.map_err(|error| {
        let [status, services, health] = ["status", "service list", "health list"]
            .map(|words| daemon.ask(words).unwrap_or_else(|error| error.to_string()));
        LabError::Expectation(format!("{error}: {last:?}\n{status}\n{services}\n{health}"))
    })
}

#[test]
fn a_service_made_with_kubectl_gets_an_address_at_once_and_serves_until_it_is_deleted() {
    sandbox::test(|| {
        let (lab, _health) = nodes()?;
        let cluster = Cluster::start(&lab)?;
        let daemon = start_box(&lab, &options(&cluster))?;
        let watch = StallWatch::start();
        cluster.create(&load_balancer("web", &[]))?;
        let begin = Instant::now();
        let address = cluster.wait_for_address("web", PATIENCE)?;
        let took = begin.elapsed().saturating_sub(watch.stalled());
        ensure(took < Duration::from_secs(1), || format!("an address after {took:?}"))?;
        let shown = cluster.kubectl("get svc web")?;
        ensure(shown.contains("LoadBalancer") && shown.contains("172.26.50.110"), || shown)?;
        ensure(address.octets() == [172, 26, 50, 110], || format!("{address}"))?;

        // What status says is served: the first connection already.
        let name = ask(lab.client(), address)?;
        ensure(["n1", "n2", "n3"].contains(&name.as_str()), || format!("answered by {name}"))?;
        wait_for_servers(&lab, &daemon, "172.26.50.110:80", &["n1", "n2", "n3"])?;
        let list = daemon.ask("service list")?;
        ensure(list.contains("172.26.50.110:80") && list.contains("LoadBalancer"), || list)?;

        // A node is taken out by its label, as KEP-3458 wants it, and by nothing less.
        cluster.kubectl("taint node n2 maintenance=yes:NoExecute")?;
        cluster.kubectl("cordon n2")?;
        wait_for_servers(&lab, &daemon, "172.26.50.110:80", &["n1", "n2", "n3"])?;
        cluster.kubectl(
            "label node n2 node.kubernetes.io/exclude-from-external-load-balancers=true",
        )?;
        wait_for_servers(&lab, &daemon, "172.26.50.110:80", &["n1", "n3"])?;

        for node in ["n1", "n3"] {
            let label = "node.kubernetes.io/exclude-from-external-load-balancers=true";
            cluster.kubectl(&format!("label node {node} {label}"))?;
        }
        until("an event that says that no node is left", PATIENCE, || {
            let events = cluster.kubectl("get events")?;
            Ok(events.contains("UnAvailableLoadBalancer").then_some(()))
        })?;
        let refused: Refusal =
            lab.start_client("refused --to 172.26.50.110:80 --protocol tcp")?.report()?;
        ensure(refused.outcome == "refused", || format!("{refused:?}"))?;

        let service = cluster.kubectl("get service web -o jsonpath={.metadata.finalizers}")?;
        ensure(service.contains("load-balancer-cleanup"), || service)?;
        cluster.kubectl("delete service web --timeout=10s")?;
        let refused: Refusal = lab
            .start_client("refused --to 172.26.50.110:80 --protocol tcp --timeout-ms 1000")?
            .report()?;
        ensure(refused.outcome != "answered", || format!("{refused:?}"))?;
        let events = cluster.kubectl("get events")?;
        ensure(events.contains("EnsuredLoadBalancer"), || events)
    });
}

#[test]
fn only_nodes_with_endpoints_get_the_traffic_of_a_local_service_in_proportion() {
    sandbox::test(|| {
        let (lab, mut health) = nodes()?;
        let cluster = Cluster::start(&lab)?;
        let daemon = start_box(&lab, &options(&cluster))?;
        let [n1, n2, n3] = health.as_mut_slice() else {
            return Err(LabError::Expectation("three nodes".to_owned()));
        };
        let tell = |node: &mut Process, words: &str| -> Result<()> {
            node.tell(words)?;
            node.line().map(drop)
        };
        tell(n1, "endpoints 1")?;
        tell(n2, "endpoints 3")?;
        tell(n3, "endpoints 0")?;
        let port = format!("healthCheckNodePort: {HEALTH_CHECK_NODE_PORT}");
        cluster.create(&load_balancer("web", &["externalTrafficPolicy: Local", &port]))?;
        let two = NodeId::new(2);
        let endpoints = [
            Endpoint::ready(NodeId::new(1), 10),
            Endpoint::ready(two, 10),
            Endpoint::ready(two, 11),
            Endpoint::ready(two, 12),
        ];
        cluster.apply(&slice("web", &endpoints))?;
        let address = cluster.wait_for_address("web", PATIENCE)?;
        let to = format!("{address}:80");
        wait_for_servers(&lab, &daemon, &to, &["n1", "n2"])?;
        let report = spread(&lab, &to, 2000)?;
        let share = report.nodes.get("n2").copied().unwrap_or(0);
        // 1500 of 2000 expected; five standard deviations are 97.
        ensure((1400..=1600).contains(&share), || format!("{report:?}"))?;
        ensure(report.failed == 0, || format!("{report:?}"))?;

        // Its probe takes the emptied node out, whatever the API still says.
        tell(n2, "endpoints 0")?;
        wait_for_servers(&lab, &daemon, &to, &["n1"])?;
        tell(n2, "endpoints 1")?;
        wait_for_servers(&lab, &daemon, &to, &["n1", "n2"])
    });
}

#[test]
fn without_the_api_server_everything_is_served_on_and_afterwards_soon_up_to_date() {
    sandbox::test(|| {
        let (lab, _health) = nodes()?;
        let mut cluster = Cluster::start(&lab)?;
        let mut daemon = start_box(&lab, &options(&cluster).set("kubernetes.idle_timeout=2s"))?;
        cluster.create(&load_balancer("web", &[]))?;
        let address = cluster.wait_for_address("web", PATIENCE)?;
        let to = format!("{address}:80");
        wait_for_servers(&lab, &daemon, &to, &["n1", "n2", "n3"])?;
        let load = lab.start_client(&format!("load --to {to} --parallel 4"))?;

        // Hung first, then gone: both happen.
        cluster.server().signal("STOP")?;
        until("a status that says that it is stale", PATIENCE, || {
            Ok(daemon.ask("status")?.contains("STALE").then_some(()))
        })?;
        cluster.server().signal("CONT")?;
        cluster.go_down()?;
        std::thread::sleep(Duration::from_secs(5));
        let name = ask(lab.client(), address)?;
        ensure(name.starts_with('n'), || format!("answered by {name}"))?;

        cluster.come_back()?;
        let begin = Instant::now();
        cluster.create(&load_balancer("late", &[]))?;
        cluster.wait_for_address("late", PATIENCE)?;
        let took = begin.elapsed();
        ensure(took < Duration::from_secs(5), || format!("in step again after {took:?}"))?;
        let report: Requests = load.finish()?;
        ensure(report.failed == 0 && report.ok > 100, || format!("{report:?}"))?;
        daemon.process().ensure_running()
    });
}

#[test]
fn a_restart_during_an_outage_serves_the_last_known_state() {
    sandbox::test(|| {
        let (lab, _health) = nodes()?;
        let cluster = Cluster::start(&lab)?;
        let cache = format!("kubernetes.cache={}", lab.dir().join("cache/cluster.json").display());
        let mut daemon = start_box(&lab, &options(&cluster).set(&cache))?;
        cluster.create(&load_balancer("web", &[]))?;
        let address = cluster.wait_for_address("web", PATIENCE)?;
        wait_for_servers(&lab, &daemon, &format!("{address}:80"), &["n1", "n2", "n3"])?;
        daemon.stop()?;
        cluster.go_down()?;
        let daemon = Daemon::start(&lab, &options(&cluster).set(&cache))?;
        wait_for_servers(&lab, &daemon, &format!("{address}:80"), &["n1", "n2", "n3"])?;
        let status = daemon.ask("status")?;
        ensure(status.contains("STALE"), || status)
    });
}

#[test]
fn what_changes_nothing_to_be_served_makes_no_generation_and_is_answered_all_the_same() {
    sandbox::test(|| {
        const CHANGES: u64 = 10;
        let (lab, _health) = nodes()?;
        let cluster = Cluster::start(&lab)?;
        let daemon = start_box(&lab, &options(&cluster))?;
        cluster.create(&load_balancer("web", &[]))?;
        let address = cluster.wait_for_address("web", PATIENCE)?;
        wait_for_servers(&lab, &daemon, &format!("{address}:80"), &["n1", "n2", "n3"])?;
        let before = daemon.status()?.generation;
        for change in 0..CHANGES {
            cluster.kubectl(&format!("annotate service web change={change} --overwrite"))?;
        }
        // Nothing of this Service was served before, or is now: an earlier run has left its mark on it.
        let service =
            "kind: Service\napiVersion: v1\nmetadata: {name: left}\nspec: {ports: [{port: 80}]}";
        cluster.create(service)?;
        let uid = cluster.kubectl("get service left -o jsonpath={.metadata.uid}")?;
        let mark = format!("spillway.io/cleanup=spillway.io/box/{uid}");
        cluster.kubectl(&format!("annotate service left {mark}"))?;
        until("a Service without the mark of an earlier run", PATIENCE, || {
            let left = cluster.kubectl("get service left -o jsonpath={.metadata.annotations}")?;
            Ok((!left.contains("spillway.io/cleanup")).then_some(()))
        })?;
        // A check that turns makes a Generation of its own.
        let made = daemon.status()?.generation - before;
        ensure(made < CHANGES, || format!("{made} Generations for {CHANGES} annotations"))
    });
}

#[test]
fn a_hundred_rolling_updates_under_load_fail_no_request() {
    sandbox::test(|| {
        const UPDATES: u8 = 100;
        const REQUESTS: u32 = 20_000;
        let (lab, _health) = nodes()?;
        let cluster = Cluster::start(&lab)?;
        let daemon = start_box(&lab, &options(&cluster).set("kubernetes.mode=pod"))?;
        let node = |round: u8| NodeId::new(round % 3 + 1);
        let endpoint = |round: u8| Endpoint::ready(node(round), round + 10);
        let start = |round: u8| {
            let address = cluster::pod_address(node(round), round + 10);
            lab.start_pod(Pod { node: node(round), name: &format!("p{round}"), address })
        };
        let mut pods = vec![start(0)?, start(1)?];
        cluster.create(&load_balancer("web", &[]))?;
        cluster.apply(&slice("web", &[endpoint(0), endpoint(1)]))?;
        let address = cluster.wait_for_address("web", PATIENCE)?;
        let to = format!("{address}:80");
        wait_for_servers(&lab, &daemon, &to, &["p0", "p1"])?;
        let load = lab.start_client(&format!("load --to {to} --parallel 4"))?;
        for round in 0..UPDATES {
            // As a Deployment does it: the new pod is ready, the old one terminates, then it is gone.
            pods.push(start(round + 2)?);
            let leaving = endpoint(round).terminating();
            cluster.apply(&slice("web", &[endpoint(round + 1), endpoint(round + 2), leaving]))?;
            // The pod's preStop pause, which every rolling update needs with every load balancer.
            std::thread::sleep(Duration::from_millis(300));
            drop(pods.remove(0));
            cluster.apply(&slice("web", &[endpoint(round + 1), endpoint(round + 2)]))?;
        }
        // A slow machine has to go on for a while.
        until("enough requests", PATIENCE * 4, || {
            let flows = daemon.services()?.iter().map(|row| row.flows_total).max();
            Ok((flows.unwrap_or(0) > u64::from(REQUESTS)).then_some(()))
        })?;
        let report: Requests = load.finish()?;
        ensure(report.failed == 0, || {
            format!("{report:?}\n{}", daemon.ask("drops").unwrap_or_default())
        })?;
        ensure(report.ok >= u64::from(REQUESTS), || format!("only {} requests", report.ok))?;
        ensure(report.nodes.len() > 90, || format!("only {} pods answered", report.nodes.len()))
    });
}

#[test]
fn of_two_boxes_both_forward_and_one_writes_until_the_other_has_to() {
    sandbox::test(|| {
        let (mut lab, _health) = nodes()?;
        lab.add_second_box()?;
        let cluster = Cluster::start(&lab)?;
        let first = options(&cluster).set("kubernetes.identity=first");
        let second = options(&cluster)
            .second()
            .set("kubernetes.identity=second")
            .set("port.back.addresses=[\"10.0.1.2/24\"]")
            .set("snat.addresses=[\"10.0.1.2\"]");
        let mut first = Daemon::start(&lab, &first)?;
        let holder = || {
            cluster.kubectl("get lease spillway -n kube-system -o jsonpath={.spec.holderIdentity}")
        };
        until("the first box holding the Lease", PATIENCE, || {
            Ok(holder().unwrap_or_default().starts_with("first_").then_some(()))
        })?;
        let _second = Daemon::start(&lab, &second)?;
        cluster.create(&load_balancer("web", &[]))?;
        let address = cluster.wait_for_address("web", PATIENCE)?;
        until("both boxes answering", PATIENCE, || {
            let answers = [ask(lab.client(), address), ask(lab.second_client()?, address)];
            Ok(answers.iter().all(Result::is_ok).then_some(()))
        })?;
        first.process().kill()?;
        until("the second box holding the Lease", Duration::from_secs(40), || {
            Ok(holder().unwrap_or_default().starts_with("second_").then_some(()))
        })?;
        ask(lab.second_client()?, address)?;
        cluster.create(&load_balancer("late", &[]))?;
        let late = cluster.wait_for_address("late", PATIENCE)?;
        ask(lab.second_client()?, late).map(drop)
    });
}
