//! Why the environment did not start.

use crate::device::DeviceError;
use crate::errno::Errno;
use crate::name::NameError;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EalError {
    #[error("DPDK was already started in this process, and can be started only once")]
    AlreadyStarted,
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("instance {0:?}: the name starts with a dot")]
    HiddenName(String),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("core {core} does not exist or is offline; online are {online:?}")]
    Core { core: usize, online: Vec<usize> },
    #[error("{workers} workers, possible are up to {max}")]
    Workers { workers: usize, max: usize },
    #[error("memory of {mib} MiB, possible are {min} to {max}")]
    Memory { mib: u32, min: u32, max: u32 },
    #[error("two devices have the name {0}")]
    DuplicateDevice(String),
    #[error("device {0}: memif needs the shared configuration (multi_process)")]
    NeedsMultiProcess(String),
    #[error(
        "{wanted_mib} MiB of hugepages are wanted, {free_mib} MiB are free. Reserve them with \
         `sysctl -w vm.nr_hugepages={pages}` (on top of what is in use), or choose ordinary memory, \
         which is slower and has no PCI devices"
    )]
    Hugepages { wanted_mib: u32, free_mib: u64, pages: u64 },
    #[error("DPDK did not start: {errno}. Its log says more. Arguments: {arguments}")]
    Init { errno: Errno, arguments: String },
    #[error("device {name}: interface {interface} does not exist in this network namespace")]
    NoInterface { name: String, interface: String },
    #[error("device {name}: driver {driver} refused ({arguments}): {errno}. DPDK's log says more")]
    Driver { name: String, driver: &'static str, arguments: String, errno: Errno },
    #[error(
        "device {name}: no driver took PCI function {address}. It must exist and be bound to \
         vfio-pci (`dpdk-devbind.py --bind=vfio-pci {address}`)"
    )]
    PciNotTaken { name: String, address: String },
}
