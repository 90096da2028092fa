//! Where Services come from: the cluster, the configuration, or both.

use std::collections::{BTreeMap, BTreeSet};
use std::future;
use std::sync::Arc;

use anyhow::Context;
use spillway_cluster::node::{NodeCluster, NodePolicy, NodeView};
use spillway_cluster::{Change, Kind};
use spillway_control::settings::node::NodeKubernetes;
use spillway_kube::{Clockwork, FeedState, Notice, Session, SessionSettings};
use tokio::sync::mpsc;

/// Notices that are taken in before anything follows from them.
const NOTICES_AT_ONCE: usize = 4096;

/// The source, and what it has said so far.
#[derive(Debug)]
pub struct Source {
    cluster: NodeCluster,
    /// `None`: the configuration says everything.
    watch: Option<Watch>,
}

#[derive(Debug)]
struct Watch {
    session: Session,
    notices: mpsc::Receiver<Notice>,
    /// Kinds that were read as a whole, from the cache or from the API server.
    heard: BTreeSet<Kind>,
    feeds: BTreeMap<Kind, FeedState>,
}

impl Source {
    /// Begins to watch, if there is a cluster. Inside of a tokio runtime.
    ///
    /// # Errors
    /// The access to the cluster can never work.
    pub fn start(policy: NodePolicy, kubernetes: Option<&NodeKubernetes>) -> anyhow::Result<Self> {
        let watch = kubernetes.map(Watch::start).transpose().context("the cluster")?;
        Ok(Self { cluster: NodeCluster::new(policy), watch })
    }

    /// Waits until there is something new, and takes it in. Cancelling loses nothing.
    pub async fn changed(&mut self) {
        let Some(watch) = &mut self.watch else { return future::pending().await };
        let Some(notice) = watch.notices.recv().await else {
            tracing::error!("the cluster is not watched any more");
            return future::pending().await;
        };
        watch.note(notice, &mut self.cluster);
        for _ in 1..NOTICES_AT_ONCE {
            let Ok(more) = watch.notices.try_recv() else { break };
            watch.note(more, &mut self.cluster);
        }
    }

    /// What is to be served; `None` as long as part of it was not heard yet: what is not known must not be taken for
    /// what is not there.
    pub fn view(&mut self) -> Option<Arc<NodeView>> {
        let is_known = self
            .watch
            .as_ref()
            .is_none_or(|it| Kind::ALL.iter().all(|kind| it.heard.contains(kind)));
        is_known.then(|| self.cluster.view())
    }

    /// For people.
    pub fn name(&self) -> String {
        let Some(watch) = &self.watch else { return "configuration".to_owned() };
        watch.session.endpoint().unwrap_or_else(|| "a cluster that was not reached yet".to_owned())
    }

    /// What is wrong with the feeds.
    pub fn warnings(&self) -> Vec<String> {
        let Some(watch) = &self.watch else { return Vec::new() };
        let mut warnings = Vec::new();
        for kind in Kind::ALL {
            let Some(feed) = watch.feeds.get(&kind) else {
                warnings.push(format!("{kind} objects: not heard yet"));
                continue;
            };
            if let Some(error) = &feed.error {
                warnings.push(format!("{kind} objects: {error}; the last known are served"));
            }
            if let Some(held) = &feed.held {
                let (kept, lost) = (held.kept, held.lost);
                warnings
                    .push(format!("{kind} objects: {lost} of {kept} vanished at once: held back"));
            }
            if feed.cached_at.is_some() {
                warnings
                    .push(format!("{kind} objects: from the cache, not from the API server yet"));
            }
        }
        warnings
    }

    /// Stops watching.
    pub async fn stop(self) {
        if let Some(watch) = self.watch {
            watch.session.shutdown().await;
        }
    }
}

impl Watch {
    fn start(kubernetes: &NodeKubernetes) -> anyhow::Result<Self> {
        let clockwork = Clockwork {
            idle_timeout: kubernetes.idle_timeout,
            hold: kubernetes.shrink_hold,
            ..Clockwork::default()
        };
        let settings = SessionSettings::new(kubernetes.access.clone());
        let cache = kubernetes.cache.clone();
        let (session, notices) = Session::start(SessionSettings { cache, clockwork, ..settings })?;
        Ok(Self { session, notices, heard: BTreeSet::new(), feeds: BTreeMap::new() })
    }

    fn note(&mut self, notice: Notice, cluster: &mut NodeCluster) {
        match notice {
            Notice::Change(change) => {
                if let Change::Replace { kind, .. } = &change {
                    self.heard.insert(*kind);
                }
                cluster.apply(change);
            }
            Notice::Feed { kind, state } => {
                self.feeds.insert(kind, state);
            }
            // Nothing is ever written.
            Notice::Written { .. } => {}
        }
    }
}
