//! The exact output of every command as a table.

use spillway_admin::{
    ConntrackFilter, ConntrackRow, Request, Row, ServiceFilter, ServiceRow, Trailer, encode_header,
    encode_list, encode_row, encode_trailer,
};

use crate::daemon::Daemon;
use crate::samples;

#[track_caller]
fn shows<R: Row>(rows: &[R], arguments: &str, request: &Request, expected: &str) {
    let printed = Daemon::with_rows(rows).printed(arguments, request);
    assert_eq!(printed, expected, "\n{printed}");
}

#[test]
fn service_list_has_the_shape_that_operators_know() {
    shows(
        &[samples::service()],
        "service list",
        &Request::ServiceList(ServiceFilter::default()),
        "\
ID   Frontend              Service Type   Backend
1    172.26.50.101:30645   NodePort       1 => 10.0.1.72:80 (active)
",
    );
}
#[test]
fn service_list_shows_further_backends_below_the_first() {
    shows(
        &samples::services(),
        "service list",
        &Request::ServiceList(ServiceFilter::default()),
        "\
ID   Frontend              Service Type   Backend
1    172.26.50.101:30645   NodePort       1 => 10.0.1.72:80 (active)
2    198.51.100.10:53      LoadBalancer   1 => 10.0.1.72:5353 (active)
                                          2 => 10.0.1.73:5353 (down: connection refused)
                                          3 => 10.0.1.74:5353 (drained)
3    198.51.100.11:443     ClusterIP
",
    );
}

#[test]
fn service_list_wide_names_services_schedulers_weights_and_flows() {
    shows(
        &samples::services(),
        "service list -o wide",
        &Request::ServiceList(ServiceFilter::default()),
        "\
ID   Frontend              Protocol   Service Type   Name              Scheduler   Flows   Flows Total   Refused Total   Backend                                          Weight   Backend Flows
1    172.26.50.101:30645   tcp        NodePort       web               random      12      1234567       3               1 => 10.0.1.72:80 (active)                       100      12
2    198.51.100.10:53      udp        LoadBalancer   kube-system/dns   maglev      12      1234567       3               1 => 10.0.1.72:5353 (active)                     100      12
                                                                                                                         2 => 10.0.1.73:5353 (down: connection refused)   100      0
                                                                                                                         3 => 10.0.1.74:5353 (drained)                    0        12
3    198.51.100.11:443     tcp        ClusterIP      empty             random      0       0             0
",
    );
}

#[test]
fn backend_list() {
    shows(
        &samples::backends(),
        "backend list",
        &Request::BackendList,
        "\
Backend        State                      Since   Flows   Services
10.0.1.72:80   active                     2h4m    12.3k   web, shop
10.0.1.73:80   down: connection refused   5s      0       web
",
    );
}

#[test]
fn backend_list_wide() {
    shows(
        &samples::backends(),
        "backend list -o wide",
        &Request::BackendList,
        "\
Backend        Protocol   State                      Since   Weight   Flows   Services
10.0.1.72:80   tcp        active                     7440s   100      12345   web, shop
10.0.1.73:80   tcp        down: connection refused   5s      100      0       web
",
    );
}

#[test]
fn conntrack_list() {
    shows(
        &samples::conntrack(),
        "conntrack list",
        &Request::ConntrackList(ConntrackFilter::default()),
        "\
Protocol   Client              Frontend              SNAT             Backend        State         Idle   Expires
tcp        172.26.50.1:45012   172.26.50.101:30645   10.0.1.1:31210   10.0.1.72:80   established   3s     2h3m
udp        192.0.2.7:5000      172.26.50.101:30645   10.0.1.1:31210   10.0.1.72:80   unreplied     0s     30s
",
    );
}

#[test]
fn conntrack_list_wide() {
    shows(
        &samples::conntrack(),
        "conntrack list -o wide",
        &Request::ConntrackList(ConntrackFilter::default()),
        "\
Protocol   Client              Frontend              SNAT             Backend        State         Idle   Expires   Worker   Service
tcp        172.26.50.1:45012   172.26.50.101:30645   10.0.1.1:31210   10.0.1.72:80   established   3s     7437s     0        web
udp        192.0.2.7:5000      172.26.50.101:30645   10.0.1.1:31210   10.0.1.72:80   unreplied     0s     30s       2        -
",
    );
}

#[test]
fn snat_list() {
    shows(
        &samples::snat(),
        "snat list",
        &Request::SnatList,
        "\
SNAT Address   Ports         Protocol   Backend        In Use   Capacity   Used
10.0.1.1       32768-60999   tcp        10.0.1.72:80   14.1k    28.2k      50.0%
10.0.1.2       31210         -          -              0        1          0.0%
",
    );
}

#[test]
fn snat_list_wide() {
    shows(
        &samples::snat(),
        "snat list -o wide",
        &Request::SnatList,
        "\
SNAT Address   Ports         Protocol   Backend        In Use   Capacity   Used
10.0.1.1       32768-60999   tcp        10.0.1.72:80   14116    28232      50.0%
10.0.1.2       31210         -          -              0        1          0.0%
",
    );
}

#[test]
fn neighbor_list() {
    shows(
        &samples::neighbors(),
        "neighbor list",
        &Request::NeighborList,
        "\
Address     MAC                 Port    State        Age
10.0.1.72   02:00:00:00:01:72   nodes   reachable    1m15s
10.0.1.99   -                   nodes   incomplete   -
",
    );
}

#[test]
fn neighbor_list_wide() {
    shows(
        &samples::neighbors(),
        "neighbor list -o wide",
        &Request::NeighborList,
        "\
Address     MAC                 Port    State        Age   Waiting Frames
10.0.1.72   02:00:00:00:01:72   nodes   reachable    75s   0
10.0.1.99   -                   nodes   incomplete   -     4
",
    );
}

#[test]
fn health_list() {
    shows(
        &samples::health(),
        "health list",
        &Request::HealthList,
        "\
Service   Backend        Check   State     Last Check   Last Error
web       10.0.1.72:80   http    up        1s ago       status 503
web       10.0.1.73:80   tcp     unknown   -            -
",
    );
}

#[test]
fn health_list_wide() {
    shows(
        &samples::health(),
        "health list -o wide",
        &Request::HealthList,
        "\
Service   Backend        Check   Target                        State     Last Check   Latency   Successes   Failures   Transitions   Interval   Timeout   Fall   Rise   Last Error
web       10.0.1.72:80   http    http://10.0.1.72:80/healthz   up        1s ago       842us     7           0          2             1000ms     500ms     3      2      status 503
web       10.0.1.73:80   tcp     10.0.1.73:80                  unknown   -            -         0           0          0             1000ms     500ms     3      2      -
",
    );
}

#[test]
fn port_list() {
    shows(
        &samples::ports(),
        "port list",
        &Request::PortList,
        "\
ID   Name      Link   Speed       Addresses                           RX Packets   TX Packets   RX Missed   Errors
0    clients   up     10000Mb/s   172.26.50.101/24,172.26.50.102/24   1.2M         1.2M         12          3
1    nodes     down   -           -                                   1.2M         1.2M         12          3
",
    );
}

#[test]
fn port_list_wide() {
    shows(
        &samples::ports(),
        "port list -o wide",
        &Request::PortList,
        "\
ID   Name      Driver          Device           MAC                 Link   Speed       MTU    VLAN   Addresses                           RX Queues   TX Queues   RX Packets   RX Bytes    TX Packets   TX Bytes    RX Missed   RX Errors   TX Errors   RX No Mbuf   Features
0    clients   net_af_packet   net_af_packet0   02:00:00:00:00:01   up     10000Mb/s   1500   50     172.26.50.101/24,172.26.50.102/24   1           1           1234567      987654321   1234000      987000000   12          1           2           0            rss,tx-checksum
1    nodes     net_af_packet   0000:03:00.0     02:00:00:00:00:02   down   -           1500   -      -                                   1           1           1234567      987654321   1234000      987000000   12          1           2           0            -
",
    );
}

#[test]
fn status() {
    shows(
        &[samples::status()],
        "status",
        &Request::Status,
        "\
Name:        edge-1
Version:     0.1.0
PID:         4711
Uptime:      1d2h
Kubernetes:  none (static)
Generation:  7
Poll:        adaptive
Services:    3 with 4 frontends
Backends:    5 of 6 serving
Flows:       1.2M of 2.0M (57.2%)
Packets:     1.2M received, 1.2M sent, 40 local, 62 dropped, 0 lost

Worker   Core   Busy    Flows    RX     TX     Local   Dropped   Lost
0        1      12.5%   600.0k   1.2M   1.2M   20      50        0
1        2      -       600.0k   567    550    20      12        0
",
    );
}

#[test]
fn status_wide() {
    shows(
        &[samples::status()],
        "status -o wide",
        &Request::Status,
        "\
Name:        edge-1
Version:     0.1.0
PID:         4711
Uptime:      93784s
Kubernetes:  none (static)
Generation:  7
Poll:        adaptive
Services:    3 with 4 frontends
Backends:    5 of 6 serving
Flows:       1200000 of 2097152 (57.2%)
Packets:     1234567 received, 1234500 sent, 40 local, 62 dropped, 0 lost

Worker   Core   Busy    Flows    Flows Max   Generation   RX        TX        Local   Originated   Handed Over   Dropped   Lost
0        1      12.5%   600000   1048576     7            1234000   1233950   20      30           10            50        0
1        2      -       600000   1048576     7            567       550       20      5            0             12        0
",
    );
}

/// The lines of `spillway status` about the cluster.
#[track_caller]
fn cluster_lines(status: spillway_admin::Status, arguments: &str) -> String {
    let printed = Daemon::with_rows(&[status]).printed(arguments, &Request::Status);
    let (_, after) = printed.split_once("Uptime:").unwrap();
    let (_, lines) = after.split_once('\n').unwrap();
    lines.split_once("Generation:").unwrap().0.to_owned()
}

#[test]
fn status_tells_where_the_api_server_is_and_how_fresh_its_word() {
    assert_eq!(
        cluster_lines(samples::status_of_cluster(), "status"),
        "\
Cluster:     https://10.0.0.1:6443 v1.36.2, synced 0.4s ago
Objects:     120 Service, 12.3k EndpointSlice, 3 Node
Refused:     2 (see: spillway service list --refused)
Leader:      this box
Writes:      17 done, 0 failed, 1 pending
",
    );
}

#[test]
fn status_says_stale_and_why_and_what_is_held() {
    assert_eq!(
        cluster_lines(samples::status_of_lost_cluster(), "status -o wide"),
        "\
Cluster:     https://10.0.0.1:6443 v1.36.2, STALE 73s: connection refused, serving last known state
Objects:     120 Service, 12345 EndpointSlice, 3 Node
Held:        Service: a list of 4 instead of 120 is not believed yet (spillway kubernetes accept-shrink Service)
Refused:     none
Leader:      edge-2
Writes:      17 done, 0 failed, 1 pending; READ-ONLY: the cluster forbids writing
",
    );
}

#[test]
fn status_says_that_what_is_served_comes_from_disk_or_that_nothing_is_known() {
    let remembered = samples::status_of_remembered_cluster();
    let lines = cluster_lines(remembered.clone(), "status");
    let first = "Cluster:     https://10.0.0.1:6443, STALE: certificate has expired, \
                 serving the last state from disk\n";
    assert!(lines.starts_with(first), "{lines}");
    assert!(lines.contains("Leader:      unknown\n"), "{lines}");
    let mut nothing = remembered;
    nothing.cluster.as_mut().unwrap().from_cache = false;
    let lines = cluster_lines(nothing, "status");
    assert!(lines.contains("certificate has expired, nothing known yet\n"), "{lines}");
}

#[test]
fn service_list_refused() {
    shows(
        &samples::refused(),
        "service list --refused",
        &Request::RefusedList(ServiceFilter::default()),
        "\
Service       Port     Service Type   Reason       Message
voice/sip     signal   LoadBalancer   sctp         port signal: SCTP is not forwarded
default/web   -        -              no-address   pool public has no free address
",
    );
}

#[test]
fn node_list() {
    shows(
        &samples::nodes(),
        "node list",
        &Request::NodeList,
        "\
Name     Addresses              Eligible            Kube-Proxy       Services
node-1   10.0.1.71,fd00:1::71   yes                 up               12.3k
node-2   10.0.1.72              yes                 down: HTTP 503   12.3k
node-3   -                      no: no InternalIP   -                0
",
    );
}

#[test]
fn node_list_wide() {
    shows(
        &samples::nodes(),
        "node list -o wide",
        &Request::NodeList,
        "\
Name     Addresses              Eligible            Kube-Proxy       Services   Ready   Pod CIDRs
node-1   10.0.1.71,fd00:1::71   yes                 up               12345      yes     10.244.1.0/24
node-2   10.0.1.72              yes                 down: HTTP 503   12345      no      10.244.1.0/24
node-3   -                      no: no InternalIP   -                0          -       -
",
    );
}

#[test]
fn pool_list() {
    shows(
        &samples::pools(),
        "pool list",
        &Request::PoolList,
        "\
Name     Addresses                               Size       Used   Share   Auto Assign
public   198.51.100.0/28,192.0.2.10-192.0.2.13   20         15     75.0%   yes
bank     2001:db8:1::/48                         18446.7P   1      0.0%    no
",
    );
}

#[test]
fn pool_list_wide() {
    shows(
        &samples::pools(),
        "pool list -o wide",
        &Request::PoolList,
        "\
Name     Addresses                               Size                   Used   Share   Auto Assign   Priority   Namespaces   Labels
public   198.51.100.0/28,192.0.2.10-192.0.2.13   20                     15     75.0%   yes           10         -            -
bank     2001:db8:1::/48                         18446744073709551615   1      0.0%    no            0          bank,audit   tier=gold,pci
",
    );
}

#[test]
fn accepting_a_shrunken_list_shows_what_was_accepted() {
    shows(
        &samples::accepted(),
        "kubernetes accept-shrink",
        &Request::AcceptShrink(None),
        "\
Kind      Objects Before   Objects
Service   120              4
",
    );
}

#[test]
fn drops_shows_what_happened_and_the_balance() {
    shows(
        &[samples::drops()],
        "drops",
        &Request::Drops,
        "\
No.   Reason          Count   Description
24    unlisted-port   60      No frontend has this port of this address.
27    no-backend      2       No backend of the Service takes new flows.

Balance: rx 1234567 + originated 35 = tx 1234500 + local 40 + dropped 62 + lost 0 (balanced)
",
    );
}

#[test]
fn drops_wide_shows_each_worker() {
    shows(
        &[samples::drops()],
        "drops -o wide",
        &Request::Drops,
        "\
No.   Reason          Count   Worker 0   Worker 1   Description
24    unlisted-port   60      50         10         No frontend has this port of this address.
27    no-backend      2       0          2          No backend of the Service takes new flows.

Balance: rx 1234567 + originated 35 = tx 1234500 + local 40 + dropped 62 + lost 0 (balanced)
",
    );
}

#[test]
fn drops_all_shows_every_reason() {
    shows(
        &[samples::drops()],
        "drops --all",
        &Request::Drops,
        "\
No.   Reason          Count   Description
1     truncated       0       The frame ends before its headers do.
24    unlisted-port   60      No frontend has this port of this address.
27    no-backend      2       No backend of the Service takes new flows.

Balance: rx 1234567 + originated 35 = tx 1234500 + local 40 + dropped 62 + lost 0 (balanced)
",
    );
}

#[test]
fn a_balance_that_does_not_add_up_says_so() {
    for (rx, verdict) in [(1_234_570, "(3 under way)"), (1_234_560, "(7 counted too often)")] {
        let mut report = samples::drops();
        report.balance.rx = rx;
        let printed = Daemon::with_rows(&[report]).printed("drops", &Request::Drops);
        assert!(printed.ends_with(&format!("{verdict}\n")), "{printed}");
    }
}

#[test]
fn an_empty_list_is_its_headings() {
    let headings = "ID   Frontend   Service Type   Backend\n";
    shows::<ServiceRow>(
        &[],
        "service list",
        &Request::ServiceList(ServiceFilter::default()),
        headings,
    );
}

#[test]
fn a_cut_list_is_shown_and_the_rest_mentioned() {
    let answer = encode_header(ConntrackRow::KIND)
        + &encode_row(&samples::conntrack()[0])
        + &encode_trailer(Trailer { count: 1, truncated: true });
    let (outcome, _) = Daemon::answering(answer).ask("conntrack list --limit 1");
    assert_eq!(outcome.code, Some(0));
    assert_eq!(outcome.stdout.lines().count(), 2);
    assert_eq!(outcome.stderr, "spillway: there are more than these 1\n");
}

#[test]
fn text_from_the_daemon_cannot_command_the_terminal() {
    const NASTY: &str = "x\u{1b}]0;owned\u{7}\r\n\u{9b}2J";
    let nasty = || NASTY.to_owned();
    let mut service = samples::service();
    service.name = nasty();
    service.backends[0].reason = Some(nasty());
    let mut backend = samples::backends().remove(0);
    (backend.services, backend.reason) = (vec![nasty()], Some(nasty()));
    let mut flow = samples::conntrack().remove(0);
    flow.service = Some(nasty());
    let mut neighbor = samples::neighbors().remove(0);
    neighbor.port = nasty();
    let mut check = samples::health().remove(0);
    (check.service, check.target, check.last_error) = (nasty(), nasty(), Some(nasty()));
    let mut port = samples::ports().remove(0);
    (port.name, port.driver, port.device) = (nasty(), nasty(), nasty());
    (port.addresses, port.features) = (vec![nasty()], vec![nasty()]);
    let mut report = samples::drops();
    (report.drops[1].reason, report.drops[1].description) = (nasty(), nasty());
    let mut status = samples::status_of_lost_cluster();
    (status.name, status.version) = (nasty(), nasty());
    let cluster = status.cluster.as_mut().unwrap();
    (cluster.endpoint, cluster.server_version) = (nasty(), Some(nasty()));
    (cluster.feeds[0].error, cluster.leader.holder) = (Some(nasty()), Some(nasty()));
    let mut refusal = samples::refused().remove(0);
    (refusal.service, refusal.port) = (nasty(), Some(nasty()));
    (refusal.reason, refusal.message) = (nasty(), nasty());
    let mut node = samples::nodes().remove(1);
    (node.name, node.reason, node.kube_proxy_error) = (nasty(), Some(nasty()), Some(nasty()));
    node.pod_cidrs = vec![nasty()];
    let mut pool = samples::pools().remove(0);
    (pool.name, pool.addresses) = (nasty(), vec![nasty()]);
    (pool.namespaces, pool.labels) = (vec![nasty()], vec![nasty()]);
    for (answer, command, occurrences) in [
        (encode_list(&[service]), "service list", 2),
        (encode_list(&[backend]), "backend list", 2),
        (encode_list(&[flow]), "conntrack list", 1),
        (encode_list(&[neighbor]), "neighbor list", 1),
        (encode_list(&[check]), "health list", 3),
        (encode_list(&[port]), "port list", 5),
        (encode_list(&[report]), "drops", 2),
        (encode_list(&[status]), "status", 6),
        (encode_list(&[refusal]), "service list --refused", 4),
        (encode_list(&[node]), "node list", 4),
        (encode_list(&[pool]), "pool list", 4),
    ] {
        for format in ["wide", "json"] {
            let command = format!("{command} -o {format}");
            let (outcome, _) = Daemon::answering(answer.clone()).ask(&command);
            let printed = outcome.printed();
            let raw = printed.chars().find(|c| c.is_control() && *c != '\n');
            assert_eq!(raw, None, "{command}: {printed:?}");
            assert_eq!(printed.matches("owned").count(), occurrences, "{command}: {printed}");
            assert!(!printed.contains("owned\n"), "{command}: {printed}");
        }
    }
}
