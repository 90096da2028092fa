//! `dpdk-testpmd` as the backend, over shared memory:
//!
//! ```text
//!   generator ──memif── box ──memif── dpdk-testpmd --forward-mode=5tswap
//! ```
//! The generator knows each frame that must come back, byte by byte, because testpmd only swaps
//! addresses and ports. With UDP only: testpmd sends a SYN back as a SYN, which no TCP means.
//!
//! Three programs that poll, on machines of two cores perhaps: the box backs off when idle, the
//! generator sleeps, and testpmd has a core for itself until it is told to end.

mod generator;
mod testpmd;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use generator::{FRONTEND, GATEWAY, GATEWAY_MAC, Generator, Plan, client};
use spillway_admin::{ConntrackFilter, ConntrackRow, DropReport, Request, client as admin};
use spillway_tests::error::{LabError, ensure};
use spillway_tests::wire::{Appliance, failed};
use spillway_tests::{Result, sandbox};
use testpmd::{Reflected, Testpmd};

const DIR: &str = "/run/sw-testpmd";
const PATIENCE: Duration = Duration::from_secs(20);

/// All of them are testpmd, which takes what comes.
const BACKENDS: [&str; 3] = ["10.0.1.71", "10.0.1.72", "10.0.1.73"];
const NODE_MAC: &str = "02:00:00:00:02:72";

/// Announcements of the box's two addresses: three each, a second apart, then none for a minute.
const ANNOUNCEMENTS: u64 = 6;

const PLAN: Plan = Plan { packets: 100_000, clients: 1000, window: 256 };

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// Of the box. The generator and testpmd are clients of its memifs.
fn config() -> String {
    let pins: Vec<String> =
        BACKENDS.iter().map(|backend| format!("\"{backend}\" = \"{NODE_MAC}\"")).collect();
    let backends: Vec<String> =
        BACKENDS.iter().map(|backend| format!("\"{backend}:7777\"")).collect();
    format!(
        r#"
name = "loopback"
admin_socket = "{DIR}/admin.sock"
state_dir = "{DIR}/state"

[dataplane]
main_core = 0
worker_cores = [0]
poll = "adaptive"
flows_max = 4096
memory = "hugepages"
memory_mib = 96
mbufs = 8192

[[port]]
name = "front"
driver = "memif"
role = "server"
id = 0
socket = "{DIR}/front.sock"
addresses = ["172.26.50.101/24"]
gateway = "{GATEWAY}"
neighbors = {{ "{GATEWAY}" = "{GATEWAY_MAC}" }}

[[port]]
name = "back"
driver = "memif"
role = "server"
id = 1
socket = "{DIR}/back.sock"
addresses = ["10.0.1.1/24"]
neighbors = {{ {pins} }}

[snat]
addresses = ["172.26.50.101"]
ports = "31210-60999"

[[service]]
name = "echo"
type = "NodePort"
frontends = ["{FRONTEND}/udp"]
backends = [{backends}]
health = {{ type = "none" }}
"#,
        pins = pins.join(", "),
        backends = backends.join(", "),
    )
}

/// Every flow is there once, on one of the backends, with a SNAT tuple that no other has.
fn ensure_flows(flows: &[ConntrackRow]) -> Result<()> {
    let clients: BTreeSet<_> = flows.iter().map(|flow| flow.client).collect();
    let expected: BTreeSet<_> = (0..PLAN.clients).map(|number| client(number).into()).collect();
    ensure(clients == expected && flows.len() == expected.len(), || {
        format!("{} flows of {} clients", flows.len(), clients.len())
    })?;
    let tuples: BTreeSet<_> = flows.iter().map(|flow| (flow.snat, flow.backend)).collect();
    ensure(tuples.len() == flows.len(), || "two flows share a SNAT tuple".to_owned())?;
    let mut backends: BTreeMap<_, u32> = BTreeMap::new();
    for flow in flows {
        *backends.entry(flow.backend.ip().to_string()).or_default() += 1;
    }
    println!("flows by backend: {backends:?}");
    // Uniform: a third of 1,000 is 333 with a standard deviation of 15.
    ensure(backends.len() == 3 && backends.values().all(|count| (233..433).contains(count)), || {
        format!("uneven: {backends:?}")
    })
}

/// Three programs counted, each for itself, and all agree to the packet.
fn ensure_balance(report: &DropReport, packets: u64, reflected: Reflected) -> Result<()> {
    let balance = report.balance;
    let context = || format!("{balance:?} {reflected:?}");
    ensure(balance.under_way() == 0, || format!("{} under way", balance.under_way()))?;
    ensure(balance.rx == packets + reflected.tx, || format!("rx: {}", context()))?;
    // Both ways; and the announcements, of which the first found no link.
    let leaving = 2 * packets + ANNOUNCEMENTS;
    ensure(balance.tx + balance.lost_on_tx == leaving, || format!("tx: {}", context()))?;
    // testpmd cannot know that an announcement from everybody is nonsense.
    let announced = reflected.rx.saturating_sub(packets);
    let expected = [("bad-source-mac", announced), ("transmit-full", balance.lost_on_tx)];
    let expected: BTreeMap<&str, u64> = expected.into_iter().filter(|(_, n)| *n > 0).collect();
    let happened = report.drops.iter().filter(|row| row.count > 0);
    let dropped: BTreeMap<&str, u64> =
        happened.map(|row| (row.reason.as_str(), row.count)).collect();
    println!("dropped: {dropped:?}");
    ensure(reflected.tx == reflected.rx && dropped == expected, || {
        format!("dropped were {dropped:?}, to be dropped were {expected:?}: {}", context())
    })
}

#[test]
fn every_packet_comes_back_from_testpmd_and_the_counters_balance_to_zero() {
    sandbox::test(|| {
        fs::create_dir_all(DIR).map_err(LabError::io(format!("create {DIR}")))?;
        fs::write(path("spillway.toml"), config()).map_err(LabError::io("configure"))?;
        let socket = path("admin.sock");
        let config = path("spillway.toml");
        let appliance = Appliance::start(&config, &socket, Path::new(DIR), None)?;
        let testpmd = Testpmd::start(Path::new(DIR), &path("back.sock"), 1, NODE_MAC)?;
        let ports = appliance.ports()?;
        let front = ports.first().map(|port| port.mac.0).unwrap_or_default();
        let mut generator = Generator::open(&path("front.sock"), 0, front)?;
        appliance.wait_for_links(PATIENCE)?;
        // From here on the box says nothing of its own accord.
        appliance.drops_when(PATIENCE, |totals| totals.originated == ANNOUNCEMENTS)?;

        let run = generator.run(&PLAN).map_err(|error| {
            let words = ["drops", "port list -o wide"].map(|words| appliance.ask(words));
            let shown: String = words.into_iter().flatten().collect();
            let logs = format!("{}\n{}", appliance.log_tail(), testpmd.log_tail());
            LabError::Expectation(format!("{error}\n{shown}{logs}"))
        })?;

        let flows = Request::ConntrackList(ConntrackFilter::default());
        let flows: Vec<ConntrackRow> = admin::fetch(&socket, &flows).map_err(failed("flows"))?;
        let reflected = testpmd.stop()?;
        let after = appliance.drops()?;
        let balance = after.balance;
        println!("generator: {run:?}\ntestpmd: {reflected:?}\nbox: {balance:?}");
        ensure_flows(&flows)?;
        let packets = u64::from(PLAN.packets);
        ensure(run.returned == packets && run.sent == packets, || format!("{run:?}"))?;
        ensure_balance(&after, packets, reflected)?;
        ensure(generator.drain() == 0, || "a frame came back late, or twice".to_owned())?;
        appliance.stop()
    });
}
