//! `drops`: dropped packets by reason, as the programs counted them.

use serde::Serialize;
use spillway_lb::verdict::DropReason;
use spillway_text::text::Layout;

use super::View;

/// A reason and how often it was one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DropRow {
    pub number: u32,
    pub reason: String,
    pub count: u64,
    pub description: &'static str,
}

/// The reason of a number, if this version knows it.
pub fn reason(number: u32) -> Option<DropReason> {
    DropReason::ALL.iter().copied().find(|reason| u32::try_from(reason.index()) == Ok(number))
}

/// The name of a reason, also of one that another version counted.
pub fn reason_name(number: u32) -> String {
    reason(number).map_or_else(|| format!("reason-{number}"), |reason| reason.name().to_owned())
}

/// The reasons that happened, or `all` that the programs may have; `count` reads a place of the map `drops`.
pub fn rows(places: u32, all: bool, mut count: impl FnMut(u32) -> u64) -> Vec<DropRow> {
    let row = |number: u32| DropRow {
        number,
        reason: reason_name(number),
        count: count(number),
        description: reason(number).map_or("Of another version.", |reason| reason.description()),
    };
    let rows = (0..places).map(row);
    rows.filter(|row| row.count > 0 || (all && reason(row.number).is_some())).collect()
}

impl View for DropRow {
    const KEY: &'static str = "drops";

    fn columns(_: Layout) -> &'static [&'static str] {
        &["No.", "Reason", "Count", "Description"]
    }

    fn lines(&self, layout: Layout) -> Vec<Vec<String>> {
        let description = self.description.to_owned();
        let count = layout.count(self.count);
        vec![vec![self.number.to_string(), self.reason.clone(), count, description]]
    }
}
