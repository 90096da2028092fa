//! The node companion on Debian 12's kernel, Linux 6.1: no TCX, an older verifier, and ipvlan, which the kernel that runs
//! the other tests may lack.

use std::process::Command;

use spillway_tests::error::ensure;
use spillway_tests::lab::Lab;
use spillway_tests::mesh::agent::{Agent, Service};
use spillway_tests::mesh::node::Node;
use spillway_tests::mesh::pod::{Attachment, IpvlanMode};
use spillway_tests::mesh::{CLIENT, CLIENT_V6, ECHO_PORT, HTTP_PORT, Mesh, Shape};
use spillway_tests::process::output;
use spillway_tests::report::{self, Requests, Talk};
use spillway_tests::{Result, guest, programs};

/// A pod that runs clients only.
const INSIDE: u8 = 80;

/// HTTP and UDP echo over these pods, each with a ClusterIP of either family and a NodePort.
fn services(mesh: &Mesh, pods: &[(u8, u8)]) -> Result<Vec<Service>> {
    let mut services = Vec::new();
    for (name, port, node_port) in
        [("web", HTTP_PORT, "30645/tcp"), ("echo", ECHO_PORT, "30646/udp")]
    {
        let protocol = if name == "web" { "tcp" } else { "udp" };
        let mut v4 = Service::cluster_ip(name, &format!("10.96.0.10:{port}/{protocol}"));
        let v6 = format!("[fd10:96::a]:{port}/{protocol}");
        let mut v6 = Service::cluster_ip(&format!("{name}-6"), &v6);
        let mut node = Service::node_port(&format!("{name}-port"), node_port);
        for (on, host) in pods {
            let pod = mesh.node(*on)?.pod(*host)?;
            v4 = v4.backend((pod.address(), port), *on);
            v6 = v6.backend((pod.address_v6(), port), *on);
            node = node.backend((pod.address(), port), *on);
            node = node.backend((pod.address_v6(), port), *on);
        }
        services.extend([v4, v6, node]);
    }
    Ok(services)
}

/// Asks over TCP and UDP, `to` being HTTP's and echo's address; returns whom the servers saw.
fn ask(command: impl Fn() -> Result<Command>, to: [&str; 2], pods: usize) -> Result<Vec<String>> {
    let tool = |words: String| output(command()?.args(words.split_whitespace()));
    let [web, echo] = to;
    let text = tool(format!("client http --to {web} --requests 12"))?;
    let http: Requests = report::parse(&text)?;
    ensure(http.ok == 12 && http.nodes.len() == pods, || format!("{web}: {http:?}"))?;
    let talk: Talk = report::parse(&tool(format!("client talk --to {echo} --datagrams 12"))?)?;
    ensure(talk.answered == 12 && talk.errors.is_empty(), || format!("{echo}: {talk:?}"))?;
    Ok(http.peers.into_keys().collect())
}

fn cluster_ips(command: impl Fn() -> Result<Command>, pods: usize) -> Result<()> {
    ask(&command, ["10.96.0.10:80", "10.96.0.10:7777"], pods)?;
    ask(&command, ["[fd10:96::a]:80", "[fd10:96::a]:7777"], pods).map(drop)
}

/// Whom the servers saw, by family.
fn node_ports(mesh: &Mesh, node: &Node, pods: usize) -> Result<[Vec<String>; 2]> {
    let command = || Lab::tool(mesh.client(), "");
    let [v4, v6] = [node.address().to_string(), format!("[{}]", node.address_v6())]
        .map(|at| ask(command, [&format!("{at}:30645"), &format!("{at}:30646")], pods));
    Ok([v4?, v6?])
}

fn is_linux_6_1() -> Result<()> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    ensure(release.starts_with("6.1."), || format!("this is {release}"))
}

#[test]
fn on_linux_6_1_everything_is_served_by_clsact() {
    guest::test(|| {
        is_linux_6_1()?;
        let mut mesh = Mesh::build(Shape::vxlan(2))?;
        for (node, host) in [(0, 71), (1, 72)] {
            mesh.node_mut(node)?.add_pod(host)?.serve()?;
        }
        mesh.node_mut(0)?.add_pod(INSIDE)?;
        let node = mesh.node(0)?;
        let services = services(&mesh, &[(0, 71), (1, 72)])?;
        let agent = Agent::serve(node, &services, &[])?;
        let kernel = agent.place().status()?.kernel;
        ensure(kernel.iter().any(|line| line.contains("clsact")), || format!("{kernel:?}"))?;
        let tool = programs::path(programs::LAB_TOOL)?;
        cluster_ips(|| Ok(node.pod(INSIDE)?.command(&tool)), 2)?;
        cluster_ips(|| Ok(node.command(&tool)), 2)?;
        // The pod here by redirect, as its device is a veth; the way through the stack is that of ipvlan.
        node_ports(&mesh, node, 2).map(drop)
    });
}

/// Pods whose devices are in other namespaces than the node's: packets go through the stack both ways.
fn ipvlan(mode: IpvlanMode) -> Result<()> {
    is_linux_6_1()?;
    let mut mesh = Mesh::build(Shape::routes(1).attached(Attachment::Ipvlan(mode)))?;
    mesh.node_mut(0)?.add_pod(71)?.serve()?;
    mesh.node_mut(0)?.add_pod(INSIDE)?;
    let node = mesh.node(0)?;
    let _agent = Agent::serve(node, &services(&mesh, &[(0, 71)])?, &[])?;
    let tool = programs::path(programs::LAB_TOOL)?;
    cluster_ips(|| Ok(node.pod(INSIDE)?.command(&tool)), 1)?;
    let seen = node_ports(&mesh, node, 1)?;
    let own = [vec![CLIENT.to_string()], vec![format!("[{CLIENT_V6}]")]];
    ensure(seen == own, || format!("the pod saw {seen:?}"))
}

#[test]
fn ipvlan_pods_of_mode_l2_are_reached_and_answer_through_the_stack() {
    guest::test(|| ipvlan(IpvlanMode::L2));
}

#[test]
fn ipvlan_pods_of_mode_l3_are_reached_and_answer_through_the_stack() {
    guest::test(|| ipvlan(IpvlanMode::L3));
}
