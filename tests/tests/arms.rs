//! The box on other wires: everything on one port, and tagged links.

use spillway_tests::daemon::{Daemon, Options, lab_with_box};
use spillway_tests::error::ensure;
use spillway_tests::lab::topology::Tags;
use spillway_tests::report::{Datagrams, Requests};
use spillway_tests::{Lab, Result, Topology, programs, sandbox};

const NODE_PORT: &str = "172.26.50.101:30645";
const ECHO: &str = "172.26.50.110:7777";

/// Many short connections, a long one, and datagrams; all nodes take part.
fn exercise(lab: &Lab, daemon: &Daemon) -> Result<()> {
    let words = format!("http --to {NODE_PORT} --requests 500 --parallel 50");
    let report: Requests = lab.start_client(&words)?.report()?;
    ensure(report.ok == 500 && report.nodes.len() == 3, || format!("{report:?}"))?;

    let words = format!("udp --to {ECHO} --sockets 100 --datagrams 5");
    let report: Datagrams = lab.start_client(&words)?.report()?;
    ensure(report.returned == 500, || format!("{report:?}"))?;

    let tool = programs::path(programs::LAB_TOOL)?;
    let shell = |script: &str| lab.client().run(&["sh", "-c", script]);
    let sent = shell(&format!("{} big --bytes 10000000 | sha256sum", tool.display()))?;
    let url = format!("http://{NODE_PORT}/big?bytes=10000000");
    let got = shell(&format!("curl -sS --max-time 60 '{url}' | sha256sum"))?;
    ensure(got == sent, || format!("{got} is not {sent}"))?;

    let report = daemon.drops()?;
    ensure(report.balance.lost_on_tx == 0, || format!("{:?}", report.balance))
}

#[test]
fn one_arm_serves_clients_and_nodes_on_the_same_port() {
    sandbox::test(|| {
        let config = programs::root().join("tests/config/one-arm.toml");
        let options = Options::file(config);
        let (lab, daemon) = lab_with_box(Topology::one_arm(3), &options)?;
        let ports = daemon.ports()?;
        ensure(ports.len() == 1, || format!("{ports:?}"))?;
        exercise(&lab, &daemon)
    });
}

#[test]
fn tagged_ports_keep_their_tags() {
    sandbox::test(|| {
        // The wires refuse every frame without the tag, or with the other one's.
        let tags = Tags { front: 50, back: 60 };
        let options = Options::example("static").set("port.front.vlan=50").set("port.back.vlan=60");
        let (lab, daemon) = lab_with_box(Topology::two_arm(3).tagged(tags), &options)?;
        exercise(&lab, &daemon)
    });
}

#[test]
fn one_tagged_port_and_one_untagged_port_do_not_mix() {
    sandbox::test(|| {
        let tags = Tags { front: 50, back: 60 };
        let topology = Topology::two_arm(3).tagged(tags);
        // A box that was not told about the tags of its front hears nothing there.
        let options = Options::example("static").set("port.back.vlan=60");
        let (lab, daemon) = lab_with_box(topology, &options)?;
        let url = format!("http://{NODE_PORT}/");
        let answer = lab.client().run(&["curl", "-sS", "--max-time", "2", &url]);
        ensure(answer.is_err(), || format!("got through: {answer:?}"))?;
        let dropped = daemon.dropped("vlan-mismatch")?;
        ensure(dropped > 0, || "no frame counted as vlan-mismatch".to_owned())
    });
}
