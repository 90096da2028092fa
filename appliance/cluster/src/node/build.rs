//! From a checked Service, its places and its endpoints to what the maps are made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use spillway_lb::maglev::BACKENDS_MAX;
use spillway_lb::model::ServiceKind;

use super::join::{Join, Joined};
use super::model::{HealthPort, NodeFrontend, NodeService, Pool};
use super::settle::Won;
use super::spec::{Spec, Wish};
use crate::addresses::Family;
use crate::translate::endpoints::Tally;
use crate::translate::ports::Port;

/// What a Service became.
#[derive(Clone, Debug, Default)]
pub(crate) struct Built {
    pub services: Vec<Arc<NodeService>>,
    pub health_port: Option<HealthPort>,
    /// Sentences.
    pub refused: Vec<String>,
}

/// Translates one Service. `before` is what it was translated to the last time: what is still the same is the same
/// allocation, so that a reader can tell by the pointer.
pub(crate) fn build(spec: &Spec, won: &Won, join: Join<'_>, before: &[Arc<NodeService>]) -> Built {
    let mut built = Built::default();
    let mut tally = Tally::default();
    let mut places: BTreeMap<(usize, Family), Vec<&Wish>> = BTreeMap::new();
    for wish in &won.wishes {
        places.entry((wish.port, wish.family)).or_default().push(wish);
    }
    for ((port, family), wishes) in places {
        let Some(port) = spec.ports.get(port) else { continue };
        let joined = join.port(port, family, &mut tally);
        if let Some(count) = joined.too_many {
            built.refused.push(format!(
                "Service {}: port {} has {count} endpoints; the first {BACKENDS_MAX} are used",
                spec.key, port.label
            ));
        }
        let service = service(spec, port, family, &wishes, joined);
        let same = before.iter().find(|old| ***old == service);
        built.services.push(same.map_or_else(|| Arc::new(service), Arc::clone));
    }
    if !won.wishes.is_empty() {
        join.note_names(&mut tally);
    }
    let rows = tally.rows().map(|(_, text)| format!("Service {}: {text}", spec.key));
    built.refused.extend(rows);
    built.health_port = won.health_port.map(|port| HealthPort {
        namespace: spec.key.namespace.clone(),
        name: spec.key.name.clone(),
        port,
        local_endpoints: join.local_ready(),
    });
    built
}

fn service(
    spec: &Spec,
    port: &Port,
    family: Family,
    wishes: &[&Wish],
    joined: Joined,
) -> NodeService {
    let mut pools = Pools { cluster: joined.cluster, local: joined.local, used: Vec::new() };
    let mut frontends: Vec<NodeFrontend> = Vec::with_capacity(wishes.len());
    for wish in wishes {
        let (internal, external) = match wish.kind {
            ServiceKind::ClusterIp => (pools.slot(spec.internal_is_local), None),
            // Who is inside need not go through a load balancer to reach all of the cluster: kube-proxy's
            // "short-circuit" of externalTrafficPolicy Local.
            ServiceKind::NodePort | ServiceKind::LoadBalancer | ServiceKind::ExternalIp => {
                (pools.slot(false), Some(pools.slot(spec.external_is_local)))
            }
        };
        frontends.push(NodeFrontend {
            kind: wish.kind,
            place: wish.place,
            port: wish.number,
            internal,
            external,
            // As with kube-proxy: the ranges guard the load balancer's addresses.
            is_guarded: wish.kind == ServiceKind::LoadBalancer && !spec.source_ranges.is_empty(),
        });
    }
    frontends.sort_by_key(|front| (front.place, front.port));
    NodeService {
        name: format!("{}:{}", spec.key, port.label),
        family,
        protocol: port.protocol,
        scheduler: spec.scheduler,
        affinity: spec.affinity,
        source_ranges: spec.source_ranges.clone(),
        backends: joined.backends,
        pools: pools.used,
        frontends,
    }
}

/// The two pools that there can be, and those that somebody uses.
struct Pools {
    cluster: Pool,
    local: Pool,
    used: Vec<Pool>,
}

impl Pools {
    fn slot(&mut self, is_local: bool) -> u8 {
        let found = (0_u8..).zip(&self.used).find(|(_, pool)| pool.is_local == is_local);
        if let Some((slot, _)) = found {
            return slot;
        }
        let pool = if is_local { &self.local } else { &self.cluster };
        self.used.push(pool.clone());
        u8::from(self.used.len() > 1)
    }
}
