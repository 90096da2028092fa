//! Conversations: a client and a backend that go through the box.

use spillway_lb::conntrack::{FlowRecord, FlowState};
use spillway_lb::ids::WorkerId;
use spillway_packet::tcp::TcpFlags;

use super::*;

impl World {
    /// The client's first segment goes through; what the flow came to be.
    #[track_caller]
    pub(crate) fn open(&mut self, client: impl End, frontend: impl End) -> Flow {
        self.open_at(0, client, frontend)
    }

    /// The same, received by this worker.
    #[track_caller]
    pub(crate) fn open_at(&mut self, worker: u16, client: impl End, frontend: impl End) -> Flow {
        let (client, frontend) = (client.end(), frontend.end());
        let (snat, backend) = self.ingress_at(worker, syn(client, frontend)).sent_from_to();
        Flow { protocol: Protocol::Tcp, client, frontend, snat, backend }
    }

    /// A handshake goes through.
    #[track_caller]
    pub(crate) fn establish(&mut self, client: impl End, frontend: impl End) -> Flow {
        let flow = self.open(client, frontend);
        self.backend_says(flow, SYN_ACK);
        self.client_says(flow, ACK);
        assert_eq!(self.state(flow), Some(FlowState::Established));
        flow
    }

    /// The client's first datagram goes through.
    #[track_caller]
    pub(crate) fn ask(&mut self, client: impl End, frontend: impl End) -> Flow {
        let (client, frontend) = (client.end(), frontend.end());
        let (snat, backend) = self.ingress(udp(client, frontend)).sent_from_to();
        Flow { protocol: Protocol::Udp, client, frontend, snat, backend }
    }

    /// A segment of the client reaches its backend.
    #[track_caller]
    pub(crate) fn client_says(&mut self, flow: Flow, flags: TcpFlags) -> &mut Self {
        self.ingress(tcp(flow.client, flow.frontend, flags)).expect_egress(tcp(
            flow.snat,
            flow.backend,
            flags,
        ));
        self
    }

    /// A segment of the backend reaches its client.
    #[track_caller]
    pub(crate) fn backend_says(&mut self, flow: Flow, flags: TcpFlags) -> &mut Self {
        self.ingress(tcp(flow.backend, flow.snat, flags)).expect_egress(tcp(
            flow.frontend,
            flow.client,
            flags,
        ));
        self
    }

    /// The record of a flow, if there is one.
    pub(crate) fn record(&self, flow: Flow) -> Option<(WorkerId, FlowRecord)> {
        self.flows().into_iter().find(|(_, record)| {
            record.protocol() == flow.protocol
                && record.original().source == flow.client
                && record.original().destination == flow.frontend
                && record.reply().source == flow.backend
                && record.reply().destination == flow.snat
        })
    }

    pub(crate) fn state(&self, flow: Flow) -> Option<FlowState> {
        self.record(flow)?.1.state()
    }
}
