//! All that is known of one socket: its whole path with times.

use super::{screen::graph, tree::Tree, words::Speaker};
use crate::{
    event::Transport,
    lifecycle::{Life, Milestone, Origin, Role},
    output::{
        moment::Moment,
        text::{
            table::SEPARATOR,
            words::{self, Duration, Size, counted, grouped},
        },
    },
};

/// How many seconds the graphs go back, so that they have room on 80 columns.
const GRAPH: usize = 48;

/// The lines about a socket.
pub(crate) fn lines(life: &Life, speak: &Speaker<'_>, tree: &Tree<'_>) -> Vec<String> {
    let fresh = speak.board.fresh(life);
    let life = &*fresh;
    let mut lines = vec![identity(life, speak), ends(life, speak, tree), owner(life)];
    if let Some(process) = life.owner.as_ref().map(|owner| &owner.process) {
        let mut facts = Vec::new();
        facts.extend(process.executable.as_ref().map(ToString::to_string));
        facts.extend(process.container.as_ref().map(|id| format!("container {id}")));
        if !facts.is_empty() {
            lines.push(format!("  {}", facts.join(SEPARATOR)));
        }
    }
    match life.verdict() {
        Some(verdict) => lines.push(format!("end: {}", words::ending(life, &verdict))),
        None => {
            lines.push(format!("{}{SEPARATOR}age {}", speak.state(life), speak.age(life)));
            lines.push(speak.held(life));
        }
    }
    lines.extend(counts(life));
    if life.role == Some(Role::Listener) {
        lines.extend(graphs(life, speak));
    }
    lines.push(String::new());
    path(life, speak, &mut lines);
    if !life.complete {
        lines.push("incomplete: events about it were lost".to_owned());
    }
    lines
}

/// How often it accepted, how many waited, how many were dropped, second by second.
fn graphs(life: &Life, speak: &Speaker<'_>) -> Vec<String> {
    let (board, now) = (speak.board, speak.now);
    let mut all: Vec<(&str, Vec<u32>)> = Vec::new();
    if let Some(service) = board.service(life.number) {
        all.push(("accepts/s", service.accepts.series(now, GRAPH).collect()));
        all.push(("queue", service.queue.series(now, GRAPH).collect()));
    }
    all.extend(board.drops(life).map(|drops| ("overflows/s", drops.series(now, GRAPH).collect())));
    let line = |(name, series): (&str, Vec<u32>)| {
        let most = series.iter().copied().max().unwrap_or(0);
        format!("{name:11} {} most {}", graph(&series), grouped(most.into()))
    };
    all.into_iter().map(line).collect()
}

fn identity(life: &Life, speak: &Speaker<'_>) -> String {
    let mut facts = vec![speak.scene.id(life.number).to_string()];
    facts.push(life.role.map_or("neither listens nor connects", Role::name).to_owned());
    facts.push(life.transport.name().to_owned());
    if let Some(netns) = life.netns {
        facts.push(format!("netns {netns}"));
    }
    if let Some(cookie) = life.cookie {
        facts.push(format!("cookie {cookie}"));
    }
    facts.join(SEPARATOR)
}

fn ends(life: &Life, speak: &Speaker<'_>, tree: &Tree<'_>) -> String {
    let mut facts = vec![format!("local {}", words::end(life.local, true))];
    if life.role.is_some_and(|role| role != Role::Listener) {
        facts.push(format!("peer {}", words::end(life.peer, true)));
    }
    if let Some(peer) = life.peer_socket {
        let of = tree.client_of(life).and_then(|client| client.owner.as_ref());
        let of = of.map_or_else(String::new, |owner| format!(" of {}", words::process(&owner.process)));
        facts.push(format!("which is {}{of}", speak.scene.id(peer)));
    }
    if life.role == Some(Role::Server) {
        facts.push(format!("from listener {}", words::id(speak.scene, life.listener)));
    }
    facts.join(SEPARATOR)
}

fn owner(life: &Life) -> String {
    let Some(owner) = &life.owner else { return "owner ?".to_owned() };
    let mut facts = vec![format!("owner {}", words::process(&owner.process))];
    if let Some(fd) = life.fd {
        facts.push(format!("fd {fd}"));
    }
    if let Some(uid) = owner.process.uid {
        facts.push(format!("uid {uid}"));
    }
    facts.join(SEPARATOR)
}

fn counts(life: &Life) -> Option<String> {
    let stats = life.stats?;
    let mut facts = Vec::new();
    if life.role == Some(Role::Listener) {
        facts.push(format!("queue {} of {}", stats.queue, stats.backlog));
        facts.push(format!("overflowed {}", stats.drops));
        facts.push(format!("accepted {}", life.accepted));
        return Some(facts.join(SEPARATOR));
    }
    let bytes = life.bytes()?;
    facts.push(format!("in {}", Size(bytes.received)));
    facts.push(format!("out {}", Size(bytes.sent)));
    if let Some(rtt) = life.rtt_us() {
        facts.push(format!("rtt {}", Duration(u64::from(rtt) * 1000)));
    }
    facts.push(counted(stats.retransmits.into(), "retransmit"));
    if life.verdict().is_none() {
        facts.push(format!("unread {}", Size(stats.unread.into())));
        // MPTCP does not tell.
        if life.transport == Transport::Tcp {
            facts.push(format!("unacknowledged {}", Size(stats.unacked.into())));
        }
    }
    Some(facts.join(SEPARATOR))
}

/// Each milestone with its time, and how long after the one before.
fn path(life: &Life, speak: &Speaker<'_>, lines: &mut Vec<String>) {
    if life.origin == Origin::Snapshot {
        lines.push("older than this trace: what happened before is not known".to_owned());
    }
    let mut before = None;
    for milestone in &life.path {
        let after =
            before.map_or_else(String::new, |before| format!("+{}", Duration(milestone.time.saturating_sub(before))));
        before = Some(milestone.time);
        let what = step(life, milestone);
        lines.push(format!("{}  {after:>11}  {what}", speak.when(milestone.time)));
    }
    if life.path_omitted > 0 {
        lines.push(format!("{} are left out before the last", counted(life.path_omitted, "step")));
    }
}

fn step(life: &Life, milestone: &Milestone) -> String {
    let moment = Moment::of(life, milestone);
    let mut facts = vec![milestone.phase.name().to_owned()];
    if let Some(actor) = &milestone.actor {
        facts.push(format!("by {}", words::process(&actor.process)));
    }
    if let Some(asked) = milestone.asked {
        facts.push(asked.to_string());
    }
    if let Some(fd) = milestone.fd {
        facts.push(format!("fd {fd}"));
    }
    if let Some(error) = milestone.error {
        facts.push(words::error(error));
    }
    if let Some(verdict) = moment.verdict() {
        facts.push(words::short_ending(&verdict).to_owned());
    }
    facts.join(SEPARATOR)
}
