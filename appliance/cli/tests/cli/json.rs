//! The exact output of every command as JSON.

use spillway_admin::{
    ConntrackFilter, ConntrackRow, Request, Row, ServiceFilter, ServiceRow, Trailer, encode_header,
    encode_row, encode_trailer,
};

use crate::daemon::Daemon;
use crate::samples;

#[track_caller]
fn shows<R: Row>(rows: &[R], arguments: &str, request: &Request, expected: &str) {
    let printed = Daemon::with_rows(rows).printed(arguments, request);
    assert_eq!(printed, expected, "\n{printed}");
}

#[test]
fn service_list() {
    shows(
        &samples::services(),
        "service list -o json",
        &Request::ServiceList(ServiceFilter::default()),
        r#"{
  "version": 1,
  "services": [
    {"id":1,"name":"web","frontend":"172.26.50.101:30645","protocol":"tcp","kind":"NodePort","scheduler":"random","backends":[{"index":1,"address":"10.0.1.72:80","state":"active","reason":null,"weight":100,"flows":12}],"flows":12,"flows_total":1234567,"refused_total":3},
    {"id":2,"name":"kube-system/dns","frontend":"198.51.100.10:53","protocol":"udp","kind":"LoadBalancer","scheduler":"maglev","backends":[{"index":1,"address":"10.0.1.72:5353","state":"active","reason":null,"weight":100,"flows":12},{"index":2,"address":"10.0.1.73:5353","state":"down","reason":"connection refused","weight":100,"flows":0},{"index":3,"address":"10.0.1.74:5353","state":"drained","reason":null,"weight":0,"flows":12}],"flows":12,"flows_total":1234567,"refused_total":3},
    {"id":3,"name":"empty","frontend":"198.51.100.11:443","protocol":"tcp","kind":"ClusterIP","scheduler":"random","backends":[],"flows":0,"flows_total":0,"refused_total":0}
  ]
}
"#,
    );
}

#[test]
fn backend_list() {
    shows(
        &samples::backends(),
        "backend list -o json",
        &Request::BackendList,
        r#"{
  "version": 1,
  "backends": [
    {"address":"10.0.1.72:80","protocol":"tcp","services":["web","shop"],"state":"active","reason":null,"weight":100,"since_seconds":7440,"flows":12345},
    {"address":"10.0.1.73:80","protocol":"tcp","services":["web"],"state":"down","reason":"connection refused","weight":100,"since_seconds":5,"flows":0}
  ]
}
"#,
    );
}

#[test]
fn conntrack_list_says_how_many_and_whether_all() {
    shows(
        &samples::conntrack(),
        "conntrack list -o json",
        &Request::ConntrackList(ConntrackFilter::default()),
        r#"{
  "version": 1,
  "conntrack": [
    {"protocol":"tcp","client":"172.26.50.1:45012","frontend":"172.26.50.101:30645","snat":"10.0.1.1:31210","backend":"10.0.1.72:80","state":"established","idle_seconds":3,"expires_seconds":7437,"worker":0,"service":"web"},
    {"protocol":"udp","client":"192.0.2.7:5000","frontend":"172.26.50.101:30645","snat":"10.0.1.1:31210","backend":"10.0.1.72:80","state":"unreplied","idle_seconds":0,"expires_seconds":30,"worker":2,"service":null}
  ],
  "count": 2,
  "truncated": false
}
"#,
    );
}

#[test]
fn snat_list() {
    shows(
        &samples::snat(),
        "snat list -o json",
        &Request::SnatList,
        r#"{
  "version": 1,
  "snat": [
    {"address":"10.0.1.1","ports":{"first":32768,"last":60999},"backend":"10.0.1.72:80","protocol":"tcp","in_use":14116,"capacity":28232},
    {"address":"10.0.1.2","ports":{"first":31210,"last":31210},"backend":null,"protocol":null,"in_use":0,"capacity":1}
  ]
}
"#,
    );
}

#[test]
fn neighbor_list() {
    shows(
        &samples::neighbors(),
        "neighbor list -o json",
        &Request::NeighborList,
        r#"{
  "version": 1,
  "neighbors": [
    {"address":"10.0.1.72","mac":"02:00:00:00:01:72","port":"nodes","state":"reachable","age_seconds":75,"waiting_frames":0},
    {"address":"10.0.1.99","mac":null,"port":"nodes","state":"incomplete","age_seconds":null,"waiting_frames":4}
  ]
}
"#,
    );
}

#[test]
fn health_list() {
    shows(
        &samples::health(),
        "health list -o json",
        &Request::HealthList,
        r#"{
  "version": 1,
  "health": [
    {"service":"web","backend":"10.0.1.72:80","kind":"http","target":"http://10.0.1.72:80/healthz","state":"up","last_error":"status 503","last_check_seconds_ago":1,"last_latency_micros":842,"successes":7,"failures":0,"transitions":2,"interval_millis":1000,"timeout_millis":500,"fall":3,"rise":2},
    {"service":"web","backend":"10.0.1.73:80","kind":"tcp","target":"10.0.1.73:80","state":"unknown","last_error":null,"last_check_seconds_ago":null,"last_latency_micros":null,"successes":0,"failures":0,"transitions":0,"interval_millis":1000,"timeout_millis":500,"fall":3,"rise":2}
  ]
}
"#,
    );
}

#[test]
fn port_list() {
    shows(
        &samples::ports(),
        "port list -o json",
        &Request::PortList,
        r#"{
  "version": 1,
  "ports": [
    {"id":0,"name":"clients","driver":"net_af_packet","device":"net_af_packet0","mac":"02:00:00:00:00:01","link":"up","speed_mbps":10000,"mtu":1500,"vlan":50,"addresses":["172.26.50.101/24","172.26.50.102/24"],"rx_queues":1,"tx_queues":1,"rx_packets":1234567,"rx_bytes":987654321,"tx_packets":1234000,"tx_bytes":987000000,"rx_missed":12,"rx_errors":1,"tx_errors":2,"rx_no_mbuf":0,"features":["rss","tx-checksum"]},
    {"id":1,"name":"nodes","driver":"net_af_packet","device":"0000:03:00.0","mac":"02:00:00:00:00:02","link":"down","speed_mbps":null,"mtu":1500,"vlan":null,"addresses":[],"rx_queues":1,"tx_queues":1,"rx_packets":1234567,"rx_bytes":987654321,"tx_packets":1234000,"tx_bytes":987000000,"rx_missed":12,"rx_errors":1,"tx_errors":2,"rx_no_mbuf":0,"features":[]}
  ]
}
"#,
    );
}

#[test]
fn status() {
    shows(
        &[samples::status()],
        "status -o json",
        &Request::Status,
        r#"{
  "version": 1,
  "status": {"name":"edge-1","version":"0.1.0","pid":4711,"uptime_seconds":93784,"generation":7,"poll":"adaptive","source":"static","cluster":null,"workers":[{"id":0,"core":1,"flows":600000,"flows_max":1048576,"generation":7,"busy_percent":12.5,"rx_packets":1234000,"tx_packets":1233950,"local_packets":20,"originated":30,"handed_over":10,"dropped":50,"lost_on_tx":0},{"id":1,"core":2,"flows":600000,"flows_max":1048576,"generation":7,"busy_percent":null,"rx_packets":567,"tx_packets":550,"local_packets":20,"originated":5,"handed_over":0,"dropped":12,"lost_on_tx":0}],"flows":1200000,"flows_max":2097152,"services":3,"frontends":4,"backends_serving":5,"backends":6,"packets":{"rx":1234567,"tx":1234500,"local":40,"originated":35,"handed_over":10,"dropped":62,"lost_on_tx":0}}
}
"#,
    );
}

#[test]
fn drops_has_every_reason_and_the_balance() {
    shows(
        &[samples::drops()],
        "drops -o json",
        &Request::Drops,
        r#"{
  "version": 1,
  "balance": {"rx":1234567,"tx":1234500,"local":40,"originated":35,"handed_over":10,"dropped":62,"lost_on_tx":0},
  "drops": [
    {"number":1,"reason":"truncated","count":0,"workers":[0,0],"description":"The frame ends before its headers do."},
    {"number":24,"reason":"unlisted-port","count":60,"workers":[50,10],"description":"No frontend has this port of this address."},
    {"number":27,"reason":"no-backend","count":2,"workers":[0,2],"description":"No backend of the Service takes new flows."}
  ]
}
"#,
    );
}

#[test]
fn status_of_a_cluster() {
    let rows = [samples::status_of_lost_cluster()];
    let printed = Daemon::with_rows(&rows).printed("status -o json", &Request::Status);
    let expected = r#""source":"kubernetes","cluster":{"endpoint":"https://10.0.0.1:6443","server_version":"v1.36.2","stale":true,"from_cache":false,"feeds":[{"kind":"Service","synced":true,"objects":120,"last_contact_seconds_ago":73.9,"error":"connection refused","held":4},{"kind":"EndpointSlice","synced":true,"objects":12345,"last_contact_seconds_ago":0.1,"error":null,"held":null},{"kind":"Node","synced":true,"objects":3,"last_contact_seconds_ago":0.25,"error":null,"held":null}],"leader":{"is_leader":false,"holder":"edge-2"},"writes":{"done":17,"failed":0,"pending":1,"read_only":true},"refused":0},"workers""#;
    assert!(printed.contains(expected), "{printed}");
}

#[test]
fn service_list_refused() {
    shows(
        &samples::refused(),
        "service list --refused -o json",
        &Request::RefusedList(ServiceFilter::default()),
        r#"{
  "version": 1,
  "refused": [
    {"service":"voice/sip","port":"signal","kind":"LoadBalancer","reason":"sctp","message":"port signal: SCTP is not forwarded"},
    {"service":"default/web","port":null,"kind":null,"reason":"no-address","message":"pool public has no free address"}
  ]
}
"#,
    );
}

#[test]
fn node_list() {
    shows(
        &samples::nodes(),
        "node list -o json",
        &Request::NodeList,
        r#"{
  "version": 1,
  "nodes": [
    {"name":"node-1","addresses":["10.0.1.71","fd00:1::71"],"eligible":true,"reason":null,"pod_cidrs":["10.244.1.0/24"],"ready":true,"kube_proxy":"up","kube_proxy_error":null,"services":12345},
    {"name":"node-2","addresses":["10.0.1.72"],"eligible":true,"reason":null,"pod_cidrs":["10.244.1.0/24"],"ready":false,"kube_proxy":"down","kube_proxy_error":"HTTP 503","services":12345},
    {"name":"node-3","addresses":[],"eligible":false,"reason":"no InternalIP","pod_cidrs":[],"ready":null,"kube_proxy":null,"kube_proxy_error":null,"services":0}
  ]
}
"#,
    );
}

#[test]
fn pool_list() {
    shows(
        &samples::pools(),
        "pool list -o json",
        &Request::PoolList,
        r#"{
  "version": 1,
  "pools": [
    {"name":"public","addresses":["198.51.100.0/28","192.0.2.10-192.0.2.13"],"size":20,"used":15,"auto_assign":true,"priority":10,"namespaces":[],"labels":[]},
    {"name":"bank","addresses":["2001:db8:1::/48"],"size":18446744073709551615,"used":1,"auto_assign":false,"priority":0,"namespaces":["bank","audit"],"labels":["tier=gold","pci"]}
  ]
}
"#,
    );
}

#[test]
fn accept_shrink() {
    shows(
        &samples::accepted(),
        "kubernetes accept-shrink service -o json",
        &Request::AcceptShrink(Some(spillway_admin::ObjectKind::Service)),
        r#"{
  "version": 1,
  "accepted": [
    {"kind":"Service","objects_before":120,"objects":4}
  ]
}
"#,
    );
}

#[test]
fn an_empty_list_is_a_list() {
    let empty = "{\n  \"version\": 1,\n  \"services\": []\n}\n";
    shows::<ServiceRow>(
        &[],
        "service list -o json",
        &Request::ServiceList(ServiceFilter::default()),
        empty,
    );
}

#[test]
fn a_cut_list_says_so_in_the_object() {
    let answer = encode_header(ConntrackRow::KIND)
        + &encode_row(&samples::conntrack()[0])
        + &encode_trailer(Trailer { count: 1, truncated: true });
    let (outcome, _) = Daemon::answering(answer).ask("conntrack list --limit 1 -o json");
    let value: serde_json::Value = serde_json::from_str(&outcome.printed()).unwrap();
    assert_eq!((&value["count"], &value["truncated"]), (&1.into(), &true.into()));
}
