//! The probes: one table of what each needs, what it gives, and what is lost without it.

/// How a program is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    /// A BTF-typed raw tracepoint (`tp_btf`), by its name.
    Typed(&'static str),
    /// `syscalls:*` tracepoints, by their names; they need tracefs.
    Calls(&'static [&'static str]),
    /// A BPF iterator, by its name.
    Iterator(&'static str),
}

/// One kernel program.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Name of the program in the object.
    pub program: &'static str,
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
            Hook::Calls(names) => format!("tracepoint/syscalls:{}", names.join(",")),
            Hook::Iterator(name) => format!("iter/{name}"),
        }
    }
}

const fn typed(name: &'static str, required: bool, gives: &'static str, without: &'static str) -> Probe {
    Probe { program: name, hook: Hook::Typed(name), required, gives, without }
}

const fn calls(
    program: &'static str,
    names: &'static [&'static str],
    gives: &'static str,
    without: &'static str,
) -> Probe {
    Probe { program, hook: Hook::Calls(names), required: false, gives, without }
}

const BINDS: &str = "bind events: who bound, and binds that failed";
const LISTENS: &str = "the descriptor and the given backlog of a listener, and listens that failed";
const CONNECTS: &str = "the descriptor of a client, and connects that failed before a SYN";
const ACCEPTS: &str = "accept events: which process took a connection, as which descriptor, after what wait";

/// In the order in which they are attached: what ends lives first, what begins them last, so that no life begins whose
/// end would be missed.
pub const PROBES: &[Probe] = &[
    typed("tcp_destroy_sock", true, "the end of a socket's life", "no life would ever end"),
    typed("tcp_retransmit_skb", false, "retransmit events", "retransmit events (their number is still known at close)"),
    typed("tcp_send_reset", false, "resets sent", "resets sent: whether a local close was a reset"),
    typed("tcp_receive_reset", false, "resets received", "reset_received events"),
    typed(
        "sched_process_exec",
        false,
        "the executable of processes that end at once",
        "the executable of processes that end before /proc is read",
    ),
    calls("sys_enter_bind", &["sys_enter_bind"], BINDS, BINDS),
    calls("sys_exit_bind", &["sys_exit_bind"], BINDS, BINDS),
    calls("sys_enter_listen", &["sys_enter_listen"], LISTENS, LISTENS),
    calls("sys_exit_listen", &["sys_exit_listen"], LISTENS, LISTENS),
    calls("sys_enter_connect", &["sys_enter_connect"], CONNECTS, CONNECTS),
    calls("sys_exit_connect", &["sys_exit_connect"], CONNECTS, CONNECTS),
    calls("sys_enter_accept", &["sys_enter_accept", "sys_enter_accept4"], "accepts that failed", "accepts that failed"),
    calls("sys_exit_accept", &["sys_exit_accept", "sys_exit_accept4"], ACCEPTS, ACCEPTS),
    typed("inet_sock_set_state", true, "every change of a socket's state", "there is nothing to show"),
    Probe {
        program: "held",
        hook: Hook::Iterator("task_file"),
        required: false,
        gives: "the sockets that exist already, and who holds them",
        without: "sockets older than the trace, and who holds them",
    },
    Probe {
        program: "exists",
        hook: Hook::Iterator("tcp"),
        required: false,
        gives: "the existing sockets that no descriptor holds",
        without: "sockets older than the trace that no descriptor holds (accept queues)",
    },
];
