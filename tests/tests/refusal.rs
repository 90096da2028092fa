//! What is not served: never routed, never leaked, and no reason to stop serving the rest.

use spillway_tests::daemon::{Options, lab_with_box};
use spillway_tests::error::ensure;
use spillway_tests::report::{Refusal, Requests};
use spillway_tests::{Topology, sandbox};

const NODE_PORT: &str = "172.26.50.101:30645";

#[test]
fn an_unlisted_port_of_a_vip_is_dropped_aloud_and_goes_nowhere() {
    sandbox::test(|| {
        let (lab, daemon) = lab_with_box(Topology::two_arm(3), &Options::example("static"))?;
        // Port 80 is open on every node, and a listed port of another VIP: neither counts here.
        for (to, protocol) in [
            ("172.26.50.101:80", "tcp"),
            ("172.26.50.110:30645", "tcp"),
            ("172.26.50.110:7777", "tcp"),
            ("172.26.50.110:80", "udp"),
        ] {
            let before = daemon.dropped("unlisted-port")?;
            let words = format!("refused --to {to} --protocol {protocol} --timeout-ms 700");
            let report: Refusal = lab.start_client(&words)?.report()?;
            ensure(report.outcome == "timeout", || format!("{words}: {report:?}"))?;
            let dropped = daemon.dropped("unlisted-port")? - before;
            ensure(dropped > 0, || format!("{words}: nothing counted as unlisted-port"))?;
        }
        let flows = daemon.conntrack("")?;
        ensure(flows.is_empty(), || format!("{flows:?}"))
    });
}

#[test]
fn nodes_cannot_be_reached_around_the_frontends() {
    sandbox::test(|| {
        let (lab, daemon) = lab_with_box(Topology::two_arm(3), &Options::example("static"))?;
        // A client that takes the box for a router towards the nodes is disappointed.
        lab.client().ip("route add 10.0.1.0/24 via 172.26.50.101")?;
        let words = "refused --to 10.0.1.72:80 --protocol tcp --timeout-ms 700";
        let report: Refusal = lab.start_client(words)?.report()?;
        ensure(report.outcome == "timeout", || format!("{report:?}"))?;
        ensure(daemon.dropped("not-ours")? > 0, || "nothing counted as not-ours".to_owned())?;
        // And a node, whose default route is the box, cannot use it towards clients.
        let node = lab.node(spillway_tests::lab::topology::NodeId::new(1))?;
        let url = "http://172.26.50.180:80/";
        let answer = node.run(&["curl", "-sS", "--max-time", "1", url]);
        let words = answer.unwrap_or_else(|error| error.to_string());
        ensure(words.contains("timed out"), || words.clone())
    });
}

#[test]
fn exhausted_snat_ports_refuse_new_flows_and_spare_the_old_ones() {
    sandbox::test(|| {
        // Ten ports towards each of three backends: thirty flows at a time.
        let options = Options::example("static").set("snat.ports=31210-31219");
        let (lab, daemon) = lab_with_box(Topology::two_arm(3), &options)?;
        let mut client = lab.start_client(&format!("hold --to {NODE_PORT} --connections 60"))?;
        let opened: Requests = client.report()?;
        ensure((10..=30).contains(&opened.ok) && opened.failed == 60 - opened.ok, || {
            format!("{opened:?}")
        })?;
        let refused: u64 = opened
            .errors
            .iter()
            .filter(|(error, _)| error.contains("connection refused"))
            .map(|(_, count)| count)
            .sum();
        ensure(refused == opened.failed, || format!("some were not refused: {opened:?}"))?;
        let counted = daemon.dropped("snat-ports-exhausted")?;
        // More when a refusal was lost and the client asked again.
        ensure(counted >= opened.failed, || format!("{counted} counted, {opened:?}"))?;
        client.step()?;
        let again: Requests = client.report()?;
        ensure(again.ok == opened.ok && again.failed == 0, || format!("{opened:?}, {again:?}"))
    });
}
