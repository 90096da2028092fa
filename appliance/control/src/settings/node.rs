//! The configuration of the companion on a cluster node: the same language as the box's, other words.
//!
//! ```text
//! files, variables, flags → Node tree → sections → cross checks → NodeSettings
//! ```
//! A static service becomes a [`NodeService`](spillway_cluster::node::NodeService) here and now; those of the
//! cluster are made by [`NodeCluster`](spillway_cluster::node), under the same policy.

mod check;
mod draft;
mod form;
mod kubernetes;
mod maps;
mod pattern;
mod service;
mod types;

pub use pattern::Pattern;
pub use types::{
    DatapathSettings, Delivery, DeviceRules, MapSizes, NodeKubernetes, NodePortSettings,
    NodeSettings, TcAttach,
};

use super::{Mistakes, Sources, load_with};

/// Reads, merges and checks a configuration. `hostname` is the node's name where the operator gives none; like the
/// kubelet's it is taken in lower case.
///
/// # Errors
/// Every mistake in it, as [`super::load`].
pub fn load(sources: &Sources, hostname: &str) -> Result<NodeSettings, Mistakes> {
    let (settings, notes) = load_with(sources, |root, report| {
        let draft = draft::read(root, hostname, report)?;
        check::check(&draft, report);
        draft.into_settings()
    })?;
    Ok(NodeSettings { notes, ..settings })
}
