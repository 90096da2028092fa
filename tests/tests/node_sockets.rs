//! ClusterIPs as processes of pods and of the host see them: spread over all pods, under the name that they asked for,
//! in both families, over TCP and UDP.

use std::process::Command;

use spillway_tests::error::ensure;
use spillway_tests::mesh::agent::{Agent, Service};
use spillway_tests::mesh::{DNS_PORT, ECHO_PORT, HTTP_PORT, Mesh, Shape};
use spillway_tests::process::output;
use spillway_tests::report::{self, Refusal, Requests, Talk};
use spillway_tests::{Result, programs, sandbox};

const PODS: [(u8, u8); 3] = [(0, 71), (1, 72), (2, 73)];
/// A pod that runs clients only.
const CLIENT: u8 = 80;

/// Three pods on three nodes, and an agent on the first.
struct World {
    mesh: Mesh,
    _agent: Agent,
}

impl World {
    fn build(shape: Shape) -> Result<Self> {
        let mut mesh = Mesh::build(shape)?;
        for (node, host) in PODS {
            mesh.node_mut(node)?.add_pod(host)?.serve()?;
        }
        mesh.node_mut(0)?.add_pod(CLIENT)?;
        let agent = Agent::serve(mesh.node(0)?, &services(&mesh)?, &[])?;
        Ok(Self { mesh, _agent: agent })
    }

    /// What the lab's tool reports, as a process of a pod of node 0 and as one of its host.
    fn ask(&self, words: &str) -> Result<[String; 2]> {
        let run = |mut command: Command| output(command.args(words.split_whitespace()));
        let (node, tool) = (self.mesh.node(0)?, programs::path(programs::LAB_TOOL)?);
        Ok([run(node.pod(CLIENT)?.command(&tool))?, run(node.command(&tool))?])
    }

    /// What a program prints, in both places.
    fn run(&self, words: &[&str]) -> Result<[String; 2]> {
        let node = self.mesh.node(0)?;
        Ok([node.pod(CLIENT)?.run(words)?, node.run(words)?])
    }
}

/// HTTP, UDP echo and DNS, each with an address of either family.
fn services(mesh: &Mesh) -> Result<Vec<Service>> {
    let ports = [
        ("web", "80/tcp", HTTP_PORT),
        ("echo", "7777/udp", ECHO_PORT),
        ("dns", "53/udp", DNS_PORT),
    ];
    let mut services = Vec::new();
    for (name, frontend, port) in ports {
        let mut v4 = Service::cluster_ip(name, &format!("10.96.0.10:{frontend}"));
        let mut v6 = Service::cluster_ip(&format!("{name}-6"), &format!("[fd10:96::a]:{frontend}"));
        for (node, host) in PODS {
            let pod = mesh.node(node)?.pod(host)?;
            v4 = v4.backend((pod.address(), port), node);
            v6 = v6.backend((pod.address_v6(), port), node);
        }
        services.extend([v4, v6]);
    }
    // It is there, and nobody is behind it.
    services.push(Service::cluster_ip("empty", "10.96.0.11:80/tcp"));
    Ok(services)
}

/// A third each: of 100, less than 15 or more than 55 for one would be four standard deviations off.
fn is_a_third_each(nodes: &std::collections::BTreeMap<String, u64>) -> bool {
    nodes.len() == PODS.len() && nodes.values().all(|count| (15..=55).contains(count))
}

fn tcp_is_spread(world: &World) -> Result<()> {
    for to in ["10.96.0.10:80", "[fd10:96::a]:80", "[::ffff:10.96.0.10]:80"] {
        for text in world.ask(&format!("client http --to {to} --requests 100"))? {
            // The client itself fails where getpeername() says another name than it asked for.
            let report: Requests = report::parse(&text)?;
            ensure(report.ok == 100 && is_a_third_each(&report.nodes), || {
                format!("{to}: {report:?}")
            })?;
        }
    }
    Ok(())
}

fn udp_is_spread(world: &World) -> Result<()> {
    for to in ["10.96.0.10:7777", "[fd10:96::a]:7777"] {
        for text in world.ask(&format!("client talk --to {to} --datagrams 100"))? {
            let report: Talk = report::parse(&text)?;
            let whole = report.answered == 100 && report.errors.is_empty();
            ensure(whole && is_a_third_each(&report.nodes), || format!("{to}: {report:?}"))?;
        }
        // One socket, told the address each time: recvfrom() says the Service's address each time.
        let words = format!("client talk --to {to} --datagrams 100 --socket unconnected");
        for text in world.ask(&words)? {
            let report: Talk = report::parse(&text)?;
            let whole = report.answered == 100 && report.errors.is_empty();
            ensure(whole, || format!("unconnected, {to}: {report:?}"))?;
        }
    }
    Ok(())
}

#[test]
fn a_cluster_ip_reaches_each_of_three_pods_about_a_third_of_the_time() {
    sandbox::test(|| {
        let world = World::build(Shape::vxlan(3))?;
        tcp_is_spread(&world)?;
        udp_is_spread(&world)
    });
}

#[test]
fn a_cluster_ip_works_where_nodes_are_joined_by_plain_routes() {
    sandbox::test(|| {
        let world = World::build(Shape::routes(3))?;
        tcp_is_spread(&world)?;
        udp_is_spread(&world)
    });
}

#[test]
fn curl_and_dig_notice_nothing() {
    sandbox::test(|| {
        let world = World::build(Shape::vxlan(3))?;
        let format = "%{remote_ip}:%{remote_port}";
        for (url, name) in
            [("http://10.96.0.10/", "10.96.0.10:80"), ("http://[fd10:96::a]/", "fd10:96::a:80")]
        {
            let words = ["curl", "-sS", "--max-time", "5", "-o", "/dev/null", "-w", format, url];
            for answer in world.run(&words)? {
                ensure(answer == name, || format!("{url}: the peer is called {answer}"))?;
            }
        }
        for (server, kind) in [("@10.96.0.10", "A"), ("@fd10:96::a", "AAAA")] {
            // dig refuses answers that come from elsewhere.
            let words = ["dig", "+tries=1", "+time=2", server, "kube.test", kind];
            for answer in world.run(&words)? {
                let is_answered =
                    answer.contains("status: NOERROR") && answer.contains("ANSWER: 1");
                ensure(is_answered && !answer.contains("unexpected source"), || answer.clone())?;
            }
        }
        Ok(())
    });
}

#[test]
fn who_asks_for_nobody_is_refused_at_once() {
    sandbox::test(|| {
        let world = World::build(Shape::vxlan(3))?;
        // A Service without backends; an address of the Services' prefix that no Service has.
        for to in ["10.96.0.11:80", "10.96.0.12:80", "[fd10:96::c]:80"] {
            for text in world.ask(&format!("client refused --to {to} --protocol tcp"))? {
                let report: Refusal = report::parse(&text)?;
                let at_once = report.outcome == "refused" && report.elapsed_ms < 200;
                ensure(at_once, || format!("{to}: {report:?}"))?;
            }
        }
        for text in world.ask("client refused --to 10.96.0.12:53 --protocol udp")? {
            let report: Refusal = report::parse(&text)?;
            ensure(report.outcome == "refused", || format!("UDP: {report:?}"))?;
        }
        Ok(())
    });
}

#[test]
fn who_asks_for_something_else_is_left_alone() {
    sandbox::test(|| {
        let world = World::build(Shape::vxlan(3))?;
        let pod = world.mesh.node(1)?.pod(72)?;
        for to in [format!("{}:80", pod.address()), format!("[{}]:80", pod.address_v6())] {
            for text in world.ask(&format!("client http --to {to} --requests 10"))? {
                let report: Requests = report::parse(&text)?;
                let whole = report.ok == 10 && report.nodes.contains_key(&pod.name());
                ensure(whole, || format!("{to}: {report:?}"))?;
            }
        }
        // Processes of another node are none of this agent's business.
        let curl = ["curl", "-s", "--max-time", "1", "http://10.96.0.10/"];
        let other = world.mesh.node(1)?.run(&curl);
        ensure(other.is_err(), || format!("node1 has no agent: {other:?}"))
    });
}
