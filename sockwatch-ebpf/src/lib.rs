//! The records that cross from the kernel to user space.
//!
//! Both sides are built from this file: fixed-width integers and byte arrays only, no padding that is not named, tags
//! as integers (a byte from outside is never cast to an enum). Times are nanoseconds of `CLOCK_BOOTTIME`. Addresses and
//! ports are in the order noted at each field. Zero means "not known" unless a field says otherwise.
#![cfg_attr(target_arch = "bpf", no_std)]

mod offsets;

pub use offsets::{ABSENT, Offsets};

/// Layout version of everything in this crate; goes up with every change. A test refuses an object that was built from
/// other sources than the loader.
pub const ABI_VERSION: u32 = 12;

/// What a record is: the value of [`Head::kind`].
pub mod kind {
    /// A [`Transition`](super::Transition).
    pub const TRANSITION: u16 = 1;
    /// A [`Step`](super::Step).
    pub const STEP: u16 = 2;
    /// A [`Close`](super::Close).
    pub const CLOSE: u16 = 3;
    /// A [`Mark`](super::Mark): the kernel destroyed the socket (`tcp_destroy_sock`).
    pub const DESTROY: u16 = 4;
    /// A [`Mark`](super::Mark): a segment was sent again (`tcp_retransmit_skb`).
    pub const RETRANSMIT: u16 = 5;
    /// A [`Mark`](super::Mark): this socket sent a reset (`tcp_send_reset`).
    pub const RESET_SENT: u16 = 6;
    /// A [`Mark`](super::Mark): this socket received a reset (`tcp_receive_reset`).
    pub const RESET_RECEIVED: u16 = 7;
    /// A [`Call`](super::Call): `bind` returned.
    pub const BIND: u16 = 8;
    /// A [`Call`](super::Call): `listen` returned.
    pub const LISTEN: u16 = 9;
    /// A [`Call`](super::Call): `connect` returned an error before a SYN was sent.
    pub const CONNECT: u16 = 10;
    /// A [`Call`](super::Call): `accept` or `accept4` returned.
    pub const ACCEPT: u16 = 11;
    /// An [`Exec`](super::Exec): a process became another program.
    pub const EXEC: u16 = 12;
    /// A [`Snapshot`](super::Snapshot) from `iter/task_file`: a descriptor that holds a socket.
    pub const HELD: u16 = 13;
    /// A [`Snapshot`](super::Snapshot) from `iter/tcp`: a socket of one network namespace.
    pub const EXISTS: u16 = 14;
    /// One more than the largest kind.
    pub const COUNT: u16 = 15;
}

/// Who runs: programs of different runners may interrupt each other, so they count apart.
pub mod runner {
    /// The program itself, or a system-call program.
    pub const FIRST: u32 = 0;
    /// An iterator.
    pub const ITERATOR: u32 = 1;
    /// The second program at a place, which takes what the first is skipped for.
    pub const SECOND: u32 = 2;
    /// The third, which takes what both are skipped for; and so on.
    pub const THIRD: u32 = 3;
    /// The fourth.
    pub const FOURTH: u32 = 4;
    /// The fifth.
    pub const FIFTH: u32 = 5;
    /// How many there are.
    pub const COUNT: u32 = 6;
}

/// Why a record is lost.
pub mod loss {
    /// The ring had no room for it.
    pub const FULL: u32 = 0;
    /// The ring had room, and the kernel gave none: the ring's lock could not be had for too long (`raw_res_spin_lock` in
    /// kernel/bpf/rqspinlock.c, from 6.15 on).
    pub const REFUSED: u32 = 1;
    /// The kernel had no memory, or a map no room, for what is noted of a socket or thread.
    pub const MEMORY: u32 = 2;
    /// How many there are.
    pub const COUNT: u32 = 3;
}

/// The kernel's `TCP_*` states (`include/net/tcp_states.h`), which are ABI.
pub mod state {
    #![expect(missing_docs, reason = "RFC 9293 names")]
    pub const ESTABLISHED: u8 = 1;
    pub const SYN_SENT: u8 = 2;
    pub const SYN_RECV: u8 = 3;
    pub const FIN_WAIT1: u8 = 4;
    pub const FIN_WAIT2: u8 = 5;
    pub const TIME_WAIT: u8 = 6;
    pub const CLOSE: u8 = 7;
    pub const CLOSE_WAIT: u8 = 8;
    pub const LAST_ACK: u8 = 9;
    pub const LISTEN: u8 = 10;
    pub const CLOSING: u8 = 11;
    pub const NEW_SYN_RECV: u8 = 12;
}

/// `AF_INET` and `AF_INET6` as the kernel numbers them.
pub mod family {
    #![expect(missing_docs, reason = "the names say it")]
    pub const INET: u16 = 2;
    pub const INET6: u16 = 10;
}

/// `IPPROTO_*` of the transports that are followed.
pub mod protocol {
    #![expect(missing_docs, reason = "the names say it")]
    pub const TCP: u16 = 6;
    pub const SCTP: u16 = 132;
    pub const MPTCP: u16 = 262;
}

/// Every record starts with this.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Head {
    /// One of [`kind`].
    pub kind: u16,
    /// The processor that wrote it.
    pub cpu: u16,
    /// Bits, by kind; see [`flag`].
    pub flags: u32,
    /// When, nanoseconds of `CLOCK_BOOTTIME`.
    pub time: u64,
}

/// Bits of [`Head::flags`].
pub mod flag {
    /// `TRANSITION`, `CLOSE`: it happened inside a traced bind, listen or connect call of the current thread on this
    /// socket.
    pub const IN_CALL: u32 = 1;
    /// `CLOSE`, snapshots: the peer's FIN was received (`SOCK_DONE`, set in `tcp_fin`).
    pub const FIN_RECEIVED: u32 = 2;
    /// `CLOSE`, snapshots: no descriptor holds the socket any more (`SOCK_DEAD`, set in `sock_orphan`).
    pub const ORPHAN: u32 = 4;
    /// `CLOSE`, snapshots: no segment was ever sent (`tcp_sock.segs_out` is 0).
    pub const NOTHING_SENT: u32 = 8;
    /// `CLOSE`, snapshots: the [`Stats`](super::Stats) could be read (false for a transport other than TCP).
    pub const HAS_STATS: u32 = 16;
    /// `CLOSE`, snapshots: there is no `struct socket`, so nobody can hold it: it waits to be accepted, or is an orphan.
    pub const UNHELD: u32 = 32;
    /// `EXEC`: the path did not fit, a part of it is missing.
    pub const TRUNCATED: u32 = 64;
}

/// Which socket, and what it is connected to.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Sock {
    /// What names the socket for good: the id in its storage, which a listener's children have one of their own in; else its cookie.
    /// 0 where neither can be reached (system-call tracepoints).
    pub id: u64,
    /// The id of the socket this one was cloned from: its listener. 0: none, or it had no id yet.
    pub parent: u64,
    /// Address of the `struct sock`: names one socket until its `DESTROY`.
    pub addr: u64,
    /// Address of the MPTCP socket that this TCP socket is a subflow of; 0 if it is none.
    pub mptcp: u64,
    /// The kernel's socket cookie; 0 where it isn't its own yet.
    pub cookie: u64,
    /// Local address, network order; IPv4 in the first four bytes.
    pub local: [u8; 16],
    /// Peer address, network order; IPv4 in the first four bytes.
    pub peer: [u8; 16],
    /// Local port, host order.
    pub local_port: u16,
    /// Peer port, host order.
    pub peer_port: u16,
    /// `AF_INET` or `AF_INET6`.
    pub family: u16,
    /// `IPPROTO_*`.
    pub protocol: u16,
    /// Inode of the network namespace.
    pub netns: u32,
    /// The state it is in (before a transition).
    pub state: u32,
}

/// The process that ran when the event fired. All zero where the kernel acted by itself.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Task {
    /// When the process started, nanoseconds of `CLOCK_BOOTTIME`; with the pid it names a process for good. 0: no task.
    pub start: u64,
    /// Id of the cgroup (version 2 hierarchy).
    pub cgroup: u64,
    /// Process id in sockwatch's own pid namespace; 0 where it can't be seen from there.
    pub pid: u32,
    /// Thread id, likewise.
    pub tid: u32,
    /// User id, in the initial user namespace.
    pub uid: u32,
    /// 1 if it descends from [`Config::root`], else 0.
    pub descendant: u32,
    /// Name of the process (of its first thread), padded with zeros.
    pub name: [u8; 16],
}

/// What a socket counted. Read at CLOSE, and in snapshots.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Stats {
    /// `tcp_sock.bytes_received`: in order, with the peer's FIN counted as one.
    pub received: u64,
    /// `tcp_sock.bytes_acked`: with our SYN (active opener only) and our FIN counted as one each.
    pub acked: u64,
    /// `tcp_sock.srtt_us`: smoothed round-trip time in eighths of a microsecond.
    pub srtt: u32,
    /// `tcp_sock.total_retrans`: segments sent again.
    pub retransmits: u32,
    /// `sock.sk_ack_backlog`: connections waiting to be accepted (listeners).
    pub queue: u32,
    /// `sock.sk_max_ack_backlog`: the limit in force (listeners).
    pub backlog: u32,
    /// `sock.sk_drops`: connections dropped (listeners).
    pub drops: u32,
    /// `sock.sk_err`: a positive errno, or 0.
    pub error: u32,
    /// Received and not yet read by the process (`rcv_nxt - copied_seq`).
    pub unread: u32,
    /// Written and not yet acknowledged (`write_seq - snd_una`).
    pub unacked: u32,
}

/// A change of state that tells something new about the socket: to SYN_SENT, LISTEN, SYN_RECV or ESTABLISHED.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Transition {
    /// Kind [`kind::TRANSITION`].
    pub head: Head,
    /// The socket; its state is the one it leaves.
    pub sock: Sock,
    /// Who listened or connected; zero for the others, which packets cause.
    pub task: Task,
    /// With [`flag::IN_CALL`]: when the call was entered.
    pub called: u64,
    /// The new state.
    pub to: u32,
    /// With [`flag::IN_CALL`]: the descriptor, else -1.
    pub fd: i32,
    /// `tcp_sock.srtt_us` (eighths of a microsecond), at ESTABLISHED.
    pub srtt: u32,
    /// `sock.sk_max_ack_backlog`, at LISTEN.
    pub backlog: u32,
}

/// A change of state between ESTABLISHED and CLOSE: nothing new but the state, and who closed. Where one port is followed
/// alone, a step from CLOSE to CLOSE says that the socket did something before, of which there is no record.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Step {
    /// Kind [`kind::STEP`].
    pub head: Head,
    /// As [`Sock::id`].
    pub id: u64,
    /// As [`Sock::addr`].
    pub addr: u64,
    /// As [`Sock::parent`].
    pub parent: u64,
    /// The old state.
    pub from: u16,
    /// The new state.
    pub to: u16,
    /// Unused, 0.
    pub reserved: u32,
    /// Who closed (to FIN_WAIT1 and LAST_ACK); else zero.
    pub task: Task,
}

/// A change of state to CLOSE. Not the end of the socket: that is [`kind::DESTROY`].
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Close {
    /// Kind [`kind::CLOSE`].
    pub head: Head,
    /// The socket; its state is the one it leaves.
    pub sock: Sock,
    /// The current task where a process closes; zero where packets or timers do.
    pub task: Task,
    /// The socket's counts.
    pub stats: Stats,
}

/// Something happened to a socket: `DESTROY`, `RETRANSMIT`, `RESET_SENT`, `RESET_RECEIVED`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Mark {
    /// The kind tells what.
    pub head: Head,
    /// As [`Sock::id`]; 0 if the socket has none.
    pub id: u64,
    /// As [`Sock::addr`].
    pub addr: u64,
    /// As [`Sock::mptcp`].
    pub mptcp: u64,
    /// The socket's state.
    pub state: u32,
    /// Unused, 0.
    pub reserved: u32,
}

/// A system call returned: `BIND`, `LISTEN`, `CONNECT`, `ACCEPT`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Call {
    /// The kind tells which call.
    pub head: Head,
    /// The socket of the call; of an accept that succeeded, the new socket. Of a bind that failed `local` is the
    /// address asked for, of a connect that failed `peer` is.
    pub sock: Sock,
    /// Who called.
    pub task: Task,
    /// When the call was entered; 0 if it was before the trace.
    pub called: u64,
    /// The descriptor: of a successful accept the new one, else the call's; -1 if not known.
    pub fd: i32,
    /// A positive errno, or 0.
    pub error: i32,
    /// `listen`: the backlog as given.
    pub backlog_given: i32,
    /// `listen`: `sock.sk_max_ack_backlog`, the limit in force.
    pub backlog: u32,
}

/// Most components of a path that an [`Exec`] carries.
pub const COMPONENTS: usize = 24;
/// Longest component that it carries, in bytes, with the zero byte that ends it.
pub const COMPONENT: usize = 64;

/// A process became another program: `sched_process_exec`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Exec {
    /// Kind [`kind::EXEC`].
    pub head: Head,
    /// Who.
    pub task: Task,
    /// How many places of `path` are used.
    pub used: u32,
    /// Unused, 0.
    pub reserved: u32,
    /// The components of the executable's path, the last one first, each in a place of its own and ended by a zero byte. An
    /// empty one is none: there the path goes from a mount to what it is mounted on.
    pub path: [[u8; COMPONENT]; COMPONENTS],
}

/// A socket that exists, as an iterator found it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Snapshot {
    /// Kind [`kind::HELD`] or [`kind::EXISTS`].
    pub head: Head,
    /// The socket.
    pub sock: Sock,
    /// `HELD`: the process whose descriptor it is (its `cgroup` and `uid` are not filled).
    pub task: Task,
    /// The socket's counts.
    pub stats: Stats,
    /// `HELD`: the descriptor, else -1.
    pub fd: i32,
    /// Unused, 0.
    pub reserved: u32,
}

/// The system calls that have trampolines: places in [`Counters::tried`].
pub mod call {
    #![expect(missing_docs, reason = "the names say it")]
    pub const BIND: usize = 0;
    pub const LISTEN: usize = 1;
    pub const CONNECT: usize = 2;
    pub const ACCEPT: usize = 3;
    /// How many there are.
    pub const COUNT: usize = 4;
}

/// The places that have more than one program: in [`Counters::taken`], and those that are tracepoints in what the programs tell
/// each other.
pub mod twin {
    #![expect(missing_docs, reason = "the names say it")]
    pub const STATE: usize = 0;
    pub const DESTROY: usize = 1;
    pub const RESET_SENT: usize = 2;
    pub const RESET_RECEIVED: usize = 3;
    pub const EXEC: usize = 4;
    /// How many are tracepoints.
    pub const TRACEPOINTS: usize = 5;
    pub const BIND_ENTERED: usize = 5;
    pub const BIND_LEFT: usize = 6;
    pub const LISTEN_ENTERED: usize = 7;
    pub const LISTEN_LEFT: usize = 8;
    pub const CONNECT_ENTERED: usize = 9;
    pub const CONNECT_LEFT: usize = 10;
    pub const ACCEPT_ENTERED: usize = 11;
    pub const ACCEPT_LEFT: usize = 12;
    /// How many there are.
    pub const COUNT: usize = 13;
    /// Most programs behind the first.
    pub const FURTHER: usize = 4;
}

/// How many events that the first programs told of one processor keeps in mind.
pub const TOLD: usize = 64;

/// What a first program tells those behind it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Told {
    /// Which socket it was at, or which task,
    pub of: u64,
    /// and what happened to it.
    pub what: u64,
}

/// What one processor counts: a row of the map `COUNTERS`, by the processor's number. User space has the map in its memory,
/// and reads it there: to look a map up by a system call keeps classic tracepoints from running on that processor
/// meanwhile (`bpf_disable_instrumentation` in include/linux/bpf.h). Whole cache lines, so that no two processors share one.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub struct Counters {
    /// Records that could not be sent, by [`loss`], runner and kind. Never reset.
    pub lost: [[[u64; kind::COUNT as usize]; runner::COUNT as usize]; loss::COUNT as usize],
    /// By which program behind the first, and by [`twin`]: how often it took an event that those before it were skipped for. Never
    /// reset.
    pub taken: [[u64; twin::COUNT]; twin::FURTHER],
    /// By which program but the last, and by [`twin`]: 1 while it is running.
    pub busy: [[u64; twin::TRACEPOINTS]; twin::FURTHER],
    /// What the first programs were at, and the last ones were not yet: a stack, in a circle.
    pub told: [Told; TOLD],
    /// Its height.
    pub tellings: u64,
    /// The last ids given, by runner.
    pub last_id: [u64; runner::COUNT as usize],
    /// By [`call`]: how often a trampoline saw a call on descriptor -1. The loader makes some, to see whether system calls pass
    /// the functions that the trampolines are on, or copies of them that the compiler put elsewhere. Never reset.
    pub tried: [u64; call::COUNT],
    /// How often a trampoline saw accept give a file a descriptor. The loader makes one. Never reset.
    pub installed: u64,
}

/// What the loader tells the programs, as one read-only global.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Config {
    /// [`ABI_VERSION`] of the loader.
    pub abi: u32,
    /// Inode of sockwatch's pid namespace; 0 for the initial one.
    pub pid_namespace: u32,
    /// Wake the reader when this many bytes wait in the ring.
    pub wake_bytes: u64,
    /// The process whose descendants are marked, as sockwatch's pid namespace numbers it; 0: none.
    pub root: u32,
    /// The port to follow alone, host order; 0: all are followed.
    pub port: u32,
    /// 1 if the programs of tracepoints may be preempted, so that there are more of them where it matters; else 0.
    pub preemptible: u32,
    /// 1 if the ring's lock may give up, so that it is asked for again; else 0.
    pub resilient: u32,
}

const _: () = {
    assert!(size_of::<Head>() == 16);
    assert!(size_of::<Sock>() == 88);
    assert!(size_of::<Task>() == 48);
    assert!(size_of::<Stats>() == 48);
    assert!(size_of::<Transition>() == 16 + 88 + 48 + 24);
    assert!(size_of::<Step>() == 16 + 24 + 8 + 48);
    assert!(size_of::<Close>() == 16 + 88 + 48 + 48);
    assert!(size_of::<Mark>() == 48);
    assert!(size_of::<Call>() == 16 + 88 + 48 + 24);
    assert!(size_of::<Exec>() == 16 + 48 + 8 + COMPONENT * COMPONENTS);
    assert!(size_of::<Snapshot>() == 16 + 88 + 48 + 48 + 8);
    assert!(size_of::<Counters>() == 61 * 64);
    assert!(size_of::<Config>() == 32);
};
