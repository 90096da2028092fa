//! `[[route]]`.

use super::check;

#[test]
fn routes_that_lead_nowhere_are_refused() {
    const MACHINE: Option<&str> = Some("the next hop is another machine");
    check(&[
        (
            "",
            "«[[route]]»\nprefix = \"10.244.1.0/24\"",
            "route: via is missing",
            Some("name the next hop on a port's link, such as via = \"10.0.1.71\""),
        ),
        (
            "",
            "«[[route]]»\nvia = \"10.0.1.71\"",
            "route: prefix is missing",
            Some("say where it leads, such as prefix = \"10.244.1.0/24\""),
        ),
        (
            "",
            "[[route]]\nprefix = «\"10.244.1.1/24\"»\nvia = \"10.0.1.71\"",
            "route: prefix: \"10.244.1.1/24\" has bits set behind its prefix",
            Some("write \"10.244.1.0/24\" or \"10.244.1.1/32\""),
        ),
        (
            "",
            "[[route]]\nprefix = «\"0.0.0.0/0\"»\nvia = \"10.0.1.71\"",
            "route: prefix: \"0.0.0.0/0\" is the way to everything",
            Some("that is the gateway of a [[port]]"),
        ),
        (
            "",
            "[[route]]\nprefix = «\"fd00::/64\"»\nvia = \"10.0.1.71\"",
            "route: prefix: \"fd00::/64\" is IPv6, which is not served yet",
            Some("give an IPv4 prefix"),
        ),
        (
            "",
            "[[route]]\nprefix = \"10.244.1.0/24\"\nvia = «\"10.0.2.71\"»",
            "route 10.244.1.0/24: via 10.0.2.71 is on no port's link",
            Some("the next hop must be asked for by ARP; give a port an address in its prefix"),
        ),
        (
            "",
            "[[route]]\nprefix = \"10.244.1.0/24\"\nvia = «\"10.0.1.1\"»",
            "route 10.244.1.0/24: via 10.0.1.1 is an address of port \"back\"",
            MACHINE,
        ),
        (
            "",
            "[[route]]\nprefix = \"10.244.1.0/24\"\nvia = «\"10.0.1.255\"»",
            "route 10.244.1.0/24: via: 10.0.1.255 is the broadcast address of 10.0.1.0/24 on port \"back\"",
            Some("the next hop is the address of a router or node"),
        ),
        (
            "",
            "[[route]]\nprefix = «\"10.0.1.0/24\"»\nvia = \"10.0.1.71\"",
            "route 10.0.1.0/24: is the link of port \"back\"",
            Some("what is on a link is asked for by ARP"),
        ),
        (
            "",
            "[[route]]\nprefix = \"10.244.1.0/24\"\nvia = \"10.0.1.71\"\n[[route]]\nprefix = «\"10.244.1.0/24\"»\nvia = \"10.0.1.72\"",
            "route 10.244.1.0/24: is there twice",
            Some("a prefix has one next hop"),
        ),
    ]);
}
