//! The pinned maps, opened: for the agent, and for the command line, which must work when the agent is dead.

use std::fmt;
use std::io;
use std::path::PathBuf;

use aya::Pod;
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, RingBuf};

use crate::layout::{
    Affinity, AffinityKey, Backend, Client, Conntrack, Device, Frontend, FrontendKey, Nat,
    Settings, SourceRange, Tuple,
};
use crate::ledger::Capacity;
use crate::pins::Pins;

/// A map cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum MapsError {
    #[error(
        "{path}: there is no such map; `spillway-node run` was never started on this node, or its bpffs is not \
         mounted here"
    )]
    Missing { path: PathBuf },
    #[error("{path}: not permitted; run as root, or with CAP_BPF and CAP_NET_ADMIN")]
    Denied { path: PathBuf },
    #[error(
        "{path}: this is not the map that this version knows; stop the agent, `spillway-node uninstall`, and start \
         it again"
    )]
    Foreign { path: PathBuf, source: MapError },
    #[error("{path}: cannot be opened as a map; is it on a bpffs?")]
    Open { path: PathBuf, source: MapError },
}

/// Every map that user space reads or writes, but the ring: see [`events`].
pub struct Maps {
    pub frontends: HashMap<MapData, FrontendKey, Frontend>,
    pub choices: Array<MapData, u32>,
    pub backends: Array<MapData, Backend>,
    pub affinity: HashMap<MapData, AffinityKey, Affinity>,
    pub source_ranges: LpmTrie<MapData, SourceRange, u8>,
    pub clients: HashMap<MapData, u64, Client>,
    pub settings: Array<MapData, Settings>,
    pub conntrack: HashMap<MapData, Tuple, Conntrack>,
    pub nat: HashMap<MapData, Tuple, Nat>,
    pub devices: HashMap<MapData, u32, Device>,
    pub drops: PerCpuArray<MapData, u64>,
    pub counters: PerCpuArray<MapData, u64>,
    sizes: Sizes,
}

/// How many entries fit.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub frontends: u32,
    pub choices: u32,
    pub backends: u32,
    pub affinity: u32,
    pub source_ranges: u32,
    pub clients: u32,
    pub conntrack: u32,
    pub nat: u32,
    pub devices: u32,
}

impl fmt::Debug for Maps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Maps").field("sizes", &self.sizes).finish_non_exhaustive()
    }
}

impl Maps {
    pub fn open(pins: &Pins) -> Result<Self, MapsError> {
        let frontends = Opened::open(pins, "frontends")?;
        let choices = Opened::open(pins, "choices")?;
        let backends = Opened::open(pins, "backends")?;
        let affinity = Opened::open(pins, "affinity")?;
        let source_ranges = Opened::open(pins, "source_ranges")?;
        let clients = Opened::open(pins, "clients")?;
        let conntrack = Opened::open(pins, "conntrack")?;
        let nat = Opened::open(pins, "nat")?;
        let devices = Opened::open(pins, "devices")?;
        let sizes = Sizes {
            frontends: frontends.entries_max,
            choices: choices.entries_max,
            backends: backends.entries_max,
            affinity: affinity.entries_max,
            source_ranges: source_ranges.entries_max,
            clients: clients.entries_max,
            conntrack: conntrack.entries_max,
            nat: nat.entries_max,
            devices: devices.entries_max,
        };
        Ok(Self {
            frontends: frontends.typed()?,
            choices: choices.typed()?,
            backends: backends.typed()?,
            affinity: affinity.typed()?,
            source_ranges: source_ranges.typed()?,
            clients: clients.typed()?,
            settings: Opened::open(pins, "settings")?.typed()?,
            conntrack: conntrack.typed()?,
            nat: nat.typed()?,
            devices: devices.typed()?,
            drops: Opened::open(pins, "drops")?.typed()?,
            counters: Opened::open(pins, "counters")?.typed()?,
            sizes,
        })
    }

    pub const fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Of the maps that the ledger keeps.
    pub const fn capacity(&self) -> Capacity {
        let Sizes { frontends, choices, backends, source_ranges, .. } = self.sizes;
        Capacity { frontends, choices, backends, source_ranges }
    }
}

/// The ring of drops. Who reads it takes the events from all others who do.
pub fn events(pins: &Pins) -> Result<RingBuf<MapData>, MapsError> {
    Opened::open(pins, "events")?.typed()
}

/// The sum of a counter's values, one for each processor.
pub fn sum<T: std::borrow::Borrow<MapData>>(
    map: &PerCpuArray<T, u64>,
    at: u32,
) -> Result<u64, MapError> {
    Ok(map.get(&at, 0)?.iter().sum())
}

/// A map by its path, of no kind yet.
struct Opened {
    path: PathBuf,
    map: Map,
    entries_max: u32,
}

impl Opened {
    fn open(pins: &Pins, name: &str) -> Result<Self, MapsError> {
        let path = pins.map(name);
        let opened = MapData::from_pin(&path).and_then(|data| {
            let entries_max = data.info()?.max_entries();
            Ok((Map::from_map_data(data)?, entries_max))
        });
        match opened {
            Ok((map, entries_max)) => Ok(Self { path, map, entries_max }),
            Err(source) => Err(match io_kind(&source) {
                Some(io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    MapsError::Missing { path }
                }
                Some(io::ErrorKind::PermissionDenied) => MapsError::Denied { path },
                Some(_) | None => MapsError::Open { path, source },
            }),
        }
    }

    fn typed<M: TryFrom<Map, Error = MapError>>(self) -> Result<M, MapsError> {
        let Self { path, map, entries_max: _ } = self;
        M::try_from(map).map_err(|source| MapsError::Foreign { path, source })
    }
}

fn io_kind(error: &MapError) -> Option<io::ErrorKind> {
    os_error(error).map(io::Error::kind)
}

/// What the kernel answered, if it was asked.
pub fn os_error(error: &MapError) -> Option<&io::Error> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "aya's; all others never asked the kernel")]
    match error {
        MapError::SyscallError(error) => Some(&error.io_error),
        MapError::IoError(error) => Some(error),
        _ => None,
    }
}

/// All rows of a hash map. Rows that come or go meanwhile may be missing; when a row goes just as its key is stood on, the
/// kernel begins again from the first, so that keys may come twice, and more than fit are not asked for.
pub fn rows<K: Pod, V: Pod>(
    map: &HashMap<MapData, K, V>,
    entries_max: u32,
) -> impl Iterator<Item = Result<(K, V), MapError>> {
    map.iter().take(entries_max as usize)
}
