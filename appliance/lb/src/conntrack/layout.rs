//! How the flow table lies in its memory: header, wheel, buckets, records.
//!
//! The region holds indices and no pointers, so it can be mapped anywhere and by another process.

use bytemuck::{Pod, Zeroable};

use super::index::{BUCKET_ENTRIES, Bucket};
use super::record::FlowRecord;
use super::wheel::SLOTS;

/// "SPILLFLW" and the version of the layout: changes with any change to a type in this module.
const MAGIC: u64 = u64::from_be_bytes(*b"SPILLFLW");
pub(super) const VERSION: u32 = 2;

/// Most flows of one table: an index entry has 31 bits for the record.
pub const FLOWS_MAX: u32 = 1 << 26;

/// First page of the region.
#[derive(Copy, Clone, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Header {
    magic: u64,
    version: u32,
    pub(super) flows_max: u32,
    pub(super) hash_key: [u64; 2],
    /// First free record, 0 for none.
    pub(super) free: u32,
    /// Records below this index have been used; those above have never been touched.
    pub(super) fresh: u32,
    pub(super) flows: u32,
    /// Next tick whose slot is to be emptied.
    pub(super) cursor: u32,
    spare: [u64; 2],
}

const _: () = assert!(size_of::<Header>() == 64);

/// Why a region cannot hold a flow table.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum RegionError {
    /// The region is smaller than [`bytes_for`] says.
    TooSmall { have: usize, need: usize },
    /// The region does not start at a 64-byte boundary.
    Unaligned,
    /// `flows_max` is 0 or above [`FLOWS_MAX`].
    BadCapacity(u32),
}

impl std::fmt::Display for RegionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooSmall { have, need } => {
                write!(f, "the flow table needs {need} bytes and its memory has {have}")
            }
            Self::Unaligned => f.write_str("the flow table's memory is not aligned to 64 bytes"),
            Self::BadCapacity(flows) => {
                write!(f, "a flow table of {flows} flows: not within 1..={FLOWS_MAX}")
            }
        }
    }
}

impl std::error::Error for RegionError {}

/// Two entries a flow at two thirds load: with [`super::index::PROBE_MAX`] lines to look at, a table
/// fills up to its last record before a key finds no place (simulated with up to 2 million flows).
const fn bucket_count(flows_max: u32) -> usize {
    let entries = flows_max as usize * 2;
    let buckets = (entries * 3 / 2).div_ceil(BUCKET_ENTRIES);
    if buckets < 16 { 16 } else { buckets }
}

/// Bytes that a table of `flows_max` flows needs: about 88 per flow and 16 KiB.
pub const fn bytes_for(flows_max: u32) -> usize {
    size_of::<Header>()
        + SLOTS as usize * size_of::<u32>()
        + bucket_count(flows_max) * size_of::<Bucket>()
        + (flows_max as usize + 1) * size_of::<FlowRecord>()
}

/// The region, cut into its parts.
#[derive(Debug)]
pub(super) struct Parts<'m> {
    pub(super) header: &'m mut Header,
    pub(super) wheel: &'m mut [u32],
    pub(super) buckets: &'m mut [Bucket],
    pub(super) records: &'m mut [FlowRecord],
}

fn cast<T: Pod>(bytes: &mut [u8]) -> Result<&mut [T], RegionError> {
    bytemuck::try_cast_slice_mut(bytes).map_err(|_| RegionError::Unaligned)
}

/// Cuts an all-zero region and writes its header.
pub(super) fn create(
    region: &mut [u8],
    flows_max: u32,
    hash_key: [u64; 2],
) -> Result<Parts<'_>, RegionError> {
    if flows_max == 0 || flows_max > FLOWS_MAX {
        return Err(RegionError::BadCapacity(flows_max));
    }
    let (have, need) = (region.len(), bytes_for(flows_max));
    let too_small = RegionError::TooSmall { have, need };
    let (header, rest) = region.split_at_mut_checked(size_of::<Header>()).ok_or(too_small)?;
    let (wheel, rest) =
        rest.split_at_mut_checked(SLOTS as usize * size_of::<u32>()).ok_or(too_small)?;
    let (buckets, rest) = rest
        .split_at_mut_checked(bucket_count(flows_max) * size_of::<Bucket>())
        .ok_or(too_small)?;
    let (records, _) = rest
        .split_at_mut_checked((flows_max as usize + 1) * size_of::<FlowRecord>())
        .ok_or(too_small)?;
    let header = cast::<Header>(header)?.first_mut().ok_or(too_small)?;
    *header = Header {
        magic: MAGIC,
        version: VERSION,
        flows_max,
        hash_key,
        free: 0,
        fresh: 1,
        flows: 0,
        cursor: 0,
        spare: [0; 2],
    };
    Ok(Parts { header, wheel: cast(wheel)?, buckets: cast(buckets)?, records: cast(records)? })
}
