//! What the control loop lets others see of the cluster.
//!
//! The control loop replaces the view whenever something has changed; whoever asks reads the latest. No
//! question waits for the control loop, and none disturbs it.

use std::net::IpAddr;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use spillway_admin::{
    AcceptedRow, ClusterStatus, FeedStatus, LeaderStatus, ObjectKind, PoolRow, RefusedRow,
    WriteCounts,
};
use tokio::sync::mpsc;

/// A feed that was silent for so long is stale: a watch is asked anew after 30 s without a word.
pub(crate) const SILENCE_MAX: Duration = Duration::from_mins(1);

/// Orders that may wait for the control loop.
const ORDERS_MAX: usize = 16;

/// The watch of one kind of object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Feed {
    pub(crate) kind: ObjectKind,
    /// All objects were listed since the daemon started. Stays, whatever becomes of the API server.
    pub(crate) synced: bool,
    pub(crate) objects: u64,
    /// When the API server last said anything, a bookmark too.
    pub(crate) last_contact: Option<Instant>,
    /// What the last attempt met; `None` when it went well.
    pub(crate) error: Option<String>,
    /// Objects of a list that the shrink guard holds.
    pub(crate) held: Option<u64>,
}

/// One node, as the translation sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Its InternalIPs.
    pub(crate) addresses: Vec<IpAddr>,
    /// It may take traffic, unless its checks fail.
    pub(crate) eligible: bool,
    /// Why it may not, and what of it is not believed.
    pub(crate) notes: Vec<String>,
    pub(crate) pod_cidrs: Vec<ipnet::IpNet>,
    /// What its Ready condition says, if it says anything.
    pub(crate) ready: Option<bool>,
}

/// What the translation has made of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) refused: Vec<RefusedRow>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) pools: Vec<PoolRow>,
}

/// The cluster at one moment, for display.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ClusterView {
    pub(crate) endpoint: String,
    pub(crate) server_version: Option<String>,
    /// What is served comes from the snapshot on disk.
    pub(crate) from_cache: bool,
    /// One per kind that is watched.
    pub(crate) feeds: Vec<Feed>,
    pub(crate) leader: LeaderStatus,
    pub(crate) writes: WriteCounts,
    /// Shared by all views until the translation makes others: news come far more often.
    pub(crate) rows: Arc<Rows>,
    /// Port on which nodes are asked for their kube-proxy; `None`: they are not asked.
    pub(crate) kube_proxy_port: Option<u16>,
}

/// What an operator may tell the control loop.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClusterOrder {
    /// Takes the list of this kind that the shrink guard holds as it is.
    AcceptShrink(ObjectKind),
}

/// The control loop takes no order now.
#[derive(Debug, thiserror::Error)]
#[error("the control loop is behind with its orders: try again")]
pub(crate) struct NotTaken;

/// Between the control loop and those who ask.
#[derive(Debug)]
pub(crate) struct ClusterDesk {
    view: RwLock<Arc<ClusterView>>,
    orders: mpsc::Sender<ClusterOrder>,
}

impl ClusterDesk {
    /// With the control loop's end of the orders.
    pub(crate) fn new(view: ClusterView) -> (Self, mpsc::Receiver<ClusterOrder>) {
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        (Self { view: RwLock::new(Arc::new(view)), orders }, inbox)
    }

    pub(crate) fn view(&self) -> Arc<ClusterView> {
        let guard = self.view.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(&guard)
    }

    /// The control loop's side.
    pub(crate) fn set_view(&self, view: ClusterView) {
        let view = Arc::new(view);
        *self.view.write().unwrap_or_else(std::sync::PoisonError::into_inner) = view;
    }

    /// Orders that every held list, or the one of `kind`, is taken as it is. Returns those lists.
    pub(crate) fn accept_shrink(
        &self,
        kind: Option<ObjectKind>,
    ) -> Result<Vec<AcceptedRow>, NotTaken> {
        let view = self.view();
        let asked = view.feeds.iter().filter(|feed| kind.is_none_or(|kind| kind == feed.kind));
        let mut accepted = Vec::new();
        for feed in asked {
            let Some(objects) = feed.held else { continue };
            let order = ClusterOrder::AcceptShrink(feed.kind);
            self.orders.try_send(order).map_err(|_| NotTaken)?;
            accepted.push(AcceptedRow { kind: feed.kind, objects_before: feed.objects, objects });
        }
        Ok(accepted)
    }
}

impl Feed {
    fn is_stale(&self, now: Instant) -> bool {
        let silent = self.last_contact.is_none_or(|at| now.duration_since(at) > SILENCE_MAX);
        !self.synced || self.error.is_some() || silent
    }

    fn status(&self, now: Instant) -> FeedStatus {
        FeedStatus {
            kind: self.kind,
            synced: self.synced,
            objects: self.objects,
            last_contact_seconds_ago: self.age_seconds(now),
            error: self.error.clone(),
            held: self.held,
        }
    }

    /// Seconds since the last contact, in whole milliseconds.
    pub(crate) fn age_seconds(&self, now: Instant) -> Option<f64> {
        let age = now.saturating_duration_since(self.last_contact?);
        Some((age.as_secs_f64() * 1000.0).round() / 1000.0)
    }
}

impl ClusterView {
    /// Whether what is known may be older than the cluster.
    pub(crate) fn is_stale(&self, now: Instant) -> bool {
        self.from_cache || self.feeds.is_empty() || self.feeds.iter().any(|feed| feed.is_stale(now))
    }

    /// Whether the cluster is known at all: from the API server, or from the disk.
    pub(crate) fn is_known(&self) -> bool {
        self.from_cache || (!self.feeds.is_empty() && self.feeds.iter().all(|feed| feed.synced))
    }

    pub(crate) fn status(&self, now: Instant) -> ClusterStatus {
        ClusterStatus {
            endpoint: self.endpoint.clone(),
            server_version: self.server_version.clone(),
            stale: self.is_stale(now),
            from_cache: self.from_cache,
            feeds: self.feeds.iter().map(|feed| feed.status(now)).collect(),
            leader: self.leader.clone(),
            writes: self.writes,
            refused: u32::try_from(self.rows.refused.len()).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(kind: ObjectKind, contact: Instant) -> Feed {
        let last_contact = Some(contact);
        Feed { kind, synced: true, objects: 100, last_contact, error: None, held: None }
    }

    fn view(contact: Instant) -> ClusterView {
        let feeds = vec![feed(ObjectKind::Service, contact), feed(ObjectKind::Node, contact)];
        ClusterView { feeds, ..ClusterView::default() }
    }

    #[test]
    fn a_cluster_is_stale_when_any_feed_fails_is_silent_or_was_never_listed() {
        let start = Instant::now();
        assert!(!view(start).is_stale(start + SILENCE_MAX));
        assert!(view(start).is_stale(start + SILENCE_MAX + Duration::from_millis(1)));
        let mut failing = view(start);
        failing.feeds[1].error = Some("connection refused".to_owned());
        assert!(failing.is_stale(start));
        let mut unlisted = view(start);
        unlisted.feeds[0].synced = false;
        assert!(unlisted.is_stale(start));
        assert!(!unlisted.is_known());
        assert!(ClusterView { from_cache: true, ..view(start) }.is_stale(start));
        assert!(ClusterView::default().is_stale(start) && !ClusterView::default().is_known());
    }

    #[test]
    fn a_cluster_stays_known_while_the_api_server_is_away() {
        let start = Instant::now();
        let mut away = view(start);
        away.feeds[0].error = Some("connection refused".to_owned());
        assert!(away.is_known());
        assert!(ClusterView { from_cache: true, ..ClusterView::default() }.is_known());
    }

    #[test]
    fn accepting_a_shrunken_list_orders_only_what_is_held_and_asked_for() {
        let mut held = view(Instant::now());
        held.feeds[0].held = Some(10);
        let (desk, mut orders) = ClusterDesk::new(held);
        assert_eq!(desk.accept_shrink(Some(ObjectKind::Node)).unwrap(), []);
        assert!(orders.try_recv().is_err(), "nothing of that kind is held");
        let row = AcceptedRow { kind: ObjectKind::Service, objects_before: 100, objects: 10 };
        assert_eq!(desk.accept_shrink(None).unwrap(), [row]);
        assert_eq!(orders.try_recv(), Ok(ClusterOrder::AcceptShrink(ObjectKind::Service)));
        assert!(orders.try_recv().is_err(), "once");
    }

    #[test]
    fn an_order_that_nobody_takes_is_refused_and_does_not_wait() {
        let mut held = view(Instant::now());
        held.feeds[0].held = Some(10);
        let (desk, orders) = ClusterDesk::new(held);
        for _ in 0..ORDERS_MAX {
            desk.accept_shrink(None).unwrap();
        }
        assert!(desk.accept_shrink(None).is_err());
        drop(orders);
    }
}
