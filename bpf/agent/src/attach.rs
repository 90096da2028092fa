//! Keeps the programs where they belong: on the cgroup, on every device with a role.

use std::collections::BTreeMap;
use std::net::IpAddr;

use aya::maps::MapError;
use spillway_control::settings::node::{Delivery, NodeSettings};

use crate::datapath::{Datapath, DatapathError, DatapathSettings};
use crate::devices::{DeviceRef, DeviceView, Role, Rules};
use crate::layout;
use crate::maps::Maps;
use crate::pins::Pins;

/// The programs of this node, and what was attached to what.
#[derive(Debug)]
pub struct Attachments {
    datapath: Datapath,
    /// Before it, what ran before us runs on.
    is_attached: bool,
    roles: BTreeMap<u32, (DeviceRef, Role)>,
    /// Rows of the map `devices`.
    rows: BTreeMap<u32, layout::Device>,
    /// What could not be attached, by device.
    failed: BTreeMap<u32, String>,
    lost: u64,
}

impl Attachments {
    /// `rows`: what the map `devices` holds.
    pub fn new(datapath: Datapath, rows: BTreeMap<u32, layout::Device>) -> Self {
        let (roles, failed) = (BTreeMap::new(), BTreeMap::new());
        Self { datapath, is_attached: false, roles, rows, failed, lost: 0 }
    }

    pub fn datapath(&self) -> &Datapath {
        &self.datapath
    }

    /// Programs that something else detached.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    pub fn is_attached(&self) -> bool {
        self.is_attached
    }

    /// Puts the programs in place for the first time: the maps are filled.
    ///
    /// # Errors
    /// The cgroup does not take them. A device that does not is noted.
    pub fn begin(&mut self, view: &DeviceView) -> Result<(), DatapathError> {
        self.datapath.attach_sockets()?;
        self.is_attached = true;
        self.follow(view);
        self.datapath.settle()
    }

    /// Devices came, went, or have another role.
    pub fn follow(&mut self, view: &DeviceView) {
        if !self.is_attached {
            return;
        }
        let wanted: BTreeMap<u32, (DeviceRef, Role)> =
            view.roles().map(|(device, role)| (device.ifindex, (device.clone(), role))).collect();
        for ifindex in self.roles.keys().filter(|ifindex| !wanted.contains_key(ifindex)) {
            if let Err(error) = self.datapath.detach_device(*ifindex) {
                tracing::warn!("{error}");
            }
        }
        self.failed.retain(|ifindex, _| wanted.contains_key(ifindex));
        for (ifindex, (device, role)) in &wanted {
            let is_done = self.roles.get(ifindex).is_some_and(|(_, was)| was == role);
            if is_done && !self.failed.contains_key(ifindex) {
                continue;
            }
            match self.datapath.attach_device(device, *role) {
                Ok(()) => {
                    tracing::info!("{}: programs attached as {role:?}", device.name);
                    self.failed.remove(ifindex);
                }
                Err(error) => {
                    let error = error.to_string();
                    if self.failed.get(ifindex) != Some(&error) {
                        tracing::warn!("{error}; it is tried again");
                        self.failed.insert(*ifindex, error);
                    }
                }
            }
        }
        self.roles = wanted;
    }

    /// Writes the rows of `devices` that changed. `adjust` may choose another way than that of the device's kind.
    ///
    /// # Errors
    /// The map is full; the devices that are not in it are delivered to by the stack.
    pub fn write_rows(
        &mut self,
        maps: &mut Maps,
        view: &DeviceView,
        adjust: impl Fn(layout::Device) -> layout::Device,
    ) -> Result<(), MapError> {
        let wanted: BTreeMap<u32, layout::Device> =
            view.rows().map(|(ifindex, row)| (ifindex, adjust(row))).collect();
        for ifindex in self.rows.keys().filter(|ifindex| !wanted.contains_key(ifindex)) {
            // Somebody may have been faster.
            let _ = maps.devices.remove(ifindex);
        }
        self.rows.retain(|ifindex, _| wanted.contains_key(ifindex));
        for (ifindex, row) in wanted {
            if self.rows.get(&ifindex) != Some(&row) {
                maps.devices.insert(ifindex, row, 0)?;
                self.rows.insert(ifindex, row);
            }
        }
        Ok(())
    }

    /// Looks whether everything is still attached, and attaches what is not.
    pub fn check(&mut self) {
        if !self.is_attached {
            return;
        }
        for lost in self.datapath.check() {
            self.lost += 1;
            match lost.failure {
                None => tracing::warn!("{}: {}; attached again", lost.what, lost.complaint),
                Some(error) => tracing::error!("{}: {}; {error}", lost.what, lost.complaint),
            }
        }
    }

    /// For people.
    pub fn lines(&self) -> Vec<String> {
        if !self.is_attached {
            return vec!["nothing yet: what is to be served is not known".to_owned()];
        }
        let devices =
            self.roles.values().map(|(device, role)| match self.failed.get(&device.ifindex) {
                None => format!("{} ({role:?})", device.name),
                Some(error) => format!("{} ({role:?}): NOT ATTACHED: {error}", device.name),
            });
        std::iter::once("sockets of the cgroup".to_owned()).chain(devices).collect()
    }
}

/// Loads the programs as the configuration says.
///
/// # Errors
/// See [`Datapath::load`].
pub fn load(settings: &NodeSettings) -> Result<Datapath, DatapathError> {
    Datapath::load(&DatapathSettings {
        pins: Pins::new(&settings.datapath.pins),
        cgroup: settings.datapath.cgroup.clone(),
        sizes: settings.maps,
        tc_attach: settings.datapath.tc_attach,
    })
}

/// The way that the operator wants, from that of the device's kind.
pub fn adjust(delivery: Delivery) -> impl Fn(layout::Device) -> layout::Device {
    move |row| match delivery {
        Delivery::Auto | Delivery::Redirect => row,
        Delivery::Pass => layout::Device { way: layout::WAY_PASS, ..row },
    }
}

/// Which devices are what.
pub fn rules(settings: &NodeSettings, node_addresses: &[IpAddr]) -> Rules {
    Rules { devices: settings.devices.clone(), node_addresses: node_addresses.to_vec() }
}
