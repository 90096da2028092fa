//! Takes everything back that an agent did to this node.

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::datapath;
use crate::pins::Pins;
use crate::status::StateDir;

/// Removes links, filters, qdiscs and maps from the kernel, and the agent's files.
///
/// # Errors
/// An agent runs, or something does not go away: it is named, and what is left can be tried again.
pub fn run(pins: &Path, state_dir: &Path) -> anyhow::Result<()> {
    let done = datapath::uninstall(&Pins::new(pins))?;
    let state = StateDir::new(state_dir);
    state.remove().with_context(|| format!("the files in {}", state_dir.display()))?;
    // Others may have put something there: then it stays.
    let _ = fs::remove_dir(state_dir);
    let (links, filters, qdiscs, maps) = (done.links, done.filters, done.qdiscs, done.maps);
    println!("removed {links} links, {filters} filters, {qdiscs} qdiscs and {maps} maps");
    Ok(())
}
