//! Connections as fast as they go, in a network namespace of their own, and how many of them the kernel counted.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    thread,
};

use nix::{
    libc,
    sched::{CloneFlags, setns},
};

use super::{Netns, wait_for};

/// How the connections end.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    Fin,
    Reset,
}

/// Short connections over loopback.
pub(crate) struct Load {
    pub(crate) connections: u32,
    /// Pairs of a client and a server thread. With more threads than processors they are interrupted in the midst of a
    /// kernel program now and then; what that processor does meanwhile is skipped (`recursion_misses`).
    pub(crate) pairs: u32,
    pub(crate) ending: Ending,
}

/// What the kernel counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Opens {
    /// `TcpActiveOpens`: clients.
    pub(crate) active: u64,
    /// `TcpPassiveOpens`: servers.
    pub(crate) passive: u64,
}

impl Load {
    /// Runs it to its end: when this returns, every socket of it is closed on both ends.
    pub(crate) fn run(&self, netns: &Netns) -> Opens {
        // Enough ports for all of them while the first wait in TIME_WAIT.
        netns.sysctl("net.ipv4.ip_local_port_range", "1024 65535");
        let before = opens(netns);
        thread::scope(|scope| {
            for pair in 0..self.pairs {
                scope.spawn(move || self.pair(netns, pair));
            }
        });
        wait_for("the last ACKs", || (in_use(netns) == 0).then_some(()));
        let after = opens(netns);
        Opens { active: after.active - before.active, passive: after.passive - before.passive }
    }

    fn pair(&self, netns: &Netns, pair: u32) {
        enter(netns);
        let address = Ipv4Addr::new(127, 0, 0, 1 + u8::try_from(pair).expect("few"));
        let listener = TcpListener::bind((address, 0)).expect("a listener");
        let server = listener.local_addr().expect("it is bound");
        let connections = self.connections / self.pairs;
        thread::scope(|scope| {
            // Threads that are spawned here are in the namespace, too.
            scope.spawn(|| (0..connections).for_each(|_| self.serve(listener.accept().expect("a connection").0)));
            (0..connections).for_each(|_| self.visit(TcpStream::connect(server).expect("a connection")));
        });
    }

    /// The server's side: it has accepted when the client goes on.
    fn serve(&self, mut stream: TcpStream) {
        match self.ending {
            Ending::Fin => drop(stream),
            Ending::Reset => {
                stream.write_all(b".").expect("the client reads");
                let _ = stream.read(&mut [0]);
            }
        }
    }

    fn visit(&self, mut stream: TcpStream) {
        let read = stream.read(&mut [0]).expect("the server writes, or closes");
        match self.ending {
            Ending::Fin => assert_eq!(read, 0, "the server closed"),
            Ending::Reset => {
                assert_eq!(read, 1, "the server wrote");
                reset_at_close(&stream);
            }
        }
    }
}

/// Moves this thread to a network namespace.
fn enter(netns: &Netns) {
    let file = File::open(netns.path()).expect("the namespace is mounted");
    setns(file, CloneFlags::CLONE_NEWNET).expect("root may enter it");
}

/// A file of its /proc/net.
fn proc_net(netns: &Netns, file: &str) -> String {
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            enter(netns);
            fs::read_to_string(format!("/proc/thread-self/net/{file}")).expect("the namespace's counters")
        });
        reader.join().expect("they are read")
    })
}

/// TCP sockets over IPv4 that are neither closed nor in TIME_WAIT.
fn in_use(netns: &Netns) -> u64 {
    let sockstat = proc_net(netns, "sockstat");
    let tcp = sockstat.lines().find_map(|line| line.strip_prefix("TCP: inuse ")).expect("a count");
    tcp.split(' ').next().and_then(|count| count.parse().ok()).expect("a number")
}

fn opens(netns: &Netns) -> Opens {
    let snmp = proc_net(netns, "snmp");
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let count = |wanted| {
        let mut pairs = names.split(' ').zip(values.split(' '));
        pairs.find(|(name, _)| *name == wanted).and_then(|(_, value)| value.parse().ok()).expect(wanted)
    };
    Opens { active: count("ActiveOpens"), passive: count("PassiveOpens") }
}

fn reset_at_close(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = libc::socklen_t::try_from(size_of_val(&linger)).expect("small");
    // SAFETY: the descriptor is open, and the kernel reads `size` bytes of a `linger`.
    let done = unsafe {
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size)
    };
    assert_eq!(done, 0, "SO_LINGER: {}", std::io::Error::last_os_error());
}
