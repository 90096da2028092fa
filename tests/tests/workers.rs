//! Several workers, more of them than cores: whoever receives a packet, its flow has one owner.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use spillway_tests::daemon::{Options, lab_with_box};
use spillway_tests::error::ensure;
use spillway_tests::process::until;
use spillway_tests::report::{Datagrams, Requests};
use spillway_tests::{Topology, sandbox};

const NODE_PORT: &str = "172.26.50.101:30645";
const CONNECTIONS: u64 = 10_000;

#[test]
fn ten_thousand_connections_over_three_workers_reach_their_owners() {
    sandbox::test(|| {
        let options = Options::example("static")
            .set("dataplane.oversubscribe=true")
            .set("dataplane.worker_cores=1,1,1");
        let (lab, daemon) = lab_with_box(Topology::two_arm(3), &options)?;

        let words = format!("hold --to {NODE_PORT} --connections {CONNECTIONS}");
        let mut client = lab.start_client(&words)?;
        let opened: Requests = client.report()?;
        ensure(opened.ok == CONNECTIONS && opened.failed == 0, || format!("{opened:?}"))?;

        let flows = daemon.conntrack("--state established --frontend 172.26.50.101:30645")?;
        ensure(flows.len() as u64 == CONNECTIONS, || format!("{} flows", flows.len()))?;
        // What a node sees must tell the flows apart.
        let tuples: HashSet<_> = flows.iter().map(|row| (row.snat, row.backend)).collect();
        ensure(tuples.len() == flows.len(), || {
            format!("{} of {} SNAT tuples differ", tuples.len(), flows.len())
        })?;
        let mut owners = BTreeMap::<u16, u64>::new();
        for row in &flows {
            *owners.entry(row.worker).or_default() += 1;
        }
        ensure(owners.len() == 3 && owners.values().all(|count| *count > 1000), || {
            format!("flows per worker: {owners:?}")
        })?;

        // Every connection still works, with the node that it had.
        client.step()?;
        let again: Requests = client.report()?;
        ensure(again.ok == CONNECTIONS && again.nodes == opened.nodes, || {
            format!("{opened:?}, then {again:?}")
        })?;

        let status = daemon.status()?;
        ensure(status.workers.len() == 3, || format!("{status:?}"))?;
        ensure(status.packets.handed_over > 0, || format!("nothing was handed over: {status:?}"))?;
        // A reply that reaches the wrong worker, or arrives there before its flow, is one of these.
        for reason in ["no-flow", "not-syn", "hand-over-full", "snat-ports-exhausted"] {
            let count = daemon.dropped(reason)?;
            ensure(count == 0, || format!("{count} packets dropped: {reason}"))?;
        }
        until("a balanced account of packets", Duration::from_secs(5), || {
            Ok((daemon.drops()?.balance.under_way() == 0).then_some(()))
        })
    });
}

#[test]
fn udp_replies_reach_their_owner_too() {
    sandbox::test(|| {
        let options = Options::example("static")
            .set("dataplane.oversubscribe=true")
            .set("dataplane.worker_cores=1,1,1");
        let (lab, daemon) = lab_with_box(Topology::two_arm(3), &options)?;
        let words = "udp --to 172.26.50.110:7777 --sockets 1000 --datagrams 5";
        let report: Datagrams = lab.start_client(words)?.report()?;
        ensure(report.returned == 5000, || format!("{report:?}"))?;
        let workers: HashSet<u16> =
            daemon.conntrack("--protocol udp")?.iter().map(|row| row.worker).collect();
        ensure(workers.len() == 3, || format!("flows on workers {workers:?} only"))
    });
}
