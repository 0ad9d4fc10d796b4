//! Attaching the programs of one probe: whole or not at all.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    ptr,
};

use aya::{
    Btf as AyaBtf, Ebpf,
    programs::{BtfTracePoint, FEntry, FExit, Iter, Program, ProgramError, TracePoint},
};
use nix::libc;

use super::{
    counters::Counters,
    load::{LoadError, chain},
    probes::{Call, CallProgram, Calls, Hook, Probe, Trampoline, Twin},
    tracefs::TracefsError,
};

/// Why a probe could not be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The kernel refused a program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Its tracepoints can't be found.
    #[error(transparent)]
    Tracefs(#[from] TracefsError),
    /// System calls do not come by.
    #[error("this kernel was compiled so that system calls do not pass {0}")]
    Elsewhere(&'static str),
    /// The second program is called before the first.
    #[error("this kernel calls the programs on {0} in an unknown order")]
    Order(&'static str),
    /// It can't be seen whether they come by.
    #[error("cannot try whether system calls are seen, with a local socket: {0}")]
    NoTrial(io::Error),
}

/// How a probe was attached.
pub(super) struct Way {
    /// The programs whose misses count.
    pub(super) programs: Vec<&'static str>,
    /// The places in [`sockwatch_ebpf::twin`] where others took what they missed.
    pub(super) twins: Vec<usize>,
    /// Whether it sees a system call by trampolines.
    pub(super) trampolines: bool,
    /// Why not, where they would have been better.
    pub(super) why_not: Option<String>,
}

/// What probes are attached with.
pub(super) struct On<'a> {
    pub(super) ebpf: &'a mut Ebpf,
    pub(super) kernel: &'a AyaBtf,
    pub(super) tracefs: &'a Result<(), TracefsError>,
    pub(super) counters: &'a Counters,
    pub(super) calls: Calls,
    /// Whether tracepoints' programs may be preempted.
    pub(super) preemptible: bool,
}

impl On<'_> {
    /// Loads the programs of a probe and attaches them.
    pub(super) fn attach(&mut self, probe: &Probe) -> Result<Result<Way, AttachError>, LoadError> {
        let programs: Vec<&'static str> = match probe.hook {
            Hook::Typed(program) | Hook::Iterator(_, program) => vec![program],
            Hook::Twin(twin) => twin.programs.to_vec(),
            Hook::Call(call) => call.programs().collect(),
        };
        for name in &programs {
            self.ebpf.program(name).ok_or(LoadError::Stale(name))?;
        }
        let plain = |programs| Way { programs, twins: Vec::new(), trampolines: false, why_not: None };
        let Self { ebpf, kernel, .. } = self;
        Ok(match probe.hook {
            Hook::Typed(name) => {
                attach_typed(ebpf, name, &[name], kernel).map(|()| plain(programs)).map_err(Into::into)
            }
            Hook::Twin(Twin { programs, place, enough }) => {
                let wanted = if self.preemptible { programs } else { &programs[..enough] };
                attach_typed(ebpf, programs[0], wanted, kernel)
                    .inspect_err(|_| wanted.iter().for_each(|program| detach(ebpf, program)))
                    // What the first is skipped for the others take.
                    .map(|()| Way { twins: vec![place], ..plain(vec![programs[0]]) })
                    .map_err(Into::into)
            }
            Hook::Iterator(name, program) => {
                load_iterator(ebpf, program, name, kernel).map(|()| plain(programs)).map_err(Into::into)
            }
            Hook::Call(call) => self.attach_call(&call),
        })
    }

    fn attach_call(&mut self, call: &Call) -> Result<Way, AttachError> {
        let by_tracepoints = |on: &mut Self, why_not| {
            on.attach_tracepoints(call.tracepoints)?;
            let programs = call.tracepoints.iter().map(|(program, _)| *program).collect();
            Ok(Way { programs, twins: Vec::new(), trampolines: false, why_not })
        };
        if self.calls == Calls::Tracepoints {
            return by_tracepoints(self, None);
        }
        match self.attach_trampolines(call) {
            Ok(way) => Ok(way),
            Err(error) if self.calls == Calls::Trampolines => Err(error),
            Err(error) => by_tracepoints(self, Some(chain(&error))),
        }
    }

    fn attach_tracepoints(&mut self, programs: &[CallProgram]) -> Result<(), AttachError> {
        self.tracefs.clone()?;
        let ebpf = &mut *self.ebpf;
        let outcome = programs.iter().try_for_each(|(program, names)| attach_call(ebpf, program, names));
        if outcome.is_err() {
            programs.iter().for_each(|(program, _)| detach(ebpf, program));
        }
        Ok(outcome?)
    }

    fn attach_trampolines(&mut self, call: &Call) -> Result<Way, AttachError> {
        let outcome = call
            .trampolines
            .iter()
            .try_for_each(|trampoline| attach_trampoline(self.ebpf, trampoline, self.kernel).map_err(Into::into))
            .and_then(|()| self.is_passed(call));
        let seconds = || call.trampolines.iter().filter_map(|trampoline| trampoline.second);
        match outcome {
            Ok(()) => {
                let counted = call.trampolines.iter().filter(|trampoline| trampoline.second.is_some());
                let programs = counted.map(|trampoline| trampoline.program).collect();
                Ok(Way {
                    programs,
                    twins: seconds().map(|second| second.twin).collect(),
                    trampolines: true,
                    why_not: None,
                })
            }
            Err(error) => {
                call.trampolines.iter().for_each(|trampoline| detach(self.ebpf, trampoline.program));
                seconds().for_each(|second| detach(self.ebpf, second.program));
                Err(error)
            }
        }
    }

    /// Whether a call comes by: the compiler may have put a copy of the function into the system call. So one is made, on a
    /// descriptor that is none; and an accept that succeeds, on a socket that is not followed. And whether the kernel calls the
    /// second programs after the first: if it did not, they would have taken those.
    fn is_passed(&self, call: &Call) -> Result<(), AttachError> {
        let [first, .., last] = call.trampolines else { return Ok(()) };
        let (tried, installed) = (self.counters.tried(call.place), self.counters.installed());
        let taken = || -> u64 {
            let twins = call.trampolines.iter().filter_map(|trampoline| trampoline.second);
            twins.map(|second| self.counters.taken(second.twin)).sum()
        };
        let before = taken();
        // SAFETY: the kernel refuses a descriptor that is none before it looks at any other argument.
        unsafe {
            match call.place {
                sockwatch_ebpf::call::BIND => libc::bind(-1, ptr::null(), 0),
                sockwatch_ebpf::call::LISTEN => libc::listen(-1, 0),
                sockwatch_ebpf::call::CONNECT => libc::connect(-1, ptr::null(), 0),
                _ => libc::accept4(-1, ptr::null_mut(), ptr::null_mut(), 0),
            }
        };
        if self.counters.tried(call.place) == tried {
            return Err(AttachError::Elsewhere(first.function));
        }
        if taken() - before >= 2 {
            return Err(AttachError::Order(first.function));
        }
        if call.place == sockwatch_ebpf::call::ACCEPT {
            accept_one().map_err(AttachError::NoTrial)?;
            if self.counters.installed() == installed {
                return Err(AttachError::Elsewhere(last.function));
            }
        }
        Ok(())
    }
}

/// Accepts a connection, on a socket of this host alone that goes with it.
fn accept_one() -> io::Result<()> {
    let nobody_elses = RandomState::new().hash_one(std::process::id());
    let address = SocketAddr::from_abstract_name(format!("sockwatch-{nobody_elses:016x}"))?;
    let listener = UnixListener::bind_addr(&address)?;
    let _client = UnixStream::connect_addr(&address)?;
    listener.accept().map(drop)
}

fn program<'a, T>(ebpf: &'a mut Ebpf, name: &str) -> Result<T, ProgramError>
where
    T: TryFrom<&'a mut Program, Error = ProgramError>,
{
    // Asked for by `attach` before: it is there.
    let program = ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?;
    program.try_into()
}

/// Programs of a tracepoint. In this order: the kernel calls the programs of a tracepoint in the order
/// in which they were attached. All are loaded before one is attached: to verify them takes far longer, and what the first is skipped
/// for meanwhile nobody would take.
fn attach_typed(ebpf: &mut Ebpf, tracepoint: &str, names: &[&str], kernel: &AyaBtf) -> Result<(), ProgramError> {
    for name in names {
        program::<&mut BtfTracePoint>(ebpf, name)?.load(tracepoint, kernel)?;
    }
    names.iter().try_for_each(|name| program::<&mut BtfTracePoint>(ebpf, name)?.attach().map(drop))
}

/// The second program first: the kernel calls those of a function in the opposite of the order in which they were attached
/// (`bpf_trampoline_link_prog` in kernel/bpf/trampoline.c). Both are loaded before, as above.
fn attach_trampoline(ebpf: &mut Ebpf, trampoline: &Trampoline, kernel: &AyaBtf) -> Result<(), ProgramError> {
    let Trampoline { program: name, function, exit, second } = trampoline;
    let second = second.iter().map(|second| (second.program, second.function));
    let programs: Vec<(&str, &str)> = second.chain([(*name, *function)]).collect();
    for (name, function) in &programs {
        if *exit {
            program::<&mut FExit>(ebpf, name)?.load(function, kernel)?;
        } else {
            program::<&mut FEntry>(ebpf, name)?.load(function, kernel)?;
        }
    }
    for (name, _) in programs {
        if *exit {
            program::<&mut FExit>(ebpf, name)?.attach()?;
        } else {
            program::<&mut FEntry>(ebpf, name)?.attach()?;
        }
    }
    Ok(())
}

pub(super) fn load_iterator(ebpf: &mut Ebpf, name: &str, iterator: &str, kernel: &AyaBtf) -> Result<(), ProgramError> {
    let program: &mut Iter = program(ebpf, name)?;
    program.load(iterator, kernel)
}

fn attach_call(ebpf: &mut Ebpf, name: &str, tracepoints: &[&str]) -> Result<(), ProgramError> {
    let program: &mut TracePoint = program(ebpf, name)?;
    program.load()?;
    tracepoints.iter().try_for_each(|tracepoint| program.attach("syscalls", tracepoint).map(drop))
}

pub(super) fn detach(ebpf: &mut Ebpf, name: &str) {
    // It may never have been loaded.
    let _ = match ebpf.program_mut(name) {
        Some(Program::TracePoint(program)) => program.unload(),
        Some(Program::BtfTracePoint(program)) => program.unload(),
        Some(Program::FEntry(program)) => program.unload(),
        Some(Program::FExit(program)) => program.unload(),
        Some(Program::Iter(program)) => program.unload(),
        _ => Ok(()),
    };
}
