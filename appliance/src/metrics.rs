//! The box over HTTP: `/metrics` for Prometheus, `/healthz`, `/readyz`, and a page for people at `/`.
//!
//! Everything is collected when it is asked for, by the same questions that the admin socket asks, so that
//! a box that nobody scrapes does nothing for it. Text is made on a thread of its own: ten thousand
//! Services are some megabytes, and the control loop does not wait for them.

mod families;
mod http;
mod page;

use std::net::SocketAddr;

use spillway_admin::{DropReport, FrontendKind, HealthState, PoolRow, PortRow, SnatRow, Status};
use spillway_control::health::State;
use spillway_host::HostCounters;
use tokio::net::TcpListener;

pub(crate) use self::http::serve;
use crate::admin::{network, services, status};
use crate::desk::{Desk, DeskError};

/// Services that are listed one by one; those beyond are only in the sums.
pub(crate) const SERVICES_MAX: usize = 10_000;

/// The address of the metrics cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("metrics: cannot listen on {listen} (metrics.listen names another)")]
pub(crate) struct ListenError {
    listen: SocketAddr,
    source: std::io::Error,
}

/// Listens.
pub(crate) async fn bind(listen: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(listen).await.map_err(|source| ListenError { listen, source })
}

/// One Service, in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceSample {
    pub(crate) name: String,
    pub(crate) kind: FrontendKind,
    pub(crate) frontends: Vec<String>,
    pub(crate) flows_total: u64,
    pub(crate) refused_total: u64,
    pub(crate) backends: usize,
    pub(crate) backends_serving: usize,
}

/// The health checks, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HealthSums {
    /// Checks by what they say.
    pub(crate) states: Vec<(HealthState, u64)>,
    pub(crate) transitions_total: u64,
}

/// The box at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) status: Status,
    pub(crate) drops: DropReport,
    pub(crate) ports: Vec<PortRow>,
    pub(crate) snat: Vec<SnatRow>,
    /// At most as many as may be listed.
    pub(crate) services: Vec<ServiceSample>,
    /// Of all Services, those that are gone too: a sum that never goes down.
    pub(crate) flows_total: u64,
    pub(crate) health: HealthSums,
    pub(crate) host: HostCounters,
    pub(crate) pools: Vec<PoolRow>,
    /// Nodes that may take traffic, and all.
    pub(crate) nodes: (usize, usize),
}

/// Whether the box lives and serves.
#[derive(Clone, Debug)]
pub(crate) struct Vitals {
    pub(crate) status: Status,
    /// What is to be served is known: always in static mode, else once the cluster was heard.
    pub(crate) is_known: bool,
}

/// What is looked at; the running box, or a test's.
pub(crate) trait Observed: Send + Sync + 'static {
    /// Asks every worker: one that does not answer is an error.
    fn vitals(&self) -> impl Future<Output = Result<Vitals, DeskError>> + Send;
    fn sample(&self) -> impl Future<Output = Result<Sample, DeskError>> + Send;
}

impl Observed for Desk {
    async fn vitals(&self) -> Result<Vitals, DeskError> {
        let is_known = self.cluster.as_ref().is_none_or(|cluster| cluster.view().is_known());
        Ok(Vitals { status: status::status(self).await?, is_known })
    }

    async fn sample(&self) -> Result<Sample, DeskError> {
        let view = self.view().await?;
        let (reports, counts) = (self.reports().await?, self.service_counts().await?);
        let cluster = self.cluster.as_ref().map(|cluster| cluster.view());
        let nodes = cluster.as_ref().map_or(&[][..], |cluster| cluster.rows.nodes.as_slice());
        let snapshot = self.snapshot();
        let listed = snapshot.services.iter().take(SERVICES_MAX).map(|service| {
            let count = counts.get(&service.id).copied().unwrap_or_default();
            let frontends = service.service.frontends.iter();
            ServiceSample {
                name: service.service.name.clone(),
                kind: services::kind(service.service.kind),
                frontends: frontends
                    .map(|at| format!("{}/{}", SocketAddr::new(at.address, at.port), at.protocol))
                    .collect(),
                flows_total: count.flows_created,
                refused_total: count.refused,
                backends: service.backends.len(),
                backends_serving: service.backends.iter().filter(|b| status::is_serving(b)).count(),
            }
        });
        let state = |wanted: HealthState| {
            let states = view.health.iter().map(|row| match row.state {
                State::Unknown => HealthState::Unknown,
                State::Up => HealthState::Up,
                State::Down(_) => HealthState::Down,
            });
            (wanted, states.filter(|state| *state == wanted).count() as u64)
        };
        Ok(Sample {
            services: listed.collect(),
            flows_total: reports.iter().map(|report| report.counters.flows_created).sum(),
            health: HealthSums {
                states: [HealthState::Up, HealthState::Down, HealthState::Unknown]
                    .map(state)
                    .to_vec(),
                transitions_total: view.health.iter().map(|row| row.transitions).sum(),
            },
            nodes: (nodes.iter().filter(|node| node.eligible).count(), nodes.len()),
            pools: cluster.as_ref().map(|cluster| cluster.rows.pools.clone()).unwrap_or_default(),
            ports: network::ports(self),
            snat: network::snat(self).await?,
            status: status::status(self).await?,
            drops: status::drops(self).await?,
            host: view.counters,
        })
    }
}

#[cfg(test)]
mod tests;
