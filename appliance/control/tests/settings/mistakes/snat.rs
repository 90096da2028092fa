//! `[snat]` against frontends, health checks and workers.

use super::check;

#[test]
fn snat_addresses_that_are_not_the_boxs_alone_are_refused() {
    const HELP: Option<&str> =
        Some("replies would go there; take an address that is the box's alone");
    check(&[
        (
            "[snat]\naddresses = [\"172.26.50.101\"]",
            "[snat]\naddresses = [«\"10.0.1.71\"»]",
            "snat: 10.0.1.71 is a backend of service \"web\"",
            HELP,
        ),
        (
            "[snat]\naddresses = [\"172.26.50.101\"]",
            "[snat]\naddresses = [«\"172.26.50.1\"»]",
            "snat: 172.26.50.1 is the gateway of port \"front\"",
            HELP,
        ),
        (
            "[snat]\naddresses = [\"172.26.50.101\"]",
            "[snat]\naddresses = [\"172.26.50.101\", «\"172.26.50.101\"»]",
            "snat: 172.26.50.101 is listed twice",
            None,
        ),
        (
            "[snat]\naddresses = [\"172.26.50.101\"]",
            "[snat]\naddresses = [«\"10.0.1.255\"»]",
            "snat: 10.0.1.255 is the broadcast address of 10.0.1.0/24 on port \"back\"",
            None,
        ),
        (
            "[snat]\naddresses = [\"172.26.50.101\"]\nports = \"31210-60999\"\n",
            "",
            "services need a SNAT address, and there is no [snat]",
            Some(
                "add [snat] with addresses = [\"...\"]: flows leave for their backends from there",
            ),
        ),
        (
            "[snat]\naddresses = [\"172.26.50.101\"]",
            "«[snat]»",
            "snat: addresses is missing",
            Some("flows leave for their backends from there, such as addresses = [\"10.0.1.1\"]"),
        ),
    ]);
}

#[test]
fn snat_ranges_that_cannot_be_are_refused() {
    check(&[
        (
            r#"ports = "31210-60999""#,
            r#"ports = «"60999-31210"»"#,
            "snat: ports: \"60999-31210\" runs backwards",
            Some("write \"31210-60999\""),
        ),
        (
            r#"ports = "31210-60999""#,
            r#"ports = «"0-60999"»"#,
            "snat: ports: \"0-60999\": port 0 is no port",
            None,
        ),
        (
            r#"ports = "31210-60999""#,
            r#"ports = «"31210-70000"»"#,
            "snat: ports: \"31210-70000\": the port must be 1 to 65535, not \"70000\"",
            None,
        ),
    ]);
}

#[test]
fn a_snat_range_that_takes_a_frontends_port_is_refused() {
    check(&[
        (
            r#"ports = "31210-60999""#,
            r#"ports = «"30000-60999"»"#,
            "snat: ports 30000-60999 on 172.26.50.101 contain port 30645, a frontend of service \"web\"",
            Some("ports = \"30646-60999\" in [snat] leaves it out"),
        ),
        (
            r#"ports = "31210-60999""#,
            r#"ports = «"1024-30645"»"#,
            "snat: ports 1024-30645 on 172.26.50.101 contain port 30645, a frontend of service \"web\"",
            Some("ports = \"1024-30644\" in [snat] leaves it out"),
        ),
        (
            "ports = \"31210-60999\"\n\n[health]\ninterval = \"2s\"\n\n[timeouts]\nudp = \"30s\"\n\n[[service]]\nname = \"web\"\ntype = \"NodePort\"\nfrontends = [\"172.26.50.101:30645\"]",
            "\n[[service]]\nname = \"web\"\nfrontends = [«\"172.26.50.101:30645/udp\"»]",
            "snat: ports 1024-60999 on 172.26.50.101 contain port 30645, a frontend of service \"web\"",
            Some("ports = \"30646-60999\" in [snat] leaves it out"),
        ),
    ]);
}

#[test]
fn ports_of_health_checks_are_neither_lent_nor_frontends() {
    check(&[
        (
            r#"ports = "31210-60999""#,
            r#"ports = «"31210-61000"»"#,
            "snat: ports 31210-61000 overlap the ports of health checks, 61000-65535",
            Some("a port is either lent to flows or to health checks; see probe_ports in [health]"),
        ),
        (
            r#"frontends = ["172.26.50.101:30645"]"#,
            r#"frontends = [«"172.26.50.101:61000"»]"#,
            "service \"web\": port 61000 on 172.26.50.101 is a port of health checks, 61000-65535",
            Some("health checks leave from every SNAT address; see probe_ports in [health]"),
        ),
        (
            r#"interval = "2s""#,
            r#"probe_ports = «"70000"»"#,
            "health: probe_ports: \"70000\": the port must be 1 to 65535, not \"70000\"",
            None,
        ),
    ]);
}

#[test]
fn a_range_that_leaves_a_worker_without_ports_is_refused() {
    check(&[
        (
            r#"ports = "31210-60999""#,
            r#"ports = «"31210"»"#,
            "snat: of ports 31210, worker 1 has none to lend",
            Some("any 2 ports in a row give each of 2 workers a share; or list fewer worker_cores"),
        ),
        (
            "worker_cores = [1, 2]\npoll = \"busy\"\n\n[[port]]\nname = \"front\"\ndriver = \"af_packet\"\ninterface = \"sw-front\"\naddresses = [\"172.26.50.101/24\"]\ngateway = \"172.26.50.1\"\n\n[[port]]\nname = \"back\"\ndriver = \"af_packet\"\ninterface = \"sw-back\"\naddresses = [\"10.0.1.1/24\"]\nneighbors = { \"10.0.1.72\" = \"02:00:00:00:00:72\" }\n\n[snat]\naddresses = [\"172.26.50.101\"]\nports = \"31210-60999\"",
            "worker_cores = [1, 2, 3]\n\n[[port]]\nname = \"one\"\ndriver = \"ring\"\naddresses = [\"172.26.50.101/24\", \"10.0.1.1/24\"]\n\n[snat]\naddresses = [\"172.26.50.101\"]\nports = «31212»",
            "snat: of ports 31212, workers 1, 2 have none to lend",
            Some("any 4 ports in a row give each of 3 workers a share; or list fewer worker_cores"),
        ),
    ]);
}
