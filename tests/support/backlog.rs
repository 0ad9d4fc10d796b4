//! Packets that are on their way over loopback.

use std::{
    fs,
    net::UdpSocket,
    sync::{LazyLock, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use super::{deadline, slowness};

/// What a packet may bring about one after another: a FIN is answered, and what answers it closes the other end.
const ROUNDS: usize = 4;

/// Waits until every processor has taken what was sent over loopback so far. It is on its way when the call that sent it returns;
/// where the machine is busy, a thread of the kernel's takes it later. Each processor takes its packets in order, and so one
/// that is sent there now comes behind them.
pub(super) fn drain() {
    /// One for all: each bind is a system call that traces see.
    static SOCKET: LazyLock<Mutex<UdpSocket>> = LazyLock::new(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("lo is up");
        socket.connect(socket.local_addr().expect("it is bound")).expect("it is its own peer");
        socket.set_read_timeout(Some(deadline())).expect("a time");
        Mutex::new(socket)
    });
    let sender = thread::spawn(|| {
        let here = Pid::from_raw(0);
        let allowed = sched_getaffinity(here).expect("the processors of this thread");
        let socket = SOCKET.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ROUNDS {
            for processor in (0..CpuSet::count()).filter(|&number| allowed.is_set(number) == Ok(true)) {
                let mut only = CpuSet::new();
                only.set(processor).expect("it is a processor");
                // One that was just taken offline has no packets.
                if sched_setaffinity(here, &only).is_ok() {
                    socket.send(&[0]).expect("it is sent");
                    socket.recv(&mut [0]).expect("it arrives");
                }
            }
        }
    });
    sender.join().expect("the packets arrive");
}

/// Waits until no closed connection in the network namespaces of these processes waits for its peer to confirm that, or until it
/// seems that none will: some tests let nothing through.
pub(super) fn closed_connections_end(pids: &[u32]) {
    let end = Instant::now() + Duration::from_secs(1) * slowness();
    while Instant::now() < end && pids.iter().any(|&pid| ["tcp", "tcp6"].iter().any(|table| waits(pid, table))) {
        thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a socket of /proc/net/tcp (`get_tcp4_sock` in net/ipv4/tcp_ipv4.c) is in FIN_WAIT1, LAST_ACK or CLOSING.
fn waits(pid: u32, table: &str) -> bool {
    let sockets = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
    sockets.lines().any(|line| matches!(line.split_whitespace().nth(3), Some("04" | "09" | "0B")))
}
