//! The configuration of the companion on a node.

mod mistakes;
mod shipped;
mod values;

use spillway_control::settings::{Mistakes, Sources, node};

use crate::folder::Folder;

pub(crate) fn load(text: &str) -> Result<node::NodeSettings, Mistakes> {
    load_with(text, &[])
}

pub(crate) fn load_with(
    text: &str,
    overrides: &[(&str, &str)],
) -> Result<node::NodeSettings, Mistakes> {
    let folder = Folder::with(text);
    let overrides = crate::folder::pairs(overrides);
    node::load(&Sources { overrides, ..folder.sources() }, "Node-1.Example\n")
}

pub(crate) fn good(text: &str) -> node::NodeSettings {
    load(text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}
