//! NodePorts as a client outside of the cluster sees them, and as the wires see them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use spillway_tests::error::ensure;
use spillway_tests::lab::Lab;
use spillway_tests::lab::namespace::Namespace;
use spillway_tests::mesh::agent::{Agent, Service};
use spillway_tests::mesh::capture::Capture;
use spillway_tests::mesh::join::VXLAN_DEVICE;
use spillway_tests::mesh::pod::Attachment;
use spillway_tests::mesh::{CLIENT, CLIENT_V6, ECHO_PORT, HTTP_PORT, Mesh, Shape};
use spillway_tests::process::output;
use spillway_tests::report::{self, Refusal, Requests, Talk};
use spillway_tests::wire::hex;
use spillway_tests::wire::readdress::{self, Readdress, readdress};
use spillway_tests::{LabError, Result, sandbox};

const WEB: u16 = 30645;
const ECHO: u16 = 30646;
const PATIENCE: Duration = Duration::from_secs(5);
/// What [`SNAT`] allows.
const LENT: u16 = 20210;
const SNAT: &str = "datapath.snat_ports=20210-20211";

/// Services over these pods, on NodePorts of both families.
fn services(mesh: &Mesh, pods: &[(u8, u8)]) -> Result<Vec<Service>> {
    let mut services = Vec::new();
    for (name, port, backend_port) in
        [("web", "30645/tcp", HTTP_PORT), ("echo", "30646/udp", ECHO_PORT)]
    {
        let mut service = Service::node_port(name, port);
        for (node, host) in pods {
            let pod = mesh.node(*node)?.pod(*host)?;
            service = service.backend((pod.address(), backend_port), *node);
            service = service.backend((pod.address_v6(), backend_port), *node);
        }
        services.push(service);
    }
    Ok(services)
}

/// Nodes with these pods, and an agent on the first.
fn world(shape: Shape, pods: &[(u8, u8)], settings: &[&str]) -> Result<(Mesh, Agent)> {
    let mut mesh = Mesh::build(shape)?;
    for (node, host) in pods {
        mesh.node_mut(*node)?.add_pod(*host)?.serve()?;
    }
    let agent = Agent::serve(mesh.node(0)?, &services(&mesh, pods)?, settings)?;
    Ok((mesh, agent))
}

/// What the lab's tool reports in the client's place.
fn client<T: serde::de::DeserializeOwned>(mesh: &Mesh, words: &str) -> Result<T> {
    report::parse(&output(&mut Lab::tool(mesh.client(), &format!("client {words}"))?)?)
}

/// The node's NodePort in both families.
fn fronts(mesh: &Mesh, port: u16) -> Result<[SocketAddr; 2]> {
    let node = mesh.node(0)?;
    Ok([(node.address(), port).into(), (node.address_v6(), port).into()])
}

fn ensure_packet(what: &str, expected: &[u8], frame: &[u8]) -> Result<()> {
    match hex::difference(expected, readdress::packet(frame)) {
        None => Ok(()),
        Some(difference) => Err(LabError::Expectation(format!("{what} {difference}"))),
    }
}

/// Where a frame goes and where it comes from, as Ethernet has it.
fn macs(frame: &[u8]) -> String {
    let mut macs = frame
        .chunks(6)
        .map(|mac| mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"));
    format!("{} from {}", macs.next().unwrap_or_default(), macs.next().unwrap_or_default())
}

fn ends(frame: &[u8]) -> Result<(SocketAddr, SocketAddr)> {
    let missing = || LabError::Expectation(format!("no addresses in {frame:02x?}"));
    readdress::addresses(frame).ok_or_else(missing)
}

fn link_address(namespace: &Namespace, link: &str) -> Result<String> {
    let words = ["cat", &format!("/sys/class/net/{link}/address")];
    Ok(namespace.run(&words)?.trim().to_owned())
}

/// The frames of one flow, there and back, on the node's link to the segment and at its way to the pod.
struct Flow {
    /// In the order in which they were seen.
    uplink: Vec<Vec<u8>>,
    inner: Vec<Vec<u8>>,
}

impl Flow {
    /// The first from and to these.
    fn find(frames: &[Vec<u8>], from: Option<IpAddr>, to: Option<IpAddr>) -> Result<Vec<u8>> {
        let matches = |frame: &&Vec<u8>| {
            readdress::addresses(frame).is_some_and(|(source, destination)| {
                from.is_none_or(|from| source.ip() == from)
                    && to.is_none_or(|to| destination.ip() == to)
            })
        };
        let missing =
            || LabError::Expectation(format!("nothing from {from:?} to {to:?} in {frames:02x?}"));
        frames.iter().find(matches).cloned().ok_or_else(missing)
    }
}

/// One flow from the client to a NodePort while both links are watched.
fn watch(mesh: &Mesh, to: SocketAddr, inner: (&Namespace, &str)) -> Result<Flow> {
    let node = mesh.node(0)?;
    let is_local = inner.1 != VXLAN_DEVICE;
    let filter = "(tcp or udp) and not udp port 8472";
    let uplink = Capture::start(node.namespace(), "eth0", filter, mesh.dir())?;
    let inner = Capture::start(inner.0, inner.1, filter, mesh.dir())?;
    if to.port() == WEB {
        let report: Requests = client(mesh, &format!("http --to {to} --requests 1"))?;
        ensure(report.ok == 1, || format!("{to}: {report:?}"))?;
    } else {
        let report: Talk = client(mesh, &format!("talk --to {to} --datagrams 1"))?;
        ensure(report.answered == 1, || format!("{to}: {report:?}"))?;
    }
    // Of a datagram and its answer: all four on two links, but for an answer that goes past VXLAN.
    let (outside, inside) = if is_local { (2, 2) } else { (3, 1) };
    Ok(Flow { uplink: uplink.finish(outside, PATIENCE)?, inner: inner.finish(inside, PATIENCE)? })
}

#[test]
fn the_four_packets_of_a_flow_to_a_pod_elsewhere_are_exact() {
    sandbox::test(|| {
        let (mesh, _agent) = world(Shape::vxlan(2), &[(1, 72)], &[SNAT])?;
        let (node, pod) = (mesh.node(0)?, mesh.node(1)?.pod(72)?);
        let pods: [IpAddr; 2] = [pod.address().into(), pod.address_v6().into()];
        let clients: [IpAddr; 2] = [CLIENT.into(), CLIENT_V6.into()];
        for port in [WEB, ECHO] {
            let pod_port = if port == WEB { HTTP_PORT } else { ECHO_PORT };
            for ((front, pod), client) in fronts(&mesh, port)?.into_iter().zip(pods).zip(clients) {
                let flow = watch(&mesh, front, (node.namespace(), VXLAN_DEVICE))?;
                // 1: client → node:30645.
                let first = Flow::find(&flow.uplink, Some(client), Some(front.ip()))?;
                let (client, _) = ends(&first)?;
                // 2: node:lent → pod:80, in VXLAN.
                let second = Flow::find(&flow.inner, None, Some(pod))?;
                let (lent, _) = ends(&second)?;
                let is_lent = (LENT..=LENT + 1).contains(&lent.port()) && lent.ip() == front.ip();
                ensure(is_lent, || format!("{front}: the pod is asked by {lent}"))?;
                let pod = SocketAddr::new(pod, pod_port);
                let expected =
                    readdress(&first, Readdress { source: lent, destination: pod, hops: 1 })?;
                ensure_packet(&format!("{front}: packet 2"), &expected, &second)?;
                // 3: pod:80 → node:lent, past VXLAN, as the node's address is in the segment.
                let third = Flow::find(&flow.uplink, Some(pod.ip()), Some(front.ip()))?;
                ensure(ends(&third)? == (pod, lent), || format!("{third:02x?}"))?;
                // 4: node:30645 → client.
                let fourth = Flow::find(&flow.uplink, Some(front.ip()), Some(client.ip()))?;
                let expected =
                    readdress(&third, Readdress { source: front, destination: client, hops: 1 })?;
                ensure_packet(&format!("{front}: packet 4"), &expected, &fourth)?;
                // Each goes to the next hop of its link.
                let there = format!(
                    "{} from {}",
                    link_address(mesh.node(1)?.namespace(), VXLAN_DEVICE)?,
                    link_address(node.namespace(), VXLAN_DEVICE)?
                );
                let back = format!(
                    "{} from {}",
                    link_address(mesh.client(), "eth0")?,
                    link_address(node.namespace(), "eth0")?
                );
                ensure(macs(&second) == there, || format!("{} is not {there}", macs(&second)))?;
                ensure(macs(&fourth) == back, || format!("{} is not {back}", macs(&fourth)))?;
            }
        }
        Ok(())
    });
}

/// A pod of the node itself sees the client's own address, and the client the node's, whichever way packets go.
fn local_delivery(shape: Shape, settings: &[&str]) -> Result<()> {
    let (mesh, _agent) = world(shape, &[(0, 72)], settings)?;
    let pod = mesh.node(0)?.pod(72)?;
    let pods: [IpAddr; 2] = [pod.address().into(), pod.address_v6().into()];
    let clients: [IpAddr; 2] = [CLIENT.into(), CLIENT_V6.into()];
    for port in [WEB, ECHO] {
        let pod_port = if port == WEB { HTTP_PORT } else { ECHO_PORT };
        for ((front, address), client) in fronts(&mesh, port)?.into_iter().zip(pods).zip(clients) {
            let flow = watch(&mesh, front, (pod.namespace(), "eth0"))?;
            let first = Flow::find(&flow.uplink, Some(client), Some(front.ip()))?;
            let (client, _) = ends(&first)?;
            let pod = SocketAddr::new(address, pod_port);
            let second = Flow::find(&flow.inner, Some(client.ip()), Some(pod.ip()))?;
            let expected =
                readdress(&first, Readdress { source: client, destination: pod, hops: 1 })?;
            ensure_packet(&format!("{front}: packet 2"), &expected, &second)?;
            // The pod's own packets have half a checksum, which `readdress` completes.
            let third = Flow::find(&flow.inner, Some(pod.ip()), Some(client.ip()))?;
            let fourth = Flow::find(&flow.uplink, Some(front.ip()), Some(client.ip()))?;
            let expected =
                readdress(&third, Readdress { source: front, destination: client, hops: 1 })?;
            ensure_packet(&format!("{front}: packet 4"), &expected, &fourth)?;
        }
    }
    for front in fronts(&mesh, WEB)? {
        let report: Requests =
            client(&mesh, &format!("http --to {front} --requests 50 --parallel 4"))?;
        ensure(report.ok == 50 && report.peers.len() == 1, || format!("{front}: {report:?}"))?;
    }
    Ok(())
}

#[test]
fn a_pod_of_this_node_is_reached_by_redirect() {
    sandbox::test(|| local_delivery(Shape::vxlan(1), &["datapath.delivery=redirect"]));
}

#[test]
fn a_pod_of_this_node_is_reached_through_the_hosts_stack() {
    sandbox::test(|| local_delivery(Shape::vxlan(1), &["datapath.delivery=pass"]));
}

#[test]
fn a_pod_of_this_node_is_reached_with_clsact_too() {
    sandbox::test(|| local_delivery(Shape::vxlan(1), &["datapath.tc_attach=clsact"]));
}

#[test]
fn a_pod_on_a_bridge_is_reached() {
    sandbox::test(|| local_delivery(Shape::vxlan(1).attached(Attachment::Bridged), &[]));
}

/// Pods here and elsewhere share the load, bytes stay whole, and nobody is where nothing is served.
fn load(shape: Shape) -> Result<()> {
    let (mesh, agent) = world(shape, &[(0, 71), (1, 72), (2, 73)], &[])?;
    for front in fronts(&mesh, WEB)? {
        let words = format!("http --to {front} --requests 300 --parallel 8");
        let report: Requests = client(&mesh, &words)?;
        let shared = report.nodes.len() == 3 && report.nodes.values().all(|count| *count > 60);
        ensure(report.ok == 300 && shared, || format!("{front}: {report:?}"))?;
        let url = format!("http://{front}/big?bytes=2000003");
        let get =
            format!("for i in 1 2 3 4 5 6; do curl -sS --max-time 20 '{url}' | sha256sum; done");
        let got = mesh.client().run(&["sh", "-c", &get])?;
        let tool = spillway_tests::programs::path("sw-lab-tool")?;
        let sum = format!("{} big --bytes 2000003 | sha256sum", tool.display());
        let sent = mesh.client().run(&["sh", "-c", &sum])?;
        ensure(got == sent.repeat(6), || format!("{got} is not {sent}"))?;
    }
    for front in fronts(&mesh, ECHO)? {
        let report: Talk = client(&mesh, &format!("talk --to {front} --datagrams 100"))?;
        ensure(report.answered == 100 && report.nodes.len() == 3, || {
            format!("{front}: {report:?}")
        })?;
    }
    // A port that nothing is served on is the host's own business.
    for front in fronts(&mesh, 30999)? {
        let report: Refusal = client(&mesh, &format!("refused --to {front} --protocol tcp"))?;
        ensure(report.outcome == "refused", || format!("{front}: {report:?}"))?;
    }
    let flows = agent.ask(mesh.node(0)?, "conntrack list")?;
    ensure(flows.contains("172.26.50.180"), || format!("no flow of the client's:\n{flows}"))
}

#[test]
fn pods_everywhere_share_the_load_over_vxlan() {
    sandbox::test(|| load(Shape::vxlan(3)));
}

#[test]
fn pods_everywhere_share_the_load_over_plain_routes() {
    sandbox::test(|| load(Shape::routes(3)));
}
