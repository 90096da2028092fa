//! tc filters of a clsact qdisc: how programs are at a device before TCX (kernel 6.6).
//!
//! A filter has no link, so what is pinned in the place of one is its program, which says that there is a filter of
//! ours. Filters are known by their handle and name; others' are left alone, and so is a qdisc that we did not make.
#![expect(clippy::wildcard_enum_match_arm, reason = "enums of netlink, of which a few matter here")]

use std::io;
use std::os::fd::AsRawFd;

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL, NlaBuffer, NlasIterator};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage, TcOption};

use super::programs::Loaded;
use crate::devices::netlink::Netlink;
use crate::pins::Direction;

/// "SW": one filter of ours per device and direction.
const HANDLE: u32 = 0x5357;
/// Start of the names of our filters, before the program's.
const NAME_PREFIX: &str = "spillway-";
/// `htons(ETH_P_ALL)`: a filter sees every kind of packet.
const PROTOCOL: u32 = 3_u16.to_be() as u32;

/// Attributes of `linux/pkt_cls.h`.
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_ID: u16 = 11;
/// The program's answer is the verdict, not a class.
const DIRECT_ACTION: u32 = 1;

/// A filter of a device, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    priority: u16,
    protocol: u32,
    handle: u32,
    kind: String,
    name: String,
    /// The kernel's number of the program.
    pub(super) program: u32,
}

impl Filter {
    fn is_ours(&self) -> bool {
        self.kind == "bpf" && self.handle == HANDLE && self.name.starts_with(NAME_PREFIX)
    }
}

fn parent(direction: Direction) -> TcHandle {
    let minor = match direction {
        Direction::Ingress => TcHandle::MIN_INGRESS,
        Direction::Egress => TcHandle::MIN_EGRESS,
    };
    TcHandle { major: TcHandle::CLSACT.major, minor }
}

fn message(ifindex: u32) -> TcMessage {
    TcMessage::with_index(ifindex.cast_signed())
}

fn clsact(ifindex: u32) -> TcMessage {
    let mut qdisc = message(ifindex);
    qdisc.header.handle = TcHandle { major: TcHandle::CLSACT.major, minor: 0 };
    qdisc.header.parent = TcHandle::CLSACT;
    qdisc.attributes.push(TcAttribute::Kind("clsact".to_owned()));
    qdisc
}

/// Makes the qdisc. `Ok(false)`: there is one already, or the older `ingress`, which has no egress.
pub(super) fn make_qdisc(netlink: &mut Netlink, ifindex: u32) -> io::Result<bool> {
    let make = RouteNetlinkMessage::NewQueueDiscipline(clsact(ifindex));
    match netlink.change(&make, NLM_F_CREATE | NLM_F_EXCL) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes the qdisc unless somebody has filters in it. Whether it was removed.
pub(super) fn remove_qdisc(netlink: &mut Netlink, ifindex: u32) -> io::Result<bool> {
    for direction in Direction::ALL {
        if !filters(netlink, ifindex, direction)?.is_empty() {
            return Ok(false);
        }
    }
    gone_is_fine(netlink.change(&RouteNetlinkMessage::DelQueueDiscipline(clsact(ifindex)), 0))
}

/// That there is nothing to remove is told by ENOENT, EINVAL (no such qdisc) or ENODEV.
fn gone_is_fine(removed: io::Result<()>) -> io::Result<bool> {
    match removed {
        Ok(()) => Ok(true),
        Err(error) if is_gone(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether an error says that the device, its qdisc or its filter is not there.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL | libc::ENODEV))
}

/// Our filter, if it is there.
pub(super) fn find(
    netlink: &mut Netlink,
    ifindex: u32,
    direction: Direction,
) -> io::Result<Option<Filter>> {
    Ok(filters(netlink, ifindex, direction)?.into_iter().find(Filter::is_ours))
}

/// Has the filter run `program`: the one that is there gets it in place, with no moment between (`cls_bpf_change`
/// replaces the filter of the same handle in its list).
pub(super) fn attach(
    netlink: &mut Netlink,
    ifindex: u32,
    direction: Direction,
    program: &Loaded<'_>,
) -> io::Result<()> {
    let present = filters(netlink, ifindex, direction)?;
    let mut filter = message(ifindex);
    filter.header.parent = parent(direction);
    filter.header.handle = HANDLE.into();
    filter.header.info = info(priority(&present));
    let name = format!("{NAME_PREFIX}{}\0", program.name);
    let options = [
        (TCA_BPF_FD, program.fd.as_raw_fd().to_ne_bytes().to_vec()),
        (TCA_BPF_NAME, name.into_bytes()),
        (TCA_BPF_FLAGS, DIRECT_ACTION.to_ne_bytes().to_vec()),
    ];
    let options = options.map(|(kind, value)| TcOption::Other(DefaultNla::new(kind, value)));
    filter.attributes.push(TcAttribute::Kind("bpf".to_owned()));
    filter.attributes.push(TcAttribute::Options(options.to_vec()));
    netlink.change(&RouteNetlinkMessage::NewTrafficFilter(filter), NLM_F_CREATE)
}

/// Removes our filter. Whether there was one.
pub(super) fn detach(
    netlink: &mut Netlink,
    ifindex: u32,
    direction: Direction,
) -> io::Result<bool> {
    let Some(ours) = find(netlink, ifindex, direction)? else { return Ok(false) };
    let mut filter = message(ifindex);
    filter.header.parent = parent(direction);
    filter.header.handle = HANDLE.into();
    filter.header.info = info(ours.priority);
    filter.attributes.push(TcAttribute::Kind("bpf".to_owned()));
    gone_is_fine(netlink.change(&RouteNetlinkMessage::DelTrafficFilter(filter), 0))
}

fn info(priority: u16) -> u32 {
    u32::from(priority) << 16 | PROTOCOL
}

/// That of our own, else the first that filters of another kind or protocol do not have: the kernel keeps one kind
/// and one protocol per priority. First, because another's filter that says "let it pass" ends the list.
fn priority(present: &[Filter]) -> u16 {
    if let Some(ours) = present.iter().find(|filter| filter.is_ours()) {
        return ours.priority;
    }
    let is_free = |priority: &u16| {
        present
            .iter()
            .filter(|filter| filter.priority == *priority)
            .all(|filter| filter.kind == "bpf" && filter.protocol == PROTOCOL)
    };
    (1..u16::MAX).find(is_free).unwrap_or(u16::MAX)
}

fn filters(netlink: &mut Netlink, ifindex: u32, direction: Direction) -> io::Result<Vec<Filter>> {
    let mut question = message(ifindex);
    question.header.parent = parent(direction);
    let listed = match netlink.dump(&RouteNetlinkMessage::GetTrafficFilter(question)) {
        Ok(listed) => listed,
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Ok(listed
        .into_iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewTrafficFilter(message) => filter(&message),
            _ => None,
        })
        .collect())
}

/// `None`: the head of a priority's list, which is no filter.
fn filter(message: &TcMessage) -> Option<Filter> {
    let handle = u32::from(message.header.handle);
    let [high, low, ..] = message.header.info.to_be_bytes();
    let mut filter = Filter {
        priority: u16::from_be_bytes([high, low]),
        protocol: message.header.info & 0xffff,
        handle,
        kind: String::new(),
        name: String::new(),
        program: 0,
    };
    for attribute in &message.attributes {
        match attribute {
            TcAttribute::Kind(kind) => filter.kind.clone_from(kind),
            TcAttribute::Options(options) => read_options(&mut filter, options),
            _ => {}
        }
    }
    (handle != 0).then_some(filter)
}

/// The parser leaves options of kinds that it does not know as one piece.
fn read_options(filter: &mut Filter, options: &[TcOption]) {
    for option in options {
        let TcOption::Other(all) = option else { continue };
        let mut bytes = vec![0_u8; netlink_packet_core::Nla::value_len(all)];
        netlink_packet_core::Nla::emit_value(all, &mut bytes);
        for attribute in NlasIterator::new(bytes.as_slice()).flatten() {
            read_option(filter, &attribute);
        }
    }
}

fn read_option(filter: &mut Filter, attribute: &NlaBuffer<&[u8]>) {
    match attribute.kind() {
        TCA_BPF_NAME => {
            let name = String::from_utf8_lossy(attribute.value());
            name.trim_end_matches('\0').clone_into(&mut filter.name);
        }
        TCA_BPF_ID => {
            filter.program = attribute.value().try_into().map_or(0, u32::from_ne_bytes);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(priority: u16, kind: &str) -> Filter {
        Filter {
            priority,
            protocol: PROTOCOL,
            handle: 1,
            kind: kind.to_owned(),
            name: "cil_from_netdev".to_owned(),
            program: 9,
        }
    }

    #[test]
    fn our_filter_comes_first_but_beside_no_filter_of_another_kind() {
        assert_eq!(priority(&[]), 1);
        assert_eq!(priority(&[other(1, "bpf")]), 1);
        assert_eq!(priority(&[other(1, "flower"), other(3, "bpf")]), 2);
        let ipv4_only = Filter { protocol: 8, ..other(1, "bpf") };
        assert_eq!(priority(&[ipv4_only]), 2);
    }

    #[test]
    fn our_filter_stays_at_its_priority() {
        let ours = Filter { handle: HANDLE, name: "spillway-x".to_owned(), ..other(7, "bpf") };
        assert_eq!(priority(&[other(1, "bpf"), ours]), 7);
    }

    #[test]
    fn anothers_filter_with_our_handle_is_not_ours() {
        assert!(!Filter { handle: HANDLE, ..other(1, "bpf") }.is_ours());
    }
}
