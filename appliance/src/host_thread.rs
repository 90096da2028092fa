//! The host stack's thread: ARP, health checks and frames that wait for a neighbour.
//!
//! Between the workers' rings and [`Host`], which is pure. Workers never wait for this thread: what
//! their ring does not hold is dropped and counted.

use std::net::Ipv4Addr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use capsule::Burst;
use capsule::Mempool;
use capsule::{Receiver, Sender, Single};
use spillway_control::health::{self, Check, Turn};
use spillway_host::{Host, HostCounters, Moment, NeighborRow, Transmit};
use spillway_lb::ids::PortId;
use spillway_lb::model::Route;

use crate::egress::ForHost;

/// Longest sleep when nothing comes: bounds how late an ARP answer or a probe's packet can be.
const NAP: Duration = Duration::from_micros(500);

/// What the control side may ask of the thread.
#[derive(Debug)]
pub(crate) enum Order {
    /// What the box answers for, whom it forwards to, and the checks that are to run.
    Serve {
        frontends: Vec<Ipv4Addr>,
        backends: Vec<Ipv4Addr>,
        routes: Vec<Route>,
        checks: Vec<Arc<Check>>,
    },
    View(tokio::sync::oneshot::Sender<View>),
    Stop,
}

/// The thread's state, for display.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) now: Moment,
    pub(crate) neighbors: Vec<NeighborRow>,
    pub(crate) health: Vec<health::Row>,
    pub(crate) counters: HostCounters,
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct HostThread {
    orders: mpsc::Sender<Order>,
    thread: JoinHandle<()>,
}

/// What the thread needs of DPDK, and where it reports.
#[derive(Debug)]
pub(crate) struct Wiring {
    pub(crate) from_workers: Receiver<Single>,
    pub(crate) to_worker: Sender<Single>,
    pub(crate) pool: Arc<Mempool>,
    pub(crate) turns: tokio::sync::mpsc::UnboundedSender<Turn>,
    pub(crate) started: Instant,
}

/// The way out: a fresh mbuf into the ring of the worker that transmits for us.
struct Out<'w> {
    wiring: &'w mut Wiring,
    burst: Burst,
}

impl HostThread {
    pub(crate) fn start(host: Host, wiring: Wiring) -> std::io::Result<Self> {
        let (orders, inbox) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("host-stack".into())
            .spawn(move || run(host, wiring, &inbox))?;
        Ok(Self { orders, thread })
    }

    /// `false`: the thread is gone.
    pub(crate) fn order(&self, order: Order) -> bool {
        self.orders.send(order).is_ok()
    }

    /// Ends the thread; `false` when it had panicked.
    pub(crate) fn stop(self) -> bool {
        let _ = self.orders.send(Order::Stop);
        self.thread.join().is_ok()
    }
}

fn run(mut host: Host, mut wiring: Wiring, inbox: &mpsc::Receiver<Order>) {
    let mut burst = Burst::new();
    loop {
        let now = Moment::from_elapsed(wiring.started.elapsed());
        match inbox.try_recv() {
            Ok(Order::Stop) | Err(mpsc::TryRecvError::Disconnected) => return,
            Ok(Order::Serve { frontends, backends, routes, checks }) => {
                host.set_owned(now, frontends);
                // Before the backends, whose next hops they decide.
                host.set_routes(now, routes);
                host.set_backends(now, backends);
                host.set_checks(now, checks);
                let stretch = host.counters().probes_stretch_percent;
                if stretch > 100 {
                    tracing::warn!(
                        "more health checks than can be made in time: intervals are {stretch} % of \
                         what is configured"
                    );
                }
            }
            Ok(Order::View(answer)) => {
                let _ = answer.send(view(&host, now));
            }
            Err(mpsc::TryRecvError::Empty) => {}
        }
        let received = wiring.from_workers.dequeue(&mut burst);
        for mbuf in burst.drain() {
            match ForHost::read(&mbuf) {
                ForHost::Local => host.receive(now, PortId::new(mbuf.port()), mbuf.data()),
                ForHost::Resolve(egress) => {
                    // What was not sent is in the neighbour table's counters.
                    let _ = host.resolve_and_send(now, egress.port, egress.next_hop, mbuf.data());
                }
            }
        }
        let mut out = Out { wiring: &mut wiring, burst: Burst::new() };
        let next = host.poll(now, &mut out);
        for turn in host.turns() {
            let _ = wiring.turns.send(turn);
        }
        if received == 0 {
            let wait = next.map_or(NAP, |next| next.since(now));
            std::thread::sleep(wait.min(NAP));
        }
    }
}

fn view(host: &Host, now: Moment) -> View {
    View {
        now,
        neighbors: host.neighbor_rows(),
        health: host.health_rows(),
        counters: host.counters(),
    }
}

impl Transmit for Out<'_> {
    fn transmit(&mut self, port: PortId, frame: &[u8]) -> bool {
        let Some(mut mbuf) = self.wiring.pool.alloc() else { return false };
        if !mbuf.copy_from(frame) {
            return false;
        }
        mbuf.set_port(port.get());
        let fits =
            self.burst.push(mbuf).is_ok() && self.wiring.to_worker.enqueue(&mut self.burst) > 0;
        self.burst.clear();
        fits
    }
}
