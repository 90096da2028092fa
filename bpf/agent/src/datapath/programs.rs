//! The programs of the three objects, loaded: what there is to attach, and where.
#![expect(clippy::wildcard_enum_match_arm, reason = "enums of aya, of which three kinds are ours")]

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use aya::programs::{Program, ProgramError};
use aya::{Ebpf, EbpfLoader};
use aya_obj::generated::bpf_attach_type;
use aya_obj::{Object, ProgramSection};

use super::error::DatapathError;
use super::features::Features;
use super::maps::{Plan, Wanted};
use super::sys;
use crate::devices::Role;
use crate::objects;
use crate::pins::{Direction, Pins};

const SOCK: &str = "sock";
const NETDEV: &str = "netdev";
const POD: &str = "pod";

/// The objects, by their names.
pub(super) fn objects() -> [(&'static str, &'static [u8]); 3] {
    [(SOCK, objects::SOCK), (NETDEV, objects::NETDEV), (POD, objects::POD)]
}

/// A program of sockets, and the hook that its section names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SocketHook {
    pub(super) program: String,
    pub(super) attach_type: bpf_attach_type,
}

/// Loaded programs; they are gone when this is, unless something is attached by them.
#[derive(Debug)]
pub(super) struct Programs {
    objects: BTreeMap<&'static str, Ebpf>,
    pub(super) socket_hooks: Vec<SocketHook>,
}

/// A program that can be attached.
#[derive(Copy, Clone, Debug)]
pub(super) struct Loaded<'a> {
    pub(super) name: &'a str,
    pub(super) fd: BorrowedFd<'a>,
    /// The kernel's number.
    pub(super) id: u32,
}

impl Programs {
    /// Loads all of them, with the maps as planned.
    pub(super) fn load(
        pins: &Pins,
        plans: &BTreeMap<String, (Wanted, Plan)>,
        features: &Features,
    ) -> Result<Self, DatapathError> {
        let mut loaded = BTreeMap::new();
        for (object, bytes) in objects() {
            loaded.insert(object, load_object(object, bytes, pins, plans, features)?);
        }
        Ok(Self { objects: loaded, socket_hooks: socket_hooks()? })
    }

    pub(super) fn socket<'a>(&'a self, hook: &'a SocketHook) -> Result<Loaded<'a>, DatapathError> {
        self.find(SOCK, &hook.program)
    }

    /// The program that sees the packets of one direction.
    pub(super) fn device(
        &self,
        role: Role,
        direction: Direction,
    ) -> Result<Loaded<'_>, DatapathError> {
        match (role, direction) {
            (Role::Netdev, Direction::Ingress) => self.find(NETDEV, "from_netdev"),
            (Role::Netdev, Direction::Egress) => self.find(NETDEV, "to_netdev"),
            // What comes in by the host's end of the pair is what the pod sends.
            (Role::Pod, Direction::Ingress) => self.find(POD, "from_container"),
            (Role::Pod, Direction::Egress) => self.find(POD, "to_container"),
        }
    }

    fn find<'a>(
        &'a self,
        object: &'static str,
        name: &'a str,
    ) -> Result<Loaded<'a>, DatapathError> {
        let failed = |error| DatapathError::Program { object, program: name.to_owned(), error };
        let program = self
            .objects
            .get(object)
            .and_then(|object| object.program(name))
            .ok_or_else(|| failed(ProgramError::NotLoaded))?;
        let fd = program.fd().map_err(failed)?.as_fd();
        let id = sys::program_id(fd).map_err(|error| failed(ProgramError::IOError(error)))?;
        Ok(Loaded { name, fd, id })
    }
}

fn load_object(
    object: &'static str,
    bytes: &'static [u8],
    pins: &Pins,
    plans: &BTreeMap<String, (Wanted, Plan)>,
    features: &Features,
) -> Result<Ebpf, DatapathError> {
    let has_set_retval = u8::from(features.has_set_retval);
    let mut loader = EbpfLoader::new();
    loader.default_map_pin_directory(pins.maps());
    // What the verifier then cuts out, so that an older kernel never sees it. Not every object asks.
    loader.override_global("HAS_SET_RETVAL", &has_set_retval, false);
    for (name, (wanted, plan)) in plans {
        loader.map_max_entries(name, wanted.entries);
        if plan.is_beside() {
            loader.map_pin_path(name, Pins::next(&pins.map(name)));
        }
    }
    let mut loaded = loader.load(bytes).map_err(|error| DatapathError::Object { object, error })?;
    for (name, program) in loaded.programs_mut() {
        load_program(program).map_err(|error| DatapathError::Program {
            object,
            program: name.to_owned(),
            error,
        })?;
    }
    Ok(loaded)
}

/// Loads that the kernel may give up because a signal came (EAGAIN), as libbpf has it.
const LOADS_MAX: usize = 5;

fn load_program(program: &mut Program) -> Result<(), ProgramError> {
    for _ in 1..LOADS_MAX {
        match load_once(program) {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
    }
    load_once(program)
}

fn load_once(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::CgroupSockAddr(program) => program.load(),
        Program::CgroupSock(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// What `sock.bpf.c` has, by the sections: a new hook there needs no line here.
fn socket_hooks() -> Result<Vec<SocketHook>, DatapathError> {
    let parsed = Object::parse(objects::SOCK)
        .map_err(|error| DatapathError::Object { object: SOCK, error: error.into() })?;
    let mut hooks = Vec::new();
    for (name, program) in &parsed.programs {
        let attach_type = match &program.section {
            ProgramSection::CgroupSockAddr { attach_type } => (*attach_type).into(),
            ProgramSection::CgroupSock { attach_type } => (*attach_type).into(),
            _ => {
                return Err(DatapathError::Program {
                    object: SOCK,
                    program: name.clone(),
                    error: ProgramError::UnexpectedProgramType,
                });
            }
        };
        hooks.push(SocketHook { program: name.clone(), attach_type });
    }
    hooks.sort_by(|left, right| left.program.cmp(&right.program));
    Ok(hooks)
}
