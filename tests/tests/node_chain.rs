//! The whole chain, with kube-proxy nowhere: a client, the box in front, a node's NodePort, a pod; and the cluster's
//! API server behind all of them.

use std::fs;
use std::time::Duration;

use spillway_tests::cluster::{Cluster, load_balancer};
use spillway_tests::error::ensure;
use spillway_tests::lab::Lab;
use spillway_tests::lab::namespace::Namespace;
use spillway_tests::mesh::agent::Agent;
use spillway_tests::mesh::{HTTP_PORT, Mesh, Shape, kube};
use spillway_tests::process::{output, until};
use spillway_tests::report::{self, Requests};
use spillway_tests::wire::Appliance;
use spillway_tests::{LabError, Result, sandbox};

const PATIENCE: Duration = Duration::from_secs(20);
const BOX: &str = "172.26.50.2";
const PODS: [(u8, u8); 3] = [(0, 71), (0, 72), (1, 73)];
const HEALTH_CHECK_NODE_PORT: u16 = 31_999;

/// Three nodes, pods on two of them, and an agent on each.
struct World {
    agents: Vec<Agent>,
    appliance: Option<Appliance>,
    middle: Option<Namespace>,
}

fn mesh() -> Result<Mesh> {
    let mut mesh = Mesh::build(Shape::vxlan(3))?;
    for (node, host) in PODS {
        mesh.node_mut(node)?.add_pod(host)?.serve()?;
    }
    Ok(mesh)
}

impl World {
    fn start(mesh: &Mesh, cluster: &Cluster<'_>) -> Result<Self> {
        let settings = kube::settings(cluster);
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let start = |node| Agent::serve(node, &[], &settings);
        let agents = mesh.nodes().iter().map(start).collect::<Result<_>>()?;
        let middle = mesh.add_box("sw-front")?;
        let config = mesh.dir().join("box.toml");
        let socket = mesh.dir().join("box.sock");
        fs::write(&config, config_of_box(mesh, cluster)).map_err(LabError::io("configure"))?;
        let appliance = Appliance::start(&config, &socket, mesh.dir(), Some(&middle))?;
        Ok(Self { agents, appliance: Some(appliance), middle: Some(middle) })
    }

    fn appliance(&self) -> Result<&Appliance> {
        self.appliance.as_ref().ok_or_else(|| LabError::Expectation("no box".to_owned()))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The daemon goes before its links.
        drop(self.appliance.take());
        drop(self.middle.take());
    }
}

fn config_of_box(mesh: &Mesh, cluster: &Cluster<'_>) -> String {
    let (dir, kubeconfig) = (mesh.dir().display(), cluster.kubeconfig().display());
    format!(
        "name = \"sw-chain\"\nadmin_socket = \"{dir}/box.sock\"\nstate_dir = \"{dir}/box\"\n\
         [dataplane]\nmain_core = 0\nworker_cores = [1]\nflows_max = 65536\nmemory_mib = 128\nmbufs = 8192\n\
         [[port]]\nname = \"front\"\ndriver = \"af_packet\"\ninterface = \"sw-front\"\n\
         addresses = [\"{BOX}/24\"]\n\
         [snat]\naddresses = [\"{BOX}\"]\nports = \"32768-60999\"\n\
         [kubernetes]\nkubeconfig = \"{kubeconfig}\"\ncache = \"\"\n\
         [kubernetes.health]\ninterval = \"500ms\"\ntimeout = \"250ms\"\njitter = 0\n\
         [[pool]]\nname = \"public\"\naddresses = [\"172.26.50.110-172.26.50.119\"]\n"
    )
}

fn slice_of(mesh: &Mesh, pods: &[(u8, u8)]) -> Result<String> {
    let mut endpoints = Vec::new();
    for (node, host) in pods {
        endpoints.push((mesh.node(*node)?.pod(*host)?.address().into(), *node));
    }
    Ok(kube::slice("web", ("http", "TCP", HTTP_PORT), &endpoints))
}

fn ask(mesh: &Mesh, to: &str, requests: u32) -> Result<Requests> {
    let words = format!("client http --to {to} --requests {requests} --parallel 4");
    report::parse(&output(&mut Lab::tool(mesh.client(), &words)?)?)
}

/// Waits until just these pods answer.
fn wait_for(mesh: &Mesh, world: &World, to: &str, names: &[&str]) -> Result<Requests> {
    let mut last = Requests::default();
    let waited = until(&format!("answers by {names:?} alone"), PATIENCE, || {
        last = ask(mesh, to, 60)?;
        let seen: Vec<&str> = last.nodes.keys().map(String::as_str).collect();
        Ok((last.failed == 0 && seen == names).then_some(()))
    });
    waited.map(|()| last.clone()).map_err(|error| {
        let mut told = format!("{error}: {last:?}\n");
        if let Ok(appliance) = world.appliance() {
            for words in ["service list", "health list"] {
                told.push_str(&appliance.ask(words).unwrap_or_default());
            }
        }
        for (agent, node) in world.agents.iter().zip(mesh.nodes()) {
            told.push_str(&agent.ask(node, "service list").unwrap_or_default());
        }
        LabError::Expectation(told)
    })
}

#[test]
fn a_client_reaches_pods_through_the_box_and_node_ports_of_every_node() {
    sandbox::test(|| {
        let mesh = mesh()?;
        let cluster = kube::start(&mesh)?;
        let world = World::start(&mesh, &cluster)?;
        cluster.create(&load_balancer("web", &[]))?;
        cluster.apply(&slice_of(&mesh, &PODS)?)?;
        let to = format!("{}:80", cluster.wait_for_address("web", PATIENCE)?);
        let report = wait_for(&mesh, &world, &to, &["pod0-71", "pod0-72", "pod1-73"])?;
        // The box spreads over nodes, and each node over pods: the node without pods forwards as the others do.
        let seen = |address: &str| report.peers.keys().any(|peer| peer == address);
        ensure(seen("172.26.50.103") && seen(BOX), || format!("{report:?}"))?;
        let more = ask(&mesh, &to, 1000)?;
        ensure(more.ok == 1000 && more.nodes.len() == 3, || format!("{more:?}"))
    });
}

#[test]
fn of_a_local_service_only_nodes_with_pods_are_asked_as_the_agents_own_health_port_says() {
    sandbox::test(|| {
        let mesh = mesh()?;
        let cluster = kube::start(&mesh)?;
        let world = World::start(&mesh, &cluster)?;
        let port = format!("healthCheckNodePort: {HEALTH_CHECK_NODE_PORT}");
        cluster.create(&load_balancer("web", &["externalTrafficPolicy: Local", &port]))?;
        cluster.apply(&slice_of(&mesh, &PODS)?)?;
        let to = format!("{}:80", cluster.wait_for_address("web", PATIENCE)?);
        let report = wait_for(&mesh, &world, &to, &["pod0-71", "pod0-72", "pod1-73"])?;
        // No node has put its own address in place of the box's.
        let peers: Vec<&str> = report.peers.keys().map(String::as_str).collect();
        ensure(peers == [BOX], || format!("{report:?}"))?;

        for (node, count) in [(0, 2), (1, 1), (2, 0)] {
            let url = format!("http://{}:{HEALTH_CHECK_NODE_PORT}/", mesh.node(node)?.address());
            let format = "\n%{http_code}";
            let words = ["curl", "-sS", "--max-time", "5", "-w", format, &url];
            let answer = mesh.client().run(&words)?;
            let code = if count > 0 { "200" } else { "503" };
            let says = answer.contains(&format!("\"localEndpoints\": {count}"));
            ensure(says && answer.ends_with(code), || format!("{url}: {answer}"))?;
        }
        let url = format!("http://{}:10256/healthz", mesh.node(2)?.address());
        let health = mesh.client().run(&["curl", "-sS", "--max-time", "5", &url])?;
        ensure(health.contains("lastUpdated"), || health)?;

        // The last pod of a node goes: its agent says so, and the box asks it no more.
        cluster.apply(&slice_of(&mesh, &[(0, 71), (0, 72)])?)?;
        wait_for(&mesh, &world, &to, &["pod0-71", "pod0-72"]).map(drop)
    });
}
