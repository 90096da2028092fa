//! Capture files of Ethernet frames, in libpcap's classic format.
//!
//! Twenty lines each way, instead of a library: the files here are our own, and what `net_pcap`
//! writes is of one kind.

use std::fs;
use std::path::Path;

use crate::error::{LabError, Result};

/// Little-endian, microseconds.
const MAGIC: u32 = 0xa1b2_c3d4;
/// Little-endian, nanoseconds: what `net_pcap` writes.
const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
/// Version 2.4.
const VERSION: u32 = 0x0004_0002;
const SNAPLEN: u32 = 65_535;
const LINKTYPE_ETHERNET: u32 = 1;
const HEADER_LEN: usize = 24;
const RECORD_HEADER_LEN: usize = 16;

/// Writes a capture; the frames are a microsecond apart.
pub fn write(path: &Path, frames: &[Vec<u8>]) -> Result<()> {
    let mut bytes = Vec::new();
    for word in [MAGIC, VERSION, 0, 0, SNAPLEN, LINKTYPE_ETHERNET] {
        bytes.extend(word.to_le_bytes());
    }
    for (microsecond, frame) in (0_u32..).zip(frames) {
        let len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        for word in [1, microsecond, len, len] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(frame);
    }
    fs::write(path, bytes).map_err(LabError::io(format!("write {}", path.display())))
}

/// The frames of a capture.
///
/// # Errors
/// When the file is of another kind, ends in the middle of a frame, or a frame was cut short.
pub fn read(path: &Path) -> Result<Vec<Vec<u8>>> {
    let bytes = fs::read(path).map_err(LabError::io(format!("read {}", path.display())))?;
    parse(&bytes).map_err(|why| LabError::Expectation(format!("{}: {why}", path.display())))
}

fn parse(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let (header, mut rest) = bytes.split_at_checked(HEADER_LEN).ok_or("no header")?;
    let known = matches!(word(header, 0), Some(MAGIC | MAGIC_NANOSECONDS));
    if !known || word(header, 20) != Some(LINKTYPE_ETHERNET) {
        return Err("not a capture of Ethernet frames".to_owned());
    }
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let number = frames.len();
        let cut = || format!("the file ends in frame {number}");
        let (record, tail) = rest.split_at_checked(RECORD_HEADER_LEN).ok_or_else(cut)?;
        let (captured, original) = word(record, 8).zip(word(record, 12)).ok_or_else(cut)?;
        if captured != original {
            return Err(format!("frame {number} has {captured} of its {original} bytes"));
        }
        let len = usize::try_from(captured).map_err(|_| cut())?;
        let (frame, tail) = tail.split_at_checked(len).ok_or_else(cut)?;
        frames.push(frame.to_vec());
        rest = tail;
    }
    Ok(frames)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(frames: &[Vec<u8>]) -> Vec<u8> {
        let name = format!("sw-pcap-{}-{}", std::process::id(), frames.len());
        let path = std::env::temp_dir().join(name);
        write(&path, frames).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        let frames = vec![vec![1; 60], Vec::new(), vec![2; 1514]];
        assert_eq!(parse(&written(&frames)).unwrap(), frames);
        assert_eq!(parse(&written(&[])).unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_file_that_ends_in_a_frame_is_refused() {
        let whole = written(&[vec![1; 60], vec![2; 60], vec![3; 60], vec![4; 60]]);
        for len in [23, 24 + 15, 24 + 16, whole.len() - 1] {
            assert!(parse(&whole[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn another_kind_of_file_and_a_cut_frame_are_refused() {
        let whole = written(&[vec![1; 4], vec![1; 4], vec![1; 4], vec![1; 4], vec![1; 4]]);
        for at in [0, 20, 24 + 12] {
            let mut other = whole.clone();
            other[at] ^= 0xff;
            assert!(parse(&other).is_err(), "byte {at}");
        }
    }
}
