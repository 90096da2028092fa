//! What `[kubernetes]`, `[[pool]]` and their neighbours say when they are right.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use spillway_cluster::{Access, BackendMode, LabelRule, Policy, Span};
use spillway_control::settings::{KubernetesSettings, Settings, Sources, load};
use spillway_lb::model::{Affinity, Clockwork, Ejection, Route, Scheduler};

use crate::folder::{BASE, Folder, pairs};

/// [`BASE`] with source ports that leave the node ports of a cluster alone, and more.
fn with(more: &str) -> Folder {
    let base = BASE
        .replace("ports = \"31210-60999\"", "ports = \"32768-60999\"")
        .replace("172.26.50.101:30645", "172.26.50.101:80");
    Folder::with(&format!("{base}{more}"))
}

fn loaded(more: &str) -> Settings {
    with(more).load().unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn cluster(more: &str) -> KubernetesSettings {
    loaded(more).kubernetes.unwrap()
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn without_a_word_of_kubernetes_the_mode_is_static() {
    let settings = loaded("");
    assert_eq!(settings.kubernetes, None);
    assert_eq!(settings.metrics, None);
    assert_eq!(settings.notes, [""; 0]);
}

#[test]
fn a_cluster_that_says_nothing_has_the_policys_own_defaults() {
    let kubernetes = cluster("[kubernetes]\nin_cluster = true\n");
    let expected = KubernetesSettings {
        access: Access::InCluster,
        policy: Policy {
            node_port_addresses: ["172.26.50.101", "10.0.1.1"].map(|a| a.parse().unwrap()).into(),
            own: nets(&["10.0.1.1/32", "172.26.50.101/32", "172.26.50.110/32"]),
            ..Policy::default()
        },
        pools: Vec::new(),
        cache: Some("/var/lib/spillway/cluster.json".into()),
        idle_timeout: Duration::from_secs(30),
        shrink_hold: Duration::from_secs(30),
        write_status: true,
        lease_namespace: "kube-system".into(),
        lease_name: "spillway".into(),
        identity: "edge".into(),
    };
    assert_eq!(kubernetes, expected);
}

/// No key of `[kubernetes]` is left out, and none has its default.
const EVERYTHING: &str = r#"
[kubernetes]
kubeconfig = "/dev/null"
context = "admin@prod"
api_servers = ["https://10.0.0.1:6443", "https://[fd00::1]:6443/", "https://api.example.com"]
class = "example.com/lb"
classless = true
mode = "pod"
scheduler = "maglev"
node_port_addresses = ["10.0.1.1"]
node_port_range = "20000-22767"
external_ips = ["192.0.2.0/24"]
kube_proxy_port = 0
check_node_ports = false
cache = ""
idle_timeout = "10s"
shrink_hold = "0s"
write_status = false
lease = "lb/box"
identity = "left"

[kubernetes.health]
interval = "5s"
timeout = "3s"
fall = 4
rise = 5
jitter = 20
hold_down = "1m"
max_eject = 30
eject_window = "1m"
fail_open = false
"#;

#[test]
fn everything_about_a_cluster_can_be_said() {
    let kubernetes = cluster(EVERYTHING);
    let expected = KubernetesSettings {
        access: Access::Kubeconfig {
            path: "/dev/null".into(),
            context: Some("admin@prod".into()),
            endpoints: vec![
                "https://10.0.0.1:6443".into(),
                "https://[fd00::1]:6443".into(),
                "https://api.example.com".into(),
            ],
        },
        policy: Policy {
            class: "example.com/lb".into(),
            classless: true,
            node_port_addresses: vec!["10.0.1.1".parse().unwrap()],
            node_port_range: 20_000..=22_767,
            external_ips: nets(&["192.0.2.0/24"]),
            mode: BackendMode::Pod,
            scheduler: Scheduler::Maglev,
            checks: Clockwork {
                interval: Duration::from_secs(5),
                timeout: Duration::from_secs(3),
                fall: 4,
                rise: 5,
                jitter_percent: 20,
                hold_down: Duration::from_mins(1),
            },
            kube_proxy_port: None,
            check_node_ports: false,
            ejection: Ejection {
                percent_max: 30,
                window: Duration::from_mins(1),
                fail_open: false,
            },
            ipv6: false,
            own: nets(&["10.0.1.1/32", "172.26.50.101/32", "172.26.50.110/32"]),
        },
        pools: Vec::new(),
        cache: None,
        idle_timeout: Duration::from_secs(10),
        shrink_hold: Duration::ZERO,
        write_status: false,
        lease_namespace: "lb".into(),
        lease_name: "box".into(),
        identity: "left".into(),
    };
    assert_eq!(kubernetes, expected);
}

#[test]
fn no_address_answers_node_ports_when_that_is_said() {
    let text = BASE.to_owned() + "[kubernetes]\nin_cluster = true\nnode_ports = false\n";
    let settings = Folder::with(&text).load().unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert!(settings.kubernetes.unwrap().policy.node_port_addresses.is_empty());
}

#[test]
fn pools_keep_their_order_and_say_who_may_have_what() {
    let folder = with(
        r#"
[kubernetes]
in_cluster = true

[[pool]]
name = "public"
addresses = ["203.0.113.0/28", "198.51.100.10-198.51.100.20", "198.51.100.99"]

[[pool]]
name = "internal"
addresses = ["10.9.0.0/24"]
namespaces = ["shop", "kube-system"]
labels = { team = "web", "example.com/public" = "*", any = true, none = "" }
auto_assign = false
priority = 7
avoid_buggy_ips = true
"#,
    );
    folder.write("conf.d/a.toml", "[[pool]]\nname = \"public\"\npriority = 3\n");
    let sources =
        Sources { env: pairs(&[("SPILLWAY__POOL__INTERNAL__PRIORITY", "9")]), ..folder.sources() };
    let settings = load(&sources).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let pools = settings.kubernetes.unwrap().pools;
    let [public, internal] = pools.as_slice() else { panic!("{pools:?}") };
    let address = |text: &str| text.parse().unwrap();
    assert_eq!(
        public.spans,
        [
            Span::Prefix(address_net("203.0.113.0/28")),
            Span::Range { first: address("198.51.100.10"), last: address("198.51.100.20") },
            Span::Prefix(address_net("198.51.100.99/32")),
        ]
    );
    assert_eq!((public.name.as_str(), public.priority), ("public", 3));
    assert!(public.auto_assign && !public.avoid_buggy_ips);
    assert!(public.namespaces.is_empty() && public.labels.is_empty());
    assert_eq!((internal.name.as_str(), internal.priority), ("internal", 9));
    assert!(!internal.auto_assign && internal.avoid_buggy_ips);
    assert_eq!(internal.namespaces, ["shop", "kube-system"]);
    let rule = |key: &str, value: Option<&str>| LabelRule {
        key: key.to_owned(),
        value: value.map(str::to_owned),
    };
    assert_eq!(
        internal.labels,
        [
            rule("team", Some("web")),
            rule("example.com/public", None),
            rule("any", None),
            rule("none", Some("")),
        ]
    );
}

fn address_net(text: &str) -> IpNet {
    text.parse().unwrap()
}

#[test]
fn a_pool_of_ipv6_is_taken_and_noted_with_its_place() {
    let folder = with(
        "[kubernetes]\nin_cluster = true\n[[pool]]\nname = \"six\"\naddresses = [\"fd00::/112\"]\n",
    );
    let settings = folder.load().unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let file: PathBuf = folder.path("static.toml");
    let expected = format!(
        "{}:48:14: pool \"six\": fd00::/112 is IPv6, which is not served yet",
        file.display()
    );
    assert_eq!(settings.notes, [expected]);
    assert_eq!(settings.kubernetes.unwrap().pools.len(), 1);
}

#[test]
fn a_pool_that_avoids_the_ends_of_24s_may_hold_those_of_a_link() {
    let pool = "[kubernetes]\nin_cluster = true\n[[pool]]\nname = \"a\"\n\
                addresses = [\"172.26.50.240/28\"]\n";
    assert!(with(pool).load().is_err(), "it holds the link's broadcast address");
    loaded(&format!("{pool}avoid_buggy_ips = true\n"));
}

#[test]
fn a_static_service_can_say_affinity_source_ranges_and_how_much_may_be_ejected() {
    let text = BASE
        .replace("interval = \"2s\"", "hold_down = \"5s\"\nmax_eject = 40\nfail_open = true")
        .replace(
            "health = { type = \"http\", path = \"/healthz\" }",
            "affinity = { client_ip = \"10m\" }\nsource_ranges = [\"192.0.2.0/24\", \"fd00::/8\"]\n\
             health = { hold_down = \"7s\", max_eject = 20, eject_window = \"3s\", fail_open = false }",
        );
    let text =
        format!("{text}affinity = \"client-ip\"\nhealth = {{ type = \"tcp\", port = 80 }}\n");
    let settings = Folder::with(&text).load().unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let [web, dns] = settings.model.services.as_slice() else { panic!("{:?}", settings.model) };
    assert_eq!(web.affinity, Affinity::ClientIp { timeout: Duration::from_mins(10) });
    assert_eq!(web.source_ranges, nets(&["192.0.2.0/24", "fd00::/8"]));
    assert_eq!(
        web.ejection,
        Ejection { percent_max: 20, window: Duration::from_secs(3), fail_open: false }
    );
    assert_eq!(web.checks.first().unwrap().clockwork.hold_down, Duration::from_secs(7));
    assert_eq!(dns.affinity, Affinity::ClientIp { timeout: Duration::from_hours(3) });
    assert_eq!(dns.source_ranges, []);
    assert_eq!(
        dns.ejection,
        Ejection { percent_max: 40, window: Duration::from_secs(10), fail_open: true }
    );
    assert_eq!(dns.checks.first().unwrap().clockwork.hold_down, Duration::from_secs(5));
}

#[test]
fn health_without_a_word_ejects_without_a_limit_as_it_always_did() {
    let settings = loaded("");
    for service in &settings.model.services {
        assert_eq!(service.ejection, Ejection::default(), "{}", service.name);
        assert!(
            service.checks.iter().all(|check| check.clockwork.hold_down.is_zero()),
            "{}",
            service.name
        );
    }
}

#[test]
fn a_route_makes_a_backend_behind_a_node_reachable() {
    let text =
        BASE.replace("gateway = \"172.26.50.1\"\n", "").replace("10.0.1.72:80", "10.244.1.7:80");
    assert!(Folder::with(&text).load().is_err(), "nothing leads to 10.244.1.7");
    let text = text + "[[route]]\nprefix = \"10.244.1.0/24\"\nvia = \"10.0.1.71\"\n";
    let settings = Folder::with(&text).load().unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let expected =
        Route { prefix: "10.244.1.0/24".parse().unwrap(), via: "10.0.1.71".parse().unwrap() };
    assert_eq!(settings.model.routes, [expected]);
}

#[test]
fn metrics_are_served_where_it_is_said() {
    for listen in ["127.0.0.1:9100", "[::1]:9100"] {
        let settings = loaded(&format!("[metrics]\nlisten = \"{listen}\"\n"));
        assert_eq!(settings.metrics, Some(listen.parse().unwrap()));
    }
}
