//! Saying no aloud: the refused packet becomes a RST or an ICMP error to its sender.

use spillway_packet::{ethernet, icmp, tcp};

use crate::batch::Batch;
use crate::forward::Packet;
use crate::model::Protocol;
use crate::route::Routes;
use crate::verdict::{DropReason, Verdict};

/// Room for the L2 header in front of an answer; its addresses are filled in when it leaves.
const L2_LEN: usize = ethernet::HEADER_LEN;
const ANSWER_MAX: usize = L2_LEN + icmp::ERROR_LEN_MAX;

const _: () = assert!(icmp::ERROR_LEN_MAX >= tcp::RESET_LEN);

/// Turns the frame into a refusal. It is dropped silently where none may be sent (RFC 1122, 3.2.2).
pub(crate) fn refuse<B: Batch>(
    reason: DropReason,
    batch: &mut B,
    packet: &Packet,
    routes: &Routes,
) -> Verdict {
    let egress = routes.to(*packet.ends().source.ip());
    let mut answer = [0; ANSWER_MAX];
    let length = write_answer(batch.frame(packet.at()), packet, &mut answer);
    let (Some(egress), Some(answer)) = (egress, length.and_then(|length| answer.get(..length)))
    else {
        return Verdict::Drop(reason);
    };
    if batch.replace(packet.at(), answer) {
        Verdict::Refuse(reason, egress)
    } else {
        Verdict::Drop(reason)
    }
}

/// Writes the whole frame; `None` when the packet must not be answered.
fn write_answer(frame: &[u8], packet: &Packet, answer: &mut [u8; ANSWER_MAX]) -> Option<usize> {
    let original = frame.get(packet.l3()..)?;
    let (l2, l3) = answer.split_first_chunk_mut::<L2_LEN>()?;
    *l2.last_chunk_mut()? = ethernet::ethertype::IPV4.to_be_bytes();
    let length = match packet.protocol {
        Protocol::Tcp => tcp::reset(original, l3.first_chunk_mut()?),
        Protocol::Udp => {
            let from = *packet.ends().destination.ip();
            icmp::port_unreachable(original, from, l3.first_chunk_mut()?)
        }
    }?;
    Some(L2_LEN + length)
}
