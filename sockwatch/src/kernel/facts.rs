//! What this host is, and what this process may do.

use std::fs;

use crate::untrusted::Untrusted;

/// A capability that a probe needs (include/uapi/linux/capability.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its name.
    pub name: &'static str,
    /// Its bit.
    pub bit: u32,
    /// Whether nothing works without it.
    pub required: bool,
    /// What sockwatch does with it.
    pub used_for: &'static str,
}

/// The capabilities that sockwatch uses. None else is needed, and root as such is not.
pub const CAPABILITIES: &[Capability] = &[
    Capability { name: "CAP_BPF", bit: 39, required: true, used_for: "load the kernel programs and their maps" },
    Capability {
        name: "CAP_PERFMON",
        bit: 38,
        required: true,
        used_for: "let them read kernel memory, and attach them",
    },
    Capability {
        name: "CAP_DAC_READ_SEARCH",
        bit: 2,
        required: false,
        used_for: "read tracefs, for the system-call tracepoints",
    },
    Capability {
        name: "CAP_SYS_ADMIN",
        bit: 21,
        required: false,
        used_for: "mount tracefs where it is not mounted, and enter other network namespaces for the sockets they have",
    },
    Capability {
        name: "CAP_SYS_PTRACE",
        bit: 19,
        required: false,
        used_for: "read which executable other users' processes run, and find the network namespaces that they are in",
    },
];

/// What is known of the host.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its name.
    pub host: Untrusted,
    /// The kernel's release.
    pub kernel: Untrusted,
    /// This boot's id.
    pub boot_id: Untrusted,
    /// Effective capabilities.
    pub capabilities: u64,
    /// Lockdown mode, if the kernel has lockdown.
    pub lockdown: Option<Untrusted>,
}

impl Facts {
    /// Reads them.
    #[must_use]
    pub fn gather() -> Self {
        let line = |path: &str| fs::read(path).map(|text| Untrusted::new(text.trim_ascii_end())).unwrap_or_default();
        Self {
            host: line("/proc/sys/kernel/hostname"),
            kernel: line("/proc/sys/kernel/osrelease"),
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            capabilities: capabilities(),
            lockdown: lockdown(),
        }
    }

    /// Whether this process has a capability.
    #[must_use]
    pub fn may(&self, capability: &Capability) -> bool {
        self.capabilities >> capability.bit & 1 == 1
    }
}

/// Whether this process has a capability of [`CAPABILITIES`].
pub(super) fn has(name: &str) -> bool {
    let held = capabilities();
    CAPABILITIES.iter().any(|capability| capability.name == name && held >> capability.bit & 1 == 1)
}

fn capabilities() -> u64 {
    let status = fs::read("/proc/self/status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap_or_default();
    u64::from_str_radix(line.trim(), 16).unwrap_or(0)
}

/// The mode in brackets of `none [integrity] confidentiality`.
fn lockdown() -> Option<Untrusted> {
    let text = fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let mode = text.split_once('[')?.1.split_once(']')?.0;
    Some(Untrusted::new(mode.as_bytes()))
}
