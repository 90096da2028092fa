//! `sw-apiserver`: the API server for tests as a program of its own.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use serde_json::{Value, json};
use spillway_apiserver::auth::Identity;
use spillway_apiserver::pki::{Ca, Credentials, Validity, kubeconfig, write_private};
use spillway_apiserver::replay::Replay;
use spillway_apiserver::service::Ranges;
use spillway_apiserver::store::StoreConfig;
use spillway_apiserver::{ApiServer, Options, admin, tls};
use tokio::signal::unix::{SignalKind, signal};

/// A Kubernetes API server for tests. Prints `ready https://…` when it serves; ends on SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "sw-apiserver")]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where certificates are kept; an authority that is there already is used again.
    #[arg(long)]
    pki: PathBuf,
    /// Writes a kubeconfig of an administrator with a client certificate.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// More host names and addresses for the server's certificate.
    #[arg(long = "name")]
    names: Vec<String>,
    /// Nodes to begin with: `name=address`.
    #[arg(long = "node")]
    nodes: Vec<String>,
    /// Files with objects or lists of them, in JSON.
    #[arg(long = "load")]
    load: Vec<PathBuf>,
    /// Bearer tokens that are accepted: `token=user`.
    #[arg(long = "token")]
    tokens: Vec<String>,
    /// Takes orders (faults, outages, tokens) there, in plain HTTP.
    #[arg(long)]
    admin: Option<SocketAddr>,
    /// Answers from a folder of recordings where it has any.
    #[arg(long)]
    replay: Option<PathBuf>,
    /// Node ports, first and last.
    #[arg(long, num_args = 2, value_names = ["FIRST", "LAST"])]
    node_ports: Option<Vec<u16>>,
    /// Cluster addresses of both families.
    #[arg(long)]
    dual_stack: bool,
    /// Changes of one kind that a watch can go back.
    #[arg(long, default_value_t = 65_536)]
    history: usize,
    /// Seconds between two bookmarks.
    #[arg(long, default_value_t = 60)]
    bookmark_s: u64,
}

fn options(arguments: &Arguments) -> anyhow::Result<Options> {
    let mut ranges = if arguments.dual_stack { Ranges::dual_stack() } else { Ranges::default() };
    if let Some([first, last]) = arguments.node_ports.as_deref() {
        ranges.node_ports = *first..=*last;
    }
    let replay = arguments.replay.as_deref().map(Replay::load).transpose()?;
    let store = StoreConfig { ranges, history_limit: arguments.history, ..StoreConfig::default() };
    Ok(Options { store, bookmark_every: Duration::from_secs(arguments.bookmark_s), replay })
}

fn node(name: &str, address: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name,
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
        "spec": {},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address},
                {"type": "Hostname", "address": name}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "nodeInfo": {"machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "6.1.0",
                "osImage": "test", "containerRuntimeVersion": "none", "kubeletVersion": "v1.36.2",
                "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64"}}})
}

fn pair<'a>(flag: &str, text: &'a str) -> anyhow::Result<(&'a str, &'a str)> {
    text.split_once('=').with_context(|| format!("--{flag} {text}: write it as name=value"))
}

fn fill(server: &ApiServer, arguments: &Arguments) -> anyhow::Result<()> {
    for text in &arguments.nodes {
        let (name, address) = pair("node", text)?;
        server.load(&node(name, address))?;
    }
    for path in &arguments.load {
        let place = || format!("--load {}", path.display());
        let text = std::fs::read_to_string(path).with_context(place)?;
        server.load(&serde_json::from_str(&text).with_context(place)?).with_context(place)?;
    }
    for text in &arguments.tokens {
        let (token, user) = pair("token", text)?;
        server.authority().add_token(token, Identity::new(user));
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut stop = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
    let server = ApiServer::new(options(&arguments)?);
    fill(&server, &arguments)?;

    let ca = Ca::open(&arguments.pki, "spillway test CA")?;
    let listen = arguments.listen.ip().to_string();
    let loopback = Ipv4Addr::LOCALHOST.to_string();
    let mut names = vec!["localhost", "kubernetes.default.svc", &loopback, &listen];
    names.extend(arguments.names.iter().map(String::as_str));
    let certificate = ca.server(&names, Validity::Good)?;
    certificate.write(&arguments.pki, "server")?;
    let config = tls::config(&certificate, ca.pem())?;
    let listening = tls::Listening::start(&server, arguments.listen, config).await?;

    let administrator = ca.client("admin", &["system:masters"], Validity::Good)?;
    administrator.write(&arguments.pki, "admin")?;
    if let Some(path) = &arguments.kubeconfig {
        let credentials = Credentials::Certificate(administrator);
        write_private(path, &kubeconfig(&listening.url(), ca.pem(), &credentials))?;
    }
    if let Some(address) = arguments.admin {
        let address = admin::listen(server.clone(), address)
            .await
            .with_context(|| format!("--admin {address}"))?;
        eprintln!("admin http://{address}");
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "ready {}", listening.url()).context("write to standard output")?;
    stdout.flush().context("write to standard output")?;
    stop.recv().await;
    Ok(())
}
