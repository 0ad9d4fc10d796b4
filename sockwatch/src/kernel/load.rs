//! Loading the programs: gather facts, decide, then tell the kernel.

use std::{fs, io, os::fd::AsFd};

use aya::{
    Btf as AyaBtf, Ebpf, EbpfError, EbpfLoader,
    maps::{MapData, MapError, PerCpuArray, RingBuf},
    programs::{BtfTracePoint, Iter, Program, ProgramError, TracePoint},
};
use sockwatch_ebpf::{ABI_VERSION, Config, Offsets};

use nix::libc;

#[cfg(feature = "kernel-log")]
use super::log::{self, OBJECT};
use super::{
    btf::{Btf, BtfError, KERNEL_BTF},
    facts::{CAPABILITIES, Facts},
    offsets::{self, MissingOffsets},
    probes::{Hook, PROBES, Probe},
    ring::{Losses, Ring, Skipped},
    snapshot::Iterators,
    tracefs::{self, TracefsError},
};

/// The kernel object, built by `cargo xtask build-ebpf`.
#[cfg(not(feature = "kernel-log"))]
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/prebuilt/sockwatch.bpf.o"));

/// The inode of the initial pid namespace (`PROC_PID_INIT_INO` in include/linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

/// Why the programs could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel's types are not there.
    #[error(
        "can't read {KERNEL_BTF}: {0}. sockwatch needs a kernel that was built with CONFIG_DEBUG_INFO_BTF=y \
         (Debian's, Ubuntu's, Fedora's and RHEL's are, from 5.15 on) and /sys mounted"
    )]
    NoBtf(io::Error),
    /// The kernel's types can't be understood.
    #[error("{KERNEL_BTF} can't be understood: {0}")]
    BadBtf(BtfError),
    /// The kernel lacks a struct or member.
    #[error(transparent)]
    Offsets(#[from] MissingOffsets),
    /// The object does not parse, or its maps can't be made.
    #[error("can't load the kernel programs: {}{}", chain(.0), hint(.0))]
    Object(Box<EbpfError>),
    /// A program that sockwatch can't do without.
    #[error("can't attach {probe}: {}{}", chain(.error), hint(.error))]
    Program {
        /// Which.
        probe: String,
        /// Why.
        error: Box<AttachError>,
    },
    /// A map is missing or of another kind.
    #[error("can't use the kernel object's map {0}: {1}")]
    Map(&'static str, MapError),
    /// The descriptor of the ring can't be waited on.
    #[error("can't wait for the ring buffer: {0}")]
    Poll(io::Error),
    /// The object was built from other sources.
    #[error("the kernel object lacks {0}: it was built from other sources; run `cargo xtask build-ebpf`")]
    Stale(&'static str),
}

/// Why a probe could not be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The kernel refused a program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Its tracepoints can't be found.
    #[error(transparent)]
    Tracefs(#[from] TracefsError),
}

/// An error with its causes, in one line, without what the verifier printed (which is many).
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let part = error.to_string();
        let part = part.lines().next().unwrap_or_default();
        if !text.contains(part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(part);
        }
        next = error.source();
    }
    text
}

/// What the user can do, for the refusals that have a remedy.
fn hint(error: &(dyn std::error::Error + 'static)) -> String {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            Some(libc::EPERM | libc::EACCES) => return privileges(&Facts::gather()),
            Some(libc::EINVAL) => {
                return format!(". sockwatch needs what Linux 5.15 and newer have; this is {}", Facts::gather().kernel);
            }
            _ => next = error.source(),
        }
    }
    String::new()
}

/// What is missing where the kernel says that something is not permitted.
fn privileges(facts: &Facts) -> String {
    let lacking: Vec<&str> = CAPABILITIES
        .iter()
        .filter(|capability| capability.required && !facts.may(capability))
        .map(|capability| capability.name)
        .collect();
    if lacking.is_empty() {
        let lockdown = facts.lockdown.as_ref().filter(|mode| mode.as_bytes() == b"confidentiality");
        return match lockdown {
            Some(_) => ". The kernel is locked down (confidentiality), which allows no tracing".to_owned(),
            None => ". The capabilities are there: a seccomp profile or a security module forbids it (in a container, \
                     run it with --privileged, or on the host)"
                .to_owned(),
        };
    }
    format!(
        ". This process lacks {}: run it as root, with sudo, or with these capabilities (in a container: --cap-add); \
         `sockwatch doctor` tells what each is for",
        lacking.join(", ")
    )
}

/// A probe that could not be attached.
#[derive(Clone, Debug)]
pub struct Missing {
    /// Which.
    pub probe: Probe,
    /// Why.
    pub why: String,
}

/// What runs in the kernel. Dropping it takes everything out again.
pub struct Loaded {
    /// Where the events come from.
    pub ring: Ring,
    /// What was lost.
    pub losses: Losses,
    /// What finds the sockets that exist. Holds the programs.
    pub iterators: Iterators,
    /// The probes that are attached.
    pub attached: Vec<Probe>,
    /// Those that aren't.
    pub missing: Vec<Missing>,
}

/// What the loader is told.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Size of the ring buffer in bytes: a power of two, at least a page.
    pub buffer: u32,
    /// Mark the descendants of this process.
    pub root: Option<u32>,
}

/// Loads and attaches everything that this kernel allows.
///
/// # Errors
/// If BTF, the object, or a required probe fails.
pub fn load(options: Options) -> Result<Loaded, LoadError> {
    let btf = fs::read(KERNEL_BTF).map_err(LoadError::NoBtf)?;
    let offsets = offsets::resolve(&Btf::parse(&btf).map_err(LoadError::BadBtf)?)?;
    drop(btf);
    let config = Config {
        abi: ABI_VERSION,
        pid_namespace: pid_namespace(),
        wake_bytes: u64::from(options.buffer / 4),
        root: options.root.unwrap_or(0),
        reserved: 0,
    };
    let kernel = AyaBtf::from_sys_fs().map_err(|error| LoadError::Object(Box::new(error.into())))?;
    let mut ebpf = EbpfLoader::new()
        .btf(Some(&kernel))
        .override_global("OFFSETS", &Frozen(offsets), true)
        .override_global("CONFIG", &Frozen(config), true)
        .map_max_entries("RING", options.buffer)
        // aya has no handle for task storage; only the programs use it.
        .allow_unsupported_maps()
        .load(OBJECT)
        .map_err(|error| LoadError::Object(Box::new(error)))?;
    #[cfg(feature = "kernel-log")]
    log::print(&mut ebpf)?;

    let attempts = tracefs::with(|tracefs| {
        let attempt = |probe: &Probe| Ok((*probe, attach(&mut ebpf, probe, &kernel, tracefs)?));
        PROBES.iter().map(attempt).collect::<Result<Vec<_>, LoadError>>()
    })?;
    let mut attached = Vec::new();
    let mut missing = Vec::new();
    for (probe, attempt) in attempts {
        match attempt {
            Ok(()) => attached.push(probe),
            Err(error) if probe.required => {
                return Err(LoadError::Program { probe: probe.name(), error: Box::new(error) });
            }
            Err(error) => missing.push(Missing { probe, why: chain(&error) }),
        }
    }

    let losses = Losses::new(
        per_cpu(&mut ebpf, "LOST")?,
        per_cpu(&mut ebpf, "PAIRS")?,
        attached.iter().map(|probe| skipped(&ebpf, probe)).collect::<Result<Vec<_>, _>>()?,
    );
    let ring = RingBuf::try_from(ebpf.take_map("RING").ok_or(LoadError::Stale("RING"))?)
        .map_err(|error| LoadError::Map("RING", error))?;
    Ok(Loaded { ring: Ring::new(ring)?, losses, iterators: Iterators::new(ebpf), attached, missing })
}

/// A map of counters.
fn per_cpu<T: aya::Pod>(ebpf: &mut Ebpf, name: &'static str) -> Result<PerCpuArray<MapData, T>, LoadError> {
    let map = ebpf.take_map(name).ok_or(LoadError::Stale(name))?;
    PerCpuArray::try_from(map).map_err(|error| LoadError::Map(name, error))
}

/// Where to read how often a probe was skipped.
fn skipped(ebpf: &Ebpf, probe: &Probe) -> Result<Skipped, LoadError> {
    let fd = |name: &'static str| {
        let program = ebpf.program(name).ok_or(LoadError::Stale(name))?;
        program
            .fd()
            .and_then(|fd| Ok(fd.as_fd().try_clone_to_owned()?))
            .map_err(|error| LoadError::Program { probe: probe.name(), error: Box::new(error.into()) })
    };
    Ok(match probe.hook {
        Hook::Twin(first, _, pair) => Skipped { programs: vec![fd(first)?], pair: Some(pair) },
        _ => Skipped { programs: probe.programs().map(fd).collect::<Result<_, _>>()?, pair: None },
    })
}

/// Loads the programs of a probe and attaches them. A probe is attached whole or not at all.
fn attach(
    ebpf: &mut Ebpf,
    probe: &Probe,
    kernel: &AyaBtf,
    tracefs: &Result<(), TracefsError>,
) -> Result<Result<(), AttachError>, LoadError> {
    for name in probe.programs() {
        ebpf.program(name).ok_or(LoadError::Stale(name))?;
    }
    Ok(match probe.hook {
        Hook::Typed(name) => attach_typed(ebpf, name, name, kernel).map_err(Into::into),
        // In this order: the kernel calls the programs of a tracepoint in the order in which they were attached.
        Hook::Twin(first, second, _) => attach_typed(ebpf, first, first, kernel)
            .and_then(|()| attach_typed(ebpf, second, first, kernel))
            .inspect_err(|_| detach(ebpf, first))
            .map_err(Into::into),
        Hook::Iterator(name, program) => load_iterator(ebpf, program, name, kernel).map_err(Into::into),
        Hook::Call(_, programs) => match tracefs {
            Err(error) => Err(error.clone().into()),
            Ok(()) => {
                let outcome = programs.iter().try_for_each(|(program, names)| attach_call(ebpf, program, names));
                if outcome.is_err() {
                    for (program, _) in programs {
                        detach(ebpf, program);
                    }
                }
                outcome.map_err(Into::into)
            }
        },
    })
}

fn program<'a, T>(ebpf: &'a mut Ebpf, name: &str) -> Result<T, ProgramError>
where
    T: TryFrom<&'a mut Program, Error = ProgramError>,
{
    // Asked for by `attach` before: it is there.
    let program = ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?;
    program.try_into()
}

fn attach_typed(ebpf: &mut Ebpf, name: &str, tracepoint: &str, kernel: &AyaBtf) -> Result<(), ProgramError> {
    let program: &mut BtfTracePoint = program(ebpf, name)?;
    program.load(tracepoint, kernel)?;
    program.attach().map(drop)
}

fn load_iterator(ebpf: &mut Ebpf, name: &str, iterator: &str, kernel: &AyaBtf) -> Result<(), ProgramError> {
    let program: &mut Iter = program(ebpf, name)?;
    program.load(iterator, kernel)
}

fn attach_call(ebpf: &mut Ebpf, name: &str, tracepoints: &[&str]) -> Result<(), ProgramError> {
    let program: &mut TracePoint = program(ebpf, name)?;
    program.load()?;
    tracepoints.iter().try_for_each(|tracepoint| program.attach("syscalls", tracepoint).map(drop))
}

fn detach(ebpf: &mut Ebpf, name: &str) {
    // It may never have been loaded.
    let _ = match ebpf.program_mut(name) {
        Some(Program::TracePoint(program)) => program.unload(),
        Some(Program::BtfTracePoint(program)) => program.unload(),
        _ => Ok(()),
    };
}

/// The inode of this process's pid namespace, or 0 for the initial one, as [`Config::pid_namespace`] wants it.
fn pid_namespace() -> u32 {
    use std::os::unix::fs::MetadataExt;
    match fs::metadata("/proc/self/ns/pid").map(|namespace| namespace.ino()) {
        Ok(INITIAL_PID_NAMESPACE) | Err(_) => 0,
        Ok(inode) => u32::try_from(inode).unwrap_or(0),
    }
}

/// A global as aya takes it.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Frozen<T>(T);

// SAFETY: both are `repr(C)` structs of integers without padding, as the assertions in sockwatch-ebpf say.
unsafe impl aya::Pod for Frozen<Offsets> {}
// SAFETY: as above.
unsafe impl aya::Pod for Frozen<Config> {}
