//! The system calls: bind, listen, connect, accept.

use super::Engine;
use crate::{
    event::{Actor, CallKind, Errno, Sock, State, Time, Transport},
    lifecycle::life::{Life, Milestone, Phase, Role},
};

/// What comes with a call.
pub(super) struct Called {
    pub(super) by: Option<Actor>,
    pub(super) called: Option<Time>,
    pub(super) fd: Option<i32>,
    pub(super) error: Option<Errno>,
    pub(super) backlog: (i32, u32),
}

impl Engine {
    pub(super) fn call(&mut self, time: Time, call: CallKind, sock: &Sock, called: Called) {
        let Called { by, called, fd, error, backlog } = called;
        let failed_here = error.is_some() && call != CallKind::Accept;
        let birth = call != CallKind::Accept;
        if let Some(&place) = self.by_addr.get(&sock.key.addr)
            && is_another(self.life(place), call, error, sock)
        {
            // The end of the one that was at this address is missing.
            self.life(place).complete = false;
            self.end(time, place);
        }
        let place = self.meet(time, sock, birth);
        let life = self.life(place);
        let mut milestone =
            Milestone { phase: Phase::Bind, time, actor: by.clone(), fd, error, asked: None, then: None };
        match call {
            CallKind::Bind => {
                milestone.asked = Some(sock.local).filter(|asked| !asked.is_nothing());
                if !failed_here {
                    if life.local.is_some_and(|before| before != sock.local) {
                        // It had another one while it was connected, or tried to be: the kernel took that back.
                        life.keep_ends();
                    }
                    life.local = Some(sock.local);
                }
                if life.role.is_none() {
                    life.owner = by;
                    life.fd = fd;
                }
            }
            CallKind::Listen => {
                milestone.phase = Phase::Listen;
                // The change of state is this call's, or one whose call was lost.
                let listening = life.listening.take().filter(|&since| called.is_none_or(|called| since >= called));
                milestone.time = listening.unwrap_or(time);
                life.owner = by;
                life.fd = fd;
                if !failed_here {
                    life.role = Some(Role::Listener);
                    life.local = Some(sock.local);
                    life.backlog_given = Some(backlog.0);
                    // Of MPTCP the limit is that of the TCP listener beneath, which tells it only when it begins to listen.
                    life.backlog = match life.transport {
                        Transport::Mptcp => life.backlog.filter(|_| listening.is_some()),
                        _ => Some(backlog.1),
                    };
                }
            }
            CallKind::Connect if life.state != State::Closed => {
                // It failed on a socket that is something already, and stays it.
                milestone.phase = Phase::Connect;
                milestone.time = called.unwrap_or(time);
            }
            CallKind::Connect => {
                life.role = Some(Role::Client);
                life.peer = Some(sock.peer).filter(|peer| peer.port != 0);
                let started = called.unwrap_or(time);
                life.connect_ns = Some(time.saturating_sub(started));
                life.owner = by;
                life.fd = fd;
                if called.is_some() && called == life.connect_called {
                    // The change to SYN_SENT has told of the call; this is why it came to nothing.
                    life.end.connect_failed = Some(error);
                    life.connect_failed(error);
                    return;
                }
                life.end.connect_failed = Some(error);
                life.connect_called = Some(started);
                milestone.phase = Phase::Connect;
                milestone.time = started;
            }
            CallKind::Accept => {
                milestone.phase = Phase::Accept;
                // Nobody locks the socket for it: what a packet brings about at the same moment may come first, and be later.
                milestone.time = life.newest().map_or(time, |newest| newest.time.max(time));
                if error.is_none() {
                    life.role = Some(Role::Server);
                    life.set_ends(sock.local, sock.peer);
                    if life.state == State::Closed && life.path.is_empty() {
                        life.state = sock.state;
                    }
                    life.accept_queue_ns = life.established.map(|established| time.saturating_sub(established));
                    life.owner = by;
                    life.fd = fd;
                    self.accepted(place);
                }
            }
        }
        self.milestone(place, milestone);
    }
}

/// Whether a call was on another socket than the one that was at its address: these calls don't succeed on that one.
fn is_another(life: &Life, call: CallKind, error: Option<Errno>, sock: &Sock) -> bool {
    let elsewhere = life.netns.is_some_and(|netns| netns != sock.netns);
    let succeeded = error.is_none();
    match call {
        CallKind::Bind => elsewhere || succeeded && (life.role == Some(Role::Server) || life.state != State::Closed),
        CallKind::Listen => elsewhere || succeeded && life.role == Some(Role::Server),
        CallKind::Accept => elsewhere || succeeded && life.accept_seen,
        CallKind::Connect => elsewhere,
    }
}
