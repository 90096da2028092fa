//! The agent may die, be replaced, and go; what it serves does not notice, and what it leaves is nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use spillway_tests::error::ensure;
use spillway_tests::lab::Lab;
use spillway_tests::mesh::agent::{Agent, Place, Service};
use spillway_tests::mesh::node::Node;
use spillway_tests::mesh::{ECHO_PORT, HTTP_PORT, Mesh, Shape, kube};
use spillway_tests::process::{Process, until};
use spillway_tests::report::{Requests, Talk, Witness};
use spillway_tests::{LabError, Result, programs, sandbox};

const PODS: [(u8, u8); 3] = [(0, 71), (1, 72), (2, 73)];
/// A pod that runs clients only.
const CLIENT: u8 = 80;
const CLUSTER_IP: &str = "10.96.0.10:80";
const NODE_PORT: &str = "172.26.50.101:30645";
const PATIENCE: Duration = Duration::from_secs(10);

fn mesh() -> Result<Mesh> {
    let mut mesh = Mesh::build(Shape::vxlan(3))?;
    for (node, host) in PODS {
        mesh.node_mut(node)?.add_pod(host)?.serve()?;
    }
    mesh.node_mut(0)?.add_pod(CLIENT)?;
    Ok(mesh)
}

fn services(mesh: &Mesh) -> Result<Vec<Service>> {
    let mut web = Service::cluster_ip("web", "10.96.0.10:80/tcp");
    let mut port = Service::node_port("web-port", "30645/tcp");
    for (node, host) in PODS {
        let pod = mesh.node(node)?.pod(host)?;
        web = web.backend((pod.address(), HTTP_PORT), node);
        port = port.backend((pod.address(), HTTP_PORT), node);
    }
    Ok(vec![web, port])
}

/// A client of the lab's in a pod of node 0.
fn in_pod(mesh: &Mesh, name: &str, words: &str) -> Result<Process> {
    let mut command = mesh.node(0)?.pod(CLIENT)?.command(programs::path(programs::LAB_TOOL)?);
    command.arg("client").args(words.split_whitespace());
    Process::spawn(name, mesh.dir(), &mut command)
}

/// The same outside.
fn outside(mesh: &Mesh, name: &str, words: &str) -> Result<Process> {
    let mut command = Lab::tool(mesh.client(), &format!("client {words}"))?;
    Process::spawn(name, mesh.dir(), &mut command)
}

fn ensure_whole(what: &str, report: &Requests) -> Result<()> {
    ensure(report.failed == 0 && report.ok > 0 && report.nodes.len() == PODS.len(), || {
        format!("{what}: {report:?}")
    })
}

#[test]
fn ten_thousand_connects_notice_nothing_of_an_agent_that_is_killed() {
    sandbox::test(|| {
        let mesh = mesh()?;
        let mut agent = Agent::serve(mesh.node(0)?, &services(&mesh)?, &[])?;
        let words = format!("http --to {CLUSTER_IP} --requests 10000 --parallel 8");
        let mut inside = in_pod(&mesh, "inside", &words)?;
        let words = format!("http --to {NODE_PORT} --requests 2000 --parallel 4");
        let mut from_outside = outside(&mesh, "outside", &words)?;
        std::thread::sleep(Duration::from_millis(500));
        agent.process().kill()?;
        let text = agent.ask(mesh.node(0)?, "service list")?;
        ensure(text.contains("10.96.0.10:80"), || format!("without an agent:\n{text}"))?;
        let report: Requests = inside.report()?;
        ensure_whole("inside", &report)?;
        ensure(report.ok == 10_000, || format!("{report:?}"))?;
        ensure_whole("outside", &from_outside.report()?)
    });
}

#[test]
fn twenty_upgrades_in_a_row_fail_no_connect_and_break_no_connection() {
    sandbox::test(|| {
        let mesh = mesh()?;
        let node = mesh.node(0)?;
        let mut agent = Agent::serve(node, &services(&mesh)?, &[])?;
        let inside = in_pod(&mesh, "inside", &format!("load --to {CLUSTER_IP} --parallel 4"))?;
        let from_outside =
            outside(&mesh, "outside", &format!("load --to {NODE_PORT} --parallel 2"))?;
        let words = format!("witness --to {NODE_PORT} --connections 12");
        let mut witnesses = outside(&mesh, "witness", &words)?;
        witnesses.wait_for_log("ready", PATIENCE)?;
        for round in 0..20 {
            // Each way to end is one that happens.
            if round % 2 == 0 {
                let status = agent.stop()?;
                ensure(status.success(), || format!("round {round}: {status}"))?;
            } else {
                agent.process().kill()?;
            }
            agent = agent.place().clone().start(node)?;
        }
        for (what, load) in [("inside", inside), ("outside", from_outside)] {
            let report: Requests = load.finish()?;
            ensure_whole(what, &report)?;
            ensure(report.ok > 200, || format!("{what}: {report:?}"))?;
        }
        let witnesses: Vec<Witness> = witnesses.finish()?;
        ensure(witnesses.len() == 12 && witnesses.iter().all(Witness::lost_nothing), || {
            format!("{witnesses:?}")
        })
    });
}

/// What bpftool shows of a node that is not the whole machine's.
fn shown(node: &Node) -> Result<[String; 3]> {
    let cgroup = node.cgroup().display().to_string();
    let bpffs = node.bpffs().display().to_string();
    Ok([
        node.run(&["bpftool", "net"])?,
        node.run(&["bpftool", "cgroup", "tree", &cgroup])?,
        node.run(&["find", &bpffs, "-mindepth", "1"])?,
    ])
}

/// The ids of pinned maps, and of the programs that use them.
fn ids(node: &Node, place: &Place) -> Result<[BTreeSet<u64>; 2]> {
    let json = |text: String| -> Result<Value> {
        serde_json::from_str(&text).map_err(LabError::json("bpftool"))
    };
    let mut maps = BTreeSet::new();
    let pins = node.run(&["find", &place.pins().display().to_string(), "-type", "f"])?;
    for pin in pins.lines().filter(|pin| pin.contains("/maps-")) {
        let map = json(node.run(&["bpftool", "-j", "map", "show", "pinned", pin])?)?;
        maps.extend(map.get("id").and_then(Value::as_u64));
    }
    let programs = json(node.run(&["bpftool", "-j", "prog", "show"])?)?;
    let of_ours = |program: &&Value| {
        let used = program.get("map_ids").and_then(Value::as_array);
        used.into_iter().flatten().filter_map(Value::as_u64).any(|id| maps.contains(&id))
    };
    let programs = programs.as_array().into_iter().flatten().filter(of_ours);
    let programs = programs.filter_map(|it| it.get("id")?.as_u64()).collect();
    Ok([maps, programs])
}

#[test]
fn after_uninstall_nothing_is_left_in_the_kernel() {
    sandbox::test(|| {
        for attach in ["datapath.tc_attach=auto", "datapath.tc_attach=clsact"] {
            let mesh = mesh()?;
            let node = mesh.node(0)?;
            let before = shown(node)?;
            let mut agent = Agent::serve(node, &services(&mesh)?, &[attach])?;
            let report: Requests =
                in_pod(&mesh, "inside", &format!("http --to {CLUSTER_IP} --requests 30"))?
                    .report()?;
            ensure_whole("before", &report)?;
            let during = shown(node)?;
            let [maps, programs] = ids(node, agent.place())?;
            // Debian's bpftool 7.1 does not know TCX; the programs' ids tell.
            let is_seen = during.iter().zip(&before).map(|(now, then)| now != then);
            let changed = is_seen.filter(|is_seen| *is_seen).count();
            let least = if attach.ends_with("clsact") { 3 } else { 2 };
            ensure(maps.len() > 10 && programs.len() >= 12 && changed >= least, || {
                format!("{maps:?} {programs:?} {during:?}")
            })?;
            agent.stop()?;
            agent.ask(node, "uninstall")?;
            let after = shown(node)?;
            ensure(after == before, || format!("{after:?}\nis not\n{before:?}"))?;
            // The kernel frees them when the last packet is through.
            for (kind, ids) in [("map", maps), ("prog", programs)] {
                for id in ids {
                    let id = id.to_string();
                    until(&format!("the end of {kind} {id}"), PATIENCE, || {
                        let shown = node.run(&["bpftool", kind, "show", "id", &id]);
                        Ok(shown.is_err().then_some(()))
                    })?;
                }
            }
        }
        Ok(())
    });
}

#[test]
fn what_something_else_detached_is_attached_again() {
    sandbox::test(|| {
        let mesh = mesh()?;
        let node = mesh.node(0)?;
        let mut agent = Agent::serve(node, &services(&mesh)?, &["datapath.tc_attach=clsact"])?;
        node.run(&["tc", "qdisc", "del", "dev", "eth0", "clsact"])?;
        agent.wait_for("a program attached again", PATIENCE, |status| status.attach_lost > 0)?;
        let words = format!("http --to {NODE_PORT} --requests 30");
        ensure_whole("outside", &outside(&mesh, "outside", &words)?.report()?)
    });
}

#[test]
fn the_list_of_services_is_as_ciliums() {
    sandbox::test(|| {
        let mesh = mesh()?;
        let node = mesh.node(0)?;
        let agent = Agent::serve(node, &services(&mesh)?, &[])?;
        let text = agent.ask(node, "service list")?;
        let head: Vec<&str> = text.lines().next().unwrap_or_default().split_whitespace().collect();
        let columns = ["ID", "Frontend", "Service", "Type", "Backend"];
        ensure(head == columns, || text.clone())?;
        for (frontend, kind) in [(CLUSTER_IP, "ClusterIP"), (NODE_PORT, "NodePort")] {
            let row = text.lines().find(|line| line.contains(frontend)).unwrap_or_default();
            let words: Vec<&str> = row.split_whitespace().collect();
            let is_row = words.first().is_some_and(|id| id.parse::<u32>().is_ok())
                && words.get(2) == Some(&kind)
                && row.contains("1 => 10.0.0.71:80 (active)");
            ensure(is_row, || format!("{frontend}:\n{text}"))?;
        }
        for pod in ["2 => 10.0.1.72:80 (active)", "3 => 10.0.2.73:80 (active)"] {
            ensure(text.matches(pod).count() >= 2, || format!("{pod}:\n{text}"))?;
        }
        Ok(())
    });
}

const ECHO: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: echo}\nspec:\n  clusterIP: 10.96.0.20\n  \
    selector: {app: echo}\n  ports:\n  - {name: echo, port: 7777, protocol: UDP, targetPort: 7777}\n";

fn slice(mesh: &Mesh, pods: &[(u8, u8)]) -> Result<String> {
    let mut endpoints = Vec::new();
    for (node, host) in pods {
        endpoints.push((mesh.node(*node)?.pod(*host)?.address().into(), *node));
    }
    Ok(kube::slice("echo", ("echo", "UDP", ECHO_PORT), &endpoints))
}

/// Takes the pod away that a client talks to, and returns what the client noticed.
fn vanish(socket: &str) -> Result<()> {
    let mesh = mesh()?;
    let cluster = kube::start(&mesh)?;
    let settings = kube::settings(&cluster);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    cluster.create(ECHO)?;
    cluster.apply(&slice(&mesh, &PODS[..2])?)?;
    let mut agent = Agent::serve(mesh.node(0)?, &[], &settings)?;
    agent.wait_for("the Service", PATIENCE, |status| status.services > 0)?;
    let words = format!("talk --to 10.96.0.20:7777 --socket {socket} --interval-ms 20");
    let talk = in_pod(&mesh, "talk", &words)?;
    std::thread::sleep(Duration::from_millis(500));
    // Whichever it talks to is gone.
    cluster.apply(&slice(&mesh, &PODS[2..])?)?;
    std::thread::sleep(Duration::from_secs(2));
    let report: Talk = talk.finish()?;
    let has_moved = report.nodes.len() > 1 && report.nodes.contains_key("pod2-73");
    ensure(has_moved && report.answered > 50, || format!("{report:?}"))?;
    ensure(report.silence_ms_max < 1000, || format!("{report:?}"))
}

#[test]
fn a_connected_udp_client_whose_backend_vanishes_talks_to_another_within_a_second() {
    sandbox::test(|| vanish("connected"));
}

#[test]
fn an_unconnected_udp_client_whose_backend_vanishes_talks_to_another_within_a_second() {
    sandbox::test(|| vanish("unconnected"));
}

#[test]
fn full_maps_are_said_and_old_services_go_on() {
    sandbox::test(|| {
        let mesh = mesh()?;
        let node = mesh.node(0)?;
        let settings = ["maps.backends=64", "maps.frontends=64", "maps.choices=64"];
        let few = services(&mesh)?;
        let mut agent = Agent::serve(node, &few, &settings)?;
        agent.stop()?;
        let mut many = few;
        for number in 0..80 {
            let name = format!("more-{number}");
            let mut more = Service::cluster_ip(&name, &format!("10.96.1.{number}:80/tcp"));
            for (node, host) in PODS {
                more = more.backend((mesh.node(node)?.pod(host)?.address(), HTTP_PORT), node);
            }
            many.push(more);
        }
        let place = agent.place().clone();
        place.configure(node, &many)?;
        let mut agent = place.start(node)?;
        let status =
            agent.wait_for("words about full maps", PATIENCE, |it| !it.failed.is_empty())?;
        let is_named = status.failed.iter().any(|line| line.contains("more-"));
        ensure(is_named && status.failed.iter().all(|line| !line.contains("web")), || {
            format!("{status:?}")
        })?;
        let words = format!("http --to {CLUSTER_IP} --requests 60");
        ensure_whole("inside", &in_pod(&mesh, "inside", &words)?.report()?)?;
        let words = format!("http --to {NODE_PORT} --requests 60");
        ensure_whole("outside", &outside(&mesh, "outside", &words)?.report()?)
    });
}

#[test]
fn flows_are_listed_while_the_agent_runs_and_when_it_is_dead() {
    sandbox::test(|| {
        let mesh = mesh()?;
        let node = mesh.node(0)?;
        let mut agent = Agent::serve(node, &services(&mesh)?, &[])?;
        let mut held = outside(&mesh, "hold", &format!("hold --to {NODE_PORT} --connections 6"))?;
        let report: Requests = held.report()?;
        ensure(report.ok == 6, || format!("{report:?}"))?;
        for round in ["alive", "dead"] {
            let flows = agent.ask(node, "conntrack list")?;
            ensure(flows.matches("172.26.50.180").count() >= 6, || format!("{round}:\n{flows}"))?;
            agent.ask(node, "nat list")?;
            let status = agent.ask(node, "status")?;
            let says_dead = status.contains("NOT RUNNING");
            ensure(says_dead == (round == "dead"), || format!("{round}:\n{status}"))?;
            if round == "alive" {
                agent.process().kill()?;
            }
        }
        Ok(())
    });
}
