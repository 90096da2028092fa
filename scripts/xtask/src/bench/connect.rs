//! `bench connect`: what the node companion costs the process that connects, and what its maps cost the node.
//!
//! The agent's own code loads the programs, fills the maps and attaches to a cgroup of this bench's own; processes inside and
//! outside of it connect() to the same addresses in turns. nftables gets the same Services, in kube-proxy's shape, in the same
//! run. The network namespace is the sandbox's: a default route to loopback, nobody behind it, UDP only, so that a
//! connect() is the kernel's route lookup and what the programs add.

mod nft;
mod sockets;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;
use spillway_cluster::addresses::Family;
use spillway_cluster::node::{NodeBackend, NodeFrontend, NodeService, NodeView, Place, Pool};
use spillway_lb::model::{Affinity, Protocol, Scheduler, ServiceKind};
use spillway_node::datapath::{Datapath, DatapathSettings, MapSizes, TcAttach, uninstall};
use spillway_node::ledger::NodePlaces;
use spillway_node::maps::Maps;
use spillway_node::pins::Pins;
use spillway_node::sync::Sync;
use spillway_tests::process::run as command;
use spillway_tests::sandbox;

pub(crate) use sockets::Loop;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Numbers of Services.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1_000, 10_000])]
    services: Vec<u32>,
    /// Endpoints of each.
    #[arg(long, default_value_t = 100)]
    endpoints: u32,
    /// Rounds; each measures every kind of process once.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// connect() calls of each kind in a round.
    #[arg(long, default_value_t = 200_000)]
    calls: u32,
    /// Leaves nftables out, which takes most of a minute at full size.
    #[arg(long)]
    without_nft: bool,
    /// Writes what was measured to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if !sandbox::is_inside() {
        return crate::keep::run_inside();
    }
    sandbox::settle()?;
    for words in ["route add default dev lo", "addr add 192.0.2.1/32 dev lo"] {
        command("ip", &words.split(' ').collect::<Vec<_>>())?;
    }
    let mut rows = Vec::new();
    for services in &arguments.services {
        let bench = Bench::start(*services, arguments.endpoints)?;
        let row = bench.measure(arguments)?;
        print(&row);
        rows.push(row);
    }
    if let Some(path) = &arguments.json {
        fs::write(path, serde_json::to_string_pretty(&rows)?)
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The process that is measured.
pub(crate) fn in_the_loop(arguments: &Loop) -> Result<ExitCode> {
    sockets::run(arguments)?;
    Ok(ExitCode::SUCCESS)
}

/// The programs over one set of Services.
struct Bench {
    services: u32,
    endpoints: u32,
    pins: Pins,
    /// Without programs, and with.
    plain: PathBuf,
    served: PathBuf,
    maps: Maps,
    sync: Sync,
    view: NodeView,
    load: Duration,
    first_sync: Duration,
    memory: u64,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The processes inside have ended.
        let _ = uninstall(&self.pins);
        let _ = fs::remove_dir(&self.plain);
        let _ = fs::remove_dir(&self.served);
    }
}

impl Bench {
    fn start(services: u32, endpoints: u32) -> Result<Self> {
        let bpffs = Path::new("/run/sw-bpf");
        if !bpffs.exists() {
            fs::create_dir_all(bpffs)?;
            command("mount", &["-t", "bpf", "sw-bpf", "/run/sw-bpf"])?;
        }
        let root = cgroup_root()?;
        let [plain, served] = ["plain", "served"]
            .map(|name| root.join(format!("sw-connect-{}-{name}", std::process::id())));
        for cgroup in [&plain, &served] {
            fs::create_dir_all(cgroup).with_context(|| format!("make {}", cgroup.display()))?;
        }
        let backends = services * endpoints + 1;
        let sizes = MapSizes {
            frontends: services.max(1024) * 2,
            choices: backends + backends / 4 + 1024,
            backends: backends + 1024,
            ..MapSizes::default()
        };
        let pins = Pins::new(bpffs.join(format!("connect-{services}")));
        let before = memory_of_maps()?;
        let begin = Instant::now();
        let mut datapath = Datapath::load(&DatapathSettings {
            pins: pins.clone(),
            cgroup: served.clone(),
            sizes,
            tc_attach: TcAttach::Auto,
        })?;
        let load = begin.elapsed();
        let mut maps = Maps::open(&pins)?;
        let mut sync = Sync::adopt(&mut maps)?;
        let view = view(services, endpoints);
        let clock = Instant::now();
        let begin = Instant::now();
        let outcome = sync.sync(&mut maps, &view, &NodePlaces::default(), || clock.elapsed())?;
        let first_sync = begin.elapsed();
        anyhow::ensure!(outcome.failed.is_empty(), "not all fit: {:?}", outcome.failed);
        let memory = memory_of_maps()?.saturating_sub(before);
        datapath.attach_sockets()?;
        // Its lock goes with it; what it attached stays.
        drop(datapath);
        Ok(Self {
            services,
            endpoints,
            pins,
            plain,
            served,
            maps,
            sync,
            view,
            load,
            first_sync,
            memory,
        })
    }

    fn measure(mut self, arguments: &Arguments) -> Result<serde_json::Value> {
        let mut kinds = [("none", Vec::new()), ("miss", Vec::new()), ("hit", Vec::new())];
        for _ in 0..arguments.rounds.max(1) {
            for (kind, costs) in &mut kinds {
                let cgroup = if *kind == "none" { &self.plain } else { &self.served };
                let miss = *kind == "miss";
                costs.push(sockets::measure(cgroup, self.services, arguments.calls, miss)?);
            }
        }
        let change = self.change()?;
        let nft = if arguments.without_nft {
            None
        } else {
            Some(nft::measure(self.services, self.endpoints, Path::new("/run"))?)
        };
        let costs = kinds.map(|(kind, costs)| {
            let of = |value: fn(&sockets::Cost) -> f64| {
                let mut values: Vec<f64> = costs.iter().map(value).collect();
                values.sort_by(f64::total_cmp);
                let (low, high) = (values.first(), values.last());
                json!({"median": values.get(values.len() / 2), "min": low, "max": high})
            };
            json!({"kind": kind, "fresh_ns": of(|it| it.fresh_ns), "again_ns": of(|it| it.again_ns)})
        });
        Ok(json!({
            "services": self.services,
            "endpoints": self.endpoints,
            "rounds": arguments.rounds,
            "load_ms": millis(self.load),
            "sync_ms": millis(self.first_sync),
            "change_ms": millis(change),
            "memory_bytes": self.memory,
            "connect": costs,
            "nft": nft.map(|it| json!({
                "sync_ms": millis(it.sync), "change_ms": millis(it.change), "memory_bytes": it.memory,
            })),
        }))
    }

    /// One endpoint of one Service gives way to another: the median of five.
    fn change(&mut self) -> Result<Duration> {
        let mut spent = Vec::new();
        let clock = Instant::now();
        for round in 0..5u8 {
            let Some(first) = self.view.services.first_mut() else { break };
            let mut service = NodeService::clone(first);
            if let Some(backend) = service.backends.last_mut() {
                backend.address = IpAddr::from([100, 127, 255, round + 1]);
            }
            *first = Arc::new(service);
            let begin = Instant::now();
            // Places rest for a second; the time is an argument.
            let now = Duration::from_secs(100 + u64::from(round) * 10);
            let places = NodePlaces::default();
            self.sync.sync(&mut self.maps, &self.view, &places, || now + clock.elapsed())?;
            spent.push(begin.elapsed());
        }
        spent.sort_unstable();
        spent.get(spent.len() / 2).copied().context("no Service to change")
    }
}

fn view(services: u32, endpoints: u32) -> NodeView {
    let service = |number: u32| {
        let backend = |at| NodeBackend {
            address: nft::endpoint(number * endpoints + at).into(),
            port: 8080,
            weight: 1,
            is_local: false,
            is_terminating: false,
        };
        let members = (0..u16::try_from(endpoints).unwrap_or(u16::MAX)).collect();
        Arc::new(NodeService {
            name: format!("bench/service-{number:05}:http"),
            family: Family::V4,
            protocol: Protocol::Udp,
            scheduler: Scheduler::Random,
            affinity: Affinity::None,
            source_ranges: Vec::new(),
            backends: (0..endpoints).map(backend).collect(),
            pools: vec![Pool { members, is_terminating: false, is_local: false }],
            frontends: vec![NodeFrontend {
                kind: ServiceKind::ClusterIp,
                place: Place::Address(sockets::service(number).into()),
                port: 80,
                internal: 0,
                external: None,
                is_guarded: false,
            }],
        })
    };
    NodeView { services: (0..services).map(service).collect(), ..NodeView::default() }
}

/// Where cgroup v2 is mounted.
fn cgroup_root() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let root = mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (_, place, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(place))
    });
    root.context("no cgroup v2 is mounted")
}

/// What the kernel says that all maps of this process take, in bytes.
fn memory_of_maps() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: u64 = line.and_then(|it| it.split_whitespace().next()).unwrap_or("0").parse()?;
    // What is no longer available, so that a difference is what was taken.
    Ok(u64::MAX / 2 - kib * 1024)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn print(row: &serde_json::Value) {
    let number = |value: &serde_json::Value| value.as_f64().unwrap_or(f64::NAN);
    println!("{} services x {} endpoints", row["services"], row["endpoints"]);
    let bare = |path: &str| row.pointer(path).map_or(f64::NAN, number);
    let none = bare("/connect/0/fresh_ns/median");
    let again = bare("/connect/0/again_ns/median");
    for cost in row["connect"].as_array().into_iter().flatten() {
        let (fresh, repeated) = (&cost["fresh_ns"], &cost["again_ns"]);
        println!(
            "  connect, programs: {:<5} new socket {:7.0} ns ({:+5.0})  [{:.0}..{:.0}]   connected again {:7.0} ns ({:+5.0})",
            cost["kind"].as_str().unwrap_or_default(),
            number(&fresh["median"]),
            number(&fresh["median"]) - none,
            number(&fresh["min"]),
            number(&fresh["max"]),
            number(&repeated["median"]),
            number(&repeated["median"]) - again,
        );
    }
    let line = |name: &str, it: &serde_json::Value| {
        println!(
            "  {name:<9} first sync {:9.1} ms   one change {:8.3} ms   memory {:7.1} MiB",
            number(&it["sync_ms"]),
            number(&it["change_ms"]),
            number(&it["memory_bytes"]) / 1_048_576.0
        );
    };
    line("maps", row);
    if !row["nft"].is_null() {
        line("nftables", &row["nft"]);
    }
}
