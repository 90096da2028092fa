//! The classic flow, byte by byte, through real DPDK ports:
//!
//! ```text
//!   client                       box                        node
//!   172.26.50.180:10000 → 172.26.50.101:30645
//!                         172.26.50.101:31210 → 10.0.1.72:80
//!                         172.26.50.101:31210 ← 10.0.1.72:80
//!   172.26.50.180:10000 ← 172.26.50.101:30645
//! ```
//! The test sits at both far ends and says every byte itself: see `frames`.

mod far_end;
mod frames;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use far_end::{FarEnds, Listen};
use spillway_tests::error::{LabError, ensure};
use spillway_tests::lab::namespace::Namespace;
use spillway_tests::wire::Appliance;
use spillway_tests::wire::cable::{self, Plug};
use spillway_tests::{Result, programs, sandbox};

/// `/run` is the sandbox's own, so the shipped configuration's socket is nobody else's.
const SOCKET: &str = "/run/spillway/admin.sock";
const DIR: &str = "/run/sw-classic";

/// Longer than a box under load takes to repeat or to misdirect something.
const SILENCE: Duration = Duration::from_millis(300);

const LIST: &str = "\
ID   Frontend              Service Type   Backend
1    172.26.50.101:30645   NodePort       1 => 10.0.1.72:80 (active)
";

fn shipped() -> PathBuf {
    programs::root().join("config/classic.toml")
}

/// The cables that `config/classic.toml` wants, and somebody at their far ends.
fn world() -> Result<(Namespace, FarEnds)> {
    fs::create_dir_all(DIR).map_err(LabError::io(format!("create {DIR}")))?;
    let namespace = Namespace::create("sw-box".to_owned())?;
    let plug = |interface, mac| Plug { interface, mac };
    let front = plug("sw-front", frames::FRONT_MAC);
    cable::lay(&namespace, front, plug("sw-client", frames::CLIENT_MAC))?;
    let back = plug("sw-back", frames::BACK_MAC);
    cable::lay(&namespace, back, plug("sw-node", frames::NODE_MAC))?;
    // What neither end can help hearing, at any time.
    let client = Listen { interface: "sw-client", background: &[frames::FRONT_ANNOUNCED] };
    let node = Listen { interface: "sw-node", background: &[frames::BACK_ANNOUNCED] };
    Ok((namespace, FarEnds::open(client, node)?))
}

fn start(config: &Path, namespace: &Namespace) -> Result<Appliance> {
    Appliance::start(config, Path::new(SOCKET), Path::new(DIR), Some(namespace))
}

#[test]
fn a_tcp_connection_is_translated_byte_by_byte_with_the_shipped_configuration() {
    sandbox::test(|| {
        let (namespace, FarEnds { mut client, mut node }) = world()?;
        let appliance = start(&shipped(), &namespace)?;

        // The box looks for its backend before anybody asks for it, and again if it must.
        node.expect("the question for the backend", frames::NODE_WANTED)?;
        node.background(frames::NODE_WANTED)?;
        node.send(frames::NODE_ANSWERED)?;
        client.send(frames::FRONT_WANTED)?;
        client.expect("the answer for the front address", frames::FRONT_ANSWERED)?;
        client.expect("the question for the client", frames::CLIENT_WANTED)?;
        client.background(frames::CLIENT_WANTED)?;
        client.send(frames::CLIENT_ANSWERED)?;
        node.send(frames::BACK_WANTED)?;
        node.expect("the answer for the back address", frames::BACK_ANSWERED)?;

        client.send(frames::SYN_IN)?;
        node.expect("the SYN", frames::SYN_OUT)?;
        node.send(frames::SYN_ACK_IN)?;
        client.expect("the SYN+ACK", frames::SYN_ACK_OUT)?;
        client.send(frames::REQUEST_IN)?;
        node.expect("the request", frames::REQUEST_OUT)?;
        node.send(frames::ANSWER_IN)?;
        client.expect("the answer", frames::ANSWER_OUT)?;

        let list = appliance.ask("service list")?;
        ensure(list == LIST, || format!("expected\n{LIST}got\n{list}"))?;
        client.expect_silence(SILENCE)?;
        node.expect_silence(SILENCE)?;
        client.ensure_heard(frames::FRONT_ANNOUNCED)?;
        node.ensure_heard(frames::BACK_ANNOUNCED)?;
        appliance.stop()
    });
}

#[test]
fn the_box_answers_for_no_address_but_its_own() {
    sandbox::test(|| {
        let (namespace, FarEnds { mut client, mut node }) = world()?;
        let appliance = start(&pinned()?, &namespace)?;
        client.send(frames::STRANGER_WANTED)?;
        // The front address is not on the back's link.
        node.send(frames::FRONT_WANTED_AT_THE_BACK)?;
        client.expect_silence(SILENCE)?;
        node.expect_silence(SILENCE)?;
        // It does hear.
        client.send(frames::FRONT_WANTED)?;
        client.expect("the answer for the front address", frames::FRONT_ANSWERED)?;
        appliance.stop()
    });
}

#[test]
fn udp_is_translated_byte_by_byte_with_and_without_its_checksum() {
    sandbox::test(|| {
        let (namespace, FarEnds { mut client, mut node }) = world()?;
        let appliance = start(&pinned()?, &namespace)?;
        client.send(frames::QUERY_IN)?;
        node.expect("the query", frames::QUERY_OUT)?;
        node.send(frames::REPLY_IN)?;
        client.expect("the reply", frames::REPLY_OUT)?;
        client.send(frames::UNSUMMED_QUERY_IN)?;
        node.expect("the query without a checksum", frames::UNSUMMED_QUERY_OUT)?;
        node.send(frames::UNSUMMED_REPLY_IN)?;
        client.expect("the reply without a checksum", frames::UNSUMMED_REPLY_OUT)?;
        // Pinned neighbours are not asked for: nothing but the flow was on the wire.
        client.expect_silence(SILENCE)?;
        node.expect_silence(SILENCE)?;
        appliance.stop()
    });
}

/// The shipped configuration with pinned neighbours and a UDP service.
fn pinned() -> Result<PathBuf> {
    let attempt = "derive a configuration";
    let mut text = fs::read_to_string(shipped()).map_err(LabError::io(attempt))?;
    let pins = [
        ("172.26.50.101/24", "172.26.50.180", frames::CLIENT_MAC),
        ("10.0.1.1/24", "10.0.1.72", frames::NODE_MAC),
    ];
    for (own, neighbor, mac) in pins {
        let addresses = format!("addresses = [\"{own}\"]\n");
        ensure(text.contains(&addresses), || format!("no {addresses} in {text}"))?;
        let with = format!("{addresses}neighbors = {{ \"{neighbor}\" = \"{mac}\" }}\n");
        text = text.replace(&addresses, &with);
    }
    text.push_str(
        r#"
[[service]]
name = "names"
type = "NodePort"
frontends = ["172.26.50.101:30645/udp"]
backends = ["10.0.1.72:53"]
health = { type = "none" }
"#,
    );
    let path = Path::new(DIR).join("pinned.toml");
    fs::write(&path, text).map_err(LabError::io(attempt))?;
    Ok(path)
}
