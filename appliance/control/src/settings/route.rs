//! Reads one `[[route]]`.

use spillway_lb::model::Route;

use super::form;
use super::merge::Node;
use super::report::{Span, Spanned};
use super::section::Section;

/// A route as read, placed at its prefix.
#[derive(Debug)]
pub(super) struct RouteDraft {
    pub(super) route: Route,
    pub(super) via_at: Span,
}

pub(super) fn read(section: &Section<'_>, node: &Node) -> Option<Spanned<RouteDraft>> {
    let mut route = section.below("route", node)?;
    let prefix = route.parse("prefix", form::DESTINATION);
    route.missing("prefix", "say where it leads, such as prefix = \"10.244.1.0/24\"");
    let via = route.parse("via", form::ADDRESS);
    route.missing("via", "name the next hop on a port's link, such as via = \"10.0.1.71\"");
    route.finish();
    let (prefix, via) = (prefix?, via?);
    let route = Route { prefix: prefix.value, via: via.value };
    Some(Spanned::new(RouteDraft { route, via_at: via.at }, prefix.at))
}
