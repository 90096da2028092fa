//! Leaves nothing in the kernel: links, filters, qdiscs that we made, maps, folders.

use std::path::Path;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;

use super::error::DatapathError;
use super::{clsact, folder, links, sys};
use crate::devices::netlink::Netlink;
use crate::pins::{Direction, MAPS_PREFIX, Pins};

/// How much there was.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Uninstalled {
    pub links: usize,
    pub filters: usize,
    pub qdiscs: usize,
    pub maps: usize,
}

/// Removes all that agents left below `pins`, and our filters on all devices of this network namespace. A bpffs that
/// was mounted for it stays mounted: others may use it by now.
///
/// # Errors
/// [`DatapathError::Busy`] while an agent runs.
pub fn uninstall(pins: &Pins) -> Result<Uninstalled, DatapathError> {
    let mut done = Uninstalled::default();
    let mut netlink = Netlink::open().map_err(DatapathError::path("NETLINK_ROUTE", "open"))?;
    let lock = if pins.root().exists() { Some(folder::lock(pins.root())?) } else { None };
    for name in folder::names(&pins.links())? {
        let pin = pins.link(&name);
        let ended = links::end(&pin).map_err(DatapathError::path(&pin, "detach"))?;
        // What is no link is the program of a filter, which goes below.
        done.links += usize::from(ended == Some(sys::Pinned::Link));
    }
    // Of all devices, not only of those whose pin is there: a pin is soon removed by hand.
    for ifindex in devices(&mut netlink)? {
        for direction in Direction::ALL {
            let detached = clsact::detach(&mut netlink, ifindex, direction);
            done.filters += usize::from(detached.map_err(|error| DatapathError::Device {
                device: format!("number {ifindex}"),
                attempt: "remove a clsact filter",
                error,
            })?);
        }
    }
    for name in folder::names(&pins.qdiscs())? {
        let mark = pins.qdiscs().join(&name);
        if let Ok(ifindex) = name.parse() {
            let removed = clsact::remove_qdisc(&mut netlink, ifindex);
            done.qdiscs +=
                usize::from(removed.map_err(DatapathError::path(&mark, "remove the qdisc"))?);
        }
        folder::remove(&mark)?;
    }
    for name in folder::names(pins.root())? {
        if name.starts_with(MAPS_PREFIX) {
            done.maps += remove_maps(&pins.root().join(name))?;
        }
    }
    for path in [&pins.links(), &pins.qdiscs(), pins.root()] {
        folder::remove(path)?;
    }
    drop(lock);
    Ok(done)
}

/// Unpins all maps of a folder and removes it. How many there were.
pub(super) fn remove_maps(path: &Path) -> Result<usize, DatapathError> {
    let names = folder::names(path)?;
    for name in &names {
        folder::unpin(&path.join(name))?;
    }
    folder::remove(path)?;
    Ok(names.len())
}

fn devices(netlink: &mut Netlink) -> Result<Vec<u32>, DatapathError> {
    let listed = netlink
        .dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()))
        .map_err(DatapathError::path("NETLINK_ROUTE", "list devices"))?;
    let index = |message| {
        if let RouteNetlinkMessage::NewLink(message) = message {
            Some(message.header.index)
        } else {
            None
        }
    };
    Ok(listed.into_iter().filter_map(index).collect())
}
