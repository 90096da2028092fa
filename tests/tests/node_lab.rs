//! The mesh proves itself: without an agent, pods, hosts and the client reach what a cluster's network lets them
//! reach, so that what fails in the other tests is the agent's doing.

use std::process::Command;
use std::time::Duration;

use spillway_tests::error::ensure;
use spillway_tests::mesh::capture::Capture;
use spillway_tests::mesh::join::VXLAN_DEVICE;
use spillway_tests::mesh::pod::Attachment;
use spillway_tests::mesh::{DNS_PORT, ECHO_PORT, HTTP_PORT, Mesh, Shape};
use spillway_tests::process::{Process, output};
use spillway_tests::report::{self, Requests, Talk};
use spillway_tests::{Result, programs, sandbox};

/// One pod on each node, and a second on the first.
fn furnished(shape: Shape) -> Result<Mesh> {
    let mut mesh = Mesh::build(shape)?;
    for (node, host) in [(0, 71), (0, 72), (1, 72)] {
        mesh.node_mut(node)?.add_pod(host)?.serve()?;
    }
    Ok(mesh)
}

fn tool(mut command: Command, words: &str) -> Result<String> {
    output(command.args(words.split_whitespace()))
}

/// Pods meet pods of their node and of others, over both families, TCP, UDP and DNS, and see each other's own address.
fn everybody_meets(mesh: &Mesh) -> Result<()> {
    let tool_path = programs::path(programs::LAB_TOOL)?;
    let pod = mesh.node(0)?.pod(71)?;
    let others = [mesh.node(0)?.pod(72)?, mesh.node(1)?.pod(72)?];
    for other in others {
        for (address, own) in [
            (other.address().to_string(), pod.address().to_string()),
            (format!("[{}]", other.address_v6()), format!("[{}]", pod.address_v6())),
        ] {
            let words = format!("client http --to {address}:{HTTP_PORT} --requests 20");
            let text = tool(pod.command(&tool_path), &words)?;
            let report: Requests = report::parse(&text)?;
            let whole = report.ok == 20 && report.nodes.contains_key(&other.name());
            ensure(whole && report.peers.contains_key(&own), || format!("{address}: {report:?}"))?;

            let words = format!("client talk --to {address}:{ECHO_PORT} --datagrams 20");
            let text = tool(pod.command(&tool_path), &words)?;
            let report: Talk = report::parse(&text)?;
            ensure(report.answered == 20, || format!("{address}: {report:?}"))?;
        }
        let at = format!("@{}", other.address());
        let port = DNS_PORT.to_string();
        let answer = pod.run(&["dig", "+short", &at, "-p", &port, "kube.test", "A"])?;
        ensure(answer.trim() == other.address().to_string(), || format!("dig: {answer}"))?;
    }
    Ok(())
}

#[test]
fn pods_meet_over_vxlan() {
    sandbox::test(|| everybody_meets(&furnished(Shape::vxlan(2))?));
}

#[test]
fn pods_meet_over_plain_routes() {
    sandbox::test(|| everybody_meets(&furnished(Shape::routes(2))?));
}

#[test]
fn pods_on_a_bridge_meet_over_vxlan() {
    sandbox::test(|| everybody_meets(&furnished(Shape::vxlan(2).attached(Attachment::Bridged))?));
}

#[test]
fn a_host_reaches_pods_of_its_own_and_of_others() {
    sandbox::test(|| {
        let mesh = furnished(Shape::vxlan(2))?;
        for pod in [mesh.node(0)?.pod(71)?, mesh.node(1)?.pod(72)?] {
            for url in
                [format!("http://{}/", pod.address()), format!("http://[{}]/", pod.address_v6())]
            {
                let answer = mesh.node(0)?.run(&["curl", "-sS", "--max-time", "5", &url])?;
                ensure(answer.starts_with(&pod.name()), || format!("{url}: {answer}"))?;
            }
        }
        Ok(())
    });
}

#[test]
fn what_a_pod_sends_elsewhere_travels_in_vxlan_and_is_seen_as_bytes() {
    sandbox::test(|| {
        let mesh = furnished(Shape::vxlan(2))?;
        let (node, pod) = (mesh.node(1)?, mesh.node(1)?.pod(72)?);
        let port = format!("udp port {ECHO_PORT}");
        let inner = Capture::start(node.namespace(), VXLAN_DEVICE, &port, mesh.dir())?;
        let outer = Capture::start(node.namespace(), "eth0", "udp port 8472", mesh.dir())?;
        let words = format!("client talk --to {}:{ECHO_PORT} --datagrams 1", pod.address());
        tool(mesh.node(0)?.pod(71)?.command(programs::path(programs::LAB_TOOL)?), &words)?;
        let inner = inner.finish(2, Duration::from_secs(5))?;
        let outer = outer.finish(2, Duration::from_secs(5))?;
        // Ethernet, IPv4, UDP, VXLAN: fifty octets. A pod's packet has half a checksum until it reaches the segment.
        let plain = |frame: &[u8]| [&frame[..40], &frame[42..]].concat();
        for frame in inner {
            ensure(outer.iter().any(|outer| plain(&outer[50..]) == plain(&frame)), || {
                format!("{frame:02x?} is in none of {outer:02x?}")
            })?;
        }
        Ok(())
    });
}

#[test]
fn processes_are_in_the_cgroup_and_in_the_network_of_their_pod_or_host() {
    sandbox::test(|| {
        let mesh = furnished(Shape::routes(2))?;
        let node = mesh.node(1)?;
        let id = mesh.id();
        let of = |text: String| text.trim().rsplit_once("0::").map(|(_, path)| path.to_owned());
        let host = of(node.run(&["cat", "/proc/self/cgroup"])?);
        let pod = of(node.pod(72)?.run(&["cat", "/proc/self/cgroup"])?);
        ensure(host == Some(format!("/sw-mesh-{id}/node1")), || format!("{host:?}"))?;
        ensure(pod == Some(format!("/sw-mesh-{id}/node1/pod-72")), || format!("{pod:?}"))?;
        let network = |text: String| text.trim().to_owned();
        let host = network(node.run(&["readlink", "/proc/self/ns/net"])?);
        let pod = network(node.pod(72)?.run(&["readlink", "/proc/self/ns/net"])?);
        ensure(host != pod, || format!("{host} {pod}"))?;
        // Pins of one node are no other's.
        let pin = node.bpffs().join("sw-x");
        std::fs::create_dir(&pin).unwrap();
        ensure(!mesh.node(0)?.bpffs().join("sw-x").exists(), || "one bpffs for all".to_owned())
    });
}

/// Cgroups of meshes that nobody is in.
fn deserted(mesh: &Mesh) -> Vec<String> {
    let folders = std::fs::read_dir(mesh.dir().join("cgroup")).into_iter().flatten().flatten();
    let names = folders.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .filter(|name| name.starts_with("sw-mesh-"))
        .filter(|name| {
            let events = mesh.dir().join("cgroup").join(name).join("cgroup.events");
            std::fs::read_to_string(events).is_ok_and(|text| text.contains("populated 0"))
        })
        .collect()
}

#[test]
fn a_mesh_leaves_no_cgroup_and_the_next_one_removes_what_a_killed_one_left() {
    sandbox::test(|| {
        let mesh = furnished(Shape::routes(2))?;
        let tree = mesh.dir().join("cgroup");
        // As a test leaves it that was killed: pods, and nobody in them.
        let left = tree.join(format!("sw-mesh-left-{}", mesh.id()));
        std::fs::create_dir_all(left.join("node0/pod-1")).unwrap();
        ensure(!deserted(&mesh).is_empty(), || "nothing is left".to_owned())?;
        let other = Mesh::build(Shape::routes(1))?;
        ensure(!left.exists(), || format!("{} is still there", left.display()))?;
        ensure(tree.join(format!("sw-mesh-{}", mesh.id())).exists(), || "swept".to_owned())?;

        let own = other.dir().join("cgroup").join(format!("sw-mesh-{}", other.id()));
        let mut stray = other.node(0)?.command("sleep");
        let mut stray = Process::spawn("stray", other.dir(), stray.arg("1000"))?;
        std::thread::sleep(Duration::from_millis(200));
        stray.ensure_running()?;
        drop(other);
        ensure(!own.exists(), || format!("{} is still there", own.display()))?;
        ensure(stray.exited()?.is_some(), || "a process has outlived its cgroup".to_owned())
    });
}
