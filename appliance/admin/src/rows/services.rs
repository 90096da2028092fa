//! Services, their backends, and what the health checks say.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::values::{BackendState, CheckKind, FrontendKind, HealthState, Protocol, Scheduler};

/// One frontend of a Service. A Service with several frontends has several rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRow {
    /// Number of the frontend, from 1 in the order of the configuration.
    pub id: u32,
    /// `namespace/name:port`, or the bare name in static mode.
    pub name: String,
    pub frontend: SocketAddr,
    pub protocol: Protocol,
    pub kind: FrontendKind,
    pub scheduler: Scheduler,
    /// In the order of the configuration.
    pub backends: Vec<ServiceBackendRow>,
    /// Live flows on this frontend (gauge).
    pub flows: u64,
    /// Flows admitted on this frontend since the daemon started.
    pub flows_total: u64,
    /// Flows refused on this frontend since the daemon started.
    pub refused_total: u64,
}

/// One backend, seen from one frontend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceBackendRow {
    /// From 1, in the order of the configuration.
    pub index: u32,
    pub address: SocketAddr,
    pub state: BackendState,
    /// What there is to say about its state, e.g. `connection refused`, `fail-open`.
    pub reason: Option<String>,
    /// Share of new flows relative to the other backends; 0 takes none.
    pub weight: u16,
    /// Live flows from this frontend to this backend (gauge).
    pub flows: u64,
}

/// One backend with all Services that use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendRow {
    pub address: SocketAddr,
    pub protocol: Protocol,
    /// Names of the Services that use it.
    pub services: Vec<String>,
    pub state: BackendState,
    /// What there is to say about its state, e.g. `connection refused`, `fail-open`.
    pub reason: Option<String>,
    pub weight: u16,
    /// Seconds since it entered its state.
    pub since_seconds: u64,
    /// Live flows to it (gauge).
    pub flows: u64,
}

/// One health check of one backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthRow {
    pub service: String,
    pub backend: SocketAddr,
    pub kind: CheckKind,
    /// What is probed: `10.0.1.72:80`, or `http://10.0.1.72:80/healthz`.
    pub target: String,
    pub state: HealthState,
    /// What the last failed check met; kept after a recovery.
    pub last_error: Option<String>,
    /// Seconds since the last check ended; `None` before the first.
    pub last_check_seconds_ago: Option<u64>,
    /// Duration of the last successful check in microseconds.
    pub last_latency_micros: Option<u64>,
    /// Consecutive successes; 0 after a failure.
    pub successes: u32,
    /// Consecutive failures; 0 after a success.
    pub failures: u32,
    /// Changes between up and down since the daemon started.
    pub transitions: u64,
    /// Time between two checks in milliseconds, before jitter.
    pub interval_millis: u64,
    /// Longest duration of a check in milliseconds.
    pub timeout_millis: u64,
    /// Consecutive failures that take the backend out.
    pub fall: u8,
    /// Consecutive successes that bring it back.
    pub rise: u8,
}
