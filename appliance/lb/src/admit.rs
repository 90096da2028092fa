//! The first packet of a flow: may it enter, to which backend, from which SNAT port.

use std::net::{Ipv4Addr, SocketAddrV4};

use spillway_packet::addr;

use crate::conntrack::{Direction, Ends, Found, InsertError, NewFlow};
use crate::forward::{Forwarder, Packet, Steering};
use crate::ids::{ServiceId, WorkerId};
use crate::model::{Protocol, Refusal};
use crate::scheduler::Rng;
use crate::snat::{Binding, SnatError, port_owner};
use crate::tables::{BackendEntry, Owned, ServiceEntry};
use crate::time::Tick;
use crate::verdict::DropReason;

/// A packet that made no flow.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// It is the answer to one of our health checks.
    Local,
    Drop(DropReason),
    /// Drop, and tell the sender.
    Refuse(DropReason),
}

impl Denied {
    fn told(reason: DropReason, manner: Refusal) -> Self {
        match manner {
            Refusal::Reject => Self::Refuse(reason),
            Refusal::Drop => Self::Drop(reason),
        }
    }
}

impl Forwarder<'_> {
    /// The worker that owns the flow of a packet. Pure: every worker computes the same.
    #[inline]
    pub(crate) fn owner(&self, ends: Ends, hash: u64) -> WorkerId {
        let workers = self.settings.workers;
        if self.is_snat_port(ends.destination) {
            return port_owner(ends.destination.port(), workers);
        }
        match self.settings.steering {
            Steering::Nic => self.settings.worker,
            Steering::Software => {
                let share = (((hash >> 16) & 0xffff) * u64::from(workers)) >> 16;
                WorkerId::new(u16::try_from(share).unwrap_or(0))
            }
        }
    }

    /// Is this where replies of our flows arrive?
    fn is_snat_port(&self, at: SocketAddrV4) -> bool {
        let range = self.tables.owned(*at.ip()).and_then(|owned| owned.snat);
        range
            .and_then(|range| self.settings.network.snat.get(usize::from(range)))
            .is_some_and(|range| range.ports.contains(&at.port()))
    }

    /// May a packet from `src` to `dst` be looked at at all?
    pub(crate) fn admissible(&self, src: Ipv4Addr, dst: Ipv4Addr) -> Result<Owned, DropReason> {
        let owned = self.tables.owned(dst).ok_or(DropReason::NotOurs)?;
        if src == dst || addr::is_bogon_source(src) {
            return Err(DropReason::BogonSource);
        }
        if self.tables.owned(src).is_some() {
            return Err(DropReason::OwnSource);
        }
        Ok(owned)
    }

    /// Makes the flow of a packet that matched none.
    pub(crate) fn admit(&mut self, now: Tick, packet: &Packet) -> Result<Found, Denied> {
        let Ends { source: client, destination: frontend } = packet.ends();
        let owned = self.admissible(*client.ip(), *frontend.ip()).map_err(Denied::Drop)?;
        let Some(service) = self.tables.service(frontend, packet.protocol) else {
            return Err(self.not_a_frontend(owned, frontend));
        };
        let (id, place, manner) = (service.id, service.place, service.no_backend);
        if !service.sources.allow(*client.ip()) {
            self.count(place, id, false);
            // Silence, as kube-proxy's and every cloud's: it tells an outsider nothing, whatever he sends.
            return Err(Denied::Drop(DropReason::SourceRange));
        }
        if packet.protocol == Protocol::Tcp && !packet.flags.opens() {
            return Err(Denied::told(DropReason::NotSyn, manner));
        }
        let opened = match select(service, packet, &mut self.rng) {
            Some(backend) => self.open(now, packet, id, backend),
            None => Err(DropReason::NoBackend),
        };
        self.count(place, id, opened.is_ok());
        opened.map_err(|reason| Denied::told(reason, manner))
    }

    fn count(&mut self, place: u32, service: ServiceId, opened: bool) {
        let Some(count) = self.service_counts.get_mut(place as usize) else { return };
        let count = count.of(service);
        *(if opened { &mut count.flows_created } else { &mut count.refused }) += 1;
    }

    /// Lends a SNAT port towards the backend and records the flow; both or nothing.
    fn open(
        &mut self,
        now: Tick,
        packet: &Packet,
        service: ServiceId,
        backend: BackendEntry,
    ) -> Result<Found, DropReason> {
        let (binding, snat) = self.lend(packet, backend.address)?;
        let Ends { source: client, destination: frontend } = packet.ends();
        let flow = NewFlow {
            protocol: packet.protocol,
            client,
            frontend,
            backend: backend.address,
            snat,
            service,
            backend_id: backend.id,
        };
        match self.conntrack.insert(&flow, now, &self.timeouts) {
            Ok(flow) => {
                self.counters.flows_created += 1;
                Ok(Found { flow, direction: Direction::Original })
            }
            Err(error) => {
                self.snat.give_back(binding, snat.port());
                Err(match error {
                    InsertError::Full => DropReason::ConntrackFull,
                    InsertError::Crowded => DropReason::ConntrackCrowded,
                })
            }
        }
    }

    /// A SNAT port towards the backend: from the address that the client's tuple picks, or from the
    /// next address that has one.
    fn lend(
        &mut self,
        packet: &Packet,
        backend: SocketAddrV4,
    ) -> Result<(Binding, SocketAddrV4), DropReason> {
        let identity = u64::from(backend.ip().to_bits()) << 16 | u64::from(backend.port());
        let hash = self.settings.hash_key.visible(packet.key, identity);
        let ranges = self.settings.network.snat.len() as u64;
        let first = ((hash & 0xffff_ffff) * ranges) >> 32;
        let mut reason = DropReason::SnatPortsExhausted;
        for step in 0..ranges {
            let range = u16::try_from((first + step) % ranges).unwrap_or(0);
            let binding = Binding { range, backend, protocol: packet.protocol };
            match self.snat.lend(binding, hash) {
                Ok(snat) => return Ok((binding, snat)),
                Err(SnatError::PortsExhausted) => {}
                Err(SnatError::BackendsFull) => reason = DropReason::SnatBackendsFull,
            }
        }
        Err(reason)
    }

    /// An owned address, but no frontend: nothing of it is ever routed.
    fn not_a_frontend(&self, owned: Owned, to: SocketAddrV4) -> Denied {
        if owned.snat.is_some() && self.settings.network.probe_ports.contains(&to.port()) {
            return Denied::Local;
        }
        if self.is_snat_port(to) {
            return Denied::Drop(DropReason::NoFlow);
        }
        Denied::Drop(DropReason::UnlistedPort)
    }
}

fn select(service: &ServiceEntry, packet: &Packet, rng: &mut Rng) -> Option<BackendEntry> {
    let at = service.selector.pick(packet.key, rng)?;
    service.backends.get(usize::from(at)).copied()
}
