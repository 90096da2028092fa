//! `[kubernetes]`, and `[metrics]` beside it.

use super::check;

/// The text of a section at the end of the base.
const AT_END: &str = "";

const HEAD: &str = "[kubernetes]\nin_cluster = true\nnode_ports = false\n";

#[test]
fn a_cluster_that_cannot_be_reached_is_refused() {
    const TWO: Option<&str> = Some(
        "a pod has the account and the address that Kubernetes gives it; take out one of the two",
    );
    check(&[
        (
            AT_END,
            "«[kubernetes]»\nnode_ports = false",
            "kubernetes: kubeconfig is missing",
            Some(
                "name the file, such as kubeconfig = \"/etc/spillway/kubeconfig\", or say in_cluster = true",
            ),
        ),
        (
            AT_END,
            "[kubernetes]\nnode_ports = false\nkubeconfig = «\"/nowhere/kubeconfig\"»",
            "kubernetes: kubeconfig /nowhere/kubeconfig cannot be read: No such file or directory (os error 2)",
            Some(
                "config/kubernetes/README.md says how to make one; a relative path starts where the daemon was started",
            ),
        ),
        (
            AT_END,
            "[kubernetes]\nnode_ports = false\nkubeconfig = «\"/dev\"»",
            "kubernetes: kubeconfig /dev cannot be read: it is a directory",
            Some(
                "config/kubernetes/README.md says how to make one; a relative path starts where the daemon was started",
            ),
        ),
        (
            AT_END,
            "[kubernetes]\nnode_ports = false\nin_cluster = true\nkubeconfig = «\"/dev/null\"»",
            "kubernetes: kubeconfig says nothing with in_cluster = true",
            TWO,
        ),
        (
            AT_END,
            "[kubernetes]\nnode_ports = false\nin_cluster = true\ncontext = «\"prod\"»",
            "kubernetes: context says nothing with in_cluster = true",
            TWO,
        ),
        (
            AT_END,
            "[kubernetes]\nnode_ports = false\nin_cluster = true\napi_servers = «[\"https://10.0.0.1:6443\"]»",
            "kubernetes: api_servers says nothing with in_cluster = true",
            TWO,
        ),
        (
            "[snat]\naddresses = [\"172.26.50.101\"]\nports = \"31210-60999\"\n\n[health]\ninterval = \"2s\"\n\n[timeouts]\nudp = \"30s\"\n\n[[service]]\nname = \"web\"\ntype = \"NodePort\"\nfrontends = [\"172.26.50.101:30645\"]\nscheduler = \"random\"\nbackends = [\"10.0.1.71:80\", \"10.0.1.72:80\"]\nhealth = { type = \"http\", path = \"/healthz\" }\n\n[[service]]\nname = \"dns\"\nfrontends = [\"172.26.50.110:53/udp\"]\nbackends = [\"10.0.1.71:53\"]\n",
            "[kubernetes]\nin_cluster = true\n",
            "kubernetes needs a SNAT address, and there is no [snat]",
            Some(
                "add [snat] with addresses = [\"...\"]: flows leave for their backends from there",
            ),
        ),
    ]);
}

#[test]
fn addresses_of_no_api_server_are_refused() {
    const URL: Option<&str> =
        Some("write it as \"https://10.0.0.1:6443\" or \"https://[fd00::1]:6443\"");
    check(&[
        (
            AT_END,
            "[kubernetes]\nnode_ports = false\nkubeconfig = \"/dev/null\"\napi_servers = [«\"http://10.0.0.1:6443\"»]",
            "kubernetes: api_servers: \"http://10.0.0.1:6443\" does not start with https://",
            Some("the API server is asked over TLS only; write \"https://10.0.0.1:6443\""),
        ),
        (
            AT_END,
            "[kubernetes]\nnode_ports = false\nkubeconfig = \"/dev/null\"\napi_servers = [«\"https://10.0.0.1:6443/k8s\"»]",
            "kubernetes: api_servers: \"https://10.0.0.1:6443/k8s\" cannot contain '/' behind https://",
            Some("an address and a port, such as \"https://10.0.0.1:6443\""),
        ),
        (
            AT_END,
            "[kubernetes]\nnode_ports = false\nkubeconfig = \"/dev/null\"\napi_servers = [«\"https://10.0.0.1:0\"»]",
            "kubernetes: api_servers: \"https://10.0.0.1:0\" names no address and port",
            URL,
        ),
        (
            AT_END,
            "[kubernetes]\nnode_ports = false\nkubeconfig = \"/dev/null\"\napi_servers = [«\"https://fd00::1:6443\"»]",
            "kubernetes: api_servers: \"https://fd00::1:6443\" names no address and port",
            URL,
        ),
        (
            AT_END,
            "[kubernetes]\nnode_ports = false\nkubeconfig = \"/dev/null\"\napi_servers = [\"https://10.0.0.1:6443\", «\"https://10.0.0.1:6443/\"»]",
            "kubernetes: api_servers: https://10.0.0.1:6443 is listed twice",
            Some("each is tried in turn; once is enough"),
        ),
    ]);
}

#[test]
fn words_that_mean_nothing_to_a_cluster_are_refused() {
    const NAME: Option<&str> =
        Some("1 to 63 lower-case letters, digits and '-', which is neither first nor last");
    let cases = [
        ("mode = «\"pods\"»", "kubernetes: unknown mode \"pods\"", Some("did you mean `pod`?")),
        (
            "scheduler = «\"mglev\"»",
            "kubernetes: unknown scheduler \"mglev\"",
            Some("did you mean `maglev`?"),
        ),
        (
            "class = «\"spillway.io/\"»",
            "kubernetes: class: \"spillway.io/\" is no name that Kubernetes takes",
            Some(
                "a name of at most 63 letters, digits, '-', '_', '.', perhaps behind a domain, such as \"example.com/name\"",
            ),
        ),
        (
            "lease = «\"spillway\"»",
            "kubernetes: lease: \"spillway\" has no namespace",
            Some("write both, such as \"kube-system/spillway\""),
        ),
        (
            "lease = «\"kube-system/Spillway\"»",
            "kubernetes: lease: \"Spillway\" is no name that Kubernetes gives",
            NAME,
        ),
        ("idle_timeout = «\"0s\"»", "kubernetes: idle_timeout must be 100ms to 1h, not 0ms", None),
        ("shrink_hold = «\"2h\"»", "kubernetes: shrink_hold must be 0ms to 1h, not 2h", None),
        (
            "kube_proxy_port = «65536»",
            "kubernetes: kube_proxy_port must be 0 to 65535, not 65536",
            None,
        ),
        (
            "classless = «\"yes\"»",
            "kubernetes: classless: expected true or false, found a string",
            None,
        ),
        (
            "«kubeconfg» = \"/dev/null\"",
            "kubernetes: unknown key `kubeconfg`",
            Some("did you mean `kubeconfig`?"),
        ),
    ];
    for (line, message, help) in cases {
        let text: &'static str = format!("{HEAD}{line}").leak();
        check(&[(AT_END, text, message, help)]);
    }
}

#[test]
fn health_of_a_cluster_that_cannot_work_is_refused() {
    let cases = [
        (
            "health = { interval = «\"500ms\"» }",
            "kubernetes: health: timeout 1s is longer than the interval, 500ms",
            Some("a check has to end before the next one begins"),
        ),
        (
            "health = { max_eject = «0» }",
            "kubernetes: health: max_eject must be 1 to 100, not 0",
            None,
        ),
        (
            "health = { eject_window = «\"1ms\"» }",
            "kubernetes: health: eject_window must be 100ms to 1h, not 1ms",
            None,
        ),
        (
            "health = { «probe_ports» = 1 }",
            "kubernetes: health: unknown key `probe_ports`",
            Some(
                "known here: interval, timeout, fall, rise, jitter, hold_down, eject_window, max_eject, fail_open",
            ),
        ),
    ];
    for (line, message, help) in cases {
        let text: &'static str = format!("{HEAD}{line}").leak();
        check(&[(AT_END, text, message, help)]);
    }
}

#[test]
fn node_ports_that_the_box_cannot_answer_are_refused() {
    check(&[
        (
            AT_END,
            "[kubernetes]\nin_cluster = true\nnode_port_addresses = [«\"10.9.9.9\"»]",
            "kubernetes: node_port_addresses: 10.9.9.9 is no address of the box",
            Some("it has 172.26.50.101, 10.0.1.1"),
        ),
        (
            AT_END,
            "[kubernetes]\nin_cluster = true\nnode_port_addresses = [\"10.0.1.1\", «\"10.0.1.1\"»]",
            "kubernetes: node_port_addresses: 10.0.1.1 is listed twice",
            None,
        ),
        (
            AT_END,
            "[kubernetes]\nin_cluster = true\nnode_port_addresses = «[]»",
            "kubernetes: node_port_addresses is empty",
            Some("leave it out for all addresses of the box's ports, or say node_ports = false"),
        ),
        (
            AT_END,
            "[kubernetes]\nin_cluster = true\nnode_ports = false\nnode_port_addresses = «[\"10.0.1.1\"]»",
            "kubernetes: node_port_addresses says nothing with node_ports = false",
            Some("take out one of the two"),
        ),
        (
            AT_END,
            "[kubernetes]\nin_cluster = true\nnode_port_addresses = [«\"fd00::1\"»]",
            "kubernetes: node_port_addresses: \"fd00::1\" is IPv6, which is not served yet",
            Some("give an IPv4 address"),
        ),
    ]);
}

#[test]
fn ports_that_leave_the_box_and_node_ports_are_kept_apart() {
    const SEE: &str = "or see node_ports and node_port_addresses in [kubernetes]";
    let help = |ports: &str| -> Option<&'static str> {
        Some(format!("ports = \"{ports}\" in [snat] leaves them out; {SEE}").leak())
    };
    check(&[
        (
            "ports = \"31210-60999\"",
            "ports = «\"31210-60999\"»\n[kubernetes]\nin_cluster = true",
            "snat: ports 31210-60999 on 172.26.50.101 overlap the node ports of the cluster, 30000-32767",
            help("32768-60999"),
        ),
        (
            "ports = \"31210-60999\"",
            "ports = «\"31000-32000\"»\n[kubernetes]\nin_cluster = true",
            "snat: ports 31000-32000 on 172.26.50.101 overlap the node ports of the cluster, 30000-32767",
            Some(
                "lend other ports in [snat]; or see node_ports and node_port_addresses in [kubernetes]",
            ),
        ),
        (
            "[timeouts]",
            "[kubernetes]\nin_cluster = true\nnode_port_range = «\"61500-62000\"»\n[timeouts]",
            "health: probe_ports 61000-65535 on 172.26.50.101 overlap the node ports of the cluster, 61500-62000",
            Some("health checks leave from every SNAT address; see probe_ports in [health]"),
        ),
        (
            "addresses = [\"172.26.50.101\"]\nports = \"31210-60999\"\n\n[health]\ninterval = \"2s\"\n",
            "addresses = [\"172.26.50.101\"]\nports = \"40000-60999\"\n[kubernetes]\nin_cluster = true\n[health]\nprobe_ports = «\"29000-30000\"»\n",
            "health: probe_ports 29000-30000 on 172.26.50.101 overlap the node ports of the cluster, 30000-32767",
            Some("health checks leave from every SNAT address; see probe_ports in [health]"),
        ),
    ]);
}

#[test]
fn a_listener_for_metrics_that_cannot_be_is_refused() {
    check(&[
        (
            AT_END,
            "[metrics]\nlisten = «\"9100\"»",
            "metrics: listen: \"9100\" is not an address and port",
            Some("write it as \"127.0.0.1:9100\" or \"[::1]:9100\""),
        ),
        (
            AT_END,
            "[metrics]\nlisten = «\"127.0.0.1:0\"»",
            "metrics: listen: \"127.0.0.1:0\": port 0 is no port",
            None,
        ),
        (
            AT_END,
            "«[metrics]»",
            "metrics: listen is missing",
            Some("say where, such as listen = \"127.0.0.1:9100\""),
        ),
    ]);
}
