//! `[[service]]`: frontends and backends.

use super::check;

#[test]
fn services_that_are_not_whole_are_refused() {
    check(&[
        (
            r#"name = "dns""#,
            r#"name = «"web"»"#,
            "service \"web\" is there twice in one file",
            Some("give each its own name; a file in conf.d may change it by the same name"),
        ),
        (
            "name = \"web\"\ntype = \"NodePort\"\nfrontends = [\"172.26.50.101:30645\"]",
            "name = «\"web\"»\ntype = \"NodePort\"",
            "service \"web\": frontends is missing",
            Some("say what it answers on, such as frontends = [\"172.26.50.101:80/tcp\"]"),
        ),
        (
            r#"frontends = ["172.26.50.101:30645"]"#,
            "frontends = «[]»",
            "service \"web\": frontends is empty",
            Some("say what it answers on, such as frontends = [\"172.26.50.101:80/tcp\"]"),
        ),
        (
            "name = \"dns\"\nfrontends = [\"172.26.50.110:53/udp\"]\nbackends = [\"10.0.1.71:53\"]",
            "name = «\"dns\"»\nfrontends = [\"172.26.50.110:53/udp\"]",
            "service \"dns\": backends is missing",
            Some("list where it goes, such as backends = [\"10.0.1.72:80\"]"),
        ),
        (
            r#"type = "NodePort""#,
            r#"type = «"Nodeport"»"#,
            "service \"web\": unknown type \"Nodeport\"",
            Some("did you mean `NodePort`?"),
        ),
        (
            r#"scheduler = "random""#,
            r#"scheduler = «"magleev"»"#,
            "service \"web\": unknown scheduler \"magleev\"",
            Some("did you mean `maglev`?"),
        ),
        (
            r#"scheduler = "random""#,
            r#"no_backend = «"refuse"»"#,
            "service \"web\": unknown no_backend \"refuse\"",
            Some("known here: reject, drop"),
        ),
    ]);
}

#[test]
fn frontends_that_cannot_be_are_refused() {
    const FROM: &str = r#"frontends = ["172.26.50.101:30645"]"#;
    check(&[
        (
            FROM,
            r#"frontends = [«"172.26.50.101"»]"#,
            "service \"web\": frontends: \"172.26.50.101\" has no port",
            Some("write the port behind a colon, such as \"172.26.50.101:80\""),
        ),
        (
            FROM,
            r#"frontends = [«"172.26.50.101:0"»]"#,
            "service \"web\": frontends: \"172.26.50.101:0\": port 0 is no port",
            None,
        ),
        (
            FROM,
            r#"frontends = [«"172.26.50.101:80/sctp"»]"#,
            "service \"web\": frontends: \"172.26.50.101:80/sctp\": protocol \"sctp\" is not served",
            Some("write \"172.26.50.101:80/tcp\" or \"172.26.50.101:80/udp\""),
        ),
        (
            FROM,
            r#"frontends = [«"[fd00::101]:80"»]"#,
            "service \"web\": frontends: \"[fd00::101\" is IPv6, which is not served yet",
            Some("give an IPv4 address"),
        ),
        (
            FROM,
            r#"frontends = [«"web.example:80"»]"#,
            "service \"web\": frontends: \"web.example\" is not an IPv4 address",
            None,
        ),
        (
            FROM,
            r#"frontends = ["172.26.50.101:80", «"172.26.50.101:80/tcp"»]"#,
            "service \"web\": frontend 172.26.50.101:80/tcp is listed twice",
            Some("remove one of them"),
        ),
        (
            "172.26.50.110:53/udp\"]",
            "172.26.50.110:53/udp\", «\"172.26.50.101:30645\"»]",
            "service \"dns\": frontend 172.26.50.101:30645/tcp is taken by service \"web\"",
            Some("a frontend belongs to one service"),
        ),
        (
            FROM,
            r#"frontends = [«"172.26.50.1:80"»]"#,
            "service \"web\": frontend 172.26.50.1 is the gateway of port \"front\"",
            Some("a frontend's address is the box's own"),
        ),
        (
            FROM,
            r#"frontends = [«"172.26.50.255:80"»]"#,
            "service \"web\": frontend: 172.26.50.255 is the broadcast address of 172.26.50.0/24 on port \"front\"",
            None,
        ),
        (
            FROM,
            r#"frontends = [«"0.0.0.0:80"»]"#,
            "service \"web\": frontend: 0.0.0.0 is an address of no host",
            None,
        ),
    ]);
}

#[test]
fn backends_that_cannot_be_are_refused() {
    check(&[
        (
            r#""10.0.1.72:80"]"#,
            r#""10.0.1.72:80", «"10.0.1.71:80"»]"#,
            "service \"web\": backend 10.0.1.71:80 is listed twice",
            Some("remove one of them; a weight gives a backend a larger share"),
        ),
        (
            r#""10.0.1.72:80"]"#,
            r#"{ address = "10.0.1.72:80", weight = «1001» }]"#,
            "service \"web\": backends: weight must be 0 to 1000, not 1001",
            None,
        ),
        (
            r#""10.0.1.72:80"]"#,
            "«{ weight = 2 }»]",
            "service \"web\": backends: address is missing",
            Some("write { address = \"10.0.1.72:80\", weight = 1 }"),
        ),
        (
            r#""10.0.1.72:80"]"#,
            r#"«"172.26.50.110:53"»]"#,
            "service \"web\": backend 172.26.50.110:53 is a frontend of service \"dns\"",
            Some("a frontend cannot lead to a frontend; list the backends themselves"),
        ),
        (
            r#""10.0.1.72:80"]"#,
            r#"«"172.26.50.110:80"»]"#,
            "service \"web\": backend 172.26.50.110:80: 172.26.50.110 is an address of service \"dns\"",
            Some("a backend is another machine"),
        ),
        (
            r#""10.0.1.72:80"]"#,
            r#"«"10.0.1.1:80"»]"#,
            "service \"web\": backend 10.0.1.1:80: 10.0.1.1 is an address of port \"back\"",
            Some("a backend is another machine"),
        ),
        (
            r#""10.0.1.72:80"]"#,
            r#"«"10.0.1.0:80"»]"#,
            "service \"web\": backend 10.0.1.0:80: 10.0.1.0 is the network address of 10.0.1.0/24 on port \"back\"",
            Some("a backend is the address of a host"),
        ),
        (
            "gateway = \"172.26.50.1\"\n\n[[port]]\nname = \"back\"\ndriver = \"af_packet\"\ninterface = \"sw-back\"\naddresses = [\"10.0.1.1/24\"]\nneighbors = { \"10.0.1.72\" = \"02:00:00:00:00:72\" }\n\n[snat]\naddresses = [\"172.26.50.101\"]\nports = \"31210-60999\"\n\n[health]\ninterval = \"2s\"\n\n[timeouts]\nudp = \"30s\"\n\n[[service]]\nname = \"web\"\ntype = \"NodePort\"\nfrontends = [\"172.26.50.101:30645\"]\nscheduler = \"random\"\nbackends = [\"10.0.1.71:80\", \"10.0.1.72:80\"]",
            "\n[snat]\naddresses = [\"172.26.50.101\"]\nports = \"31210-60999\"\n[[port]]\nname = \"back\"\ndriver = \"ring\"\naddresses = [\"10.0.1.1/24\"]\n[[service]]\nname = \"web\"\nfrontends = [\"172.26.50.101:30645\"]\nbackends = [\"10.0.1.71:80\", «\"10.0.2.72:80\"»]",
            "service \"web\": backend 10.0.2.72:80 cannot be reached: no port has it on its link",
            Some("give a port an address in its prefix, or a gateway"),
        ),
    ]);
}

#[test]
fn affinity_and_source_ranges_that_cannot_be_are_refused() {
    const FROM: &str = "scheduler = \"random\"";
    check(&[
        (
            FROM,
            "affinity = «\"clientip\"»",
            "service \"web\": unknown affinity \"clientip\"",
            Some("did you mean `client-ip`?"),
        ),
        (
            FROM,
            "affinity = { client_ip = «\"2d\"» }",
            "service \"web\": affinity: client_ip must be 1s to 1d, not 2d",
            None,
        ),
        (
            FROM,
            "affinity = «{}»",
            "service \"web\": affinity: client_ip is missing",
            Some("say for how long, such as affinity = { client_ip = \"3h\" }"),
        ),
        (
            FROM,
            "source_ranges = «[]»",
            "service \"web\": source_ranges is empty",
            Some("leave it out to let everybody in"),
        ),
        (
            FROM,
            "source_ranges = [«\"192.0.2.1\"»]",
            "service \"web\": source_ranges: \"192.0.2.1\" has no prefix length",
            Some("write \"192.0.2.1/32\" for this address alone"),
        ),
    ]);
}
