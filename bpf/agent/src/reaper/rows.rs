//! What the kernel's sockets came by: rows of `socket_peer`, told by iterators (`bpf/reaper.bpf.c`).

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use aya::programs::{Iter, ProgramError};
use aya::{Btf, BtfError, Ebpf, EbpfError, EbpfLoader};
use spillway_lb::model::Protocol;

use crate::layout::{Address, Be16, Translation};
use crate::objects;
use crate::pins::Pins;

/// Bytes of `struct socket_row`.
const ROW_LEN: usize = 8 + size_of::<Translation>();
/// Bytes read of one namespace: a million sockets.
const ROWS_LEN_MAX: u64 = 1_000_000 * ROW_LEN as u64;

/// Why rows cannot be told; sockets are then known by their peers alone.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    #[error("map {0} is not pinned: load the programs first")]
    NoMap(String),
    #[error("the kernel's BTF: {0}; CONFIG_DEBUG_INFO_BTF is needed")]
    Btf(#[from] BtfError),
    #[error("iterators over sockets: {0}")]
    Object(#[from] EbpfError),
    #[error("iterator {name}: {error}; kernel 5.12 and CAP_PERFMON are needed")]
    Program { name: &'static str, error: ProgramError },
}

/// The iterators, loaded. Nothing is attached or pinned.
#[derive(Debug)]
pub struct Rows {
    object: Mutex<Ebpf>,
}

/// By the cookie of the socket.
pub(super) type ByCookie = BTreeMap<u64, Translation>;

const fn names(protocol: Protocol) -> (&'static str, &'static str) {
    match protocol {
        Protocol::Tcp => ("tcp_rows", "tcp"),
        Protocol::Udp => ("udp_rows", "udp"),
    }
}

impl Rows {
    /// Over the pinned map.
    pub fn load(pins: &Pins) -> Result<Self, RowsError> {
        let map = pins.map("socket_peer");
        if !map.exists() {
            // The loader would make an empty one.
            return Err(RowsError::NoMap(map.display().to_string()));
        }
        let btf = Btf::from_sys_fs()?;
        let mut loader = EbpfLoader::new();
        loader.map_pin_path("socket_peer", map);
        let mut object = loader.load(objects::REAPER)?;
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let (name, kind) = names(protocol);
            let failed = |error| RowsError::Program { name, error };
            iterator(&mut object, name).and_then(|it| it.load(kind, &btf)).map_err(failed)?;
        }
        Ok(Self { object: Mutex::new(object) })
    }

    /// All rows of the namespace that the thread is in.
    pub(super) fn here(&self, protocol: Protocol) -> io::Result<ByCookie> {
        let (name, _) = names(protocol);
        let mut bytes = Vec::new();
        {
            let mut object = self.object.lock().unwrap_or_else(PoisonError::into_inner);
            let program = iterator(&mut object, name).map_err(io::Error::other)?;
            // An iterator is of the namespace in which it is created: one for each.
            let link = program.attach().map_err(io::Error::other)?;
            let link = program.take_link(link).map_err(io::Error::other)?;
            let file = link.into_file().map_err(io::Error::other)?;
            file.take(ROWS_LEN_MAX).read_to_end(&mut bytes)?;
        }
        let (rows, _) = bytes.as_chunks::<ROW_LEN>();
        Ok(rows.iter().filter_map(row).collect())
    }
}

fn iterator<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Iter, ProgramError> {
    object.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

/// `struct socket_row`, field by field.
fn row(bytes: &[u8; ROW_LEN]) -> Option<(u64, Translation)> {
    let (cookie, value) = bytes.split_first_chunk()?;
    let word = |at: usize| value.get(at..)?.first_chunk().map(|it| u32::from_ne_bytes(*it));
    let translation = Translation {
        frontend: Address(*value.first_chunk()?),
        backend_address: Address(*value.get(16..)?.first_chunk()?),
        frontend_port: Be16(*value.get(32..)?.first_chunk()?),
        backend_port: Be16(*value.get(34..)?.first_chunk()?),
        backend: word(36)?,
        service: word(40)?,
        pad: word(44)?,
    };
    Some((u64::from_ne_bytes(*cookie), translation))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn a_row_is_read_field_by_field() {
        let mut bytes = [0; ROW_LEN];
        bytes[..8].copy_from_slice(&77_u64.to_ne_bytes());
        let frontend: Address = IpAddr::from([10, 96, 0, 10]).into();
        let backend: Address = IpAddr::from([10, 244, 1, 7]).into();
        bytes[8..24].copy_from_slice(&frontend.0);
        bytes[24..40].copy_from_slice(&backend.0);
        bytes[40..44].copy_from_slice(&[0, 53, 0x14, 0xe9]);
        bytes[44..48].copy_from_slice(&4_u32.to_ne_bytes());
        bytes[48..52].copy_from_slice(&9_u32.to_ne_bytes());
        let wanted = Translation {
            frontend,
            backend_address: backend,
            frontend_port: 53.into(),
            backend_port: 5353.into(),
            backend: 4,
            service: 9,
            pad: 0,
        };
        assert_eq!(row(&bytes), Some((77, wanted)));
    }

    #[test]
    fn without_the_map_nothing_is_made() {
        let pins = Pins::new("/nonexistent");
        assert!(matches!(Rows::load(&pins), Err(RowsError::NoMap(_))));
    }
}
