//! The cluster over the wire: an API client that survives rotation and outage, watches, writes, leadership.
//!
//! Invariants: TLS is verified always. What a watch says is passed on as [`spillway_cluster::Change`]s and
//! interpreted nowhere here. Must never depend on DPDK or on the appliance.
