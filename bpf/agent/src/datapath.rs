//! The programs: loaded, attached, kept attached, replaced by those of the next agent, and removed.
//!
//! ```text
//! load ──→ (the caller fills the maps) ──→ attach_sockets, attach_device ... ──→ settle ──→ check, every few seconds
//!  │ features    maps: made, taken over, grown        │ links pinned                 │ what the last agent left
//! ```
//! | room | noun |
//! |---|---|
//! | `features` | what this kernel has, and what is done without |
//! | `folder` | the folder on the bpffs, and its lock |
//! | `maps` | what becomes of the pinned maps |
//! | `programs` | the three objects, loaded |
//! | `links` | pinned links: attach, replace, state |
//! | `clsact` | the same by tc filters, before kernel 6.6 |
//! | `uninstall` | nothing is left |
//! | `sys` | bpf(2) |
//!
//! An agent that starts finds the programs of the last one at work. Each is replaced in place (BPF_LINK_UPDATE, or the tc
//! filter of the same handle), so that no connect() and no packet meets a hook without a program. In between some hooks
//! run the new programs and some the old ones, on the same maps. A map that is new must be filled before anything is
//! attached: [`Datapath::fresh`].

mod clsact;
mod error;
mod features;
mod folder;
mod links;
mod maps;
mod programs;
mod sys;
mod uninstall;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;

use aya_obj::generated::bpf_attach_type;

pub use error::DatapathError;
pub use features::Features;
pub use spillway_control::settings::node::{MapSizes, TcAttach};
pub use uninstall::{Uninstalled, uninstall};

use crate::devices::netlink::Netlink;
use crate::devices::{DeviceRef, Role};
use crate::layout::LAYOUT_VERSION;
use crate::pins::{Direction, MAPS_PREFIX, Name, Pins};
use links::{Hook, State};
use maps::{Grown, Plan};
use programs::Programs;
use sys::Target;

/// `None`: a map whose size the program gives.
fn entries(sizes: &MapSizes, map: &str) -> Option<u32> {
    Some(match map {
        "frontends" => sizes.frontends,
        "choices" => sizes.choices,
        "backends" => sizes.backends,
        "source_ranges" => sizes.source_ranges,
        "clients" => sizes.clients,
        "devices" => sizes.devices,
        "affinity" => sizes.affinity,
        "conntrack" => sizes.conntrack,
        "nat" => sizes.nat,
        "events" => sizes.events_bytes,
        _ => return None,
    })
}

/// What [`Datapath::load`] wants to know.
#[derive(Clone, Debug)]
pub struct DatapathSettings {
    pub pins: Pins,
    /// Of cgroup v2; its sockets, and those of all cgroups below it, get the programs.
    pub cgroup: PathBuf,
    pub sizes: MapSizes,
    pub tc_attach: TcAttach,
}

/// An attach point that had lost its program.
#[derive(Debug)]
pub struct Lost {
    /// Such as `connect4 at cgroup /sys/fs/cgroup` or `from_netdev at eth0 ingress`.
    pub what: String,
    /// What was wrong with it.
    pub complaint: &'static str,
    /// Why it is still so; `None`: it was attached again.
    pub failure: Option<DatapathError>,
}

/// The programs of this agent. Dropped, all that is attached stays so.
#[derive(Debug)]
pub struct Datapath {
    pins: Pins,
    cgroup: Cgroup,
    features: Features,
    programs: Programs,
    fresh: Vec<String>,
    notes: Vec<String>,
    grown: Vec<Grown>,
    has_sockets: bool,
    devices: BTreeMap<u32, (DeviceRef, Role)>,
    netlink: Netlink,
    _lock: File,
}

#[derive(Debug)]
struct Cgroup {
    path: PathBuf,
    folder: File,
    /// The kernel's number of it, which is that of its folder.
    id: u64,
}

impl Cgroup {
    fn open(path: PathBuf) -> Result<Self, DatapathError> {
        let attempt = "open the cgroup (of version 2)";
        let folder = File::open(&path).map_err(DatapathError::path(&path, attempt))?;
        let id = folder.metadata().map_err(DatapathError::path(&path, attempt))?.ino();
        Ok(Self { path, folder, id })
    }

    fn hook<'a>(&'a self, pin: &'a std::path::Path, attach_type: bpf_attach_type) -> Hook<'a> {
        let target = Target::Cgroup(self.folder.as_fd());
        Hook { pin, target, target_id: self.id, attach_type }
    }
}

fn device_hook(pin: &std::path::Path, ifindex: u32, direction: Direction) -> Hook<'_> {
    let attach_type = match direction {
        Direction::Ingress => bpf_attach_type::BPF_TCX_INGRESS,
        Direction::Egress => bpf_attach_type::BPF_TCX_EGRESS,
    };
    Hook { pin, target: Target::Device(ifindex), target_id: u64::from(ifindex), attach_type }
}

impl Datapath {
    /// Asks what the kernel has, makes or takes over the pinned maps, and loads all programs. Attaches nothing: what
    /// ran before runs on.
    ///
    /// A bpffs is mounted above the root if there is none and this process may; [`Datapath::notes`] says so.
    ///
    /// # Errors
    /// [`DatapathError::Busy`] while another agent runs. After any error, what ran before still does.
    pub fn load(settings: &DatapathSettings) -> Result<Self, DatapathError> {
        let pins = settings.pins.clone();
        let features = Features::probe(settings.tc_attach)?;
        let cgroup = Cgroup::open(settings.cgroup.clone())?;
        let netlink = Netlink::open().map_err(DatapathError::path("NETLINK_ROUTE", "open"))?;
        let (lock, mounted) = folder::prepare(&pins)?;
        let plans = maps::plan(&pins, &programs::objects(), &settings.sizes)?;
        let programs = Programs::load(&pins, &plans, &features)?;
        let grown = maps::take_places(&pins, &plans)?;
        let mut notes: Vec<String> = Vec::new();
        if let Some(mountpoint) = mounted {
            notes.push(format!("mounted a bpffs at {}", mountpoint.display()));
        }
        let mut fresh = Vec::new();
        for (name, (wanted, plan)) in &plans {
            notes.extend(note(name, wanted.entries, *plan));
            if let Plan::Fresh { .. } = plan {
                fresh.push(name.clone());
            }
        }
        let devices = BTreeMap::new();
        let has_sockets = false;
        Ok(Self {
            pins,
            cgroup,
            features,
            programs,
            fresh,
            notes,
            grown,
            has_sockets,
            devices,
            netlink,
            _lock: lock,
        })
    }

    /// What this kernel has, with sentences about what falls back.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// Sentences about what was done to maps and mounts, for the log.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Maps that have no rows yet, by name: what belongs into them must be there before anything is attached.
    pub fn fresh(&self) -> &[String] {
        &self.fresh
    }

    /// Attaches the programs of sockets to the cgroup, in place of those of the last agent. Programs of others stay
    /// (links always have BPF_F_ALLOW_MULTI).
    pub fn attach_sockets(&mut self) -> Result<(), DatapathError> {
        for hook in &self.programs.socket_hooks {
            let pin = self.pins.socket_link(&hook.program);
            let program = self.programs.socket(hook)?;
            links::attach(self.cgroup.hook(&pin, hook.attach_type), &program).map_err(|error| {
                DatapathError::Cgroup {
                    cgroup: self.cgroup.path.clone(),
                    program: hook.program.clone(),
                    attempt: "attach",
                    error,
                }
            })?;
        }
        self.has_sockets = true;
        Ok(())
    }

    /// Attaches the programs of a role to both directions of a device, in place of what was there of ours.
    ///
    /// A device that refuses keeps what it has, and [`Datapath::check`] tries again; one that is gone is forgotten.
    pub fn attach_device(&mut self, device: &DeviceRef, role: Role) -> Result<(), DatapathError> {
        self.devices.insert(device.ifindex, (device.clone(), role));
        for direction in Direction::ALL {
            let attached = self.attach_direction(device, role, direction);
            if attached.as_ref().is_err_and(is_gone) {
                self.devices.remove(&device.ifindex);
            }
            attached?;
        }
        Ok(())
    }

    fn attach_direction(
        &mut self,
        device: &DeviceRef,
        role: Role,
        direction: Direction,
    ) -> Result<(), DatapathError> {
        let ifindex = device.ifindex;
        let pin = self.pins.device_link(ifindex, direction);
        let hook = device_hook(&pin, ifindex, direction);
        let program = self.programs.device(role, direction)?;
        if self.features.uses_tcx {
            let attempt = "attach a program by TCX";
            let failed =
                |error| DatapathError::Device { device: device.name.clone(), attempt, error };
            let was = links::state(hook).map_err(failed)?;
            links::attach(hook, &program).map_err(failed)?;
            if was == State::NoLink {
                // There was a filter: it goes after its successor came.
                self.remove_filter(ifindex, direction).map_err(failed)?;
            }
            return Ok(());
        }
        let attempt = "attach a program by a clsact filter";
        let failed = |error| DatapathError::Device { device: device.name.clone(), attempt, error };
        self.mark_and_make_qdisc(ifindex)?;
        let program = self.programs.device(role, direction)?;
        clsact::attach(&mut self.netlink, ifindex, direction, &program).map_err(failed)?;
        // A link that was pinned here goes, after its successor came.
        if links::state(hook).map_err(failed)? != State::NoLink {
            links::end(&pin).map_err(failed)?;
        }
        links::put(program.fd, &pin).map_err(failed)
    }

    /// The mark comes first: an agent that dies in between leaves no qdisc that nobody knows.
    fn mark_and_make_qdisc(&mut self, ifindex: u32) -> Result<(), DatapathError> {
        let mark = self.pins.qdisc(ifindex);
        let is_known = match DirBuilder::new().mode(0o700).create(&mark) {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
            Err(error) => return Err(DatapathError::path(mark, "mark the qdisc as ours")(error)),
        };
        let made = clsact::make_qdisc(&mut self.netlink, ifindex);
        if !is_known && !matches!(made, Ok(true)) {
            folder::remove(&mark)?;
        }
        made.map(|_| ()).map_err(|error| DatapathError::Device {
            device: format!("number {ifindex}"),
            attempt: "make the clsact qdisc",
            error,
        })
    }

    /// Removes our filter, and the qdisc if it was ours and is of no more use.
    fn remove_filter(&mut self, ifindex: u32, direction: Direction) -> io::Result<()> {
        clsact::detach(&mut self.netlink, ifindex, direction)?;
        let mark = self.pins.qdisc(ifindex);
        if mark.exists() && clsact::remove_qdisc(&mut self.netlink, ifindex)? {
            fs::remove_dir(mark)?;
        }
        Ok(())
    }

    /// Ends the role of a device. That the device is gone is fine.
    pub fn detach_device(&mut self, ifindex: u32) -> Result<(), DatapathError> {
        self.devices.remove(&ifindex);
        for direction in Direction::ALL {
            let pin = self.pins.device_link(ifindex, direction);
            let failed = |error| DatapathError::Device {
                device: format!("number {ifindex}"),
                attempt: "detach a program",
                error,
            };
            match links::end(&pin).map_err(failed)? {
                Some(sys::Pinned::Program) => {
                    self.remove_filter(ifindex, direction).map_err(failed)?;
                }
                Some(sys::Pinned::Link | sys::Pinned::Map) | None => {}
            }
        }
        // The mark of a device that is gone.
        let mark = self.pins.qdisc(ifindex);
        if mark.exists() {
            let removed = clsact::remove_qdisc(&mut self.netlink, ifindex);
            removed.map_err(DatapathError::path(&mark, "remove the qdisc"))?;
            folder::remove(&mark)?;
        }
        Ok(())
    }

    /// Clears away what the last agent left and this one does not use: links of hooks and devices that have no role
    /// any more, maps of another layout. Carries over what packets wrote into maps that were replaced by larger ones.
    /// To be called once, when the sockets and all devices are attached.
    pub fn settle(&mut self) -> Result<(), DatapathError> {
        for grown in self.grown.drain(..) {
            grown.catch_up()?;
        }
        for name in folder::names(&self.pins.links())? {
            let hooks = &self.programs.socket_hooks;
            match Name::read(&name) {
                Name::Socket(program) if hooks.iter().any(|hook| hook.program == program) => {}
                Name::Device { ifindex, .. } if self.devices.contains_key(&ifindex) => {}
                Name::Device { ifindex, .. } => self.detach_device(ifindex)?,
                Name::Socket(_) | Name::Other => {
                    let pin = self.pins.link(&name);
                    links::end(&pin).map_err(DatapathError::path(&pin, "detach"))?;
                }
            }
        }
        for name in folder::names(self.pins.root())? {
            if name.starts_with(MAPS_PREFIX) && name != format!("{MAPS_PREFIX}{LAYOUT_VERSION}") {
                uninstall::remove_maps(&self.pins.root().join(name))?;
            }
        }
        Ok(())
    }

    /// Looks whether everything is attached as it was left. What is not is attached again, and told.
    pub fn check(&mut self) -> Vec<Lost> {
        let mut lost = Vec::new();
        if self.has_sockets {
            self.check_sockets(&mut lost);
        }
        for (device, role) in self.devices.clone().into_values() {
            for direction in Direction::ALL {
                lost.extend(self.check_direction(&device, role, direction));
            }
        }
        lost
    }

    fn check_direction(
        &mut self,
        device: &DeviceRef,
        role: Role,
        direction: Direction,
    ) -> Option<Lost> {
        let what = format!("{role:?} program at {} {}", device.name, direction.name());
        let complaint = match self.complaint(device.ifindex, role, direction) {
            Ok(complaint) => complaint?,
            Err(error) => {
                let attempt = "ask for its programs";
                let device = device.name.clone();
                let failure = Some(DatapathError::Device { device, attempt, error });
                return Some(Lost { what, complaint: "is unknown", failure });
            }
        };
        let failure = self.attach_direction(device, role, direction).err();
        if failure.as_ref().is_some_and(is_gone) && self.detach_device(device.ifindex).is_ok() {
            return None;
        }
        Some(Lost { what, complaint, failure })
    }

    fn check_sockets(&self, lost: &mut Vec<Lost>) {
        for hook in &self.programs.socket_hooks {
            let pin = self.pins.socket_link(&hook.program);
            let at = self.cgroup.hook(&pin, hook.attach_type);
            let failed = |error| DatapathError::Cgroup {
                cgroup: self.cgroup.path.clone(),
                program: hook.program.clone(),
                attempt: "attach again",
                error,
            };
            let found = self.programs.socket(hook).and_then(|program| {
                Ok((program, links::state(at).map_err(failed)?.complaint(program.id)))
            });
            let (complaint, failure) = match found {
                Ok((_, None)) => continue,
                Ok((program, Some(complaint))) => {
                    (complaint, links::attach(at, &program).map_err(failed).err())
                }
                Err(error) => ("is unknown", Some(error)),
            };
            let what = format!("{} at cgroup {}", hook.program, self.cgroup.path.display());
            lost.push(Lost { what, complaint, failure });
        }
    }

    /// What is wrong with one direction of a device.
    fn complaint(
        &mut self,
        ifindex: u32,
        role: Role,
        direction: Direction,
    ) -> io::Result<Option<&'static str>> {
        let pin = self.pins.device_link(ifindex, direction);
        let wanted = self.programs.device(role, direction).map_err(io::Error::other)?.id;
        if self.features.uses_tcx {
            return Ok(links::state(device_hook(&pin, ifindex, direction))?.complaint(wanted));
        }
        let complaint = match clsact::find(&mut self.netlink, ifindex, direction)? {
            None => Some("was detached"),
            Some(filter) if filter.program != wanted => Some("had another program"),
            Some(_) if !pin.exists() => Some("was unpinned"),
            Some(_) => None,
        };
        Ok(complaint)
    }
}

fn note(name: &str, wanted: u32, plan: Plan) -> Option<String> {
    match plan {
        Plan::Keep | Plan::Fresh { takes_place: false } => None,
        Plan::Fresh { takes_place: true } => {
            Some(format!("map {name}: what was pinned is of no use (kind or size); made anew"))
        }
        Plan::KeepLarger(entries) => Some(format!(
            "map {name}: {wanted} entries are wanted, the pinned one has {entries} and is kept; uninstall first to have \
             it smaller"
        )),
        Plan::Grow(entries) => Some(format!("map {name}: grew from {entries} to {wanted} entries")),
    }
}

/// Whether a failure says that the device went away, which is no fault.
fn is_gone(error: &DatapathError) -> bool {
    matches!(error, DatapathError::Device { error, .. } if error.raw_os_error() == Some(libc::ENODEV))
}
