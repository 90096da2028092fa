//! `sw-lab-tool`: the servers and clients of the lab, each a subcommand.
//!
//! Servers print one line when they listen. Clients print one JSON report (`spillway_tests::report`).
//! One thread, a task per connection: cheap enough for ten thousand on a small machine.

mod dns;
mod echo;
mod hold;
mod http;
mod load;
mod node_health;
mod patch;
mod refused;
mod request;
mod serve;
mod steps;
mod talk;
mod turn;
mod udp;
mod witness;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use spillway_tests::pattern;

#[derive(Debug, Parser)]
#[command(name = "sw-lab-tool", about = "Servers and clients of the Spillway lab")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// HTTP server that says who it is and whom it saw, and UDP echo.
    Serve {
        /// What the server calls itself.
        #[arg(long)]
        name: String,
        /// Address that it listens on, more than once for more; a pod has its own.
        #[arg(long, default_values_t = [IpAddr::V4(Ipv4Addr::UNSPECIFIED)])]
        address: Vec<IpAddr>,
        #[command(flatten)]
        ports: serve::Ports,
    },
    /// What kube-proxy answers on a node, told by lines on stdin: `endpoints N`, `healthy`, `unhealthy`,
    /// `deaf` (connections are refused).
    NodeHealth {
        /// TCP port of `/healthz`, kube-proxy's 10256.
        #[arg(long, default_value_t = 10_256)]
        healthz: u16,
        /// TCP port of a Service's `healthCheckNodePort`.
        #[arg(long)]
        service: Option<u16>,
    },
    /// Patches an object of the cluster for each line on stdin, `PATH BODY`, and says when.
    Patch {
        #[arg(long)]
        kubeconfig: PathBuf,
    },
    /// The bytes that `/big?bytes=N` answers, on stdout.
    Big {
        #[arg(long)]
        bytes: u64,
    },
    /// A client that ends with a JSON report.
    #[command(subcommand)]
    Client(Client),
}

#[derive(Debug, Subcommand)]
enum Client {
    /// Sends requests, each on a connection of its own.
    Http {
        #[arg(long)]
        to: SocketAddr,
        #[arg(long)]
        requests: u32,
        /// Requests under way at the same time.
        #[arg(long, default_value_t = 1)]
        parallel: u32,
    },
    /// Sends requests without end until stdin closes.
    Load {
        #[arg(long)]
        to: SocketAddr,
        #[arg(long, default_value_t = 4)]
        parallel: u32,
    },
    /// Opens connections and keeps them: one request each at once, and one more when a line comes on
    /// stdin. Prints a report after each round.
    Hold {
        #[arg(long)]
        to: SocketAddr,
        #[arg(long)]
        connections: u32,
    },
    /// Long-lived connections that check every byte, until stdin closes.
    Witness {
        #[arg(long)]
        to: SocketAddr,
        #[arg(long)]
        connections: u32,
        /// Pause between two records of a connection.
        #[arg(long, default_value_t = 20)]
        interval_ms: u64,
    },
    /// Many sockets, each of which must get its own datagrams back.
    Udp {
        #[arg(long)]
        to: SocketAddr,
        #[arg(long)]
        sockets: u32,
        /// Datagrams per socket, one after the other.
        #[arg(long, default_value_t = 1)]
        datagrams: u32,
    },
    /// Asks a UDP server for its name, datagram after datagram.
    Talk {
        #[arg(long)]
        to: SocketAddr,
        #[arg(long, default_value = "fresh")]
        socket: talk::Socket,
        /// Datagrams; without end until stdin closes if nothing is said.
        #[arg(long)]
        datagrams: Option<u32>,
        /// Pause between two.
        #[arg(long, default_value_t = 0)]
        interval_ms: u64,
    },
    /// Asks again and again until the server answers whose name came on stdin; `-`: until nobody does.
    Turn {
        #[arg(long)]
        to: SocketAddr,
    },
    /// One attempt to reach what should refuse.
    Refused {
        #[arg(long)]
        to: SocketAddr,
        #[arg(long)]
        protocol: Protocol,
        #[arg(long, default_value_t = 2000)]
        timeout_ms: u64,
    },
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum Protocol {
    Tcp,
    Udp,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.and_then(|runtime| runtime.block_on(dispatch(arguments.command)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sw-lab-tool: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(command: Command) -> io::Result<()> {
    match command {
        Command::Serve { name, address, ports } => serve::run(name, &address, ports).await,
        Command::NodeHealth { healthz, service } => node_health::run(healthz, service).await,
        Command::Patch { kubeconfig } => patch::run(kubeconfig).await,
        Command::Big { bytes } => big(bytes),
        Command::Client(client) => run_client(client).await,
    }
}

async fn run_client(client: Client) -> io::Result<()> {
    match client {
        Client::Http { to, requests, parallel } => {
            print_report(&load::fixed(to, requests, parallel).await)
        }
        Client::Load { to, parallel } => print_report(&load::endless(to, parallel).await),
        Client::Talk { to, socket, datagrams, interval_ms } => {
            let interval = Duration::from_millis(interval_ms);
            print_report(&talk::run(to, socket, datagrams, interval).await)
        }
        Client::Turn { to } => turn::run(to).await,
        Client::Hold { to, connections } => hold::run(to, connections).await,
        Client::Witness { to, connections, interval_ms } => {
            let interval = Duration::from_millis(interval_ms);
            print_report(&witness::run(to, connections, interval).await)
        }
        Client::Udp { to, sockets, datagrams } => {
            print_report(&udp::run(to, sockets, datagrams).await?)
        }
        Client::Refused { to, protocol, timeout_ms } => {
            let timeout = Duration::from_millis(timeout_ms);
            print_report(&refused::attempt(to, protocol, timeout).await)
        }
    }
}

fn print_report<T: serde::Serialize>(report: &T) -> io::Result<()> {
    let mut line = serde_json::to_string(report).map_err(io::Error::other)?;
    line.push('\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(line.as_bytes())?;
    stdout.flush()
}

fn big(bytes: u64) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let mut buffer = vec![0; http::CHUNK];
    let mut offset = 0;
    while offset < bytes {
        pattern::fill(offset, &mut buffer);
        let piece = http::piece(&buffer, bytes - offset);
        stdout.write_all(piece)?;
        offset = offset.saturating_add(piece.len() as u64);
    }
    stdout.flush()
}
