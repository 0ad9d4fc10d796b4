//! The probes: one table of what each needs, what it gives, and what is lost without it.

/// A system-call program: its name in the object, and the tracepoints that it is attached to.
pub type CallProgram = (&'static str, &'static [&'static str]);

/// How a probe is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    /// A BTF-typed raw tracepoint (`tp_btf`), by its name. The program is named after it.
    Typed(&'static str),
    /// As above, with a second program that takes what interrupts the first, and the place of the two in the object's map
    /// `PAIRS`.
    Twin(&'static str, &'static str, u32),
    /// A system call, by its name: `syscalls:*` tracepoints, which need tracefs.
    Call(&'static str, &'static [CallProgram]),
    /// A BPF iterator by its name, and its program.
    Iterator(&'static str, &'static str),
}

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
            Hook::Typed(name) | Hook::Twin(name, ..) => format!("tp_btf/{name}"),
            Hook::Call(name, _) => format!("syscalls/{name}"),
            Hook::Iterator(name, _) => format!("iter/{name}"),
        }
    }

    /// Its programs in the object.
    pub fn programs(&self) -> impl Iterator<Item = &'static str> {
        let (one, two, more) = match self.hook {
            Hook::Typed(program) | Hook::Iterator(_, program) => (Some(program), None, &[][..]),
            Hook::Twin(first, second, _) => (Some(first), Some(second), &[][..]),
            Hook::Call(_, programs) => (None, None, programs),
        };
        one.into_iter().chain(two).chain(more.iter().map(|(program, _)| *program))
    }
}

/// In the order in which they are attached: what ends lives before what begins them, so that no life begins whose end
/// would be missed; the iterators last, when nothing that is new escapes the others.
pub const PROBES: &[Probe] = &[
    Probe {
        hook: Hook::Twin("tcp_destroy_sock", "tcp_destroy_sock_2", 1),
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
        hook: Hook::Twin("tcp_send_reset", "tcp_send_reset_2", 2),
        required: false,
        gives: "resets sent",
        without: "resets sent, and with them whether a close on this side was a reset",
    },
    Probe {
        hook: Hook::Twin("tcp_receive_reset", "tcp_receive_reset_2", 3),
        required: false,
        gives: "resets received",
        without: "reset_received events",
    },
    Probe {
        hook: Hook::Typed("sched_process_exec"),
        required: false,
        gives: "the executable of processes that end at once",
        without: "the executable of processes that end before /proc is read",
    },
    Probe {
        hook: Hook::Call("bind", &[("sys_enter_bind", &["sys_enter_bind"]), ("sys_exit_bind", &["sys_exit_bind"])]),
        required: false,
        gives: "who bound, and binds that failed",
        without: "binds",
    },
    Probe {
        hook: Hook::Call(
            "listen",
            &[("sys_enter_listen", &["sys_enter_listen"]), ("sys_exit_listen", &["sys_exit_listen"])],
        ),
        required: false,
        gives: "a listener's descriptor and the backlog it was given, and listens that failed",
        without: "a listener's descriptor and the backlog it was given, and listens that failed",
    },
    Probe {
        hook: Hook::Call(
            "connect",
            &[("sys_enter_connect", &["sys_enter_connect"]), ("sys_exit_connect", &["sys_exit_connect"])],
        ),
        required: false,
        gives: "a client's descriptor, and connects that failed before a SYN",
        without: "a client's descriptor, and connects that failed before a SYN",
    },
    Probe {
        hook: Hook::Call(
            "accept",
            &[
                ("sys_enter_accept", &["sys_enter_accept", "sys_enter_accept4"]),
                ("sys_exit_accept", &["sys_exit_accept", "sys_exit_accept4"]),
            ],
        ),
        required: false,
        gives: "which process took a connection, as which descriptor, after what wait; accepts that failed",
        without: "accepts: which process took a connection",
    },
    Probe {
        hook: Hook::Twin("inet_sock_set_state", "inet_sock_set_state_2", 0),
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
