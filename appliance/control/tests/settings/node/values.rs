//! What values become.

use std::time::Duration;

use spillway_cluster::Access;
use spillway_cluster::addresses::Family;
use spillway_cluster::node::Place;
use spillway_control::settings::node::{Delivery, TcAttach};
use spillway_lb::model::{Affinity, Protocol, Scheduler, ServiceKind};

use super::{good, load_with};

const DNS: &str = r#"
[[service]]
name = "dns"
frontends = ["10.96.0.10:53/udp", "[fd00:10:96::a]:53/udp"]
backends = ["[fd00::3]:53", "10.244.1.3:53", { address = "10.244.0.2:53", local = true, weight = 0 }]
"#;

#[test]
fn the_hostname_in_lower_case_is_the_name_unless_another_is_given() {
    assert_eq!(good(DNS).policy.node, "node-1.example");
    let named = load_with(DNS, &[("name", "other")]).unwrap();
    assert_eq!(named.policy.node, "other");
}

#[test]
fn a_static_service_is_one_service_per_family_with_the_backends_of_that_family() {
    let services = good(DNS).policy.services;
    let [v4, v6] = services.as_slice() else { panic!("{services:?}") };
    assert_eq!((v4.family, v6.family), (Family::V4, Family::V6));
    assert_eq!((v4.name.as_str(), v6.name.as_str()), ("dns", "dns"));
    assert_eq!((v4.protocol, v6.protocol), (Protocol::Udp, Protocol::Udp));
    let backends: Vec<String> = v4.backends.iter().map(|it| it.address.to_string()).collect();
    assert_eq!(backends, ["10.244.0.2", "10.244.1.3"]);
    assert_eq!(&*v4.pools[0].members, [1], "weight 0 takes no new flow");
    assert_eq!(&*v6.pools[0].members, [0]);
    assert_eq!(v4.frontends[0].place, Place::Address("10.96.0.10".parse().unwrap()));
    assert_eq!(v4.frontends[0].external, None, "a ClusterIP is not answered to the outside");
}

#[test]
fn policy_local_is_a_pool_of_its_own() {
    let text = r#"
[[service]]
name = "web"
type = "NodePort"
frontends = ["*:30080"]
external_policy = "Local"
scheduler = "maglev"
affinity = { client_ip = "30m" }
source_ranges = ["192.0.2.0/24"]
backends = [{ address = "10.244.0.5:80", local = true }, "10.244.1.5:80"]
"#;
    let services = good(text).policy.services;
    let [web] = services.as_slice() else { panic!("{services:?}") };
    let [frontend] = web.frontends.as_slice() else { panic!("{web:?}") };
    assert_eq!((frontend.kind, frontend.place), (ServiceKind::NodePort, Place::Node));
    assert!(frontend.is_guarded);
    let pool = |index: u8| &web.pools[usize::from(index)];
    assert_eq!(&*pool(frontend.internal).members, [0, 1]);
    let external = pool(frontend.external.unwrap());
    assert_eq!((&*external.members, external.is_local), (&[0][..], true));
    assert_eq!(web.scheduler, Scheduler::Maglev);
    assert_eq!(web.affinity, Affinity::ClientIp { timeout: Duration::from_mins(30) });
}

#[test]
fn every_section_says_what_it_means() {
    let text = r#"
state_dir = "/tmp/node"

[kubernetes]
kubeconfig = "/dev/null"
scheduler = "maglev"
external_ips = ["192.0.2.0/24"]
cache = ""
idle_timeout = "5s"
shrink_hold = "0ms"

[node_ports]
range = "20000-20099"
addresses = ["10.0.0.0/8"]
guard = false

[cluster_ips]
prefixes = ["10.96.0.0/16", "fd00:10:96::/112"]

[datapath]
cgroup = "/sys/fs/cgroup/unified"
pins = "/sys/fs/bpf/other"
tc_attach = "clsact"
delivery = "pass"
snat_ports = "61000-65535"
reap_tcp = true

[devices]
netdevs = ["eth0"]
pods = ["veth*", "cali*"]
exclude = ["veth-mon"]

[maps]
frontends = 131072
events_bytes = 65536

[health]
listen = ""

[metrics]
listen = "[::1]:9101"
"#;
    let settings = good(text);
    let kubernetes = settings.kubernetes.unwrap();
    assert!(matches!(kubernetes.access, Access::Kubeconfig { .. }));
    assert_eq!((kubernetes.cache, kubernetes.shrink_hold), (None, Duration::ZERO));
    assert_eq!(kubernetes.idle_timeout, Duration::from_secs(5));
    assert_eq!(settings.policy.scheduler, Scheduler::Maglev);
    assert_eq!(settings.policy.external_ips.len(), 1);
    assert_eq!(settings.policy.node_port_range, 20_000..=20_099);
    assert!(!settings.node_ports.guard && settings.refuse_unowned);
    assert_eq!(settings.service_prefixes.len(), 2);
    let datapath = settings.datapath;
    assert_eq!(datapath.cgroup.to_str(), Some("/sys/fs/cgroup/unified"));
    assert_eq!(datapath.pins.to_str(), Some("/sys/fs/bpf/other"));
    assert_eq!((datapath.tc_attach, datapath.delivery), (TcAttach::Clsact, Delivery::Pass));
    assert_eq!((datapath.snat_ports, datapath.reap_tcp), (61_000..=65_535, true));
    assert!(settings.devices.pods.iter().any(|pattern| pattern.matches("cali1234")));
    assert!(settings.devices.exclude[0].matches("veth-mon"));
    assert_eq!((settings.maps.frontends, settings.maps.events_bytes), (131_072, 65_536));
    assert_eq!(settings.state_dir.to_str(), Some("/tmp/node"));
    assert_eq!(settings.health, None);
    assert_eq!(settings.metrics, Some("[::1]:9101".parse().unwrap()));
}

#[test]
fn a_flag_changes_one_key_of_one_service() {
    let settings = load_with(DNS, &[("service.dns.scheduler", "maglev")]).unwrap();
    assert!(settings.policy.services.iter().all(|it| it.scheduler == Scheduler::Maglev));
}
