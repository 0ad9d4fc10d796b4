//! The probes: one table of what each needs, what it gives, and what is lost without it.

use sockwatch_ebpf::{call, twin};

/// A system-call program: its name in the object, and the tracepoints that it is attached to.
pub type CallProgram = (&'static str, &'static [&'static str]);

/// A program on a function of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trampoline {
    /// Its name in the object.
    pub program: &'static str,
    /// The function.
    pub function: &'static str,
    /// Whether it runs when the function is left, not when it is entered.
    pub exit: bool,
    /// What takes what it is skipped for. None if that is told elsewhere.
    pub second: Option<Second>,
}

/// A second program on a system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Second {
    /// Its name in the object.
    pub program: &'static str,
    /// The function.
    pub function: &'static str,
    /// The two's place in [`twin`].
    pub twin: usize,
}

const fn entry(program: &'static str, second: &'static str, twin: usize, function: &'static str) -> Trampoline {
    Trampoline { program, function, exit: false, second: Some(Second { program: second, function, twin }) }
}

const fn exit(program: &'static str, function: &'static str, second: Second) -> Trampoline {
    Trampoline { program, function, exit: true, second: Some(second) }
}

/// The function of a system call: what the kernel's table of them holds.
macro_rules! system_call {
    ($name:literal) => {
        if cfg!(target_arch = "aarch64") { concat!("__arm64_sys_", $name) } else { concat!("__x64_sys_", $name) }
    };
}

/// A system call and the two ways to see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// Its name.
    pub name: &'static str,
    /// Its place in [`call`].
    pub place: usize,
    /// `syscalls:*` tracepoints, which need tracefs, and slow every system call of the host.
    pub tracepoints: &'static [CallProgram],
    /// Trampolines, which not every kernel has. The first's function is what names them; the last of accept's is where a
    /// descriptor is given.
    pub trampolines: &'static [Trampoline],
}

impl Call {
    /// Its programs in the object.
    pub(super) fn programs(&self) -> impl Iterator<Item = &'static str> {
        let Self { name: _, place: _, tracepoints, trampolines } = self;
        let trampolines = trampolines
            .iter()
            .flat_map(|trampoline| [Some(trampoline.program), trampoline.second.map(|second| second.program)]);
        tracepoints.iter().map(|(program, _)| *program).chain(trampolines.flatten())
    }
}

/// Which of the two ways is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Calls {
    /// Trampolines where the kernel has them, else tracepoints.
    #[default]
    Auto,
    /// Tracepoints.
    Tracepoints,
    /// Trampolines, or nothing.
    Trampolines,
}

/// How a probe is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    /// A BTF-typed raw tracepoint (`tp_btf`), by its name. The program is named after it.
    Typed(&'static str),
    /// As above, with programs that take what the first is skipped for.
    Twin(Twin),
    /// A system call.
    Call(Call),
    /// A BPF iterator by its name, and its program.
    Iterator(&'static str, &'static str),
}

/// The programs of a tracepoint, of which those behind take what the first is skipped for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Twin {
    /// Their names; the first is named after the tracepoint.
    pub programs: &'static [&'static str],
    /// Their place in [`twin`].
    pub place: usize,
    /// How many are enough where programs are not preempted.
    pub enough: usize,
}

const fn pair(programs: &'static [&'static str; 2], place: usize) -> Hook {
    Hook::Twin(Twin { programs, place, enough: 2 })
}

/// The programs of changes of state, and of exec.
const STATES: [&str; 1 + twin::FURTHER] = [
    "inet_sock_set_state",
    "inet_sock_set_state_2",
    "inet_sock_set_state_3",
    "inet_sock_set_state_4",
    "inet_sock_set_state_5",
];
const EXECS: [&str; 1 + twin::FURTHER] = [
    "sched_process_exec",
    "sched_process_exec_2",
    "sched_process_exec_3",
    "sched_process_exec_4",
    "sched_process_exec_5",
];

/// Something in the kernel that sockwatch looks through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// Where it is attached.
    pub hook: Hook,
    /// Whether sockwatch is of no use without it.
    pub required: bool,
    /// What it gives.
    pub gives: &'static str,
    /// What is lost without it.
    pub without: &'static str,
}

impl Probe {
    /// Its name as users see it: the kernel's names of what it hooks.
    #[must_use]
    pub fn name(&self) -> String {
        match self.hook {
            Hook::Typed(name) => format!("tp_btf/{name}"),
            Hook::Twin(twin) => format!("tp_btf/{}", twin.programs[0]),
            Hook::Call(call) => format!("syscalls/{}", call.name),
            Hook::Iterator(name, _) => format!("iter/{name}"),
        }
    }
}

/// A probe that is attached.
#[derive(Clone, Debug)]
pub struct Attached {
    /// Which.
    pub probe: Probe,
    /// Whether by trampolines, where there are two ways.
    pub trampolines: bool,
    /// Why not, where they would have been better.
    pub why_not: Option<String>,
}

impl Attached {
    /// Its name as users see it: of what it is attached to.
    #[must_use]
    pub fn name(&self) -> String {
        match self.probe.hook {
            Hook::Call(Call { trampolines: [first, ..], .. }) if self.trampolines => {
                format!("fexit/{}", first.function)
            }
            _ => self.probe.name(),
        }
    }
}

/// In the order in which they are attached: what ends lives before what begins them, so that no life begins whose end
/// would be missed; the iterators last, when nothing that is new escapes the others.
pub const PROBES: &[Probe] = &[
    Probe {
        hook: pair(&["tcp_destroy_sock", "tcp_destroy_sock_2"], twin::DESTROY),
        required: true,
        gives: "the end of a socket's life",
        without: "the end of a socket's life",
    },
    Probe {
        hook: Hook::Typed("tcp_retransmit_skb"),
        required: false,
        gives: "retransmit events",
        without: "retransmit events (their number is still known at close)",
    },
    Probe {
        hook: pair(&["tcp_send_reset", "tcp_send_reset_2"], twin::RESET_SENT),
        required: false,
        gives: "resets sent",
        without: "resets sent, and with them whether a close on this side was a reset",
    },
    Probe {
        hook: pair(&["tcp_receive_reset", "tcp_receive_reset_2"], twin::RESET_RECEIVED),
        required: false,
        gives: "resets received",
        without: "reset_received events",
    },
    Probe {
        hook: Hook::Twin(Twin { programs: &EXECS, place: twin::EXEC, enough: 1 }),
        required: false,
        gives: "the executable of processes that end at once",
        without: "the executable of processes that end before /proc is read",
    },
    Probe {
        hook: Hook::Call(Call {
            name: "bind",
            place: call::BIND,
            tracepoints: &[("sys_enter_bind", &["sys_enter_bind"]), ("sys_exit_bind", &["sys_exit_bind"])],
            trampolines: &[
                entry("sys_bind_entered", "sys_bind_entered_2", twin::BIND_ENTERED, "__sys_bind"),
                exit(
                    "sys_bind_left",
                    "__sys_bind",
                    Second { program: "sys_bind_left_2", function: system_call!("bind"), twin: twin::BIND_LEFT },
                ),
            ],
        }),
        required: false,
        gives: "who bound, and binds that failed",
        without: "binds",
    },
    Probe {
        hook: Hook::Call(Call {
            name: "listen",
            place: call::LISTEN,
            tracepoints: &[("sys_enter_listen", &["sys_enter_listen"]), ("sys_exit_listen", &["sys_exit_listen"])],
            trampolines: &[
                entry("sys_listen_entered", "sys_listen_entered_2", twin::LISTEN_ENTERED, "__sys_listen"),
                exit(
                    "sys_listen_left",
                    "__sys_listen",
                    Second { program: "sys_listen_left_2", function: system_call!("listen"), twin: twin::LISTEN_LEFT },
                ),
            ],
        }),
        required: false,
        gives: "a listener's descriptor and the backlog it was given, and listens that failed",
        without: "a listener's descriptor and the backlog it was given, and listens that failed",
    },
    Probe {
        hook: Hook::Call(Call {
            name: "connect",
            place: call::CONNECT,
            tracepoints: &[("sys_enter_connect", &["sys_enter_connect"]), ("sys_exit_connect", &["sys_exit_connect"])],
            trampolines: &[
                entry("sys_connect_entered", "sys_connect_entered_2", twin::CONNECT_ENTERED, "__sys_connect"),
                exit(
                    "sys_connect_left",
                    "__sys_connect",
                    Second {
                        program: "sys_connect_left_2",
                        function: system_call!("connect"),
                        twin: twin::CONNECT_LEFT,
                    },
                ),
            ],
        }),
        required: false,
        gives: "a client's descriptor, and connects that failed before a SYN",
        without: "a client's descriptor, and connects that failed before a SYN",
    },
    Probe {
        hook: Hook::Call(Call {
            name: "accept",
            place: call::ACCEPT,
            tracepoints: &[
                ("sys_enter_accept", &["sys_enter_accept", "sys_enter_accept4"]),
                ("sys_exit_accept", &["sys_exit_accept", "sys_exit_accept4"]),
            ],
            trampolines: &[
                entry("sys_accept_entered", "sys_accept_entered_2", twin::ACCEPT_ENTERED, "__sys_accept4"),
                exit(
                    "sys_accept_left",
                    "__sys_accept4",
                    Second { program: "sys_accept_left_2", function: "__sys_accept4", twin: twin::ACCEPT_LEFT },
                ),
                // Of io_uring's accept, which is known by its effects where this is skipped.
                Trampoline { program: "do_accept_left", function: "do_accept", exit: true, second: None },
                // What it misses the exit tells.
                Trampoline { program: "fd_installed", function: "fd_install", exit: false, second: None },
            ],
        }),
        required: false,
        gives: "which process took a connection, as which descriptor, after what wait; accepts that failed",
        without: "accepts: which process took a connection",
    },
    Probe {
        hook: Hook::Twin(Twin { programs: &STATES, place: twin::STATE, enough: 2 }),
        required: true,
        gives: "every change of a socket's state",
        without: "every change of a socket's state",
    },
    Probe {
        hook: Hook::Iterator("task_file", "held"),
        required: false,
        gives: "the sockets that exist already, and who holds them",
        without: "who holds the sockets that are older than the trace",
    },
    Probe {
        hook: Hook::Iterator("tcp", "exists"),
        required: false,
        gives: "the existing sockets that no descriptor holds",
        without: "sockets older than the trace that no descriptor holds (accept queues)",
    },
];

/// What `list` looks through.
pub const STILL: &[Probe] = &[
    Probe {
        hook: Hook::Iterator("task_file", "held"),
        required: false,
        gives: "who holds a socket, and bound sockets",
        without: "who holds a socket, and sockets that are bound only",
    },
    Probe { hook: Hook::Iterator("tcp", "still"), required: true, gives: "the sockets", without: "the sockets" },
];
