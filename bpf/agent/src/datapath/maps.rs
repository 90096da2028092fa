//! What becomes of the pinned maps when an agent starts: a decision for each, and the rows that move with it.
//!
//! | pinned | decision | rows |
//! |---|---|---|
//! | nothing | made | none: [`Plan::Fresh`] |
//! | of the kind wanted, and as large or larger | kept | all; larger is told, for it takes memory |
//! | of the kind wanted, but smaller | a larger one beside it takes its place when the programs have loaded | copied; those that packets wrote until the last program was switched, by [`Grown::catch_up`] |
//! | of another kind, or a ring of another size | a new one takes its place | none: [`Plan::Fresh`]; the old one lives as long as programs use it |
//!
//! Rows refer to each other by index and id, and so a map that grows keeps its rows as they are. Until its program is
//! switched, a reader sees the old map, which stays as it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aya::maps::{MapData, MapInfo};
use aya_obj::Object;
use aya_obj::generated::bpf_map_type;

use super::error::DatapathError;
use super::{MapSizes, entries, folder, sys};
use crate::pins::Pins;

/// A map as the programs need it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) kind: u32,
    pub(super) key_bytes: u32,
    pub(super) value_bytes: u32,
    pub(super) flags: u32,
    pub(super) entries: u32,
}

/// What is to become of a map.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// There is none, or one that our programs cannot use.
    Fresh {
        takes_place: bool,
    },
    Keep,
    /// Keep, though it has this many entries.
    KeepLarger(u32),
    /// From this many entries.
    Grow(u32),
}

impl Plan {
    pub(super) fn decide(wanted: Wanted, pinned: Option<Wanted>) -> Self {
        let Some(pinned) = pinned else { return Self::Fresh { takes_place: false } };
        let is_alike = (Wanted { entries: wanted.entries, ..pinned }) == wanted;
        // A ring has no rows that could be copied: what nobody has read yet is lost.
        let is_ring = wanted.kind == bpf_map_type::BPF_MAP_TYPE_RINGBUF as u32;
        if !is_alike || (is_ring && pinned.entries != wanted.entries) {
            return Self::Fresh { takes_place: true };
        }
        match pinned.entries.cmp(&wanted.entries) {
            std::cmp::Ordering::Less => Self::Grow(pinned.entries),
            std::cmp::Ordering::Equal => Self::Keep,
            std::cmp::Ordering::Greater => Self::KeepLarger(pinned.entries),
        }
    }

    /// Whether the map is made beside the one that is pinned.
    pub(super) fn is_beside(self) -> bool {
        match self {
            Self::Fresh { takes_place } => takes_place,
            Self::Grow(_) => true,
            Self::Keep | Self::KeepLarger(_) => false,
        }
    }
}

/// The plan for every map of the objects, by name.
pub(super) fn plan(
    pins: &Pins,
    objects: &[(&'static str, &[u8])],
    sizes: &MapSizes,
) -> Result<BTreeMap<String, (Wanted, Plan)>, DatapathError> {
    let mut plans = BTreeMap::new();
    for &(object, bytes) in objects {
        let parsed = Object::parse(bytes)
            .map_err(|error| DatapathError::Object { object, error: error.into() })?;
        for (name, map) in &parsed.maps {
            // Constants (.rodata) are each object's own.
            if map.pinning() != aya_obj::maps::PinningType::ByName || plans.contains_key(name) {
                continue;
            }
            let wanted = Wanted {
                kind: map.map_type(),
                key_bytes: map.key_size(),
                value_bytes: map.value_size(),
                flags: map.map_flags(),
                entries: entries(sizes, name).unwrap_or(map.max_entries()),
            };
            let path = pins.map(name);
            // Left over by an agent that died.
            folder::unpin(&Pins::next(&path))?;
            let plan = Plan::decide(wanted, pinned(name, &path)?);
            plans.insert(name.clone(), (wanted, plan));
        }
    }
    Ok(plans)
}

fn pinned(name: &str, path: &Path) -> Result<Option<Wanted>, DatapathError> {
    if !path.exists() {
        return Ok(None);
    }
    let info = MapInfo::from_pin(path).map_err(|error| DatapathError::Map {
        map: name.to_owned(),
        attempt: "open what is pinned",
        error,
    })?;
    // A kind that aya does not know is not one of ours.
    let kind = info.map_type().map_or(bpf_map_type::BPF_MAP_TYPE_UNSPEC as u32, |kind| kind as u32);
    Ok(Some(Wanted {
        kind,
        key_bytes: info.key_size(),
        value_bytes: info.value_size(),
        flags: info.map_flags(),
        entries: info.max_entries(),
    }))
}

/// A map that a larger one took the place of.
#[derive(Debug)]
pub(super) struct Grown {
    name: String,
    old: MapData,
    new: PathBuf,
}

/// Puts what was made beside in its place: copies the rows and renames. The programs that run still use the old ones.
pub(super) fn take_places(
    pins: &Pins,
    plans: &BTreeMap<String, (Wanted, Plan)>,
) -> Result<Vec<Grown>, DatapathError> {
    let mut grown = Vec::new();
    for (name, (_, plan)) in plans {
        if !plan.is_beside() {
            continue;
        }
        let path = pins.map(name);
        let next = Pins::next(&path);
        if let Plan::Grow(_) = plan {
            let old = open(name, &path)?;
            copy(name, &old, &next, sys::Copy::All)?;
            grown.push(Grown { name: name.clone(), old, new: path.clone() });
        }
        std::fs::rename(&next, &path).map_err(DatapathError::path(next, "put in its place"))?;
    }
    Ok(grown)
}

impl Grown {
    /// Copies what programs wrote into the old map after the first copy, unless there is such a row by now.
    pub(super) fn catch_up(&self) -> Result<(), DatapathError> {
        copy(&self.name, &self.old, &self.new, sys::Copy::Missing)
    }
}

fn open(name: &str, path: &Path) -> Result<MapData, DatapathError> {
    MapData::from_pin(path).map_err(|error| DatapathError::Map {
        map: name.to_owned(),
        attempt: "open",
        error,
    })
}

fn copy(name: &str, old: &MapData, new: &Path, what: sys::Copy) -> Result<(), DatapathError> {
    let rows = |map| {
        sys::Rows::new(map).map_err(|error| DatapathError::Map {
            map: name.to_owned(),
            attempt: "ask for its sizes",
            error,
        })
    };
    let new = open(name, new)?;
    let attempt = "copy its rows into a larger one";
    rows(old)?.copy_to(&rows(&new)?, what).map_err(|error| DatapathError::MapRows {
        map: name.to_owned(),
        attempt,
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted = Wanted { kind: 1, key_bytes: 20, value_bytes: 24, flags: 1, entries: 8 };

    #[test]
    fn a_pinned_map_is_kept_unless_it_is_too_small_or_of_another_kind() {
        let kinds = [
            Wanted { kind: 9, ..WANTED },
            Wanted { key_bytes: 16, ..WANTED },
            Wanted { value_bytes: 32, ..WANTED },
            Wanted { flags: 0, ..WANTED },
        ];
        assert_eq!(Plan::decide(WANTED, None), Plan::Fresh { takes_place: false });
        for pinned in kinds {
            assert_eq!(Plan::decide(WANTED, Some(pinned)), Plan::Fresh { takes_place: true });
        }
        let sized = |entries| Plan::decide(WANTED, Some(Wanted { entries, ..WANTED }));
        assert_eq!(sized(8), Plan::Keep);
        assert_eq!(sized(9), Plan::KeepLarger(9));
        assert_eq!(sized(7), Plan::Grow(7));
    }

    #[test]
    fn a_ring_of_another_size_is_made_anew() {
        let kind = bpf_map_type::BPF_MAP_TYPE_RINGBUF as u32;
        let ring = Wanted { kind, ..WANTED };
        assert_eq!(Plan::decide(ring, Some(ring)), Plan::Keep);
        for entries in [4, 16] {
            let pinned = Some(Wanted { entries, ..ring });
            assert_eq!(Plan::decide(ring, pinned), Plan::Fresh { takes_place: true });
        }
    }

    #[test]
    fn only_what_takes_a_place_is_made_beside() {
        assert!(Plan::Grow(7).is_beside());
        assert!(Plan::Fresh { takes_place: true }.is_beside());
        for plan in [Plan::Keep, Plan::KeepLarger(9), Plan::Fresh { takes_place: false }] {
            assert!(!plan.is_beside(), "{plan:?}");
        }
    }
}
