//! The control loop: model and health become Generations, and the workers get them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use spillway_control::health::{self, State, TargetId, Transition};
use spillway_control::settings::Settings;
use spillway_lb::hash::HashKey;
use spillway_lb::model::{Backend, Service};
use spillway_lb::snapshot::{Identities, Snapshot, Standing};
use spillway_lb::tables::Tables;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::desk::Desk;
use crate::host_thread::Order;
use crate::publish::Publisher;

/// Builds Generations. Before the workers run it has nobody to publish to.
#[derive(Debug)]
pub(crate) struct Builder {
    settings: Arc<Settings>,
    key: HashKey,
    identities: Identities,
    /// What the health checks have said so far; a backend that is not in here serves.
    states: HashMap<TargetId, State>,
}

/// The control loop of a running box.
#[derive(Debug)]
pub(crate) struct Control {
    builder: Builder,
    publisher: Publisher,
    desk: Arc<Desk>,
    transitions: UnboundedReceiver<Transition>,
}

impl Builder {
    pub(crate) fn new(settings: Arc<Settings>, key: HashKey) -> Self {
        Self { settings, key, identities: Identities::default(), states: HashMap::new() }
    }

    /// The next Generation: as it is shown, and as the workers use it.
    pub(crate) fn build(&mut self) -> (Arc<Snapshot>, Tables) {
        let Self { settings, key, identities, states } = self;
        let snapshot = identities.snapshot(&settings.model, |service| standings(states, service));
        let tables = Tables::compile(&snapshot, &settings.network, *key);
        (Arc::new(snapshot), tables)
    }
}

fn standings(states: &HashMap<TargetId, State>, service: &Service) -> Vec<Standing> {
    let standing = |backend| Standing { serving: serves(states, service, backend), weight: None };
    service.backends.iter().map(standing).collect()
}

fn serves(states: &HashMap<TargetId, State>, service: &Service, backend: &Backend) -> bool {
    let IpAddr::V4(address) = backend.address else { return false };
    let backend = std::net::SocketAddrV4::new(address, backend.port);
    let target = TargetId { service: service.name.clone(), backend };
    states.get(&target).is_none_or(|state| state.is_serving())
}

impl Control {
    /// Tells the host stack what is served, and is ready to step.
    pub(crate) fn new(
        builder: Builder,
        publisher: Publisher,
        desk: Arc<Desk>,
        transitions: UnboundedReceiver<Transition>,
    ) -> anyhow::Result<Self> {
        let model = &builder.settings.model;
        let v4 = |address: IpAddr| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        };
        let frontends = model.services.iter().flat_map(|service| &service.frontends);
        let backends = model.services.iter().flat_map(|service| &service.backends);
        let frontends: Vec<Ipv4Addr> =
            frontends.filter_map(|frontend| v4(frontend.address)).collect();
        let backends: Vec<Ipv4Addr> = backends.filter_map(|backend| v4(backend.address)).collect();
        let targets = health::targets(model)?;
        desk.host.order(Order::Serve { frontends, backends, targets });
        Ok(Self { builder, publisher, desk, transitions })
    }

    /// Waits for news and publishes what follows from them.
    pub(crate) async fn step(&mut self) {
        let Some(first) = self.transitions.recv().await else {
            // The host stack is gone: what is known is served on.
            return std::future::pending().await;
        };
        self.note(first);
        // What has come meanwhile goes into the same Generation.
        while let Ok(more) = self.transitions.try_recv() {
            self.note(more);
        }
        let (snapshot, tables) = self.builder.build();
        tracing::info!(generation = snapshot.generation.get(), "publishing");
        self.publisher.publish(tables);
        self.desk.set_snapshot(snapshot);
    }

    fn note(&mut self, transition: Transition) {
        tracing::info!("{transition}");
        for target in transition.targets {
            self.builder.states.insert(target, transition.state);
        }
    }
}
