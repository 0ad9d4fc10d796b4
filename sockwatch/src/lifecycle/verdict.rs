//! Who ended a connection first, and how it ended.

use nix::libc;

use super::life::{Life, Role};
use crate::event::{Errno, State, Stats, Transport};

/// Who ended it first, by the first FIN or reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// This side.
    Local,
    /// The other side.
    Peer,
    /// The kernel: a timeout, an administrator.
    Kernel,
}

impl By {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Peer => "peer",
            Self::Kernel => "kernel",
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// In order, by FINs.
    Fin,
    /// By a reset.
    Reset,
    /// No answer in time.
    Timeout,
    /// A reset answered the SYN.
    Refused,
    /// No way to the peer.
    Unreachable,
    /// connect() failed before a SYN.
    Failed,
    /// Closed while connecting.
    Aborted,
    /// Its listener closed before anyone accepted it.
    Unaccepted,
    /// Closed: a listener, or one that was never connected.
    Closed,
}

impl How {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Unaccepted => "unaccepted",
            Self::Closed => "closed",
        }
    }
}

/// The end of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Who; none if it can't be told.
    pub by: Option<By>,
    /// How; none if it can't be told.
    pub how: Option<How>,
    /// Whether a timewait socket took its place; none if it can't be told.
    pub time_wait: Option<bool>,
    /// The errno that the application finds.
    pub error: Option<Errno>,
}

/// What was seen of the end so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct End {
    /// The state it left for CLOSE.
    pub from: Option<State>,
    /// Who sent the first FIN.
    pub first_fin: Option<By>,
    /// It sent a reset.
    pub reset_sent: bool,
    /// It received a reset.
    pub reset_received: bool,
    /// Its listener was closed before it was.
    pub listener_gone: bool,
    /// Of an MPTCP socket that connects: why its subflow failed.
    pub subflow_error: Option<Errno>,
    /// Why the last connect failed before a SYN, or that it did.
    pub connect_failed: Option<Option<Errno>>,
}

impl End {
    /// Whether CLOSE was reached and what follows may still explain it: resets are reported after the state.
    pub(super) fn is_open_question(&self, stats: &Stats, accepted: bool) -> bool {
        let Some(from) = self.from else { return false };
        let told = self.reset_sent
            || self.reset_received
            || stats.error.is_some()
            || self.listener_gone && stats.unheld && !accepted;
        !told
            && match from {
                State::LastAck | State::Closing | State::Listen | State::Closed => false,
                State::FinWait2 => !stats.fin_received,
                _ => true,
            }
    }
}

pub(super) fn of(life: &Life) -> Option<Verdict> {
    let plain = |by, how, error| Some(Verdict { by, how, time_wait: Some(false), error });
    if let Some(error) = life.end.connect_failed {
        return plain(Some(By::Kernel), Some(How::Failed), error);
    }
    let Some(from) = life.end.from else {
        if life.destroyed.is_none() && !life.vanished {
            return None;
        }
        return if life.role.is_none() && !life.vanished {
            plain(Some(By::Local), Some(How::Closed), None)
        } else {
            // Its CLOSE was missed, or fell into a gap.
            Some(Verdict { by: life.end.first_fin, how: None, time_wait: None, error: None })
        };
    };
    let stats = life.stats.unwrap_or_default();
    let error = stats.error;
    match from {
        State::Listen if error == Errno::new(libc::ECONNABORTED) => plain(Some(By::Kernel), Some(How::Closed), error),
        // Another error of a listener is of the time when it was connected (`tcp_disconnect`).
        State::Listen | State::Closed => plain(Some(By::Local), Some(How::Closed), None),
        State::SynSent => {
            let (by, how) = connecting(&stats);
            plain(Some(by), Some(how), error)
        }
        _ => Some(connected(life, from, &stats)),
    }
}

/// A connect that was not answered by a SYN-ACK (`tcp_rcv_synsent_state_process`, `tcp_write_err`, `tcp_v4_err`).
fn connecting(stats: &Stats) -> (By, How) {
    match stats.error.map_or(0, |error| error.0) {
        // close() leaves no error here, shutdown() and connect(AF_UNSPEC) leave it after the change of state.
        0 | libc::ECONNRESET => (By::Local, How::Aborted),
        libc::ECONNREFUSED => (By::Peer, How::Refused),
        libc::ETIMEDOUT => (By::Kernel, How::Timeout),
        libc::ECONNABORTED => (By::Kernel, How::Aborted),
        // What ICMP said (`icmp_err_convert`).
        _ => (By::Kernel, How::Unreachable),
    }
}

/// A connection that was established, or was about to be.
fn connected(life: &Life, from: State, stats: &Stats) -> Verdict {
    let end = &life.end;
    let fin = end.first_fin;
    let verdict = |by: By, how| Verdict {
        by: Some(fin.unwrap_or(by)),
        how: Some(how),
        time_wait: Some(false),
        error: stats.error,
    };
    match stats.error.map_or(0, |error| error.0) {
        0 => {}
        libc::ETIMEDOUT => return verdict(By::Kernel, How::Timeout),
        // `tcp_abort`: an administrator, or a network device that went.
        libc::ECONNABORTED => return verdict(By::Kernel, How::Reset),
        libc::ECONNRESET | libc::EPIPE | libc::ECONNREFUSED => return verdict(By::Peer, How::Reset),
        libc::EHOSTUNREACH | libc::ENETUNREACH => return verdict(By::Kernel, How::Unreachable),
        _ => return verdict(By::Kernel, How::Timeout),
    }
    // Of MPTCP it is the subflows that wait, each for itself.
    let time_wait = (life.transport == Transport::Tcp).then_some(true);
    let waits = |by: By| Verdict { time_wait, ..verdict(by, How::Fin) };
    // What was not accepted can't be closed from any other state (`inet_csk_listen_stop`): the accept was not seen.
    let queued = matches!(from, State::SynReceived | State::Established | State::CloseWait);
    if queued && life.role == Some(Role::Server) && end.listener_gone && stats.unheld && !life.was_accepted() {
        return verdict(By::Local, How::Unaccepted);
    }
    // Of MPTCP a reset ends a subflow; what it is to the connection is told by what follows.
    if end.reset_received && life.transport == Transport::Tcp {
        return verdict(By::Peer, How::Reset);
    }
    match from {
        State::LastAck => verdict(By::Peer, How::Fin),
        State::Closing => waits(By::Local),
        State::FinWait2 if stats.fin_received => waits(By::Local),
        _ if end.reset_sent => verdict(By::Local, How::Reset),
        _ if end.reset_received => verdict(By::Peer, How::Reset),
        // An orphan becomes a timewait socket at once (`tcp_close`).
        State::FinWait2 => waits(By::Local),
        // No process had it, no packet ended it: the kernel dropped it when it was made (`tcp_v4_syn_recv_sock`,
        // `subflow_syn_recv_sock`).
        State::SynReceived if life.role == Some(Role::Server) && stats.unheld && !life.was_accepted() => {
            verdict(By::Kernel, How::Aborted)
        }
        _ => Verdict { by: fin, how: None, time_wait: Some(false), error: None },
    }
}
