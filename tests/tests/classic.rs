//! The classic flow with its literal addresses, seen from all four sides by real programs.

use std::time::Duration;

use spillway_admin::BackendState;
use spillway_tests::daemon::{Daemon, Options};
use spillway_tests::error::ensure;
use spillway_tests::lab::topology::NodeId;
use spillway_tests::report::Requests;
use spillway_tests::{Lab, Topology, sandbox};

#[test]
fn the_classic_flow_goes_from_node_port_to_backend_and_back() {
    sandbox::test(|| {
        let lab = Lab::with_servers(Topology::two_arm(2))?;
        let mut daemon = Daemon::start(&lab, &Options::example("classic"))?;
        daemon.wait_for_state(NodeId::new(2), BackendState::Active, Duration::from_secs(5))?;

        // 172.26.50.180 → 172.26.50.101:30645 becomes 172.26.50.101:31210 → 10.0.1.72:80.
        let mut client = lab.start_client("hold --to 172.26.50.101:30645 --connections 1")?;
        let held: Requests = client.report()?;
        ensure(held.ok == 1 && held.nodes.contains_key("n2"), || format!("{held:?}"))?;
        let flows = daemon.conntrack("")?;
        ensure(flows.len() == 1, || format!("{flows:?}"))?;
        let row = &flows[0];
        ensure(
            row.client.ip().to_string() == "172.26.50.180"
                && row.frontend.to_string() == "172.26.50.101:30645"
                && row.snat.to_string() == "172.26.50.101:31210"
                && row.backend.to_string() == "10.0.1.72:80",
            || format!("{row:?}"),
        )?;

        // There is one port to lend, so the second flow is refused, and the first one lives on.
        let second: Requests =
            lab.start_client("http --to 172.26.50.101:30645 --requests 1")?.report()?;
        ensure(second.errors.contains_key("connect: connection refused"), || {
            format!("{second:?}")
        })?;
        client.step()?;
        let again: Requests = client.report()?;
        ensure(again.ok == 1, || format!("{again:?}"))?;

        let table = daemon.ask("service list")?;
        let words: Vec<&str> =
            table.lines().nth(1).unwrap_or_default().split_whitespace().collect();
        ensure(
            words.join(" ") == "1 172.26.50.101:30645 NodePort 1 => 10.0.1.72:80 (active)",
            || table.clone(),
        )
    });
}

#[test]
fn the_backend_of_the_classic_flow_sees_the_lent_port() {
    sandbox::test(|| {
        let lab = Lab::with_servers(Topology::two_arm(2))?;
        let _daemon = Daemon::start(&lab, &Options::example("classic"))?;
        let url = "http://172.26.50.101:30645/";
        let answer = lab.client().run(&["curl", "-sS", "--max-time", "5", url])?;
        ensure(answer == "n2 172.26.50.101:31210\n", || answer.clone())
    });
}
