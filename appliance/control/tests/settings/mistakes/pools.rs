//! `[[pool]]` and `external_ips`: what may be given to the Services of a cluster.

use super::check;

const HELP: Option<&str> = Some(
    "what a Service gets must be nobody else's; leave it out by two ranges, such as \"10.0.0.1-10.0.0.9\"",
);

/// One pool of the addresses, at the end of the base and of a cluster.
fn refused(addresses: &str, message: &'static str, help: Option<&'static str>) {
    let text = format!(
        "[kubernetes]\nin_cluster = true\nnode_ports = false\n[[pool]]\nname = \"a\"\naddresses = [{addresses}]"
    );
    check(&[("", text.leak(), message, help)]);
}

#[test]
fn addresses_that_are_not_free_are_no_pool() {
    refused(
        "«\"172.26.50.96/28\"»",
        "pool \"a\": 172.26.50.96/28 contains 172.26.50.101, an address of port \"front\"",
        HELP,
    );
    refused(
        "«\"172.26.50.101\"»",
        "pool \"a\": 172.26.50.101 is an address of port \"front\"",
        HELP,
    );
    refused(
        "«\"172.26.50.1-172.26.50.9\"»",
        "pool \"a\": 172.26.50.1-172.26.50.9 contains 172.26.50.1, the gateway of port \"front\"",
        HELP,
    );
    refused("«\"10.0.1.72/32\"»", "pool \"a\": 10.0.1.72 is a neighbor on port \"back\"", HELP);
    refused("«\"10.0.1.71\"»", "pool \"a\": 10.0.1.71 is a backend of service \"web\"", HELP);
    refused(
        "\"172.26.50.111\", «\"172.26.50.109-172.26.50.110\"»",
        "pool \"a\": 172.26.50.109-172.26.50.110 contains 172.26.50.110, a frontend of service \"dns\"",
        HELP,
    );
    refused(
        "«\"172.26.50.240/28\"»",
        "pool \"a\": 172.26.50.240/28 contains 172.26.50.255, the broadcast address of 172.26.50.0/24 on port \"front\"",
        HELP,
    );
}

#[test]
fn a_snat_address_that_is_on_no_port_is_no_pool() {
    check(&[(
        "[snat]\naddresses = [\"172.26.50.101\"]",
        "[kubernetes]\nin_cluster = true\nnode_ports = false\n[[pool]]\nname = \"a\"\naddresses = [«\"172.26.50.128/28\"»]\n[snat]\naddresses = [\"172.26.50.130\"]",
        "pool \"a\": 172.26.50.128/28 contains 172.26.50.130, a SNAT address",
        HELP,
    )]);
}

#[test]
fn addresses_of_no_host_are_no_pool() {
    const HOSTS: Option<&str> = Some("give addresses of hosts");
    refused(
        "«\"0.0.0.0/0\"»",
        "pool \"a\": 0.0.0.0/0 contains addresses of no host, 0.0.0.0/8",
        HOSTS,
    );
    refused(
        "«\"223.255.255.250-224.0.0.5\"»",
        "pool \"a\": 223.255.255.250-224.0.0.5 contains multicast addresses, 224.0.0.0/4",
        HOSTS,
    );
    refused(
        "«\"127.0.0.1\"»",
        "pool \"a\": 127.0.0.1 contains loopback addresses, 127.0.0.0/8",
        HOSTS,
    );
    refused(
        "«\"fe80::/64\"»",
        "pool \"a\": fe80::/64 contains link-local addresses, fe80::/10",
        HOSTS,
    );
}

#[test]
fn addresses_are_given_once() {
    const ONCE: Option<&str> = Some("an address is given once");
    refused(
        "\"203.0.113.0/28\", «\"203.0.113.15-203.0.113.20\"»",
        "pool \"a\": 203.0.113.15-203.0.113.20 overlaps 203.0.113.0/28 of pool \"a\"",
        ONCE,
    );
    refused(
        "\"203.0.113.0/28\"]\n[[pool]]\nname = \"b\"\naddresses = [«\"203.0.113.7\"»",
        "pool \"b\": 203.0.113.7 overlaps 203.0.113.0/28 of pool \"a\"",
        ONCE,
    );
    refused(
        "\"fd00::/112\"]\n[[pool]]\nname = \"b\"\naddresses = [«\"fd00::ff-fd00::1:ff\"»",
        "pool \"b\": fd00::ff-fd00::1:ff overlaps fd00::/112 of pool \"a\"",
        ONCE,
    );
}

#[test]
fn external_ips_are_held_to_the_same_rules_as_pools() {
    let section = "[kubernetes]\nin_cluster = true\nnode_ports = false\n";
    let cases = [
        (
            "external_ips = [«\"172.26.50.0/24\"»]",
            "kubernetes: external_ips: 172.26.50.0/24 contains 172.26.50.101, an address of port \"front\"",
            HELP,
        ),
        (
            "external_ips = [«\"192.0.2.0/24\"»]\n[[pool]]\nname = \"a\"\naddresses = [\"192.0.2.9\"]",
            "kubernetes: external_ips: 192.0.2.0/24 overlaps 192.0.2.9 of pool \"a\"",
            Some("an address is given once"),
        ),
        (
            "external_ips = [«\"192.0.2.9/24\"»]",
            "kubernetes: external_ips: \"192.0.2.9/24\" has bits set behind its prefix",
            Some("write \"192.0.2.0/24\" or \"192.0.2.9/32\""),
        ),
        (
            "external_ips = [«\"192.0.2.9\"»]",
            "kubernetes: external_ips: \"192.0.2.9\" has no prefix length",
            Some("write \"192.0.2.9/32\" for this address alone"),
        ),
        (
            "external_ips = [«\"192.0.2.0/33\"»]",
            "kubernetes: external_ips: \"192.0.2.0/33\": the prefix length must be 0 to 32, not 33",
            None,
        ),
    ];
    for (line, message, help) in cases {
        check(&[("", format!("{section}{line}").leak(), message, help)]);
    }
}

#[test]
fn pools_that_are_not_whole_are_refused() {
    const LIST: Option<&str> =
        Some("list what may be lent, such as addresses = [\"203.0.113.0/28\"]");
    check(&[(
        "",
        "[kubernetes]\nin_cluster = true\nnode_ports = false\n[[pool]]\nname = \"a\"\naddresses = «[]»",
        "pool \"a\": addresses is empty",
        LIST,
    )]);
    refused(
        "«\"203.0.113.9-203.0.113.1\"»",
        "pool \"a\": addresses: \"203.0.113.9-203.0.113.1\" runs backwards",
        Some("write \"203.0.113.1-203.0.113.9\""),
    );
    refused(
        "«\"203.0.113.9-fd00::1\"»",
        "pool \"a\": addresses: \"203.0.113.9-fd00::1\" runs from one family into the other",
        None,
    );
    refused(
        "«\"::ffff:203.0.113.9\"»",
        "pool \"a\": addresses: \"::ffff:203.0.113.9\" is an IPv4 address in the dress of IPv6",
        Some("write \"203.0.113.9\""),
    );
    refused("«\"203.0.113.9-20\"»", "pool \"a\": addresses: \"20\" is not an IP address", None);
    refused(
        "\"203.0.113.9\"]\nnamespaces = [«\"Shop\"»",
        "pool \"a\": namespaces: \"Shop\" is no name that Kubernetes gives",
        Some("1 to 63 lower-case letters, digits and '-', which is neither first nor last"),
    );
    refused(
        "\"203.0.113.9\"]\nlabels = { team = «false» }\nnamespaces = [\"shop\"",
        "pool \"a\": labels: team cannot be false",
        Some("\"*\" or true ask for the label with any value"),
    );
    refused(
        "\"203.0.113.9\"]\nlabels = { team = «\"-web\"» }\nnamespaces = [\"shop\"",
        "pool \"a\": labels: team: \"-web\" is no value that a label can have",
        Some("at most 63 letters, digits, '-', '_', '.', with a letter or digit at both ends"),
    );
    refused(
        "\"203.0.113.9\"]\npriority = «-1»\nnamespaces = [\"shop\"",
        "pool \"a\": priority must be 0 to 4294967295, not -1",
        None,
    );
}

#[test]
fn a_pool_needs_a_name_of_its_own_and_a_cluster() {
    check(&[
        (
            "",
            "[[pool]]\nname = «\"a\"»\naddresses = [\"203.0.113.9\"]",
            "pool \"a\" has nobody to lend to: there is no [kubernetes]",
            Some(
                "addresses of static services are their frontends; add [kubernetes], or take the pool out",
            ),
        ),
        (
            "",
            "[kubernetes]\nin_cluster = true\nnode_ports = false\n[[pool]]\nname = \"a\"\naddresses = [\"203.0.113.9\"]\n[[pool]]\nname = «\"a\"»\naddresses = [\"203.0.113.8\"]",
            "pool \"a\" is there twice in one file",
            Some("give each its own name; a file in conf.d may change it by the same name"),
        ),
        (
            "",
            "[kubernetes]\nin_cluster = true\nnode_ports = false\n«[[pool]]»\naddresses = [\"203.0.113.9\"]",
            "pool \"#1\": name is missing",
            Some("give the pool a name of your own, such as name = \"public\""),
        ),
    ]);
}
