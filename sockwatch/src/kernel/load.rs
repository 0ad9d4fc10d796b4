//! Loading the programs: gather facts, decide, then tell the kernel.

use std::{fs, io, os::fd::AsFd};

use aya::{
    Btf as AyaBtf, Ebpf, EbpfError, EbpfLoader,
    maps::{MapError, PerCpuArray, RingBuf},
    programs::{BtfTracePoint, Iter, Program, ProgramError, TracePoint},
};
use sockwatch_ebpf::{ABI_VERSION, Config, Offsets};

use super::{
    btf::{Btf, BtfError, KERNEL_BTF},
    offsets::{self, MissingOffsets},
    probes::{Hook, PROBES, Probe},
    ring::{Losses, Ring},
    snapshot::Iterators,
    tracefs::{self, TracefsError},
};

/// The kernel object, built by `cargo xtask build-ebpf`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/prebuilt/sockwatch.bpf.o"));

/// The inode of the initial pid namespace (`PROC_PID_INIT_INO` in include/linux/proc_ns.h).
pub const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

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
        error: Box<ProgramError>,
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
fn hint(error: &(dyn std::error::Error + 'static)) -> &'static str {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return match error.raw_os_error() {
                Some(1 | 13) => {
                    ". Run it as root, or give the program CAP_BPF, CAP_PERFMON and CAP_DAC_READ_SEARCH; \
                     `sockwatch doctor` says what is missing"
                }
                _ => "",
            };
        }
        next = error.source();
    }
    ""
}

/// A probe that could not be attached.
#[derive(Debug)]
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

    let mut attached = Vec::new();
    let mut missing = Vec::new();
    for probe in PROBES {
        match attach(&mut ebpf, probe, &kernel)? {
            Ok(()) => attached.push(*probe),
            Err(error) if probe.required => {
                return Err(LoadError::Program { probe: probe.name(), error: Box::new(error) });
            }
            Err(error) => missing.push(Missing { probe: *probe, why: chain(&error) }),
        }
    }
    attach_calls(&mut ebpf, &mut attached, &mut missing)?;

    let mut counted = Vec::new();
    for probe in &attached {
        let program = ebpf.program(probe.program).ok_or(LoadError::Stale(probe.program))?;
        if let Ok(fd) = program.fd().map(|fd| fd.as_fd().try_clone_to_owned()) {
            counted.extend(fd);
        }
    }
    let failed = PerCpuArray::try_from(ebpf.take_map("LOST").ok_or(LoadError::Stale("LOST"))?)
        .map_err(|error| LoadError::Map("LOST", error))?;
    let ring = RingBuf::try_from(ebpf.take_map("RING").ok_or(LoadError::Stale("RING"))?)
        .map_err(|error| LoadError::Map("RING", error))?;
    Ok(Loaded {
        ring: Ring::new(ring)?,
        losses: Losses::new(failed, counted),
        iterators: Iterators::new(ebpf),
        attached,
        missing,
    })
}

/// Loads a program and attaches it, unless it is for a system call: those wait for [`attach_calls`].
fn attach(ebpf: &mut Ebpf, probe: &Probe, kernel: &AyaBtf) -> Result<Result<(), ProgramError>, LoadError> {
    let program = ebpf.program_mut(probe.program).ok_or(LoadError::Stale(probe.program))?;
    Ok(match probe.hook {
        Hook::Typed(name) => <&mut BtfTracePoint>::try_from(program).and_then(|program| {
            program.load(name, kernel)?;
            program.attach().map(drop)
        }),
        Hook::Calls(_) => <&mut TracePoint>::try_from(program).and_then(TracePoint::load),
        Hook::Iterator(name) => <&mut Iter>::try_from(program).and_then(|program| program.load(name, kernel)),
    })
}

/// Attaches the system-call programs, with tracefs mounted for this alone where the host has it not.
fn attach_calls(ebpf: &mut Ebpf, attached: &mut Vec<Probe>, missing: &mut Vec<Missing>) -> Result<(), LoadError> {
    let calls: Vec<Probe> = attached.extract_if(.., |probe| matches!(probe.hook, Hook::Calls(_))).collect();
    let outcome = tracefs::with(|| {
        calls.iter().map(|probe| (*probe, attach_call(ebpf, probe))).collect::<Vec<_>>()
    });
    match outcome {
        Ok(outcomes) => {
            for (probe, outcome) in outcomes {
                match outcome {
                    Ok(()) => attached.push(probe),
                    Err(error) => missing.push(Missing { probe, why: chain(&error) }),
                }
            }
        }
        Err(error @ (TracefsError::Mount(_) | TracefsError::Namespace(_))) => {
            missing.extend(calls.into_iter().map(|probe| Missing { probe, why: error.to_string() }));
        }
    }
    Ok(())
}

fn attach_call(ebpf: &mut Ebpf, probe: &Probe) -> Result<(), ProgramError> {
    let (Some(Program::TracePoint(program)), Hook::Calls(names)) = (ebpf.program_mut(probe.program), probe.hook) else {
        return Ok(());
    };
    for name in names {
        program.attach("syscalls", name)?;
    }
    Ok(())
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
