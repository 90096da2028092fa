//! Routes against the links of the ports.

use super::super::draft::Draft;
use super::super::report::Report;
use super::addresses::{Addresses, is_on_link};

pub(super) fn check(draft: &Draft, report: &Report) {
    let addresses = Addresses::new(draft);
    for (index, spanned) in draft.routes.iter().enumerate() {
        let (prefix, via) = (spanned.value.route.prefix, spanned.value.route.via);
        let complain = |at, message: &str, help: &str| {
            report.error_with_help(at, format!("route {prefix}: {message}"), help);
        };
        if draft.routes.iter().take(index).any(|other| other.value.route.prefix == prefix) {
            complain(spanned.at, "is there twice", "a prefix has one next hop");
        }
        let link = draft
            .ports
            .iter()
            .find(|port| port.addresses.iter().any(|own| own.value.trunc() == prefix));
        if let Some(port) = link {
            let message = format!("is the link of port \"{}\"", port.name.value);
            complain(spanned.at, &message, "what is on a link is asked for by ARP");
        }
        let at = spanned.value.via_at;
        if let Some(owner) = addresses.port(via) {
            complain(at, &format!("via {via} is {owner}"), "the next hop is another machine");
        } else if let Some(why) = addresses.unusable(via) {
            complain(at, &format!("via: {why}"), "the next hop is the address of a router or node");
        } else if !draft.ports.is_empty()
            && !draft.ports.iter().any(|port| port.network_is_incomplete || is_on_link(port, via))
        {
            let message = format!("via {via} is on no port's link");
            complain(
                at,
                &message,
                "the next hop must be asked for by ARP; give a port an address in its prefix",
            );
        }
    }
}
