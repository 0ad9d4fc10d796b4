//! Where the kernel keeps what the programs read: one table, filled from the running kernel's BTF at start.

/// An offset that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

macro_rules! offsets {
    ($( $(#[$doc:meta])* $field:ident = $structure:literal . $member:literal $need:ident, )*) => {
        /// Byte offsets of kernel struct members. [`ABSENT`] marks one that this kernel lacks.
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub struct Offsets {
            $( $(#[$doc])* pub $field: u32, )*
        }

        impl Offsets {
            /// What each field is: the kernel's struct, the member (a path with dots), and whether the programs need
            /// it, in the order of the fields.
            pub const TABLE: &'static [(&'static str, &'static str, bool)] = &[
                $( ($structure, $member, offsets!(@ $need)), )*
            ];

            /// A table in which no member is known.
            pub const NONE: Self = Self { $( $field: ABSENT, )* };

            /// Builds the table from values in the order of [`Self::TABLE`].
            ///
            /// # Panics
            /// If the number of values is not that of the table.
            #[must_use]
            pub fn from_values(values: &[u32]) -> Self {
                assert_eq!(values.len(), Self::TABLE.len());
                let mut at = 0;
                let mut next = || { at += 1; values[at - 1] };
                Self { $( $field: next(), )* }
            }
        }
    };
    (@ required) => { true };
    (@ optional) => { false };
}

offsets! {
    /// `AF_*`.
    family = "sock_common"."skc_family" required,
    /// `TCP_*` state.
    state = "sock_common"."skc_state" required,
    /// Local port, host order; 0 once unbound.
    num = "sock_common"."skc_num" required,
    /// Peer port, network order.
    dport = "sock_common"."skc_dport" required,
    /// Peer's IPv4 address.
    daddr = "sock_common"."skc_daddr" required,
    /// Local IPv4 address.
    rcv_saddr = "sock_common"."skc_rcv_saddr" required,
    /// Peer's IPv6 address (absent without CONFIG_IPV6).
    v6_daddr = "sock_common"."skc_v6_daddr" optional,
    /// Local IPv6 address (absent without CONFIG_IPV6).
    v6_rcv_saddr = "sock_common"."skc_v6_rcv_saddr" optional,
    /// Network namespace.
    net = "sock_common"."skc_net.net" required,
    /// Inode of a network namespace.
    net_inum = "net"."ns.inum" required,
    /// Ports that a namespace gives to sockets without one: two halves of a word since Linux 6.8, two words before.
    local_ports = "net"."ipv4.ip_local_ports.range" optional,
    /// There before Linux 6.8.
    local_ports_lock = "local_ports"."lock" optional,
    /// `IPPROTO_*`.
    protocol = "sock"."sk_protocol" required,
    /// Bits of `enum sock_flags`.
    flags = "sock_common"."skc_flags" required,
    /// The `struct socket` that a file is for; null while nobody has accepted it, and of an orphan.
    socket = "sock"."sk_socket" required,
    /// Number of the inode that a `struct socket` is allocated with.
    socket_inode = "socket_alloc"."vfs_inode.i_ino" required,
    /// Pending error.
    err = "sock"."sk_err" required,
    /// Length of the accept queue.
    ack_backlog = "sock"."sk_ack_backlog" required,
    /// Limit of the accept queue.
    max_ack_backlog = "sock"."sk_max_ack_backlog" required,
    /// Dropped packets; a listener's dropped connections.
    drops = "sock"."sk_drops" optional,
    /// Local port in network order; it outlives `skc_num`.
    sport = "inet_sock"."inet_sport" required,
    /// Data of the upper-layer protocol: the MPTCP subflow.
    ulp_data = "inet_connection_sock"."icsk_ulp_data" required,
    /// Bytes received in order.
    bytes_received = "tcp_sock"."bytes_received" required,
    /// Bytes acknowledged by the peer.
    bytes_acked = "tcp_sock"."bytes_acked" required,
    /// Smoothed round-trip time, eighths of a microsecond.
    srtt = "tcp_sock"."srtt_us" required,
    /// Segments sent again.
    total_retrans = "tcp_sock"."total_retrans" required,
    /// Segments sent.
    segs_out = "tcp_sock"."segs_out" required,
    /// Next sequence number expected.
    rcv_nxt = "tcp_sock"."rcv_nxt" required,
    /// First sequence number not yet read.
    copied_seq = "tcp_sock"."copied_seq" required,
    /// End of what was written.
    write_seq = "tcp_sock"."write_seq" required,
    /// First sequence number not acknowledged.
    snd_una = "tcp_sock"."snd_una" required,
    /// Whether it is an MPTCP subflow (absent without CONFIG_MPTCP).
    is_mptcp = "tcp_sock"."is_mptcp" optional,
    /// The MPTCP socket of a subflow.
    subflow_conn = "mptcp_subflow_context"."conn" optional,
    /// Bytes an MPTCP socket received.
    mptcp_received = "mptcp_sock"."bytes_received" optional,
    /// Bytes of an MPTCP socket that the peer acknowledged.
    mptcp_acked = "mptcp_sock"."bytes_acked" optional,
    /// Thread id in the initial pid namespace; of the first thread, the process id.
    task_nr = "task_struct"."pid" required,
    /// First thread of the process.
    task_leader = "task_struct"."group_leader" required,
    /// The process that forked it, or that took it over.
    task_parent = "task_struct"."real_parent" required,
    /// Thread name.
    task_comm = "task_struct"."comm" required,
    /// Start, nanoseconds of `CLOCK_BOOTTIME`.
    task_start = "task_struct"."start_boottime" required,
    /// Open files.
    task_files = "task_struct"."files" required,
    /// Memory map.
    task_mm = "task_struct"."mm" required,
    /// The thread's `struct pid`.
    task_pid = "task_struct"."thread_pid" required,
    /// Depth of the pid namespace.
    pid_level = "pid"."level" required,
    /// The thread's number in each pid namespace.
    pid_numbers = "pid"."numbers" required,
    /// The number.
    upid_nr = "upid"."nr" required,
    /// The namespace.
    upid_ns = "upid"."ns" required,
    /// Inode of a pid namespace.
    pidns_inum = "pid_namespace"."ns.inum" required,
    /// Table of descriptors.
    files_fdt = "files_struct"."fdt" required,
    /// Length of the table.
    fdt_max = "fdtable"."max_fds" required,
    /// The table's files.
    fdt_fd = "fdtable"."fd" required,
    /// The `struct socket` of a socket's file.
    file_private = "file"."private_data" required,
    /// The `struct sock` of a socket.
    socket_sk = "socket"."sk" required,
    /// `SS_*` state.
    socket_state = "socket"."state" required,
    /// Number of the system call that a thread is in, or was in last (x86-64).
    regs_call = "pt_regs"."orig_ax" optional,
    /// As above (arm64).
    regs_call_arm = "pt_regs"."syscallno" optional,
    /// The executable.
    mm_exe = "mm_struct"."exe_file" required,
    /// Directory entry of a file.
    file_dentry = "file"."f_path.dentry" required,
    /// Mount of a file.
    file_mnt = "file"."f_path.mnt" required,
    /// Directory above.
    dentry_parent = "dentry"."d_parent" required,
    /// Name of a directory entry.
    dentry_name = "dentry"."d_name.name" required,
    /// The part of a mount that files point to.
    mount_mnt = "mount"."mnt" required,
    /// Mount above.
    mount_parent = "mount"."mnt_parent" required,
    /// Where it is mounted.
    mount_point = "mount"."mnt_mountpoint" required,
    /// Root of a mount.
    mnt_root = "vfsmount"."mnt_root" required,
    /// The kernel's socket cookie.
    cookie = "sock_common"."skc_cookie" required,
    /// State that a timewait socket stands for.
    tw_substate = "inet_timewait_sock"."tw_substate" required,
}
