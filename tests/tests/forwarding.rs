//! What a client of the box sees when all is well: every byte, on every connection, in both
//! directions.

use std::time::Duration;

use spillway_tests::daemon::{Daemon, Options, lab_with_box};
use spillway_tests::error::ensure;
use spillway_tests::process::until;
use spillway_tests::programs;
use spillway_tests::report::{Datagrams, Requests};
use spillway_tests::{Lab, Result, Topology, sandbox};

const NODE_PORT: &str = "172.26.50.101:30645";
const PUBLIC: &str = "172.26.50.110:80";
const ECHO: &str = "172.26.50.110:7777";

fn start() -> Result<(Lab, Daemon)> {
    lab_with_box(Topology::two_arm(3), &Options::example("static"))
}

/// What a shell in the client's namespace prints.
fn shell(lab: &Lab, script: &str) -> Result<String> {
    lab.client().run(&["sh", "-c", script])
}

/// Once nothing moves any more, every packet is accounted for.
fn ensure_balance(daemon: &Daemon) -> Result<()> {
    let balanced = until("a balanced account of packets", Duration::from_secs(5), || {
        Ok((daemon.drops()?.balance.under_way() == 0).then_some(()))
    });
    balanced.map_err(|error| {
        let report = daemon.ask("drops").unwrap_or_default();
        spillway_tests::LabError::Expectation(format!("{error}:\n{report}"))
    })
}

#[test]
fn a_hundred_megabytes_arrive_intact() {
    sandbox::test(|| {
        let (lab, daemon) = start()?;
        let bytes = 100_000_000_u64;
        let tool = programs::path(programs::LAB_TOOL)?;
        let sent = shell(&lab, &format!("{} big --bytes {bytes} | sha256sum", tool.display()))?;
        let url = format!("http://{NODE_PORT}/big?bytes={bytes}");
        let got = shell(&lab, &format!("curl -sS --max-time 120 '{url}' | sha256sum"))?;
        ensure(got == sent && got.len() > 64, || format!("{got} is not {sent}"))?;
        ensure_balance(&daemon)
    });
}

#[test]
fn an_upload_arrives_intact() {
    sandbox::test(|| {
        let (lab, _daemon) = start()?;
        let tool = programs::path(programs::LAB_TOOL)?;
        let upload = |to: &str| {
            let bytes = 20_000_000;
            let send = format!("{} big --bytes {bytes}", tool.display());
            shell(
                &lab,
                &format!("{send} | curl -sS --max-time 60 --data-binary @- http://{to}/sum"),
            )
        };
        let through = upload(NODE_PORT)?;
        // FNV-1a of the same bytes, by the same program without the box between.
        let direct = lab.node(spillway_tests::lab::topology::NodeId::new(1))?.run(&[
            "sh",
            "-c",
            &format!(
                "{} big --bytes 20000000 | curl -sS --data-binary @- http://127.0.0.1/sum",
                tool.display()
            ),
        ])?;
        ensure(through == direct && direct.starts_with("20000000 "), || {
            format!("{through} is not {direct}")
        })
    });
}

#[test]
fn a_thousand_parallel_connections_all_succeed() {
    sandbox::test(|| {
        let (lab, daemon) = start()?;
        for frontend in [NODE_PORT, PUBLIC] {
            let words = format!("http --to {frontend} --requests 1000 --parallel 1000");
            let report: Requests = lab.start_client(&words)?.report()?;
            ensure(report.ok == 1000 && report.failed == 0, || format!("{frontend}: {report:?}"))?;
            ensure(report.nodes.len() == 3, || format!("{frontend}: {report:?}"))?;
            // Full NAT: nodes see the box, whoever asked.
            let peers: Vec<&String> = report.peers.keys().collect();
            ensure(peers == ["172.26.50.101"], || format!("{frontend}: {report:?}"))?;
        }
        ensure_balance(&daemon)
    });
}

#[test]
fn a_thousand_connections_that_stand_together_are_all_listed() {
    sandbox::test(|| {
        let (lab, daemon) = start()?;
        let words = format!("hold --to {NODE_PORT} --connections 1000");
        let mut client = lab.start_client(&words)?;
        let opened: Requests = client.report()?;
        let flows = daemon.conntrack("--state established --frontend 172.26.50.101:30645")?;
        ensure(opened.ok == 1000 && flows.len() == 1000, || {
            format!("{opened:?}, {} flows are listed", flows.len())
        })?;
        client.step()?;
        let again: Requests = client.report()?;
        ensure(again.ok == 1000 && again.nodes == opened.nodes, || {
            format!("a connection changed its node: {opened:?}, then {again:?}")
        })
    });
}

#[test]
fn udp_echo_returns_every_datagram_to_its_sender() {
    sandbox::test(|| {
        let (lab, daemon) = start()?;
        let words = format!("udp --to {ECHO} --sockets 1000 --datagrams 5");
        let report: Datagrams = lab.start_client(&words)?.report()?;
        ensure(report.returned == 5000 && report.sent == 5000, || format!("{report:?}"))?;
        let flows = daemon.conntrack("--protocol udp")?;
        ensure(flows.len() == 1000, || format!("{} flows are listed", flows.len()))?;
        ensure_balance(&daemon)
    });
}

#[test]
fn the_box_shows_its_services_as_operators_know_them() {
    sandbox::test(|| {
        let (_lab, daemon) = start()?;
        let table = daemon.ask("service list")?;
        let mut lines = table.lines();
        let words = |line: Option<&str>| {
            line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        ensure(words(lines.next()) == "ID Frontend Service Type Backend", || table.clone())?;
        let first = words(lines.next());
        ensure(first == "1 172.26.50.101:30645 NodePort 1 => 10.0.1.71:80 (active)", || {
            first.clone()
        })
    });
}
