//! What the daemon holds of a cluster: changes in, views out.

use std::sync::Arc;

use spillway_lb::model::Model;

use crate::change::Change;
use crate::eligibility::{NodeRow, Nodes, Reserved};
use crate::index::Index;
use crate::object::Object;
use crate::policy::Policy;
use crate::pool::Pool;
use crate::translate::Refused;

/// What a cluster wants served, at one moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Services in the order of namespace and name, port and kind.
    pub model: Model,
    /// What is not served and why; same order.
    pub refused: Vec<Refused>,
    /// In the order of their names.
    pub nodes: Vec<NodeRow>,
}

/// A cluster under an operator's rules.
#[derive(Debug)]
pub struct Cluster {
    policy: Policy,
    pools: Vec<Pool>,
    index: Index,
}

impl Cluster {
    pub fn new(policy: Policy, pools: Vec<Pool>) -> Self {
        Self { policy, pools, index: Index::new() }
    }

    /// Takes in one step of the watch. Cheap: the work is done by [`Cluster::view`].
    pub fn apply(&mut self, change: Change<Object>) {
        self.index.apply(change);
    }

    /// All objects, for a copy on disk.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// What is to be served now.
    pub fn view(&mut self) -> Arc<View> {
        let nodes = Nodes::judge(self.index.nodes(), &Reserved::new(&self.policy, &self.pools));
        Arc::new(View { nodes: nodes.rows().to_vec(), ..View::default() })
    }
}
