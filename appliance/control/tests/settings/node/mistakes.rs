//! Broken files, each with the mistake that must be found in it and the span that must be marked.

use crate::mistakes::{Span, unmark};

/// A good file, into which `to` is put; the message; the help.
type Case = (&'static str, &'static str, Option<&'static str>);

fn check(base: &str, cases: &[Case]) {
    let mut wrong = Vec::new();
    for (to, message, help) in cases {
        let (text, mut spans) = unmark(&format!("{to}\n{base}"));
        if spans.is_empty() {
            spans.push((0, 0, 0));
        }
        let Err(mistakes) = super::load(&text) else {
            wrong.push(format!("not refused: {to}"));
            continue;
        };
        let found: Vec<(Span, &str, Option<&str>)> = mistakes
            .iter()
            .map(|mistake| {
                let place = &mistake.place;
                let span = (place.line, place.column, place.length);
                (span, mistake.message.as_str(), mistake.help.as_deref())
            })
            .collect();
        let expected = [(spans[0], *message, *help)];
        if found != expected || spans.len() != 1 {
            wrong.push(format!("{to}\n  expected {expected:?}\n  found    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

const CLUSTER: &str = "[kubernetes]\nin_cluster = true";

#[test]
fn sections_that_cannot_be_are_refused() {
    check(
        CLUSTER,
        &[
            (
                "[datapath]\nsnat_ports = «\"30100-40000\"»",
                "datapath: snat_ports 30100-40000 overlap the NodePorts, 30000-32767",
                Some(
                    "say snat_ports in [datapath] so that the two are apart, and apart from net.ipv4.ip_local_port_range",
                ),
            ),
            (
                "[node_ports]\nrange = «\"20000-22767\"»",
                "datapath: snat_ports 1024-29999 overlap the NodePorts, 20000-22767",
                Some(
                    "say snat_ports in [datapath] so that the two are apart, and apart from net.ipv4.ip_local_port_range",
                ),
            ),
            (
                "[datapath]\ntc_attach = «\"tc\"»",
                "datapath: unknown tc_attach \"tc\"",
                Some("did you mean `tcx`?"),
            ),
            (
                "[datapath]\n«delivry» = \"pass\"",
                "datapath: unknown key `delivry`",
                Some("did you mean `delivery`?"),
            ),
            (
                "[maps]\nevents_bytes = «100000»",
                "maps: events_bytes must be a power of two, not 100000",
                Some("write 65536 or 131072"),
            ),
            ("[maps]\nnat = «0»", "maps: nat must be 64 to 16777216, not 0", None),
            (
                "[cluster_ips]\nprefixes = [\"10.96.0.0/12\", «\"10.96.0.0/16\"»]",
                "cluster_ips: prefixes: 10.96.0.0/16 overlaps 10.96.0.0/12",
                Some("the wider of the two is enough"),
            ),
            (
                "[cluster_ips]\nprefixes = «[\"10.1.0.0/16\", \"10.2.0.0/16\", \"10.3.0.0/16\", \"10.4.0.0/16\", \"fd00::/112\"]»",
                "cluster_ips: 5 prefixes; there is room for 4",
                None,
            ),
            (
                "[devices]\npods = [«\"a-name-that-is-too-long\"»]",
                "devices: pods: \"a-name-that-is-too-long\" is 23 bytes long",
                Some("the kernel's names of devices have at most 15"),
            ),
            (
                "«dataplane» = {}",
                "`dataplane` is of the box's configuration; a node has none",
                None,
            ),
            (
                "name = «\"Node_1\"»",
                "name: \"Node_1\" is no name that a node has",
                Some(
                    "the name that kubectl get nodes shows: at most 253 lower-case letters, digits, '-' and '.'",
                ),
            ),
            (
                "[health]\nlisten = «\"10256\"»",
                "health: listen: \"10256\" is not an address and port",
                Some("write it as \"127.0.0.1:9100\" or \"[::1]:9100\""),
            ),
        ],
    );
}

#[test]
fn a_file_that_serves_nothing_is_refused() {
    check(
        "",
        &[(
            "log_level = \"info\"",
            "there is neither [kubernetes] nor a [[service]]",
            Some("add [kubernetes] with in_cluster = true, or a [[service]]"),
        )],
    );
}

#[test]
fn words_of_the_box_are_told_from_slips() {
    check(
        "",
        &[(
            "[kubernetes]\nin_cluster = true\n«write_status» = false",
            "kubernetes: `write_status` is for the box; a node serves every Service and writes nothing",
            None,
        )],
    );
}

/// A second service, after the one under test.
const WEB: &str = r#"[[service]]
name = "web"
frontends = ["10.96.0.20:80"]
backends = ["10.244.1.7:80"]
"#;

#[test]
fn services_that_cannot_be_are_refused() {
    check(
        WEB,
        &[
            (
                "[[service]]\nname = \"dns\"\nfrontends = [\"10.96.0.10:53/udp\", «\"10.96.0.10:53/tcp\"»]\nbackends = [\"10.244.1.3:53\"]",
                "service \"dns\": has frontends of both protocols",
                Some("one [[service]] for TCP and one for UDP, with names of their own"),
            ),
            (
                "[[service]]\nname = \"dns\"\nfrontends = [«\"*:30053\"»]\nbackends = [\"10.244.1.3:53\"]",
                "service \"dns\": type ClusterIP needs an address",
                Some("only type = \"NodePort\" answers on every address of the node"),
            ),
            (
                "[[service]]\nname = \"dns\"\ntype = \"NodePort\"\nfrontends = [«\"*:53\"»]\nbackends = [\"10.244.1.3:53\"]",
                "service \"dns\": port 53 is outside of the NodePorts, 30000-32767",
                Some("see range in [node_ports]"),
            ),
            (
                "[[service]]\nname = \"dns\"\nfrontends = [«\"[fd00::10]:53\"»]\nbackends = [\"10.244.1.3:53\"]",
                "service \"dns\": frontend fd00::10 has no backend of its family",
                Some("a backend is of its frontend's family"),
            ),
            (
                "[[service]]\nname = \"dns\"\nfrontends = [«\"127.0.0.53:53\"»]\nbackends = [\"10.244.1.3:53\"]",
                "service \"dns\": frontend 127.0.0.53 is a loopback address",
                Some("give an address that no other host and no other process has"),
            ),
            (
                "[[service]]\nname = \"meta\"\nfrontends = [\"10.96.0.30:80\"]\nbackends = [«\"169.254.169.254:80\"»]",
                "service \"meta\": backend 169.254.169.254 is a link-local address",
                Some("a backend is the address of a pod or of a host (CVE-2021-25737)"),
            ),
            (
                "[[service]]\nname = \"dns\"\nfrontends = [\"10.96.0.10:53\"]\nbackends = [\"10.244.1.3:53\", «\"10.244.1.3:53\"»]",
                "service \"dns\": backend 10.244.1.3:53 is listed twice",
                Some("remove one of them; a weight gives a backend a larger share"),
            ),
            (
                "[[service]]\nname = \"dns\"\nfrontends = [\"10.96.0.10:53\"]\ninternal_policy = «\"local\"»\nbackends = [\"10.244.1.3:53\"]",
                "service \"dns\": unknown internal_policy \"local\"",
                Some("did you mean `Local`?"),
            ),
        ],
    );
}

#[test]
fn a_frontend_belongs_to_one_service() {
    let dns = "[[service]]\nname = \"dns\"\nfrontends = [\"10.96.0.20:80\"]\nbackends = [\"10.244.1.3:53\"]";
    check(
        "",
        &[(
            &*format!("{dns}\n{}", WEB.replace("\"10.96.0.20:80\"", "«\"10.96.0.20:80\"»")).leak(),
            "service \"web\": frontend 10.96.0.20:80/tcp is taken by service \"dns\"",
            Some("a frontend belongs to one service"),
        )],
    );
}

#[test]
fn every_mistake_is_found_at_once() {
    let text = "[datapath]\ndelivery = \"psas\"\n[maps]\nnat = 1\n[[service]]\nname = \"web\"\nfrontends = [\"x\"]\n";
    let mistakes = super::load(text).unwrap_err();
    let found: Vec<&str> = mistakes.iter().map(|mistake| mistake.message.as_str()).collect();
    assert_eq!(
        found,
        [
            "datapath: unknown delivery \"psas\"",
            "maps: nat must be 64 to 16777216, not 1",
            "service \"web\": backends is missing",
            "service \"web\": frontends: \"x\" is not an IP address",
        ]
    );
}
