//! The cluster, as the control loop holds it: what the watch says, what follows, and what is told back.

use std::collections::BTreeMap;
use std::sync::Arc;

use spillway_admin::{LeaderStatus, WriteCounts};
use spillway_cluster::election;
use spillway_cluster::events::Source;
use spillway_cluster::{Change, Cluster, Kind, Object, View};
use spillway_control::settings::KubernetesSettings;
use spillway_kube::{Clockwork, FeedState, LeaseSettings, Notice, Session, SessionSettings};
use spillway_lb::ids::Generation;
use tokio::sync::mpsc;

use super::herald::Herald;
use super::shown;
use crate::desk::cluster::{ClusterDesk, ClusterOrder, ClusterView, Feed, Rows};

/// Notices that are taken in before anything is built from them.
const NOTICES_AT_ONCE: usize = 4096;

/// What woke the link.
#[derive(Debug)]
pub(crate) enum News {
    Notice(Notice),
    /// The Lease has come to us, or has gone.
    Lease,
    Order(ClusterOrder),
    /// The session is gone, which it never is by itself.
    Ended,
}

/// The cluster and the way to it.
#[derive(Debug)]
pub(crate) struct Link {
    settings: KubernetesSettings,
    cluster: Cluster,
    session: Session,
    notices: mpsc::Receiver<Notice>,
    herald: Herald,
    feeds: BTreeMap<Kind, FeedState>,
    view: Arc<View>,
    /// Of `view`.
    rows: Arc<Rows>,
    is_leader: bool,
    desk: Arc<ClusterDesk>,
    orders: mpsc::Receiver<ClusterOrder>,
}

impl Link {
    /// Starts to watch. Inside of the runtime.
    pub(crate) fn start(
        settings: KubernetesSettings,
        host: &str,
        run: u64,
    ) -> anyhow::Result<(Self, Arc<ClusterDesk>)> {
        let lease = settings.write_status.then(|| LeaseSettings {
            namespace: settings.lease_namespace.clone(),
            name: settings.lease_name.clone(),
            // A box that was restarted must not be taken for the one that ran before.
            identity: format!("{}_{run:016x}", settings.identity),
            election: election::Settings::default(),
        });
        let clockwork = Clockwork {
            idle_timeout: settings.idle_timeout,
            hold: settings.shrink_hold,
            ..Clockwork::default()
        };
        let (session, notices) = Session::start(SessionSettings {
            access: settings.access.clone(),
            cache: settings.cache.clone(),
            lease,
            source: Source { component: "spillway".to_owned(), host: host.to_owned() },
            clockwork,
        })?;
        let herald = Herald::new(session.writer(), settings.policy.class.clone());
        let cluster = Cluster::new(settings.policy.clone(), settings.pools.clone());
        let (desk, orders) = ClusterDesk::new(ClusterView::default());
        let desk = Arc::new(desk);
        let link = Self {
            settings,
            cluster,
            session,
            notices,
            herald,
            feeds: BTreeMap::new(),
            view: Arc::default(),
            rows: Arc::default(),
            is_leader: false,
            desk: Arc::clone(&desk),
            orders,
        };
        link.show();
        Ok((link, desk))
    }

    /// Waits for news. Cancelling loses none.
    pub(crate) async fn news(&mut self) -> News {
        let is_leader = self.is_leader;
        let changes = self.session.leader().map(|leader| leader.changes());
        let lease = async move {
            let Some(mut changes) = changes else { return std::future::pending().await };
            if changes.wait_for(|now| *now != is_leader).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            notice = self.notices.recv() => notice.map_or(News::Ended, News::Notice),
            () = lease => News::Lease,
            Some(order) = self.orders.recv() => News::Order(order),
        }
    }

    /// Takes news in, and everything that has come with them. The view when it is another than before.
    pub(crate) fn take(&mut self, news: News) -> Option<Arc<View>> {
        match news {
            News::Notice(notice) => {
                self.note(notice);
                for _ in 1..NOTICES_AT_ONCE {
                    let Ok(more) = self.notices.try_recv() else { break };
                    self.note(more);
                }
            }
            News::Order(ClusterOrder::AcceptShrink(kind)) => {
                tracing::warn!("{kind} objects: the held list is taken, as ordered");
                self.session.accept(shown::kind_of(kind));
            }
            News::Lease => self.follow_lease(),
            News::Ended => tracing::error!("the cluster is not watched any more"),
        }
        let view = self.cluster.view();
        let is_new = !Arc::ptr_eq(&view, &self.view);
        if is_new {
            self.view = Arc::clone(&view);
            self.rows = Arc::new(shown::rows(&self.settings.pools, &view));
            self.herald.promise(&view);
            if self.is_leader {
                self.herald.warn_of_empty(&view);
            }
        }
        self.show();
        is_new.then_some(view)
    }

    fn note(&mut self, notice: Notice) {
        match notice {
            Notice::Change(change) => {
                match &change {
                    Change::Replace { kind: Kind::Service, .. } => self.herald.review(),
                    Change::Upsert(Object::Service(service)) => {
                        self.herald.changed(&service.meta.key());
                    }
                    Change::Replace { .. } | Change::Upsert(_) | Change::Delete { .. } => {}
                }
                self.cluster.apply(change);
            }
            // The watch has logged it.
            Notice::Feed { kind, state } => {
                self.feeds.insert(kind, state);
            }
            Notice::Written { key, outcome } => self.herald.written(&key, &outcome),
        }
    }

    fn follow_lease(&mut self) {
        let is_leader = self.session.leader().is_some_and(|leader| leader.is_leader());
        if is_leader == self.is_leader {
            return;
        }
        self.is_leader = is_leader;
        // The session has logged it.
        if is_leader {
            self.herald.lead();
            // The box that led before may have gone before it told.
            self.herald.warn_of_empty(&self.view);
        }
    }

    /// A Generation was built from the view.
    pub(crate) fn built(&mut self, generation: Generation) {
        self.herald.built(generation);
    }

    /// Writes what is due, if this box may.
    pub(crate) fn work(&mut self, served: Generation) {
        if self.is_leader {
            self.herald.work(&self.cluster, served);
        }
    }

    /// Whether writes wait for the workers.
    pub(crate) fn waits_for(&self, served: Generation) -> bool {
        self.is_leader && self.herald.waits_for(served)
    }

    /// Stops watching and gives the Lease back.
    pub(crate) async fn stop(self) {
        self.session.shutdown().await;
    }

    fn show(&self) {
        let holder = self.session.leader().map(|leader| leader.holder());
        let counters = self.herald.counters();
        let policy = &self.settings.policy;
        self.desk.set_view(ClusterView {
            endpoint: self.session.endpoint().unwrap_or_else(|| shown::endpoint(&self.settings)),
            server_version: self.session.server_version(),
            from_cache: self.feeds.values().any(|feed| feed.cached_at.is_some()),
            feeds: Kind::ALL.iter().map(|kind| self.feed(*kind)).collect(),
            leader: LeaderStatus {
                is_leader: self.is_leader,
                holder: holder.filter(|holder| !holder.is_empty()),
            },
            writes: WriteCounts {
                done: counters.done,
                failed: counters.failed,
                pending: if self.is_leader { self.herald.pending() as u64 } else { 0 },
                read_only: self.herald.is_read_only(),
            },
            rows: Arc::clone(&self.rows),
            kube_proxy_port: policy.kube_proxy_port,
        });
    }

    fn feed(&self, kind: Kind) -> Feed {
        let state = self.feeds.get(&kind).cloned().unwrap_or_default();
        Feed {
            kind: shown::kind(kind),
            synced: state.synced,
            objects: self.cluster.index().count(kind) as u64,
            last_contact: state.last_contact,
            error: state.error,
            held: state.held.map(|held| held.kept.saturating_sub(held.lost) as u64),
        }
    }
}

#[cfg(test)]
mod tests;
