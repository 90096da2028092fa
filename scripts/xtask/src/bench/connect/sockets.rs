//! What connect() costs a process: the side that is measured, in a cgroup of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

/// Sockets that exist at the same time.
const SOCKETS: usize = 512;
/// The subcommand that this program calls itself with.
pub(super) const TASK: &str = "connect-loop";

/// Whom to connect to, and how often.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Loop {
    /// The cgroup to enter first.
    #[arg(long)]
    cgroup: std::path::PathBuf,
    /// Addresses from 10.96.0.1 on.
    #[arg(long)]
    services: u32,
    /// Calls of each kind.
    #[arg(long)]
    calls: u32,
    /// Another network, where nobody has a service.
    #[arg(long)]
    miss: bool,
}

/// Nanoseconds per call.
#[derive(Copy, Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Cost {
    /// connect() of a new UDP socket.
    pub(super) fresh_ns: f64,
    /// connect() of a UDP socket that was connected before.
    pub(super) again_ns: f64,
}

/// The address of a service.
pub(super) fn service(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 96, 0, 1).to_bits() + number)
}

/// Measures, in a process of its own.
pub(super) fn measure(cgroup: &Path, services: u32, calls: u32, miss: bool) -> Result<Cost> {
    let mut command = Command::new(std::env::current_exe().context("find xtask")?);
    command.args(["bench", TASK, "--cgroup"]).arg(cgroup);
    command.args(["--services", &services.to_string(), "--calls", &calls.to_string()]);
    if miss {
        command.arg("--miss");
    }
    let text = spillway_tests::process::output(&mut command)?;
    serde_json::from_str(&text).with_context(|| format!("what the loop said: {text}"))
}

/// The process: enters the cgroup, connects, prints.
pub(crate) fn run(arguments: &Loop) -> Result<()> {
    let procs = arguments.cgroup.join("cgroup.procs");
    fs::write(&procs, std::process::id().to_string())
        .with_context(|| format!("enter {}", procs.display()))?;
    // The first pages, caches and branches are not what is asked for.
    let warm = fresh(arguments, arguments.calls / 10)?;
    let cost = Cost { fresh_ns: fresh(arguments, arguments.calls)?, again_ns: again(arguments)? };
    debug_assert!(warm > 0.0);
    println!("{}", serde_json::to_string(&cost)?);
    Ok(())
}

/// Addresses in an order that no prefetcher follows.
fn targets(arguments: &Loop) -> impl Iterator<Item = SocketAddr> {
    let (services, offset) = (arguments.services.max(1), if arguments.miss { 1 << 20 } else { 0 });
    let mut state = 0x9e37_79b9_u32;
    std::iter::repeat_with(move || {
        // Xorshift (Marsaglia, 2003).
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        SocketAddr::from((service(state % services + offset), 80))
    })
}

fn fresh(arguments: &Loop, calls: u32) -> Result<f64> {
    let mut targets = targets(arguments);
    let (mut spent, mut done) = (0.0, 0);
    while done < calls {
        let sockets = (0..SOCKETS).map(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)));
        let sockets = sockets.collect::<std::io::Result<Vec<_>>>()?;
        let begin = Instant::now();
        for socket in &sockets {
            socket.connect(targets.next().context("targets have no end")?)?;
        }
        spent += begin.elapsed().as_secs_f64();
        done += u32::try_from(SOCKETS)?;
    }
    Ok(spent * 1e9 / f64::from(done))
}

fn again(arguments: &Loop) -> Result<f64> {
    let mut targets = targets(arguments);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let begin = Instant::now();
    for _ in 0..arguments.calls {
        socket.connect(targets.next().context("targets have no end")?)?;
    }
    Ok(begin.elapsed().as_secs_f64() * 1e9 / f64::from(arguments.calls))
}
