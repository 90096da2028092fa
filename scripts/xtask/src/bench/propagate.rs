//! `bench propagate`: how long news take from the API server to the first packet on the new path.
//!
//! A lab with an API server, a box, and as many Services as asked for. One of them is changed again and
//! again, while a client asks its address every half millisecond: its endpoint moves from one pod to another, is
//! drained, comes back, the Service is deleted and made again. The time runs from before the request that changes
//! the object to before the first connection that went the new way; API server, TLS, watch, translation, tables
//! and workers lie between.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use spillway_tests::cluster::{self, Cluster, Endpoint, slice};
use spillway_tests::daemon::{Daemon, Options};
use spillway_tests::lab::Pod;
use spillway_tests::lab::topology::NodeId;
use spillway_tests::process::Process;
use spillway_tests::report::{Patched, Turned};
use spillway_tests::{Lab, Topology, programs, sandbox};

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Numbers of Services.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000, 10_000])]
    services: Vec<u32>,
    /// Endpoints of each.
    #[arg(long, default_value_t = 10)]
    endpoints: u32,
    /// Changes of each kind.
    #[arg(long, default_value_t = 100)]
    rounds: u32,
    /// Writes what was measured to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The address of the Service that changes.
const ADDRESS: &str = "172.26.50.110";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if !sandbox::is_inside() {
        return crate::keep::run_inside();
    }
    sandbox::settle()?;
    let mut measured = Vec::new();
    println!("services  endpoints  change   rounds   p50 ms   p99 ms   max ms");
    for services in &arguments.services {
        for (change, times) in measure(*services, arguments)? {
            let row = Row::of(*services, arguments.endpoints, change, times);
            println!("{}", row.text());
            measured.push(row);
        }
    }
    if let Some(path) = &arguments.json {
        let rows: Vec<Value> = measured.iter().map(Row::json).collect();
        let text = serde_json::to_string_pretty(&rows)?;
        fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One kind of change at one size.
#[derive(Debug)]
struct Row {
    services: u32,
    endpoints: u32,
    change: &'static str,
    /// Milliseconds, sorted.
    times: Vec<f64>,
}

impl Row {
    fn of(services: u32, endpoints: u32, change: &'static str, mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self { services, endpoints, change, times }
    }

    /// The smallest value that so many percent do not exceed.
    fn percentile(&self, percent: usize) -> f64 {
        let at = (self.times.len() * percent).div_ceil(100).saturating_sub(1);
        self.times.get(at).copied().unwrap_or(f64::NAN)
    }

    fn text(&self) -> String {
        let Self { services, endpoints, change, times } = self;
        let (p50, p99, max) = (self.percentile(50), self.percentile(99), self.percentile(100));
        format!(
            "{services:>8}  {endpoints:>9}  {change:<7}  {:>6}  {p50:>7.1}  {p99:>7.1}  {max:>7.1}",
            times.len()
        )
    }

    fn json(&self) -> Value {
        json!({
            "services": self.services, "endpoints": self.endpoints, "change": self.change,
            "rounds": self.times.len(), "p50_ms": self.percentile(50),
            "p99_ms": self.percentile(99), "max_ms": self.percentile(100),
        })
    }
}

/// The client that changes and the client that watches the data plane.
struct Pair {
    patch: Process,
    turn: Process,
}

impl Pair {
    /// Patches, and waits until `name` answers; milliseconds.
    fn change(&mut self, path: &str, body: &str, name: &str) -> Result<f64> {
        self.turn.tell(name)?;
        // It asks already, and gets the old answer, when the change comes.
        std::thread::sleep(Duration::from_millis(2));
        self.patch.tell(&format!("{path} {body}"))?;
        let patched: Patched = self.patch.report()?;
        let turned: Turned = self.turn.report()?;
        let Some(asked) = turned.asked_ns else { bail!("{name} never answered") };
        #[expect(clippy::cast_precision_loss, reason = "some seconds of nanoseconds")]
        let millis = asked.saturating_sub(patched.sent_ns) as f64 / 1e6;
        Ok(millis)
    }
}

fn measure(services: u32, arguments: &Arguments) -> Result<Vec<(&'static str, Vec<f64>)>> {
    let lab = Lab::build(Topology::two_arm(3))?;
    let [one, two] = [NodeId::new(1), NodeId::new(2)];
    let pods = [("a", one), ("b", two)];
    let mut servers = Vec::new();
    for (name, node) in pods {
        let address = cluster::pod_address(node, 10);
        servers.push(lab.start_pod(Pod { node, name, address })?);
    }
    let cluster = Cluster::start_with(&lab, &objects(&lab, services, arguments.endpoints)?)?;
    let config = programs::root().join("tests/config/kubernetes.toml");
    let options = Options::file(config)
        .set(&format!("kubernetes.kubeconfig={}", cluster.kubeconfig().display()))
        .set("kubernetes.mode=pod")
        .set("pool.public.addresses=[\"172.26.50.110/32\", \"100.64.0.0/16\"]");
    let daemon = Daemon::start(&lab, &options)?;
    let mut patch = Lab::tool(lab.middle(), "patch")?;
    patch.arg("--kubeconfig").arg(cluster.kubeconfig());
    let mut pair = Pair {
        patch: Process::spawn("patch", lab.dir(), &mut patch)?,
        turn: lab.start_client(&format!("turn --to {ADDRESS}:80"))?,
    };
    let path = format!("{SLICES}/target-1");
    let [a, b] = [Endpoint::ready(one, 10), Endpoint::ready(two, 10)];
    pair.change(&path, &endpoints(&[a])?, "a")?;
    let (mut scale, mut drain) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        scale.push(pair.change(&path, &endpoints(&[b])?, "b")?);
        // The old one terminates while the new one is ready: new flows go to the new one only.
        drain.push(pair.change(&path, &endpoints(&[a, b.terminating()])?, "a")?);
    }
    let mut empty = Vec::new();
    for _ in 0..arguments.rounds.min(50) {
        empty.push(pair.change(&path, &endpoints(&[])?, "-")?);
        pair.change(&path, &endpoints(&[a])?, "a")?;
    }
    drop(daemon);
    Ok(vec![("scale", scale), ("drain", drain), ("empty", empty)])
}

/// A merge patch that replaces a slice's endpoints.
fn endpoints(endpoints: &[Endpoint]) -> Result<String> {
    let whole: Value = serde_json::from_str(&slice("target", endpoints))?;
    let endpoints = whole.get("endpoints").context("a slice has endpoints")?;
    Ok(json!({"endpoints": endpoints}).to_string())
}

/// The Service that changes, and all the others with theirs endpoints, which nobody checks: they do not exist.
fn objects(lab: &Lab, services: u32, endpoints: u32) -> Result<Vec<Value>> {
    let mut objects: Vec<Value> = lab.node_ids().map(cluster::node).collect();
    objects.push(service("target", Some(ADDRESS)));
    objects.push(serde_json::from_str(&slice("target", &[]))?);
    for at in 1..services {
        let mut name = String::new();
        write!(name, "filler-{at}")?;
        objects.push(service(&name, None));
        let rows: Vec<Endpoint> = (0..endpoints)
            .map(|endpoint| {
                let node = NodeId::new(u8::try_from((at + endpoint) % 3)? + 1);
                let host = u8::try_from((at * endpoints + endpoint) % 200)?;
                Ok(Endpoint::ready(node, host + 20))
            })
            .collect::<Result<_>>()?;
        objects.push(serde_json::from_str(&slice(&name, &rows))?);
    }
    Ok(objects)
}

fn service(name: &str, address: Option<&str>) -> Value {
    let mut annotations = json!({"spillway.io/health-check": "none"});
    if let (Some(address), Some(annotations)) = (address, annotations.as_object_mut()) {
        annotations.insert("spillway.io/addresses".to_owned(), json!(address));
    }
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations},
        "spec": {
            "type": "LoadBalancer", "loadBalancerClass": "spillway.io/box",
            "allocateLoadBalancerNodePorts": false,
            "selector": {"app": name},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
        },
    })
}
