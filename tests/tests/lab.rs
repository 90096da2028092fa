//! The lab proves itself: with the kernel as router in the box's place, everything that the other
//! tests rely on works, so that what fails there is the box's doing.

use std::time::Duration;

use spillway_tests::error::ensure;
use spillway_tests::lab::topology::{NodeId, Tags};
use spillway_tests::lab::{ECHO_PORT, HTTP_PORT};
use spillway_tests::process::{Process, until};
use spillway_tests::report::{Datagrams, Refusal, Requests, Witness};
use spillway_tests::{Lab, Result, Topology, sandbox};

const N1: NodeId = NodeId::new(1);
const N2: NodeId = NodeId::new(2);

fn routed(topology: Topology) -> Result<Lab> {
    let lab = Lab::with_servers(topology)?;
    lab.route_by_kernel()?;
    Ok(lab)
}

fn http(node: NodeId) -> String {
    format!("{}:{HTTP_PORT}", node.address())
}

#[test]
fn a_client_reaches_a_node_and_is_seen_by_it() {
    sandbox::test(|| {
        let lab = routed(Topology::two_arm(2))?;
        let answer = lab.client().run(&["curl", "-s", &format!("http://{}/", http(N2))])?;
        ensure(answer.starts_with("n2 172.26.50.180:"), || answer.clone())
    });
}

#[test]
fn a_thousand_connections_stand_at_the_same_time() {
    sandbox::test(|| {
        let lab = routed(Topology::two_arm(1))?;
        let words = format!("http --to {} --requests 1000 --parallel 1000", http(N1));
        let report: Requests = lab.start_client(&words)?.report()?;
        ensure(report.ok == 1000 && report.failed == 0, || format!("{report:?}"))?;
        let mut client = lab.start_client(&format!("hold --to {} --connections 2000", http(N1)))?;
        let opened: Requests = client.report()?;
        client.step()?;
        let again: Requests = client.report()?;
        ensure(opened.ok == 2000 && again.ok == 2000, || format!("{opened:?} {again:?}"))
    });
}

#[test]
fn a_big_file_and_an_upload_arrive_as_sent() {
    sandbox::test(|| {
        let lab = routed(Topology::two_arm(1))?;
        let url = format!("http://{}/big?bytes=20000003", http(N1));
        let got = lab.client().run(&["sh", "-c", &format!("curl -sS '{url}' | sha256sum")])?;
        let tool = spillway_tests::programs::path("sw-lab-tool")?;
        let sum = format!("{} big --bytes 20000003 | sha256sum", tool.display());
        let sent = lab.client().run(&["sh", "-c", &sum])?;
        ensure(got == sent && got.len() > 64, || format!("{got} is not {sent}"))?;
        let upload = format!(
            "{} big --bytes 3000000 | curl -sS --data-binary @- http://{}/sum",
            tool.display(),
            http(N1)
        );
        let answer = lab.client().run(&["sh", "-c", &upload])?;
        ensure(answer.starts_with("3000000 "), || answer.clone())
    });
}

#[test]
fn a_thousand_udp_clients_get_their_own_datagrams_back() {
    sandbox::test(|| {
        let lab = routed(Topology::two_arm(1))?;
        let words = format!("udp --to {}:{ECHO_PORT} --sockets 1000 --datagrams 3", N1.address());
        let report: Datagrams = lab.start_client(&words)?.report()?;
        ensure(report.returned == 3000 && report.sent == 3000, || format!("{report:?}"))
    });
}

#[test]
fn witnesses_notice_a_killed_server_and_only_there() {
    sandbox::test(|| {
        let mut lab = routed(Topology::two_arm(2))?;
        let start = |node| -> Result<Process> {
            let mut client =
                lab.start_client(&format!("witness --to {} --connections 5", http(node)))?;
            client.wait_for_log("ready", Duration::from_secs(5))?;
            Ok(client)
        };
        let (doomed, safe) = (start(N1)?, start(N2)?);
        std::thread::sleep(Duration::from_millis(300));
        lab.kill_server(N1)?;
        std::thread::sleep(Duration::from_millis(300));
        let doomed: Vec<Witness> = doomed.finish()?;
        let safe: Vec<Witness> = safe.finish()?;
        ensure(doomed.iter().all(|w| w.node == "n1" && w.broken.is_some()), || {
            format!("{doomed:?}")
        })?;
        ensure(safe.iter().all(|w| w.node == "n2" && w.lost_nothing() && w.sent >= 10), || {
            format!("{safe:?}")
        })
    });
}

#[test]
fn a_refusal_is_told_from_an_answer_and_from_silence() {
    sandbox::test(|| {
        let lab = routed(Topology::two_arm(1))?;
        let attempt = |words: &str| -> Result<String> {
            let report: Refusal = lab.start_client(&format!("refused {words}"))?.report()?;
            Ok(report.outcome)
        };
        let node = N1.address();
        let outcomes = [
            attempt(&format!("--to {node}:{HTTP_PORT} --protocol tcp"))?,
            attempt(&format!("--to {node}:81 --protocol tcp"))?,
            attempt(&format!("--to {node}:{ECHO_PORT} --protocol udp"))?,
            attempt(&format!("--to {node}:8 --protocol udp"))?,
        ];
        ensure(outcomes == ["answered", "refused", "answered", "refused"], || {
            format!("{outcomes:?}")
        })?;
        // Nobody is at this address, and nobody says so before the client's patience ends.
        let silence = attempt("--to 172.26.50.9:80 --protocol tcp --timeout-ms 300")?;
        ensure(silence == "timeout", || silence.clone())
    });
}

#[test]
fn one_arm_is_one_segment_with_two_subnets() {
    sandbox::test(|| {
        let lab = routed(Topology::one_arm(3))?;
        let answer = lab.client().run(&["curl", "-s", &format!("http://{}/", http(N2))])?;
        ensure(answer.starts_with("n2 172.26.50.180:"), || answer.clone())?;
        ensure(lab.front_interface() == lab.back_interface(), || "two interfaces".to_owned())
    });
}

#[test]
fn tagged_links_carry_nothing_else() {
    sandbox::test(|| {
        let tags = Tags { front: 50, back: 60 };
        let lab = routed(Topology::two_arm(1).tagged(tags))?;
        let reach = || {
            let url = format!("http://{}/", http(N1));
            lab.client().run(&["curl", "-sS", "--max-time", "1", &url])
        };
        // The kernel in the middle speaks untagged: nothing may come through.
        ensure(reach().is_err(), || "an untagged frame got through".to_owned())?;
        lab.tag_middle(Tags { front: 50, back: 61 })?;
        ensure(reach().is_err(), || "a frame with a wrong tag got through".to_owned())?;
        Ok(())
    });
}

#[test]
fn tagged_links_carry_what_has_their_tags() {
    sandbox::test(|| {
        let tags = Tags { front: 50, back: 60 };
        let lab = routed(Topology::two_arm(1).tagged(tags))?;
        lab.tag_middle(tags)?;
        let answer = lab.client().run(&["curl", "-s", &format!("http://{}/", http(N1))])?;
        ensure(answer.starts_with("n1 172.26.50.180:"), || answer.clone())
    });
}

#[test]
fn a_sandbox_that_is_killed_takes_everything_with_it() {
    // Not a lab: this is about its walls, so it looks at them from outside.
    sandbox::require_root().unwrap();
    let mark = format!("1000.{}", std::process::id());
    let script = format!(
        "mount -t tmpfs sw-run /run && mkdir /run/netns && ip netns add sw-gone && \
         ip netns exec sw-gone sleep {mark} & wait"
    );
    let args = ["-c".into(), script.into()];
    let mut child = sandbox::command(&"sh".into(), &args, true).spawn().unwrap();
    let sleepers = || -> Vec<String> {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        lines.filter(|line| line.starts_with(&format!("sleep {mark}"))).collect()
    };
    let wait = |what: &str, is_done: &dyn Fn() -> bool| {
        until(what, Duration::from_secs(10), || Ok(is_done().then_some(()))).unwrap();
    };
    wait("the sleeper's start", &|| sleepers().len() == 1);
    assert!(!std::path::Path::new("/run/netns/sw-gone").exists(), "the name leaked out");
    child.kill().unwrap();
    child.wait().unwrap();
    wait("the sleeper's end", &|| sleepers().is_empty());
}
