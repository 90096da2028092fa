//! What is to be served becomes Generations.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

use spillway_cluster::View;
use spillway_control::health::{Judge, Moment};
use spillway_control::settings::Settings;
use spillway_lb::hash::HashKey;
use spillway_lb::model::Model;
use spillway_lb::snapshot::{Identities, Snapshot};
use spillway_lb::tables::Tables;

use crate::host_thread::Order;

/// Builds Generations. Before the workers run it has nobody to publish to.
#[derive(Debug)]
pub(crate) struct Builder {
    settings: Arc<Settings>,
    key: HashKey,
    identities: Identities,
    /// The configuration's Services first, then the cluster's.
    model: Model,
    /// What the health checks have said so far. Shared with the desk, which shows it.
    judge: Arc<Mutex<Judge>>,
}

impl Builder {
    pub(crate) fn new(settings: Arc<Settings>, key: HashKey) -> Self {
        let model = settings.model.clone();
        let mut judge = Judge::default();
        judge.set_model(&model);
        let judge = Arc::new(Mutex::new(judge));
        Self { settings, key, identities: Identities::default(), model, judge }
    }

    pub(crate) fn judge(&self) -> &Arc<Mutex<Judge>> {
        &self.judge
    }

    /// Puts what the cluster wants beside what the configuration says. True when that is something else than
    /// before: most views differ in a status alone.
    pub(crate) fn set_view(&mut self, view: &View) -> bool {
        let Model { services, routes } = &self.settings.model;
        let services = services.iter().chain(&view.model.services);
        let routes = routes.iter().chain(&view.model.routes);
        let Model { services: old_services, routes: old_routes } = &self.model;
        // What did not change is the same allocation, see `View::model`.
        if services.clone().map(Arc::as_ptr).eq(old_services.iter().map(Arc::as_ptr))
            && routes.clone().eq(old_routes)
        {
            return false;
        }
        self.model =
            Model { services: services.cloned().collect(), routes: routes.copied().collect() };
        self.judge.lock().unwrap_or_else(PoisonError::into_inner).set_model(&self.model);
        true
    }

    /// What the host stack has to know.
    pub(crate) fn order(&self) -> Order {
        let v4 = |address: IpAddr| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        };
        let services = &self.model.services;
        let frontends = services.iter().flat_map(|service| &service.frontends);
        let mut frontends: Vec<Ipv4Addr> =
            frontends.filter_map(|frontend| v4(frontend.address)).collect();
        frontends.sort_unstable();
        frontends.dedup();
        let backends = services.iter().flat_map(|service| &service.backends);
        let mut backends: Vec<Ipv4Addr> =
            backends.filter_map(|backend| v4(backend.address)).collect();
        backends.sort_unstable();
        backends.dedup();
        let checks = self.judge.lock().unwrap_or_else(PoisonError::into_inner).checks();
        Order::Serve { frontends, backends, routes: self.model.routes.clone(), checks }
    }

    /// The next Generation: as it is shown, and as the workers use it. What did not change since
    /// `previous` is shared with it.
    pub(crate) fn build(
        &mut self,
        now: Moment,
        previous: Option<&Tables>,
    ) -> (Arc<Snapshot>, Tables) {
        let Self { settings, key, identities, model, judge } = self;
        let mut judge = judge.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = identities.snapshot(model, |service| judge.standings(service, now));
        let tables = match previous {
            Some(previous) => Tables::compile_after(previous, &snapshot, &settings.network, *key),
            None => Tables::compile(&snapshot, &settings.network, *key),
        };
        (Arc::new(snapshot), tables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::samples;
    use spillway_lb::model::{Route, Service, ServiceKind};

    fn service(name: &str) -> Arc<Service> {
        Arc::new(Service::new(name, ServiceKind::LoadBalancer))
    }

    fn view(services: &[&Arc<Service>], routes: Vec<Route>) -> View {
        let services = services.iter().copied().map(Arc::clone).collect();
        View { model: Model { services, routes }, ..View::default() }
    }

    #[test]
    fn only_other_services_or_routes_are_something_else_to_serve() {
        let mut builder = Builder::new(Arc::new(samples::settings()), HashKey([1, 2]));
        let (a, b) = (service("default/a:80"), service("default/b:80"));
        let route =
            Route { prefix: "10.244.1.0/24".parse().unwrap(), via: "10.0.1.1".parse().unwrap() };
        assert!(!builder.set_view(&View::default()), "as it began");
        assert!(builder.set_view(&view(&[&a, &b], vec![])));
        assert!(!builder.set_view(&view(&[&a, &b], vec![])), "a status has come back");
        assert!(builder.set_view(&view(&[&a, &service("default/b:80")], vec![])));
        assert!(builder.set_view(&view(&[&a], vec![])));
        assert!(builder.set_view(&view(&[&a], vec![route])));
        assert!(!builder.set_view(&view(&[&a], vec![route])));
        assert!(builder.set_view(&View::default()));
    }
}
