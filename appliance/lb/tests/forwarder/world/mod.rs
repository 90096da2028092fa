//! A box in ordinary memory: workers, hand-over between them, L2 headers, a clock, Generations.
//!
//! Does what the appliance's worker loop does with every verdict, and checks the laws that hold
//! whatever happens: frames are accounted for, flows and SNAT ports agree, no two workers lend the
//! same port towards one backend, and what leaves is a whole packet that is not for the box.

mod frames;
mod outcome;
mod setup;
mod talk;
mod tally;

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use spillway_lb::batch::{BURST_MAX, Batch, Frames, Verdicts};
use spillway_lb::conntrack::FlowRecord;
use spillway_lb::forward::{Forwarder, Origin};
use spillway_lb::ids::{PortId, WorkerId};
use spillway_lb::model::{Backend, Model, Network, Protocol, Service};
use spillway_lb::snapshot::{Identities, Snapshot, Standing};
use spillway_lb::snat::port_owner;
use spillway_lb::tables::Tables;
use spillway_lb::time::{Tick, ticks};
use spillway_lb::verdict::{DropReason, Egress, Verdict};
use spillway_packet::build::Builder;

pub(crate) use frames::*;
pub(crate) use outcome::{Outcome, RefusalFrame};
pub(crate) use setup::{
    BACK, FRONT, HASH_KEY, ServiceSetup, Setup, backend, mac_of, route, service,
};
use tally::Tally;

/// Where the clock starts: any moment but 0.
const START: Tick = Tick::new(77_777);

/// What became of a frame in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Left, with the L2 header of its egress.
    Sent(Egress, Vec<u8>),
    /// Dropped, and the refusal left in its place.
    Refused(DropReason, Egress, Vec<u8>),
    Dropped(DropReason),
    Local,
}

/// A frame's fate, and who decided it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handled {
    pub(crate) fate: Fate,
    pub(crate) by: WorkerId,
    pub(crate) handed_over: bool,
}

/// Frames on their way to a worker, each with its place in the burst that it came in.
#[derive(Clone, Debug, Default)]
struct Parcel {
    places: Vec<usize>,
    frames: Vec<(PortId, Vec<u8>)>,
}

/// The four ends of a flow, as they are seen on the wires.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flow {
    pub(crate) protocol: Protocol,
    pub(crate) client: SocketAddrV4,
    pub(crate) frontend: SocketAddrV4,
    pub(crate) snat: SocketAddrV4,
    pub(crate) backend: SocketAddrV4,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) workers: Vec<Forwarder<'static>>,
    pub(crate) network: Arc<Network>,
    pub(crate) now: Tick,
    pub(crate) model: Model,
    identities: Identities,
    down: HashSet<SocketAddrV4>,
    /// Frames that came in may be broken: what leaves may be so too.
    pub(crate) lenient: bool,
}

impl World {
    /// A box with one worker and one service, the classic flow's network around it.
    pub(crate) fn with(service: ServiceSetup) -> Self {
        Setup::new().service(service).world()
    }

    /// A frame arrives at the port that its sender is behind, and at the first worker.
    pub(crate) fn ingress(&mut self, frame: Builder) -> Outcome<'_> {
        self.ingress_at(0, frame)
    }

    /// A frame arrives at the port that its sender is behind, and at this worker.
    pub(crate) fn ingress_at(&mut self, worker: u16, frame: Builder) -> Outcome<'_> {
        let (port, frame) = self.dressed(frame);
        self.ingress_raw_at(worker, port, frame)
    }

    pub(crate) fn ingress_raw(&mut self, port: PortId, frame: Vec<u8>) -> Outcome<'_> {
        self.ingress_raw_at(0, port, frame)
    }

    pub(crate) fn ingress_raw_at(
        &mut self,
        worker: u16,
        port: PortId,
        frame: Vec<u8>,
    ) -> Outcome<'_> {
        let before = self.tally();
        let handled = self.burst_at(worker, vec![(port, frame)]).remove(0);
        self.assert_laws();
        Outcome::new(self, handled, before)
    }

    /// The frame as its sender's neighbour on the link would send it, and the port of that link.
    pub(crate) fn dressed(&self, frame: Builder) -> (PortId, Vec<u8>) {
        let source = source_of(&frame.finish());
        let behind = &self.network.ports[BACK.index()].addresses;
        let port = if behind.iter().any(|net| net.contains(&source)) { BACK } else { FRONT };
        let identity = self.workers[0].settings().ports[port.index()];
        let frame = frame.macs(mac_of(source), identity.mac).vlan(identity.vlan);
        (port, frame.finish())
    }

    /// A burst arrives at a worker; frames that others own are handed over to them.
    pub(crate) fn burst_at(&mut self, worker: u16, frames: Vec<(PortId, Vec<u8>)>) -> Vec<Handled> {
        assert!(frames.len() <= BURST_MAX);
        let mut fates = vec![None; frames.len()];
        let parcel = Parcel { places: (0..frames.len()).collect(), frames };
        let handed = self.forward(worker, Origin::Port, parcel, &mut fates);
        for (owner, parcel) in (0..).zip(handed) {
            let again = self.forward(owner, Origin::Worker, parcel, &mut fates);
            assert!(again.iter().all(|parcel| parcel.places.is_empty()), "handed over twice");
        }
        let fates: Vec<Handled> = fates.into_iter().map(Option::unwrap).collect();
        for handled in &fates {
            self.assert_may_leave(handled);
        }
        fates
    }

    /// One call of the forwarder, and what a worker then does with each verdict. Returns what goes
    /// to each of the others.
    fn forward(
        &mut self,
        worker: u16,
        origin: Origin,
        parcel: Parcel,
        fates: &mut [Option<Handled>],
    ) -> Vec<Parcel> {
        let mut handed = vec![Parcel::default(); self.workers.len()];
        let forwarder = &mut self.workers[usize::from(worker)];
        let (mut batch, mut verdicts) = (Frames { frames: parcel.frames }, Verdicts::new());
        forwarder.counters.received += batch.len() as u64;
        if origin == Origin::Worker {
            forwarder.counters.taken_over += batch.len() as u64;
        }
        forwarder.forward(self.now, origin, &mut batch, &mut verdicts);
        assert_eq!(verdicts.len(), batch.frames.len(), "every frame has a verdict");
        let by = WorkerId::new(worker);
        let frames = batch.frames.into_iter().zip(parcel.places);
        for (((port, frame), place), verdict) in frames.zip(verdicts) {
            if let Verdict::HandOver(owner) = verdict {
                assert_ne!(owner, by, "handed over to itself");
                forwarder.counters.handed_over += 1;
                handed[owner.index()].places.push(place);
                handed[owner.index()].frames.push((port, frame));
            } else {
                let fate = carry_out(forwarder, verdict, &frame);
                let handed_over = origin == Origin::Worker;
                fates[place] = Some(Handled { fate, by, handed_over });
            }
        }
        handed
    }

    /// Time passes, tick by tick; in each the workers let go of what is due.
    pub(crate) fn after(&mut self, duration: Duration) -> &mut Self {
        for _ in 0..ticks(duration) {
            self.now = self.now.plus(1);
            self.expire();
        }
        self.assert_laws();
        self
    }

    fn expire(&mut self) {
        for worker in &mut self.workers {
            // A worker comes by many thousand times in a tick.
            loop {
                let before = worker.counters.flows_expired;
                worker.expire(self.now);
                if worker.counters.flows_expired == before {
                    break;
                }
            }
        }
    }

    pub(crate) fn backend_down(&mut self, backend: &str) -> &mut Self {
        self.down.insert(at(backend));
        self.publish()
    }

    pub(crate) fn backend_up(&mut self, backend: &str) -> &mut Self {
        self.down.remove(&at(backend));
        self.publish()
    }

    pub(crate) fn is_down(&self, backend: SocketAddrV4) -> bool {
        self.down.contains(&backend)
    }

    /// A new Generation with the services changed.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Model)) -> &mut Self {
        change(&mut self.model);
        self.publish()
    }

    fn publish(&mut self) -> &mut Self {
        let snapshot = snapshot(&mut self.identities, &self.model, &self.down);
        let before = self.workers[0].tables();
        let tables = Tables::compile_after(before, &snapshot, &self.network, HASH_KEY);
        let tables = Arc::new(tables);
        for worker in &mut self.workers {
            worker.adopt(Arc::clone(&tables));
        }
        self
    }

    /// Every flow with the worker that holds it.
    pub(crate) fn flows(&self) -> Vec<(WorkerId, FlowRecord)> {
        let mut flows = Vec::new();
        for worker in &self.workers {
            let owner = worker.settings().worker;
            let end = worker.conntrack().walk(0, u32::MAX, |record| flows.push((owner, *record)));
            assert_eq!(end, None);
        }
        flows
    }

    /// SNAT ports that are lent, by all workers together.
    pub(crate) fn lent(&self) -> u32 {
        self.workers.iter().flat_map(|worker| worker.snat().usage()).map(|usage| usage.lent).sum()
    }

    fn tally(&self) -> Tally {
        self.workers.iter().map(|worker| Tally::of(&worker.counters)).sum()
    }

    /// What holds between any two bursts.
    pub(crate) fn assert_laws(&self) {
        let mut lent = HashSet::<(SocketAddrV4, SocketAddrV4, Protocol)>::new();
        let workers = u16::try_from(self.workers.len()).unwrap();
        for worker in &self.workers {
            let counters = &worker.counters;
            assert_eq!(counters.imbalance(), 0, "{counters:?}");
            let flows = u64::from(worker.conntrack().len());
            assert_eq!(counters.flows_created - counters.flows_expired, flows);
            let ports: u32 = worker.snat().usage().map(|usage| usage.lent).sum();
            assert_eq!(u64::from(ports), flows, "a SNAT port for each flow");
        }
        for (owner, record) in self.flows() {
            let (backend, snat) = (record.reply().source, record.reply().destination);
            assert!(lent.insert((snat, backend, record.protocol())), "{snat} lent twice");
            assert_eq!(port_owner(snat.port(), workers), owner, "{snat} is another worker's");
        }
    }

    /// Whatever came in, this must not go out.
    fn assert_may_leave(&self, handled: &Handled) {
        let (Fate::Sent(_, frame) | Fate::Refused(_, _, frame)) = &handled.fate else { return };
        let destination = destination_of(frame);
        let owned = self.workers[0].tables().owned(destination);
        assert!(owned.is_none(), "a frame leaves for {destination}, which is the box's");
        if self.lenient {
            assert!(spillway_packet::ipv4::parse(&frame[l3_of(frame)..]).is_ok(), "{frame:02x?}");
        } else {
            assert_checksums(frame);
        }
    }
}

/// What a worker does with the verdict on a frame that is its own, and how it counts that.
fn carry_out(forwarder: &mut Forwarder<'_>, verdict: Verdict, frame: &[u8]) -> Fate {
    let counters = &mut forwarder.counters;
    match verdict {
        Verdict::Transmit(egress) => {
            counters.transmitted += 1;
            Fate::Sent(egress, dress(forwarder, egress, frame))
        }
        Verdict::Refuse(reason, egress) => {
            counters.count_drop(reason);
            counters.generated += 1;
            counters.transmitted += 1;
            Fate::Refused(reason, egress, dress(forwarder, egress, frame))
        }
        Verdict::Local => {
            counters.local += 1;
            Fate::Local
        }
        Verdict::Drop(reason) => {
            counters.count_drop(reason);
            Fate::Dropped(reason)
        }
        Verdict::HandOver(owner) => panic!("the frame is of worker {owner}"),
    }
}

/// Where a frame gets its L2 header, as the appliance's egress does it.
fn dress(forwarder: &Forwarder<'_>, egress: Egress, frame: &[u8]) -> Vec<u8> {
    let identity = forwarder.settings().ports[egress.port.index()];
    with_link_header(frame, identity, mac_of(egress.next_hop))
}

/// The service that most worlds have only.
pub(crate) fn first_service(model: &mut Model) -> &mut Service {
    Arc::make_mut(&mut model.services[0])
}

fn snapshot(identities: &mut Identities, model: &Model, down: &HashSet<SocketAddrV4>) -> Snapshot {
    let serves = |backend: &Backend| match backend.address {
        std::net::IpAddr::V4(address) => !down.contains(&SocketAddrV4::new(address, backend.port)),
        std::net::IpAddr::V6(_) => true,
    };
    identities.snapshot(model, |service| {
        let standing = |backend| Standing { serving: serves(backend), weight: None };
        service.backends.iter().map(standing).collect()
    })
}

/// An address of the box that the tests know.
pub(crate) const SNAT: Ipv4Addr = Ipv4Addr::new(172, 26, 50, 101);
