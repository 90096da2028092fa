//! The few calls of bpf(2) that aya has no way to: links that are opened, updated and asked by their pins, and maps
//! copied row by row without knowing what is in them; and mount(2) for the bpffs.
#![expect(unsafe_code, reason = "the only system calls of this room, one function each")]

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya_obj::generated::{bpf_attach_type, bpf_cmd};

/// What an attach point is: a cgroup by its folder, or a device by its number.
#[derive(Copy, Clone, Debug)]
pub(super) enum Target<'a> {
    Cgroup(BorrowedFd<'a>),
    Device(u32),
}

/// What the kernel says of a link.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct LinkState {
    pub(super) program: u32,
    /// Number of the cgroup's folder, or of the device; 0 once the link is detached.
    pub(super) target: u64,
}

/// Kinds of what can be pinned.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Pinned {
    Link,
    Program,
    Map,
}

/// Calls bpf(2) with the first `size_of::<T>()` bytes of `union bpf_attr`; the kernel takes the rest as zero.
///
/// # Safety
/// `T` is `repr(C)` without padding, laid out as the command's part of `union bpf_attr`, and every address in it is
/// valid for what the command does with it.
unsafe fn bpf<T>(command: bpf_cmd, attributes: &mut T) -> io::Result<RawFd> {
    // SAFETY: the caller's promise; the kernel reads and writes `size_of::<T>()` bytes at most.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    RawFd::try_from(answer).map_err(io::Error::other)
}

/// Takes what bpf(2) answered where that is a new descriptor.
///
/// # Safety
/// Nobody else has `fd`.
unsafe fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: the caller's promise.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    // A descriptor that is open is not negative.
    fd.as_raw_fd().cast_unsigned()
}

fn address<T>(of: *const T) -> u64 {
    of as u64
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

#[repr(C)]
struct ObjectAttributes {
    path: u64,
    fd: u32,
    flags: u32,
}

/// Opens what is pinned at `path`.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut attributes = ObjectAttributes { path: address(path.as_ptr()), fd: 0, flags: 0 };
    // SAFETY: `path` lives until the call is over.
    let fd = unsafe { bpf(bpf_cmd::BPF_OBJ_GET, &mut attributes) }?;
    // SAFETY: new, and nobody else knows it.
    Ok(unsafe { owned(fd) })
}

/// Pins a link or a program.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut attributes =
        ObjectAttributes { path: address(path.as_ptr()), fd: raw(object), flags: 0 };
    // SAFETY: `path` lives until the call is over.
    unsafe { bpf(bpf_cmd::BPF_OBJ_PIN, &mut attributes) }?;
    Ok(())
}

/// Tells what was opened, by the name that the kernel gave the descriptor.
pub(super) fn kind(object: BorrowedFd<'_>) -> io::Result<Pinned> {
    let name = fs::read_link(format!("/proc/self/fd/{}", object.as_raw_fd()))?;
    let name = name.to_string_lossy();
    match name.as_ref() {
        name if name.contains("bpf_link") || name.contains("bpf-link") => Ok(Pinned::Link),
        name if name.contains("bpf-prog") => Ok(Pinned::Program),
        name if name.contains("bpf-map") => Ok(Pinned::Map),
        other => Err(io::Error::other(format!("neither link, program nor map: {other}"))),
    }
}

#[repr(C)]
struct InfoAttributes {
    fd: u32,
    length: u32,
    info: u64,
}

/// `struct bpf_link_info` as that of a cgroup's link; that of TCX has the device's number where `target` starts.
#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    pad: u32,
    target: u64,
    attach_type: u64,
}

/// `struct bpf_prog_info`, its first two fields.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    kind: u32,
    id: u32,
}

fn info<T: Default>(object: BorrowedFd<'_>) -> io::Result<T> {
    let mut info = T::default();
    let length = u32::try_from(size_of::<T>()).map_err(io::Error::other)?;
    let mut attributes =
        InfoAttributes { fd: raw(object), length, info: address(std::ptr::from_mut(&mut info)) };
    // SAFETY: `info` lives until the call is over and has `length` bytes; only integers are in it.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attributes) }?;
    Ok(info)
}

/// Asks the kernel for a link that may be at a target of this kind.
pub(super) fn link_state(link: BorrowedFd<'_>, target: Target<'_>) -> io::Result<LinkState> {
    let info: LinkInfo = info(link)?;
    let target = match target {
        Target::Cgroup(_) => info.target,
        Target::Device(_) => info
            .target
            .to_ne_bytes()
            .first_chunk()
            .map_or(0, |&index| u32::from_ne_bytes(index).into()),
    };
    Ok(LinkState { program: info.program, target })
}

/// The number by which the kernel knows a program.
pub(super) fn program_id(program: BorrowedFd<'_>) -> io::Result<u32> {
    info::<ProgramInfo>(program).map(|info| info.id)
}

/// `BPF_F_BEFORE` of the kernel's multi-program hooks (6.6): without another program named, before all of them.
const BEFORE_ALL: u32 = 1 << 3;

#[repr(C)]
struct LinkAttributes {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    relative: u32,
    pad: u32,
    revision: u64,
}

/// Attaches a program. It stays as long as somebody holds the link or it is pinned.
pub(super) fn link(
    program: BorrowedFd<'_>,
    target: Target<'_>,
    attach_type: bpf_attach_type,
) -> io::Result<OwnedFd> {
    let (target, flags) = match target {
        Target::Cgroup(folder) => (raw(folder), 0),
        Target::Device(index) => (index, BEFORE_ALL),
    };
    let mut attributes = LinkAttributes {
        program: raw(program),
        target,
        attach_type: attach_type as u32,
        flags,
        relative: 0,
        pad: 0,
        revision: 0,
    };
    // SAFETY: there are no addresses in it.
    let fd = unsafe { bpf(bpf_cmd::BPF_LINK_CREATE, &mut attributes) }?;
    // SAFETY: new, and nobody else knows it.
    Ok(unsafe { owned(fd) })
}

#[repr(C)]
struct UpdateAttributes {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

/// Puts another program in the place of a link's, with no moment between.
pub(super) fn update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes =
        UpdateAttributes { link: raw(link), program: raw(program), flags: 0, old_program: 0 };
    // SAFETY: there are no addresses in it.
    unsafe { bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attributes) }?;
    Ok(())
}

/// Ends a link at once, whoever else holds it.
pub(super) fn detach(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = raw(link);
    // SAFETY: there are no addresses in it.
    unsafe { bpf(bpf_cmd::BPF_LINK_DETACH, &mut attributes) }?;
    Ok(())
}

/// A map as rows of bytes. Not for maps with a value per processor.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    map: BorrowedFd<'a>,
    key_bytes: usize,
    value_bytes: usize,
    entries_max: usize,
}

#[repr(C)]
struct ElementAttributes {
    map: u32,
    pad: u32,
    key: u64,
    value_or_next_key: u64,
    flags: u64,
}

/// Which rows [`Rows::copy_to`] writes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Copy {
    All,
    /// Only those that the other map has not: `BPF_NOEXIST`.
    Missing,
}

impl<'a> Rows<'a> {
    /// The sizes are the kernel's own, as `MapInfo` has them: it reads and writes that many bytes.
    pub(super) fn new(map: &'a aya::maps::MapData) -> Result<Self, aya::maps::MapError> {
        let info = map.info()?;
        Ok(Self {
            map: map.fd().as_fd(),
            key_bytes: info.key_size() as usize,
            value_bytes: info.value_size() as usize,
            entries_max: info.max_entries() as usize,
        })
    }

    fn attributes(&self, key: u64, value_or_next_key: u64, flags: u64) -> ElementAttributes {
        ElementAttributes { map: raw(self.map), pad: 0, key, value_or_next_key, flags }
    }

    /// The key after `key`, in the kernel's order.
    fn next_key(&self, key: Option<&[u8]>) -> io::Result<Option<Vec<u8>>> {
        let mut next = vec![0_u8; self.key_bytes];
        let key = key.map_or(0, |key| address(key.as_ptr()));
        let mut attributes = self.attributes(key, address(next.as_mut_ptr()), 0);
        // SAFETY: both are as long as the map's keys: one was made here, the other by an earlier call of this.
        match unsafe { bpf(bpf_cmd::BPF_MAP_GET_NEXT_KEY, &mut attributes) } {
            Ok(_) => Ok(Some(next)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn value(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0_u8; self.value_bytes];
        let mut attributes = self.attributes(address(key.as_ptr()), address(value.as_mut_ptr()), 0);
        // SAFETY: the key is one of `next_key`, and the value as long as the map's values.
        match unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attributes) } {
            Ok(_) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the rows into another map of the same kind. A row that goes away meanwhile is left out.
    pub(super) fn copy_to(&self, other: &Rows<'_>, what: Copy) -> io::Result<()> {
        if (self.key_bytes, self.value_bytes) != (other.key_bytes, other.value_bytes) {
            return Err(io::Error::other("the two maps have rows of different sizes"));
        }
        let flags = match what {
            Copy::All => 0,
            Copy::Missing => 1,
        };
        // The walk starts anew when the row that it stands on goes away: keys first, which is quick, and not for ever.
        let mut keys = Vec::new();
        let mut key = self.next_key(None)?;
        while let Some(at) = key
            && keys.len() < 2 * self.entries_max
        {
            key = self.next_key(Some(&at))?;
            keys.push(at);
        }
        for key in keys {
            let Some(value) = self.value(&key)? else { continue };
            let mut attributes =
                other.attributes(address(key.as_ptr()), address(value.as_ptr()), flags);
            // SAFETY: key and value are as long as the other map's, as was compared above.
            match unsafe { bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attributes) } {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// `mount -t bpf bpffs folder`.
pub(super) fn mount_bpffs(folder: &Path) -> io::Result<()> {
    let folder = c_path(folder)?;
    // SAFETY: three strings that end with a zero and live until the call is over; no data.
    let answer = unsafe {
        libc::mount(c"bpffs".as_ptr(), folder.as_ptr(), c"bpf".as_ptr(), 0, std::ptr::null())
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
