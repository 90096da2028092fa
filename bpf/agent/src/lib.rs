//! `spillway-node`: Services on a cluster node by eBPF, without kube-proxy.
//!
//! ```text
//! API server ─ spillway-kube → spillway-cluster::node ─┐
//! static file ─────────────────────────────────────────┴→ NodeView → Ledger → steps → maps ← programs
//! rtnetlink → devices, node addresses ──────────────────────────────────┘              attached, pinned
//! ```
//!
//! | room | noun |
//! |---|---|
//! | [`datapath`] | the programs, loaded, attached and kept so |
//! | [`devices`] | which devices the world and the pods are behind |
//! | [`gc`] | deletes the rows of flows that are over |
//! | [`health`] | what kube-proxy says of a node, said by us |
//! | [`layout`] | rows of the maps, as the programs see them |
//! | [`ledger`] | what the maps hold, and the steps to what they should hold |
//! | [`maps`] | the pinned maps, opened |
//! | [`metrics`] | the node in numbers |
//! | [`monitor`] | drops one by one |
//! | [`names`] | the file of the Services' names |
//! | [`namespaces`] | network namespaces of the node: cookies and addresses |
//! | [`objects`] | the compiled programs |
//! | [`pins`] | where maps and links are pinned |
//! | [`sync`] | carries the ledger's steps out |
//! | [`views`] | what the lists show |
//!
//! Invariants: the agent may die at any moment, and what it left in the kernel goes on serving; nothing is in the
//! kernel that is not below one folder of a bpffs, so that `uninstall` finds all of it. Must never depend on DPDK or on the
//! appliance.

pub mod datapath;
pub mod devices;
pub mod gc;
pub mod health;
pub mod layout;
pub mod ledger;
pub mod maps;
pub mod metrics;
pub mod monitor;
pub mod names;
pub mod namespaces;
pub mod objects;
pub mod pins;
pub mod sync;
pub mod views;
