//! What the environment is started with, and the argument list that EAL makes of it.

use std::collections::HashSet;
use std::ffi::CString;

use dpdk_sys as c;

use super::{EalError, LcoreId, Worker, cores};
use crate::device::{NamedDevice, Probe};
use crate::name::Rule;

/// How the environment is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EalSettings {
    /// Prefix of DPDK's files under `/run/dpdk`: unique per instance on the machine, up to 32
    /// letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// The core of the thread that calls [`super::Eal::init`], which EAL pins.
    pub main_core: usize,
    /// One core per worker. The same core may appear more than once, and may be the main core: the
    /// workers then share its time (for tests, not for speed).
    pub worker_cores: Vec<usize>,
    pub memory: Memory,
    /// Keep DPDK's shared configuration, which memif needs. Without it nothing of DPDK is
    /// left in the file system whatever way the process ends.
    pub multi_process: bool,
    /// Probed in this order.
    pub devices: Vec<NamedDevice>,
    pub log_level: LogLevel,
}

/// Where packets live.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Hugepages, this much of them at start (DPDK takes more while there are any). Anonymous, or
    /// with `multi_process` in files that are unlinked at once: a killed process leaves none.
    Hugepages { mib: u32 },
    /// Ordinary pages, exactly this much: needs no preparation, has no PCI devices, and is slower.
    Ordinary { mib: u32 },
}

/// The least important messages of DPDK that reach stderr.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Error,
    Warning,
    Notice,
    Info,
    Debug,
}

impl LogLevel {
    /// `RTE_LOG_*` of rte_log.h.
    fn number(self) -> u32 {
        match self {
            Self::Error => 4,
            Self::Warning => 5,
            Self::Notice => 6,
            Self::Info => 7,
            Self::Debug => 8,
        }
    }
}

const NAME: Rule = Rule { what: "instance", max: 32, extra: "-_." };
/// One lcore is the main one.
const WORKERS_MAX: usize = c::DPDK_LCORE_MAX as usize - 1;
const MEMORY_MIB_MIN: u32 = 8;
/// 512 GiB: beyond the memory of any box, and EAL counts in signed numbers here and there.
const MEMORY_MIB_MAX: u32 = 512 << 10;

impl EalSettings {
    /// One worker on the main core, ordinary memory, no devices: for a start.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            main_core: 0,
            worker_cores: vec![0],
            memory: Memory::Ordinary { mib: 64 },
            multi_process: false,
            devices: Vec::new(),
            log_level: LogLevel::Warning,
        }
    }

    /// Lcore 0 is the main one, worker `n` has lcore `n + 1`.
    pub(super) fn workers(&self) -> Vec<Worker> {
        let numbered = self.worker_cores.iter().zip(1_u32..).enumerate();
        numbered
            .map(|(index, (core, lcore))| Worker { index, lcore: LcoreId::new(lcore), core: *core })
            .collect()
    }

    /// Finds what cannot work, without starting anything (but see [`super::Eal::init`] for hugepages
    /// and devices).
    pub fn check(&self) -> Result<(), EalError> {
        NAME.check(&self.name)?;
        if self.name.starts_with('.') {
            // It becomes a directory, which is removed in the end: never "..".
            return Err(EalError::HiddenName(self.name.clone()));
        }
        let workers = self.worker_cores.len();
        if workers > WORKERS_MAX {
            return Err(EalError::Workers { workers, max: WORKERS_MAX });
        }
        // EAL aborts the process when a core refuses its thread, so ask the kernel first.
        let online = cores::cores_online();
        let cores = self.worker_cores.iter().chain([&self.main_core]);
        if let Some(core) = cores.into_iter().find(|core| !online.contains(core)) {
            return Err(EalError::Core { core: *core, online });
        }
        let (Memory::Hugepages { mib } | Memory::Ordinary { mib }) = self.memory;
        if !(MEMORY_MIB_MIN..=MEMORY_MIB_MAX).contains(&mib) {
            return Err(EalError::Memory { mib, min: MEMORY_MIB_MIN, max: MEMORY_MIB_MAX });
        }
        let mut names = HashSet::new();
        for named in &self.devices {
            if !names.insert(named.name()) {
                return Err(EalError::DuplicateDevice(named.name().to_owned()));
            }
            if named.device().needs_multi_process() && !self.multi_process {
                return Err(EalError::NeedsMultiProcess(named.name().to_owned()));
            }
        }
        Ok(())
    }

    /// The argument list. Every word in it is a constant, a number or a checked name.
    pub(super) fn arguments(&self) -> Result<Vec<CString>, EalError> {
        self.check()?;
        let mut words: Vec<String> = vec!["spillway".into(), "--main-lcore=0".into()];
        let lcores = [format!("0@{}", self.main_core)]
            .into_iter()
            .chain(self.workers().into_iter().map(|w| format!("{}@{}", w.lcore.get(), w.core)));
        words.push(format!("--lcores={}", lcores.collect::<Vec<_>>().join(",")));
        words.push(format!("--file-prefix={}", self.name));
        words.push("--no-telemetry".into());
        words.push(format!("--log-level={}", self.log_level.number()));
        if self.log_level > LogLevel::Notice {
            // The global level only cuts; each component has a lower one of its own.
            words.push(format!("--log-level=*:{}", self.log_level.number()));
        }
        match (self.memory, self.multi_process) {
            (Memory::Hugepages { mib }, false) => {
                words.extend(["--in-memory".into(), format!("-m{mib}")]);
            }
            (Memory::Hugepages { mib }, true) => {
                words.extend(["--huge-unlink=always".into(), format!("-m{mib}")]);
            }
            // EAL refuses --in-memory here; without hugepages the configuration is all it would hide.
            (Memory::Ordinary { mib }, false) => {
                words.extend(["--no-huge".into(), "--no-shconf".into(), format!("-m{mib}")]);
            }
            (Memory::Ordinary { mib }, true) => {
                words.extend(["--no-huge".into(), format!("-m{mib}")]);
            }
        }
        let mut pci = Vec::new();
        for named in &self.devices {
            if let Probe::Pci { address } = named.device().probe()? {
                pci.extend(["-a".to_owned(), address]);
            }
        }
        if pci.is_empty() {
            pci.push("--no-pci".into());
        }
        words.extend(pci);
        // No word holds a NUL: each is built above or checked by a Rule.
        Ok(words.into_iter().filter_map(|word| CString::new(word).ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;

    fn text(settings: &EalSettings) -> String {
        let words = settings.arguments().unwrap();
        words.iter().map(|w| w.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    fn named(name: &str, device: Device) -> NamedDevice {
        NamedDevice::new(name, device).unwrap()
    }

    #[test]
    fn ordinary_memory_hides_the_configuration_and_hugepages_stay_in_memory() {
        let mut settings = EalSettings::new("box1");
        assert_eq!(
            text(&settings),
            "spillway --main-lcore=0 --lcores=0@0,1@0 --file-prefix=box1 --no-telemetry \
             --log-level=5 --no-huge --no-shconf -m64 --no-pci"
        );
        settings.memory = Memory::Hugepages { mib: 128 };
        assert!(text(&settings).contains("--in-memory -m128"));
        settings.multi_process = true;
        assert!(text(&settings).contains("--huge-unlink=always -m128"));
    }

    #[test]
    fn a_pci_device_replaces_no_pci() {
        let mut settings = EalSettings::new("box1");
        settings.devices = vec![named("up", Device::Pci { address: "3b:00.1".into() })];
        let text = text(&settings);
        assert!(text.ends_with("-a 0000:3b:00.1") && !text.contains("--no-pci"), "{text}");
    }

    #[test]
    fn impossible_settings_are_refused_in_words() {
        let refused = |change: &dyn Fn(&mut EalSettings)| {
            let mut settings = EalSettings::new("box1");
            change(&mut settings);
            settings.arguments().unwrap_err().to_string()
        };
        assert!(refused(&|s| s.name = "a b".into()).contains("instance"));
        assert!(refused(&|s| s.name = "../x".into()).contains("instance"));
        assert!(refused(&|s| s.name = "..".into()).contains("starts with a dot"));
        assert!(refused(&|s| s.main_core = 9_999).contains("core 9999"));
        assert!(refused(&|s| s.worker_cores = vec![0; 128]).contains("128 workers"));
        assert!(refused(&|s| s.memory = Memory::Ordinary { mib: 0 }).contains("0 MiB"));
        let ring = || named("a", Device::Ring {});
        assert!(refused(&|s| s.devices = vec![ring(), ring()]).contains("two devices"));
        let memif = named(
            "m",
            Device::Memif {
                role: crate::device::MemifRole::Server,
                id: 0,
                socket: "/run/m".into(),
                ring_size_log2: 8,
                secret: None,
            },
        );
        assert!(refused(&|s| s.devices = vec![memif.clone()]).contains("multi_process"));
    }

    #[test]
    fn workers_are_numbered_from_lcore_one_and_may_share_a_core() {
        let mut settings = EalSettings::new("box1");
        settings.worker_cores = vec![0, 0, 0];
        let lcores: Vec<_> = settings.workers().iter().map(|w| w.lcore.get()).collect();
        assert_eq!(lcores, [1, 2, 3]);
        assert!(text(&settings).contains("--lcores=0@0,1@0,2@0,3@0"));
    }
}
