//! The same Services in nftables, in the shape that kube-proxy gives them (mode nftables, Kubernetes 1.36): a map of
//! service addresses to chains, a chain per Service with a `numgen random` map, a chain per endpoint with its DNAT.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use spillway_tests::process::run;

use super::sockets::service;

/// What nftables costs.
#[derive(Copy, Clone, Debug, serde::Serialize)]
pub(super) struct Nft {
    /// The whole in one transaction, as at a start.
    pub(super) sync: Duration,
    /// One endpoint of one Service replaced.
    pub(super) change: Duration,
    /// Memory of the machine that went, in bytes.
    pub(super) memory: u64,
}

/// Loads them into this network namespace, changes one, and takes everything away.
pub(super) fn measure(services: u32, endpoints: u32, dir: &Path) -> Result<Nft> {
    let file = dir.join("services.nft");
    fs::write(&file, ruleset(services, endpoints))?;
    let name = file.display().to_string();
    let before = available()?;
    let begin = Instant::now();
    run("nft", &["-f", &name])?;
    let sync = begin.elapsed();
    let memory = before.saturating_sub(available()?);
    let change_file = dir.join("change.nft");
    fs::write(&change_file, change(endpoints))?;
    let begin = Instant::now();
    run("nft", &["-f", &change_file.display().to_string()])?;
    let change = begin.elapsed();
    run("nft", &["delete", "table", "ip", "kube-proxy"])?;
    fs::remove_file(&file)?;
    Ok(Nft { sync, change, memory })
}

/// The address of an endpoint.
pub(super) fn endpoint(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(100, 64, 0, 1).to_bits() + number)
}

fn ruleset(services: u32, endpoints: u32) -> String {
    let mut text = String::from("table ip kube-proxy {\n");
    for number in 0..services {
        for at in 0..endpoints {
            let to = number * endpoints + at;
            let _ = writeln!(
                text,
                "chain endpoint-{to} {{ udp dport 80 dnat to {}:8080; }}",
                endpoint(to)
            );
        }
        let _ = writeln!(
            text,
            "chain service-{number} {{ {}; }}",
            verdicts(number * endpoints, endpoints)
        );
    }
    text.push_str(
        "map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; elements = {\n",
    );
    for number in 0..services {
        let _ = writeln!(text, "{} . udp . 80 : goto service-{number},", service(number));
    }
    text.push_str(
        "} }\nchain services { ip daddr . meta l4proto . th dport vmap @service-ips; }\n",
    );
    text.push_str("chain nat-output { type nat hook output priority -100; jump services; }\n}\n");
    text
}

fn verdicts(first: u32, endpoints: u32) -> String {
    let rows: Vec<String> =
        (0..endpoints).map(|at| format!("{at} : goto endpoint-{}", first + at)).collect();
    format!("numgen random mod {endpoints} vmap {{ {} }}", rows.join(", "))
}

/// The first Service loses its first endpoint to a new one.
fn change(endpoints: u32) -> String {
    let rows: Vec<String> = (1..endpoints).map(|at| format!("{at} : goto endpoint-{at}")).collect();
    let rest = if rows.is_empty() { String::new() } else { format!(", {}", rows.join(", ")) };
    format!(
        "add chain ip kube-proxy endpoint-new\n\
         add rule ip kube-proxy endpoint-new udp dport 80 dnat to 100.127.255.1:8080\n\
         flush chain ip kube-proxy service-0\n\
         add rule ip kube-proxy service-0 numgen random mod {endpoints} vmap {{ 0 : goto endpoint-new{rest} }}\n\
         delete chain ip kube-proxy endpoint-0\n"
    )
}

/// Bytes that the machine could still give.
fn available() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: u64 = line.and_then(|it| it.split_whitespace().next()).unwrap_or("0").parse()?;
    Ok(kib * 1024)
}
