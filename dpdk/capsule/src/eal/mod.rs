//! The environment: DPDK's start, its memory, its lcores, and the devices it was given.

mod cores;
mod error;
mod hugepages;
mod keeper;
mod lcore;
mod settings;

use std::ffi::{CStr, CString, c_char, c_int};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dpdk_sys as c;

pub use cores::cores_online;
pub use error::EalError;
pub use hugepages::hugepages_free_mib;
pub(crate) use keeper::{Keeper, PortName};
pub use lcore::{JoinError, LaunchError, LcoreHandle, LcoreId, Worker};
pub use settings::{EalSettings, LogLevel, Memory};

use crate::device::{NamedDevice, Probe};
use crate::errno::Errno;

/// DPDK keeps its state in globals and cannot start twice, not even after a cleanup or a failure.
static STARTED: AtomicBool = AtomicBool::new(false);

/// The running environment. Everything else of this crate is made from it.
///
/// Dropping it releases DPDK once the last pool, port, queue, ring and running worker is gone too.
/// That happens only on the thread that called [`Eal::init`], with all workers joined and all
/// mbufs dropped; otherwise the memory stays mapped until the process ends, which is always safe.
#[derive(Debug)]
pub struct Eal {
    keeper: Arc<Keeper>,
}

impl Eal {
    /// Starts DPDK and probes the devices, in the order of the settings.
    ///
    /// Pins the calling thread to `main_core`; threads that it starts later inherit that. Possible
    /// once per process, whatever the outcome, unless the settings themselves were refused.
    pub fn init(settings: &EalSettings) -> Result<Self, EalError> {
        let arguments = settings.arguments()?;
        hugepages::check(settings.memory)?;
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(EalError::AlreadyStarted);
        }
        start(&arguments)?;
        let workers = settings.workers();
        let keeper = Keeper::new(workers, port_names(&settings.devices), settings.multi_process);
        let eal = Self { keeper: Arc::new(keeper) };
        for (index, device) in settings.devices.iter().enumerate() {
            plug(index, device)?;
        }
        Ok(eal)
    }

    /// The workers, by index.
    pub fn workers(&self) -> &[Worker] {
        self.keeper.workers()
    }

    /// Runs a closure on a worker's lcore. See [`LcoreHandle`] for how it ends.
    ///
    /// An idle lcore sleeps; a worker runs one closure at a time.
    pub fn launch<F>(&self, worker_index: usize, job: F) -> Result<LcoreHandle, LaunchError>
    where
        F: FnOnce() + Send + 'static,
    {
        lcore::launch(&self.keeper, worker_index, Box::new(job))
    }

    /// The version of the DPDK that runs, e.g. `DPDK 22.11.11`.
    pub fn version(&self) -> String {
        // SAFETY: returns a static NUL-terminated string.
        let version = unsafe { c::rte_version() };
        // SAFETY: as above.
        unsafe { CStr::from_ptr(version) }.to_string_lossy().into_owned()
    }

    pub(crate) fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
    }
}

fn start(arguments: &[CString]) -> Result<(), EalError> {
    // EAL keeps pointers to its arguments for as long as the process lives, and permutes the array.
    let mut argv: Vec<*mut c_char> = arguments.iter().map(|a| a.clone().into_raw()).collect();
    let argc = c_int::try_from(argv.len()).map_err(|_| EalError::AlreadyStarted)?;
    argv.push(std::ptr::null_mut());
    let argv = argv.leak();
    // SAFETY: argv holds argc strings and a null, all of them leaked, and init runs once (STARTED).
    let ret = unsafe { c::rte_eal_init(argc, argv.as_mut_ptr()) };
    if ret < 0 {
        let text: Vec<_> = arguments.iter().map(|a| a.to_string_lossy()).collect();
        return Err(EalError::Init { errno: Errno::last(), arguments: text.join(" ") });
    }
    // SAFETY: EAL has started; from here on the log goes to stderr alone, not to syslog as well.
    unsafe { c::dpdk_log_to_stderr() };
    Ok(())
}

/// What DPDK calls the device: the driver's name and the position, or the PCI address.
fn dpdk_name(index: usize, probe: &Probe) -> String {
    match probe {
        Probe::Pci { address } => address.clone(),
        Probe::Virtual { driver, .. } => format!("{driver}{index}"),
    }
}

fn port_names(devices: &[NamedDevice]) -> Vec<PortName> {
    devices
        .iter()
        .enumerate()
        .filter_map(|(index, named)| {
            let probe = named.device().probe().ok()?;
            let (name, dpdk_name) = (named.name().to_owned(), dpdk_name(index, &probe));
            let interface = match probe {
                Probe::Pci { .. } => None,
                Probe::Virtual { interface, .. } => interface,
            };
            Some(PortName { name, dpdk_name, interface })
        })
        .collect()
}

/// Makes sure that the device exists: plugs a virtual one in, looks whether a PCI one was taken.
fn plug(index: usize, named: &NamedDevice) -> Result<(), EalError> {
    let probe = named.device().probe()?;
    let dpdk_name = dpdk_name(index, &probe);
    let name = named.name().to_owned();
    let c_name = CString::new(dpdk_name).map_err(|_| EalError::AlreadyStarted)?;
    match probe {
        Probe::Pci { address } => {
            let mut port = 0;
            // SAFETY: a NUL-terminated string and a place for the answer.
            let ret = unsafe { c::rte_eth_dev_get_port_by_name(c_name.as_ptr(), &raw mut port) };
            if ret == 0 { Ok(()) } else { Err(EalError::PciNotTaken { name, address }) }
        }
        Probe::Virtual { driver, arguments, interface } => {
            if let Some(interface) = interface {
                check_interface(&name, &interface)?;
            }
            let c_arguments =
                CString::new(arguments.as_str()).map_err(|_| EalError::AlreadyStarted)?;
            let (bus, device, text) = (c"vdev".as_ptr(), c_name.as_ptr(), c_arguments.as_ptr());
            // SAFETY: three NUL-terminated strings that DPDK copies.
            let ret = unsafe { c::rte_eal_hotplug_add(bus, device, text) };
            if ret == 0 {
                return Ok(());
            }
            let errno = Errno::from_return(ret);
            Err(EalError::Driver { name, driver, arguments, errno })
        }
    }
}

/// The drivers say "No such device" for everything: look first, in this network namespace.
fn check_interface(name: &str, interface: &str) -> Result<(), EalError> {
    let missing =
        || EalError::NoInterface { name: name.to_owned(), interface: interface.to_owned() };
    let c_interface = CString::new(interface).map_err(|_| missing())?;
    // SAFETY: a NUL-terminated string that is only read.
    match unsafe { c::if_nametoindex(c_interface.as_ptr()) } {
        0 => Err(missing()),
        _ => Ok(()),
    }
}
