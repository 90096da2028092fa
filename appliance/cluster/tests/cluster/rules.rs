//! A rule of Kubernetes, or of ours, and the literal objects that show it.

mod addresses;
mod backends;
mod checks;
mod frontends;
mod identity;
mod nodes;
