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
//! | [`agent`] | the loop that joins all of it |
//! | [`source`], [`places`] | what is to be served; on which addresses |
//! | [`ledger`], [`sync`] | the steps from what the maps hold to what they should hold; carried out |
//! | [`layout`], [`maps`], [`names`] | rows of the maps, as the programs see them; the maps; what they have no room for |
//! | [`objects`], [`pins`] | the compiled programs; where maps and links are pinned |
//! | [`datapath`], [`attach`], [`uninstall`] | programs and maps in the kernel: loaded, attached, upgraded, removed |
//! | [`devices`] | links and addresses of the node, and what they are for |
//! | [`namespaces`], [`clients`], [`reaper`] | whose sockets are whose; sockets of vanished backends |
//! | [`gc`] | rows of flows that are over |
//! | [`health`] | kube-proxy's health ports |
//! | [`views`], [`status`], [`monitor`], [`metrics`] | what the outside sees |
//!
//! Invariants: the agent may die at any moment, and what it left in the kernel goes on serving; nothing is in the
//! kernel that is not below one folder of a bpffs, so that `uninstall` finds all of it. Must never depend on DPDK or on the
//! appliance.

pub mod agent;
pub mod attach;
pub mod clients;
pub mod clock;
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
pub mod places;
pub mod reaper;
pub mod source;
pub mod status;
pub mod sync;
pub mod uninstall;
pub mod views;
