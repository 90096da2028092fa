//! The texts of the lists, to the letter.

use std::time::Duration;

use spillway_admin::ServiceFilter;
use spillway_cluster::addresses::Family;
use spillway_node::layout::{
    BACKEND_ACTIVE, BACKEND_LOCAL, BACKEND_TERMINATING, Backend, CONNTRACK_SEEN_REPLY,
    DIRECTION_ORIGINAL, FRONTEND_LOCAL, FRONTEND_MAGLEV, Frontend, FrontendKey, SCOPE_EXTERNAL,
    SCOPE_INTERNAL,
};
use spillway_node::ledger::Range;
use spillway_node::names::Names;
use spillway_node::views::flows::{self, FlowFilter};
use spillway_node::views::services::{ServiceRow, rows};
use spillway_node::views::{Format, View, drops, print};

use crate::collector::{NOW, address, flow};

fn printed<R: View>(rows: Vec<R>, format: Format) -> String {
    let mut out = Vec::new();
    print(rows, format, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn services(names: &Names, filter: &ServiceFilter) -> Vec<ServiceRow> {
    let key = |at: &str, port: u16, scope| FrontendKey {
        address: address(at),
        port: port.into(),
        protocol: 6,
        scope,
    };
    let row = |id, service, first, count, kind| Frontend {
        id,
        service,
        first,
        count,
        kind,
        ..Frontend::default()
    };
    let sticky = Frontend { flags: FRONTEND_MAGLEV, affinity_s: 10_800, ..row(2, 8, 3, 3, 1) };
    let frontends = vec![
        (
            key("192.0.2.1", 30645, SCOPE_EXTERNAL),
            Frontend { flags: sticky.flags | FRONTEND_LOCAL, first: 5, count: 1, ..sticky },
        ),
        (key("192.0.2.1", 30645, SCOPE_INTERNAL), sticky),
        (key("10.96.0.1", 80, SCOPE_INTERNAL), row(1, 7, 0, 3, 0)),
        (key("198.51.100.7", 80, SCOPE_INTERNAL), row(10, 7, 0, 3, 2)),
        (key("198.51.100.7", 80, SCOPE_EXTERNAL), row(10, 7, 0, 3, 2)),
        (key("2001:db8::1", 443, SCOPE_INTERNAL), row(11, 9, 0, 0, 3)),
    ];
    // A list with weights, a table, places in any order.
    let choices = [2, 1, 2, 4, 3, 4];
    let backend = |index: u32| {
        let (host, service) = [("10.0.1.72", 7), ("10.0.1.9", 7), ("10.0.2.1", 8), ("10.0.2.2", 8)]
            [index as usize - 1];
        let state = if index == 2 { BACKEND_TERMINATING } else { BACKEND_ACTIVE };
        let flags = if index == 4 { BACKEND_LOCAL } else { 0 };
        Some(Backend { address: address(host), port: 8080.into(), state, flags, service, pad: 0 })
    };
    let read =
        |range: Range| choices.get(range.first as usize..range.end() as usize).map(<[u32]>::to_vec);
    rows(frontends, read, backend, names, filter)
}

fn names() -> Names {
    [(7, "default/web:http", Family::V4), (8, "shop/\u{1b}cart", Family::V4)].into_iter().collect()
}

#[test]
fn services_are_shown_as_cilium_shows_them() {
    assert_eq!(
        printed(services(&Names::default(), &ServiceFilter::default()), Format::Table),
        "\
ID   Frontend            Service Type   Backend
1    10.96.0.1:80        ClusterIP      1 => 10.0.1.9:8080 (terminating)
                                        2 => 10.0.1.72:8080 (active)
2    192.0.2.1:30645     NodePort       1 => 10.0.2.1:8080 (active)
                                        2 => 10.0.2.2:8080 (active)
2    192.0.2.1:30645/x   NodePort       1 => 10.0.2.2:8080 (active)
10   198.51.100.7:80     LoadBalancer   1 => 10.0.1.9:8080 (terminating)
                                        2 => 10.0.1.72:8080 (active)
11   [2001:db8::1]:443   ExternalIP
"
    );
}

#[test]
fn wide_and_json_show_names_and_everything_else() {
    let filter = ServiceFilter { namespace: Some("shop".to_owned()), name: None };
    assert_eq!(printed(services(&names(), &filter), Format::Wide), "\
ID   Frontend            Protocol   Scope      Service Type   Name              Service   Scheduler   Affinity   Flags   Backend
2    192.0.2.1:30645     tcp        internal   NodePort       shop/\\u{1b}cart   8         maglev      10800s     -       1 => 10.0.2.1:8080 (active)
                                                                                                                         2 => 10.0.2.2:8080 (active, local)
2    192.0.2.1:30645/x   tcp        external   NodePort       shop/\\u{1b}cart   8         maglev      10800s     local   1 => 10.0.2.2:8080 (active, local)
");
    let filter = ServiceFilter { namespace: None, name: Some("web".to_owned()) };
    let json = printed(services(&names(), &filter), Format::Json);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["version"], 1);
    assert_eq!(
        value["services"][0],
        serde_json::json!({
            "id": 1, "frontend": "10.96.0.1:80", "protocol": "tcp", "scope": "internal", "type": "ClusterIP",
            "service": 7, "name": "default/web:http", "scheduler": "random", "affinity": null, "flags": [],
            "backends": [
                {"index": 1, "address": "10.0.1.9:8080", "state": "terminating", "local": false},
                {"index": 2, "address": "10.0.1.72:8080", "state": "active", "local": false},
            ],
        })
    );
    assert_eq!(value["services"][1]["scope"], "both");
    assert_eq!(value["services"].as_array().unwrap().len(), 2);
}

#[test]
fn flows_are_shown_with_their_four_ends_and_can_be_picked() {
    let (world, key) = flow(6, CONNTRACK_SEEN_REPLY, Duration::from_mins(3));
    let row = |key| flows::flow(&world, key, &world.conntrack[key], &Names::default(), NOW);
    let shown = row(&key).unwrap();
    let reply = world.conntrack.keys().find(|key| key.direction != DIRECTION_ORIGINAL).unwrap();
    assert_eq!(row(reply), None, "one line for both rows");
    assert_eq!(printed(vec![shown.clone()], Format::Table), "\
Protocol   Client           Frontend             SNAT                 Backend         State         Idle   Expires
tcp        192.0.2.1:4000   198.51.100.1:30080   198.51.100.1:40000   10.0.0.1:8080   established   3m     2h1m
");
    assert_eq!(printed(vec![shown.clone()], Format::Wide), "\
Protocol   Client           Frontend             SNAT                 Backend         State         Idle   Expires   Origin      Way    Packets   Bytes   Service
tcp        192.0.2.1:4000   198.51.100.1:30080   198.51.100.1:40000   10.0.0.1:8080   established   180s   7260s     node-port   snat   4         400     3
");
    let all = FlowFilter::default();
    let at = |text: &str| Some(text.parse().unwrap());
    for (filter, is_match) in [
        (all.clone(), true),
        (FlowFilter { client: at("192.0.2.1"), ..all.clone() }, true),
        (FlowFilter { client: at("192.0.2.1:4001"), ..all.clone() }, false),
        (FlowFilter { backend: at("10.0.0.1:8080"), ..all.clone() }, true),
        (FlowFilter { frontend: at("10.0.0.1"), ..all.clone() }, false),
        (FlowFilter { snat: at("198.51.100.1:40000"), ..all.clone() }, true),
        (FlowFilter { protocol: Some(spillway_admin::Protocol::Udp), ..all.clone() }, false),
        (FlowFilter { state: Some("established".to_owned()), ..all.clone() }, true),
        (FlowFilter { state: Some("closed".to_owned()), ..all }, false),
    ] {
        assert_eq!(filter.matches(&shown), is_match, "{filter:?}");
    }
}

#[test]
fn source_ports_are_shown_by_client_and_backend() {
    let (world, _) = flow(6, 0, Duration::from_secs(5));
    let shown: Vec<_> =
        world.nat.iter().filter_map(|(key, row)| flows::nat(&world, key, row, NOW)).collect();
    assert!(shown.iter().all(|row| FlowFilter::default().matches_nat(row)));
    assert_eq!(
        printed(shown, Format::Table),
        "\
Protocol   Client           SNAT                 Backend         Idle
tcp        192.0.2.1:4000   198.51.100.1:40000   10.0.0.1:8080   5s
"
    );
}

#[test]
fn drops_have_the_appliances_words() {
    let count = |number: u32| match number {
        27 => 12_345,
        200 => 1,
        _ => 0,
    };
    assert_eq!(
        printed(drops::rows(256, false, count), Format::Table),
        "\
No.   Reason       Count   Description
27    no-backend   12.3k   No backend of the Service takes new flows.
200   reason-200   1       Of another version.
"
    );
    let all = drops::rows(256, true, count);
    assert_eq!(all.len(), spillway_lb::verdict::DropReason::ALL.len() + 1);
}
