//! A program that does nothing, beside those that are measured: what the kernel counts of it is what counting takes.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::libc;

use super::programs::{Counts, Programs};

/// `BPF_PROG_LOAD` and `BPF_RAW_TRACEPOINT_OPEN` (include/uapi/linux/bpf.h).
const LOAD: c_int = 5;
const OPEN: c_int = 17;
/// `BPF_PROG_TYPE_RAW_TRACEPOINT`.
const RAW_TRACEPOINT: u32 = 17;
/// `r0 = 0; exit`.
const NOTHING: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];

/// The start of `union bpf_attr` for [`LOAD`].
#[repr(C)]
struct Program {
    kind: u32,
    length: u32,
    instructions: u64,
    license: u64,
}

/// The start of `union bpf_attr` for [`OPEN`].
#[repr(C)]
struct Place {
    name: u64,
    program: u32,
    unused: u32,
}

/// It, where states change.
pub(crate) struct Empty {
    _program: OwnedFd,
    _link: OwnedFd,
    before: Programs,
}

impl Empty {
    /// From now on.
    pub(crate) fn attach() -> Result<Self> {
        let program = Program {
            kind: RAW_TRACEPOINT,
            length: NOTHING.len() as u32,
            instructions: NOTHING.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
        };
        let program = bpf(LOAD, &program).context("can't load a program that does nothing")?;
        let place =
            Place { name: c"inet_sock_set_state".as_ptr() as u64, program: program.as_raw_fd() as u32, unused: 0 };
        let link = bpf(OPEN, &place).context("can't attach a program that does nothing")?;
        Ok(Self { _program: program, _link: link, before: Programs::of(std::process::id()) })
    }

    /// What it took since then.
    pub(crate) fn counts(&self) -> Counts {
        Programs::of(std::process::id()).since(&self.before).sum(|_| true)
    }
}

fn bpf<T>(command: c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads so many bytes of the attributes, and what they point to, which outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    let fd = c_int::try_from(fd).ok().filter(|&fd| fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: these commands return a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
