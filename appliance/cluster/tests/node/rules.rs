//! Rules, one by one.

mod endpoints;
mod frontends;
mod identity;
mod node;
mod topology;
