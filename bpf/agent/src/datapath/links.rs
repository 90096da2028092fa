//! Links that are pinned: made, given another program in place, looked after, and ended.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use aya_obj::generated::bpf_attach_type;

use super::programs::Loaded;
use super::sys::{self, Pinned, Target};
use crate::pins::Pins;

/// Where a link is to be: one hook of one cgroup or device.
#[derive(Copy, Clone, Debug)]
pub(super) struct Hook<'a> {
    pub(super) pin: &'a Path,
    pub(super) target: Target<'a>,
    /// Number of the cgroup's folder, or of the device.
    pub(super) target_id: u64,
    pub(super) attach_type: bpf_attach_type,
}

/// How a hook was found.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Our link is at the hook, with this program.
    Attached(u32),
    /// Our link is pinned, but detached, or somewhere else.
    Detached,
    /// What is pinned is no link: this way of attaching is new.
    NoLink,
    /// Nothing is pinned.
    NoPin,
}

impl State {
    /// What is wrong if `program` should be there.
    pub(super) fn complaint(self, program: u32) -> Option<&'static str> {
        match self {
            Self::Attached(found) if found == program => None,
            Self::Attached(_) => Some("had another program"),
            Self::Detached => Some("was detached"),
            Self::NoLink => Some("was pinned by something else"),
            Self::NoPin => Some("was unpinned"),
        }
    }
}

/// Opens what is pinned.
pub(super) fn open(pin: &Path) -> io::Result<Option<OwnedFd>> {
    match sys::open(pin) {
        Ok(fd) => Ok(Some(fd)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn state(hook: Hook<'_>) -> io::Result<State> {
    open(hook.pin)?.map_or(Ok(State::NoPin), |fd| state_of(&fd, hook))
}

fn state_of(fd: &OwnedFd, hook: Hook<'_>) -> io::Result<State> {
    if sys::kind(fd.as_fd())? != Pinned::Link {
        return Ok(State::NoLink);
    }
    let state = sys::link_state(fd.as_fd(), hook.target)?;
    if state.target == hook.target_id {
        Ok(State::Attached(state.program))
    } else {
        Ok(State::Detached)
    }
}

/// Has the hook run `program`. Where our link is, it gets the program in place of its old one (BPF_LINK_UPDATE), and no
/// call or packet finds none. Elsewhere a new link is made first, and what was pinned goes when it takes the name.
pub(super) fn attach(hook: Hook<'_>, program: &Loaded<'_>) -> io::Result<()> {
    let held = open(hook.pin)?;
    if let Some(fd) = &held
        && let State::Attached(_) = state_of(fd, hook)?
    {
        return sys::update(fd.as_fd(), program.fd);
    }
    let link = make(hook, program)?;
    put(link.as_fd(), hook.pin)?;
    if let Some(fd) = held
        && sys::kind(fd.as_fd())? == Pinned::Link
    {
        // At another cgroup; without its pin the kernel would end it too, but later. One that is detached stays so.
        let _ = sys::detach(fd.as_fd());
    }
    Ok(())
}

/// How long the kernel may take to end a link whose pin was removed: that is done by a worker of its own.
const END_WAIT: Duration = Duration::from_secs(1);
const END_PAUSE: Duration = Duration::from_millis(5);

/// A device does not take a program twice, not even where the first is about to go.
fn make(hook: Hook<'_>, program: &Loaded<'_>) -> io::Result<OwnedFd> {
    let end = Instant::now() + END_WAIT;
    loop {
        match sys::link(program.fd, hook.target, hook.attach_type) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && Instant::now() < end => {
                thread::sleep(END_PAUSE);
            }
            other => return other,
        }
    }
}

/// Pins at `path`, in the place of what may be pinned there.
pub(super) fn put(object: std::os::fd::BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let next = Pins::next(path);
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    sys::pin(object, &next)?;
    fs::rename(&next, path)
}

/// Detaches what is pinned and removes the pin. What it was; `None`: nothing.
///
/// Detached first: without it, the link would live until whoever else has opened it is done.
pub(super) fn end(pin: &Path) -> io::Result<Option<Pinned>> {
    let Some(fd) = open(pin)? else { return Ok(None) };
    let kind = sys::kind(fd.as_fd())?;
    if kind == Pinned::Link {
        // A link whose cgroup or device is gone cannot be, and need not.
        let _ = sys::detach(fd.as_fd());
    }
    fs::remove_file(pin)?;
    Ok(Some(kind))
}
