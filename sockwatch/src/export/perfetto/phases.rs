//! A life as phases that follow on one another.

use crate::{
    event::Time,
    lifecycle::{Life, Milestone, Origin, Phase, Role},
};

/// What a socket was in for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stretch {
    pub(super) name: &'static str,
    pub(super) from: Time,
    /// None if it still was when the run ended.
    pub(super) to: Option<Time>,
}

const BOUND: &str = "bound";
pub(super) const LISTENING: &str = "listening";
const CONNECTING: &str = "connecting";
const HANDSHAKE: &str = "handshake";
const ACCEPT_QUEUE: &str = "accept queue";
pub(super) const ESTABLISHED: &str = "established";
const CLOSING: &str = "closing";
const CLOSED: &str = "closed";

/// Phases in the order of time, none of which overlap.
struct Phases(Vec<Stretch>);

impl Phases {
    fn begin(&mut self, name: &'static str, from: Time) {
        let from = self.0.last().map_or(from, |last| from.max(last.to.unwrap_or(last.from)));
        self.end(from);
        self.0.push(Stretch { name, from, to: None });
    }

    fn end(&mut self, at: Time) {
        if let Some(last) = self.0.last_mut().filter(|last| last.to.is_none()) {
            last.to = Some(at.max(last.from));
        }
    }

    /// The first FIN came or went: what was until then is over.
    fn fin(&mut self, at: Time) {
        if let Some(last) = self.0.last().filter(|last| [ESTABLISHED, ACCEPT_QUEUE].contains(&last.name)) {
            let at = at.max(last.from);
            self.begin(CLOSING, at);
        }
    }
}

/// The phases of a life. `fin` is when its last connection's first FIN came or went, if that was seen.
pub(super) fn of(life: &Life, fin: Option<Time>) -> Vec<Stretch> {
    let mut phases = Phases(Vec::new());
    if let Some(name) = before(life) {
        phases.begin(name, life.first);
    }
    let starts = |step: &&Milestone| matches!(step.phase, Phase::Connect | Phase::SynReceived) && step.error.is_none();
    // One of an earlier connection tells nothing of the last.
    let start = life.path.iter().rfind(starts).map_or(0, |step| step.time);
    let fin = fin.filter(|&fin| start <= fin);
    let last_close = life.path.iter().rposition(|step| step.phase == Phase::Close);
    let mut server = life.role == Some(Role::Server);
    for (nth, step) in life.path.iter().enumerate().filter(|(_, step)| step.error.is_none()) {
        match step.phase {
            Phase::Bind => phases.begin(BOUND, step.time),
            Phase::Listen => phases.begin(LISTENING, step.time),
            Phase::Connect => {
                server = false;
                phases.begin(CONNECTING, step.time);
            }
            Phase::SynReceived => {
                // The step is the last ACK: what the kernel measured came before it.
                let took = life.handshake_ns.filter(|_| step.then.is_none()).unwrap_or(0);
                phases.begin(HANDSHAKE, step.time.saturating_sub(took));
            }
            Phase::Established => phases.begin(if server { ACCEPT_QUEUE } else { ESTABLISHED }, step.time),
            Phase::Accept if life.role == Some(Role::Listener) => {}
            Phase::Accept => phases.begin(ESTABLISHED, step.time),
            Phase::Close => {
                if let Some(fin) = fin.filter(|_| last_close == Some(nth)) {
                    phases.fin(fin);
                }
                phases.begin(CLOSED, step.time);
            }
        }
    }
    if let Some(fin) = fin.filter(|_| last_close.is_none()) {
        phases.fin(fin);
    }
    if let Some(destroyed) = life.destroyed {
        phases.end(destroyed);
    }
    phases.0.retain(|stretch| stretch.to != Some(stretch.from) || stretch.name != CLOSED);
    phases.0
}

/// What a socket was in when it was found, if it is older than the run.
fn before(life: &Life) -> Option<&'static str> {
    if life.origin != Origin::Snapshot {
        return None;
    }
    match life.path.first().map(|step| step.phase) {
        Some(Phase::Accept) if life.role != Some(Role::Listener) => Some(ACCEPT_QUEUE),
        Some(Phase::Close | Phase::Accept) | None => Some(match life.role {
            Some(Role::Listener) => LISTENING,
            _ if life.peer.is_some() => ESTABLISHED,
            _ => BOUND,
        }),
        Some(Phase::Bind | Phase::Listen | Phase::Connect | Phase::SynReceived | Phase::Established) => None,
    }
}
