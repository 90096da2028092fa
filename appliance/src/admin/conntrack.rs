//! `conntrack list`: read page by page while the workers go on.

use std::io;
use std::net::SocketAddr;

use spillway_admin::{
    ConntrackFilter, ConntrackRow, ErrorCode, FlowState, Kind, Protocol, Trailer, encode_header,
    encode_row, encode_trailer,
};
use spillway_lb::conntrack::{self, FlowRecord, TickTimeouts};
use spillway_lb::model;
use spillway_lb::snapshot::Snapshot;
use spillway_lb::time::{TICK, Tick};
use tokio::net::UnixStream;

use super::{fail, send};
use crate::desk::Desk;

/// Sends the rows that the filter lets through, at most `filter.limit`.
pub(super) async fn list(
    desk: &Desk,
    filter: &ConntrackFilter,
    stream: &mut UnixStream,
) -> io::Result<()> {
    send(stream, &encode_header(Kind::Conntrack)).await?;
    let snapshot = desk.snapshot();
    let timeouts = TickTimeouts::new(&desk.settings.timeouts);
    let limit = filter.limit.unwrap_or(u64::MAX);
    let mut count = 0;
    for worker in 0..desk.workers() {
        let mut from = Some(0);
        while let Some(at) = from {
            let page = match desk.flows(worker, at).await {
                Ok(page) => page,
                Err(error) => return fail(stream, ErrorCode::Internal, &error.to_string()).await,
            };
            from = page.next;
            let mut text = String::new();
            for record in &page.records {
                let Some(row) = row(record, worker, page.now, &timeouts, &snapshot) else {
                    continue;
                };
                if !filter.matches(&row) {
                    continue;
                }
                if count == limit {
                    send(stream, &text).await?;
                    let trailer = Trailer { count, truncated: true };
                    return send(stream, &encode_trailer(trailer)).await;
                }
                text.push_str(&encode_row(&row));
                count += 1;
            }
            send(stream, &text).await?;
        }
    }
    send(stream, &encode_trailer(Trailer { count, truncated: false })).await
}

/// `None`: the flow ended while it was read.
fn row(
    record: &FlowRecord,
    worker: usize,
    now: Tick,
    timeouts: &TickTimeouts,
    snapshot: &Snapshot,
) -> Option<ConntrackRow> {
    let state = record.state()?;
    let (original, reply) = (record.original(), record.reply());
    let idle = now.since(record.last_seen());
    let service = snapshot.services.iter().find(|service| service.id == record.service());
    Some(ConntrackRow {
        protocol: protocol(record.protocol()),
        client: SocketAddr::V4(original.source),
        frontend: SocketAddr::V4(original.destination),
        snat: SocketAddr::V4(reply.destination),
        backend: SocketAddr::V4(reply.source),
        state: flow_state(state),
        idle_seconds: seconds(idle),
        expires_seconds: seconds(timeouts.of(state).saturating_sub(idle)),
        worker: u16::try_from(worker).unwrap_or(u16::MAX),
        service: service.map(|service| service.service.name.clone()),
    })
}

fn seconds(ticks: u32) -> u64 {
    (TICK * ticks).as_secs()
}

pub(super) const fn protocol(protocol: model::Protocol) -> Protocol {
    match protocol {
        model::Protocol::Tcp => Protocol::Tcp,
        model::Protocol::Udp => Protocol::Udp,
    }
}

const fn flow_state(state: conntrack::FlowState) -> FlowState {
    match state {
        conntrack::FlowState::SynSent => FlowState::SynSent,
        conntrack::FlowState::SynReceived => FlowState::SynReceived,
        conntrack::FlowState::Established => FlowState::Established,
        conntrack::FlowState::FinClient => FlowState::FinClient,
        conntrack::FlowState::FinBackend => FlowState::FinBackend,
        conntrack::FlowState::Closing => FlowState::Closing,
        conntrack::FlowState::Reset => FlowState::Reset,
        conntrack::FlowState::UdpUnreplied => FlowState::Unreplied,
        conntrack::FlowState::UdpReplied => FlowState::Replied,
    }
}
