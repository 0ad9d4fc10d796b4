//! Loading the programs: gather facts, decide, then tell the kernel.

use std::{
    fs, io,
    os::fd::AsFd,
    thread::{self, JoinHandle},
};

use aya::{
    Btf as AyaBtf, Ebpf, EbpfError, EbpfLoader, Endianness,
    maps::{Map, MapError, RingBuf},
};
use sockwatch_ebpf::{ABI_VERSION, Config, Offsets};

use nix::libc;

#[cfg(feature = "kernel-log")]
use super::log::{self, OBJECT};
use super::{
    attach::{AttachError, On, Way, load_iterator},
    btf::{Btf, BtfError, KERNEL_BTF},
    counters::{self, Counters},
    facts::{CAPABILITIES, Facts},
    losses::{Losses, ProgramFacts, Skipped},
    offsets::{self, MissingOffsets},
    probes::{Attached, Calls, Hook, PROBES, Probe, STILL, Twin},
    ring::Ring,
    snapshot::Iterators,
    tracefs,
};

/// The kernel object, built by `cargo xtask build-ebpf`.
#[cfg(not(feature = "kernel-log"))]
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/prebuilt/sockwatch.bpf.o"));

/// The smallest ring buffer, a page of 64 KiB machines: for programs that send nothing to it.
const SMALLEST_BUFFER: u32 = 64 << 10;

/// The inode of the initial pid namespace (`PROC_PID_INIT_INO` in include/linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

/// How many notes the programs can take of sockets that may yet have to do with the port that is followed alone: of those
/// that are bound, connecting, or in CLOSE and not given up by their process. The kernel sets 256 bytes aside for each. What
/// finds no room is counted as lost.
const MOST_NOTES: u32 = 32_768;

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
    /// Trampolines were asked for, and can't be had.
    #[error(
        "can't see {call} by trampolines: {}. Not every kernel has them (CONFIG_FUNCTION_TRACER and \
         CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS); leave --probes out, or say --probes tracepoints",
        chain(.error)
    )]
    Trampolines {
        /// The call.
        call: String,
        /// Why.
        error: Box<AttachError>,
    },
    /// A map is missing or of another kind.
    #[error("can't use the kernel object's map {0}: {1}")]
    Map(&'static str, MapError),
    /// The counters of what is lost can't be read.
    #[error("can't read the kernel programs' counters: {0}")]
    Counters(io::Error),
    /// The descriptor of the ring can't be waited on.
    #[error("can't wait for the ring buffer: {0}")]
    Poll(io::Error),
    /// The object was built from other sources.
    #[error("the kernel object lacks {0}: it was built from other sources; run `cargo xtask build-ebpf`")]
    Stale(&'static str),
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let part = refusal(&error.to_string());
        let part = part.as_str();
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

/// A refusal of the kernel without the many lines that its verifier printed, but for the one that says what it refused:
/// the last, before its statistics (kernel/bpf/verifier.c, `print_verification_stats`).
fn refusal(error: &str) -> String {
    let (said, log) = error.split_once("Verifier output: ").unwrap_or((error, ""));
    let said = said.lines().next().unwrap_or_default().trim_end().trim_end_matches('.');
    let mut lines = log.lines().map(str::trim).filter(|line| !line.is_empty() && !is_statistic(line));
    lines.next_back().map_or_else(|| said.to_owned(), |last| format!("{said}. The verifier: {last}"))
}

/// Whether a line of the verifier's only counts what it did.
fn is_statistic(line: &str) -> bool {
    ["processed ", "verification time ", "stack depth "].iter().any(|beginning| line.starts_with(beginning))
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
    pub attached: Vec<Attached>,
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
    /// Follow the sockets of this port alone; none: all.
    pub port: Option<u16>,
    /// How to see system calls.
    pub calls: Calls,
}

/// Loads what shows the sockets that exist now, and nothing that follows them: nothing is attached. Returns what this kernel
/// refuses, too.
///
/// # Errors
/// If BTF or the object fails, or the sockets can't be shown at all.
pub fn load_iterators() -> Result<(Iterators, Vec<Missing>), LoadError> {
    let Object { mut ebpf, kernel, .. } =
        object(Options { buffer: SMALLEST_BUFFER, root: None, port: None, calls: Calls::Auto })?;
    let mut missing = Vec::new();
    for probe in STILL {
        let Hook::Iterator(name, program) = probe.hook else { continue };
        match load_iterator(&mut ebpf, program, name, &kernel) {
            Ok(()) => {}
            Err(error) if probe.required => {
                return Err(LoadError::Program { probe: probe.name(), error: Box::new(error.into()) });
            }
            Err(error) => missing.push(Missing { probe: *probe, why: chain(&error) }),
        }
    }
    Ok((Iterators::new(ebpf), missing))
}

/// The object in the kernel, with none of its programs.
struct Object {
    ebpf: Ebpf,
    kernel: AyaBtf,
    processors: u32,
    /// Whether tracepoints' programs may be preempted.
    preemptible: bool,
}

/// A type that a kernel has which does not hold preemption off while it calls a tracepoint's programs (`__DECLARE_TRACE` in
/// include/linux/tracepoint.h).
const GUARDED_BY_SRCU: &str = "class_srcu_fast_notrace_t";

/// A type of kernels whose ring buffers have locks that may give up (include/asm-generic/rqspinlock.h).
const RESILIENT_LOCK: &str = "rqspinlock_t";

fn object(options: Options) -> Result<Object, LoadError> {
    let loader = prepare_loader();
    let btf = fs::read(KERNEL_BTF).map_err(LoadError::NoBtf)?;
    let types = Btf::parse(&btf).map_err(LoadError::BadBtf)?;
    let offsets = offsets::resolve(&types)?;
    let preemptible = types.has_typedef(GUARDED_BY_SRCU);
    let resilient = types.has_typedef(RESILIENT_LOCK);
    let kernel = AyaBtf::parse(&places(&types), Endianness::Little)
        .map_err(|error| LoadError::Object(Box::new(error.into())))?;
    drop(btf);
    let config = Config {
        abi: ABI_VERSION,
        pid_namespace: pid_namespace(),
        wake_bytes: u64::from(options.buffer / 4),
        root: options.root.unwrap_or(0),
        port: options.port.map_or(0, u32::from),
        preemptible: u32::from(preemptible),
        resilient: u32::from(resilient),
    };
    let processors = counters::processors().map_err(LoadError::Counters)?;
    let ebpf = loader()
        .override_global("OFFSETS", &Frozen(offsets), true)
        .override_global("CONFIG", &Frozen(config), true)
        .map_max_entries("RING", options.buffer)
        .map_max_entries("COUNTERS", processors)
        .map_max_entries("NOTES", if options.port.is_some() { MOST_NOTES } else { 1 })
        // aya has no handle for task storage; only the programs use it.
        .allow_unsupported_maps()
        .load(OBJECT)
        .map_err(|error| LoadError::Object(Box::new(error)))?;
    Ok(Object { ebpf, kernel, processors, preemptible })
}

/// Where programs may be attached, of the kernel's types: aya looks them up by name, from the first to the last each time.
fn places(types: &Btf<'_>) -> Vec<u8> {
    let hooks = || PROBES.iter().chain(STILL).map(|probe| probe.hook);
    let typedefs: Vec<String> = hooks()
        .filter_map(|hook| match hook {
            Hook::Typed(name) | Hook::Twin(Twin { programs: &[name, ..], .. }) => Some(format!("btf_trace_{name}")),
            _ => None,
        })
        .collect();
    let iterators = hooks().filter_map(|hook| match hook {
        Hook::Iterator(name, _) => Some(format!("bpf_iter_{name}")),
        _ => None,
    });
    let functions = hooks().flat_map(|hook| match hook {
        Hook::Call(call) => call.trampolines,
        _ => &[],
    });
    let functions = functions.flat_map(|trampoline| {
        [Some(trampoline.function), trampoline.second.map(|second| second.function)].into_iter().flatten()
    });
    let funcs: Vec<String> = iterators.chain(functions.map(str::to_owned)).collect();
    types.excerpt(&funcs, &typedefs)
}

/// aya's loader, which reads and parses all of the kernel's types when it is made. The object needs none of them, so that is left to a
/// thread; what is returned waits for it.
fn prepare_loader() -> impl FnOnce() -> EbpfLoader<'static> {
    let make = || {
        let mut loader = EbpfLoader::new();
        loader.btf(None);
        loader
    };
    let thread = thread::Builder::new().name("loader".to_owned()).spawn(make);
    move || match thread.map(JoinHandle::join) {
        Ok(Ok(loader)) => loader,
        _ => make(),
    }
}

/// Loads and attaches everything that this kernel allows.
///
/// # Errors
/// If BTF, the object, or a required probe fails.
pub fn load(options: Options) -> Result<Loaded, LoadError> {
    let Object { mut ebpf, kernel, processors, preemptible } = object(options)?;
    #[cfg(feature = "kernel-log")]
    log::print(&mut ebpf)?;

    let counters = share_counters(&mut ebpf, processors)?;
    let attempts = tracefs::with(|tracefs| {
        let calls = options.calls;
        let mut on = On { ebpf: &mut ebpf, kernel: &kernel, tracefs, counters: &counters, calls, preemptible };
        let attempt = |probe: &Probe| Ok((*probe, on.attach(probe)?));
        PROBES.iter().map(attempt).collect::<Result<Vec<_>, LoadError>>()
    })?;
    let mut attached = Vec::new();
    let mut missing = Vec::new();
    let mut all_skipped = Vec::new();
    for (probe, attempt) in attempts {
        match attempt {
            Ok(way) => {
                let Way { programs, twins, trampolines, why_not } = way;
                let probe = Attached { probe, trampolines, why_not };
                all_skipped.push(Skipped { probe: probe.name(), programs: facts(&ebpf, &probe, &programs)?, twins });
                attached.push(probe);
            }
            Err(error) if probe.required => {
                return Err(LoadError::Program { probe: probe.name(), error: Box::new(error) });
            }
            Err(error) if options.calls == Calls::Trampolines && matches!(probe.hook, Hook::Call(_)) => {
                return Err(LoadError::Trampolines { call: probe.name(), error: Box::new(error) });
            }
            Err(error) => missing.push(Missing { probe, why: chain(&error) }),
        }
    }

    let losses = Losses::new(counters, all_skipped);
    let ring = RingBuf::try_from(ebpf.take_map("RING").ok_or(LoadError::Stale("RING"))?)
        .map_err(|error| LoadError::Map("RING", error))?;
    Ok(Loaded { ring: Ring::new(ring)?, losses, iterators: Iterators::new(ebpf), attached, missing })
}

/// The kernel side's counters, in our memory.
fn share_counters(ebpf: &mut Ebpf, processors: u32) -> Result<Counters, LoadError> {
    let Some(Map::Array(map)) = ebpf.take_map("COUNTERS") else { return Err(LoadError::Stale("COUNTERS")) };
    Counters::share(map, processors).map_err(LoadError::Counters)
}

/// Where to read how often the programs of a probe were skipped.
fn facts(ebpf: &Ebpf, attached: &Attached, programs: &[&'static str]) -> Result<Vec<ProgramFacts>, LoadError> {
    let facts = |name: &&'static str| {
        let program = ebpf.program(name).ok_or(LoadError::Stale(name))?;
        let facts =
            program.fd().and_then(|fd| Ok(fd.as_fd().try_clone_to_owned()?)).and_then(|fd| Ok(ProgramFacts::of(fd)?));
        facts.map_err(|error| LoadError::Program { probe: attached.name(), error: Box::new(error.into()) })
    };
    programs.iter().map(facts).collect()
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

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn of_what_the_verifier_printed_the_line_that_says_why_is_shown() {
        let error = "the BPF_PROG_LOAD syscall returned Permission denied (os error 13). Verifier output: func#0 @0\n\
                     0: R1=ctx(off=0,imm=0)\nR2 min value is negative\nprocessed 12 insns (limit 1000000) \
                     max_states_per_insn 0\n";
        assert_eq!(
            refusal(error),
            "the BPF_PROG_LOAD syscall returned Permission denied (os error 13). The verifier: R2 min value is negative"
        );
        assert_eq!(refusal("no such file\nat all"), "no such file");
        assert_eq!(refusal("refused. Verifier output: "), "refused");
    }
}
