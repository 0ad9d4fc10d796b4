//! What is known of a target beside the lives that go on: what ended lately, how often things happen, and how its sockets
//! stood when they were last looked at. Knows no terminal and no kernel.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet, VecDeque},
    io,
    sync::Arc,
    time::Duration,
};

use super::rate::{Level, Rate};
use crate::{
    event::{Key, Process, Stats, Time},
    lifecycle::{Holder, How, Life, Milestone, Phase, Report, Role},
    output::{Scene, Sink, text::words},
    replay::Watch,
    select::{Filter, has_failed},
    source::Picture,
};

/// How many seconds the graphs go back, at most.
pub(crate) const SECONDS: usize = 128;

const SECOND: Time = 1_000_000_000;

/// How long a socket is shown after its end.
const SHOWN: Time = 20 * SECOND;

/// One that failed, and a listener.
const SHOWN_LONG: Time = 60 * SECOND;

/// Most ended sockets that are kept of each kind: a flood of one does not sweep the others away.
const MOST_ENDED: usize = 512;

/// Most processes of which the accepts on one listener are counted apart.
const MOST_PROCESSES: usize = 256;

/// What happens to connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Happens {
    pub(crate) total: u64,
    pub(crate) rate: Rate<SECONDS>,
}

impl Happens {
    fn add(&mut self, time: Time) {
        self.total += 1;
        self.rate.add(time);
    }
}

/// A process that accepts from a listener.
#[derive(Clone, Debug)]
pub(crate) struct Acceptor {
    pub(crate) process: Arc<Process>,
    pub(crate) total: u64,
    pub(crate) rate: Rate<4>,
}

/// What is done with a listener.
#[derive(Clone, Debug, Default)]
pub(crate) struct Service {
    /// Who accepts from it.
    pub(crate) acceptors: Vec<Acceptor>,
    pub(crate) accepts: Rate<SECONDS>,
    /// Connections that wait to be accepted, by their numbers.
    waiting: HashSet<u64>,
    pub(crate) queue: Level<SECONDS>,
}

impl Service {
    /// A connection begins to wait, or waits no more.
    fn waits(&mut self, time: Time, number: u64, begins: bool) {
        let changed = if begins { self.waiting.insert(number) } else { self.waiting.remove(&number) };
        if changed {
            self.queue.set(time, u32::try_from(self.waiting.len()).unwrap_or(u32::MAX));
        }
    }
}

/// How a socket stood when it was last looked at.
#[derive(Clone, Debug, Default)]
struct Stood {
    id: u64,
    stats: Stats,
    holders: Vec<Holder>,
    /// Of a listener that dropped connections while it was looked at: when.
    drops: Option<Box<Rate<SECONDS>>>,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    filter: Filter,
    /// The target alone was asked for.
    alone: bool,
    pub(crate) began: Time,
    pub(crate) connected: Happens,
    pub(crate) accepted: Happens,
    pub(crate) failed: Happens,
    pub(crate) closed: Happens,
    /// Sockets that were destroyed, and how many of them are enough.
    pub(crate) sockets: u64,
    limit: Option<u64>,
    pub(crate) incomplete: u64,
    pub(crate) lost: u64,
    pub(crate) gaps: u64,
    /// Newest last: listeners, those that failed, all others.
    ended: [VecDeque<Arc<Life>>; 3],
    /// By the listener's number.
    services: HashMap<u64, Service>,
    /// By the address of the socket.
    stood: HashMap<u64, Stood>,
    /// Whether that look saw everything.
    whole: bool,
}

impl Board {
    pub(crate) fn new(filter: Filter, began: Time, limit: Option<u64>) -> Self {
        let alone = Filter { target: None, ..filter.clone() }.is_empty();
        Self {
            filter,
            alone,
            began,
            connected: Happens::default(),
            accepted: Happens::default(),
            failed: Happens::default(),
            closed: Happens::default(),
            sockets: 0,
            limit,
            incomplete: 0,
            lost: 0,
            gaps: 0,
            ended: Default::default(),
            services: HashMap::new(),
            stood: HashMap::new(),
            whole: false,
        }
    }

    /// How long it is followed.
    pub(crate) fn elapsed(&self, now: Time) -> Duration {
        Duration::from_nanos(now.saturating_sub(self.began))
    }

    pub(crate) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Takes a report. Returns whether it has to do with the target.
    pub(crate) fn take(&mut self, report: Report<'_>) -> bool {
        match report {
            Report::Milestone { life, index } => {
                let matters = self.filter.matches(life);
                if let Some(milestone) = life.path.get(index).filter(|_| matters) {
                    self.milestone(life, milestone);
                }
                matters
            }
            Report::Socket(life) => {
                let matters = self.filter.matches(life);
                if matters {
                    self.over(life);
                }
                matters
            }
            Report::Lost { count, .. } => {
                self.gaps += 1;
                self.lost = self.lost.saturating_add(count.unwrap_or(0));
                true
            }
            Report::Signal { .. } => false,
        }
    }

    fn milestone(&mut self, life: &Life, milestone: &Milestone) {
        let time = milestone.time;
        let again = self.is_other_end(life);
        match milestone.phase {
            // A connect that fails says so again when it is closed, unless no SYN was sent.
            Phase::Connect if milestone.error.is_some() && !is_closed_as_failed(life) => {}
            _ if milestone.error.is_some() => self.failed.add(time),
            Phase::Established if !again => {
                self.connected.add(time);
                self.waits(life, time, true);
            }
            Phase::Accept => {
                self.waits(life, time, false);
                self.accepted.add(time);
                self.accept(life, milestone);
            }
            Phase::Close if !again && life.role != Some(Role::Listener) => {
                self.closed.add(time);
                let verdict = milestone.then.as_ref().map_or_else(|| life.verdict(), |then| then.verdict);
                let failed = verdict.filter(words::is_trouble).and_then(|verdict| verdict.how);
                if failed.is_some_and(|how| how != How::Failed) {
                    self.failed.add(time);
                }
            }
            _ => {}
        }
    }

    /// A connection begins to wait to be accepted, or waits no more.
    fn waits(&mut self, life: &Life, time: Time, begins: bool) {
        if let (Some(Role::Server), Some(listener)) = (life.role, life.listener) {
            let service = if begins {
                Some(self.services.entry(listener).or_default())
            } else {
                // Of a listener that is long gone nothing is kept.
                self.services.get_mut(&listener)
            };
            if let Some(service) = service {
                service.waits(time, life.number, begins);
            }
        }
    }

    /// Counts an accept for the process that did it.
    fn accept(&mut self, life: &Life, milestone: &Milestone) {
        let Some(listener) = life.listener else { return };
        let service = self.services.entry(listener).or_default();
        service.accepts.add(milestone.time);
        let Some(actor) = &milestone.actor else { return };
        let acceptors = &mut service.acceptors;
        let who = |process: &Process| (process.pid, process.start);
        let known = acceptors.iter().position(|acceptor| who(&acceptor.process) == who(&actor.process));
        let at = known.unwrap_or_else(|| {
            if acceptors.len() >= MOST_PROCESSES {
                // A server that forks for every connection: the one that is longest known is likely gone.
                acceptors.remove(0);
            }
            acceptors.push(Acceptor { process: actor.process.clone(), total: 0, rate: Rate::default() });
            acceptors.len() - 1
        });
        acceptors[at].total += 1;
        acceptors[at].rate.add(milestone.time);
    }

    fn over(&mut self, life: &Life) {
        self.incomplete += u64::from(!life.complete);
        let Some(destroyed) = life.destroyed else { return };
        self.waits(life, destroyed, false);
        self.sockets += 1;
        if self.is_other_end(life) {
            return;
        }
        let kind = match life.role {
            Some(Role::Listener) => 0,
            _ if has_failed(life) => 1,
            _ => 2,
        };
        let ended = &mut self.ended[kind];
        ended.push_back(Arc::new(life.clone()));
        if ended.len() > MOST_ENDED
            && let Some(oldest) = ended.pop_front()
        {
            self.services.remove(&oldest.number);
        }
    }

    /// Whether it is the client of a connection whose server is shown: both ends are on this host. The server tells of it.
    /// Other filters may hide the server.
    pub(crate) fn is_other_end(&self, life: &Life) -> bool {
        self.alone && life.role == Some(Role::Client) && life.peer_socket.is_some()
    }

    /// What ended and is still to be shown, newest first, listeners before all others.
    pub(crate) fn ended(&self, now: Time) -> impl Iterator<Item = &Life> {
        let [listeners, failed, others] = &self.ended;
        recent(listeners, now, SHOWN_LONG).chain(recent(failed, now, SHOWN_LONG)).chain(recent(others, now, SHOWN))
    }

    /// Whether a socket that is closed but still held is to be shown.
    pub(crate) fn is_shown(&self, life: &Life, now: Time) -> bool {
        is_shown(life, now, if has_failed(life) { SHOWN_LONG } else { SHOWN })
    }

    /// What is done with a listener; none if nothing was.
    pub(crate) fn service(&self, listener: u64) -> Option<&Service> {
        self.services.get(&listener)
    }

    /// Takes a look at the sockets as they are.
    pub(crate) fn picture(&mut self, picture: Picture, now: Time) {
        let mut before = std::mem::take(&mut self.stood);
        self.whole = picture.whole;
        for pictured in picture.sockets {
            let Key { id, addr } = pictured.key;
            let stood = self.stood.entry(addr).or_default();
            (stood.id, stood.stats) = (id, pictured.stats);
            stood.holders.extend(pictured.holder);
        }
        for (addr, stood) in &mut self.stood {
            let Some(known) = before.get_mut(addr).filter(|known| known.id == stood.id) else { continue };
            stood.drops = known.drops.take();
            let more = stood.stats.drops.saturating_sub(known.stats.drops);
            if more > 0 {
                stood.drops.get_or_insert_default().add_many(now, more);
            }
        }
    }

    /// Its counts as they were last seen.
    pub(crate) fn stats(&self, life: &Life) -> Option<Stats> {
        self.stood(life).map(|stood| stood.stats).or(life.stats)
    }

    /// Whether it was seen as it is.
    pub(crate) fn was_looked_at(&self, life: &Life) -> bool {
        self.stood(life).is_some()
    }

    /// When a listener dropped connections, if it was seen to.
    pub(crate) fn drops(&self, life: &Life) -> Option<&Rate<SECONDS>> {
        self.stood(life)?.drops.as_deref()
    }

    fn stood(&self, life: &Life) -> Option<&Stood> {
        // What it counted when it was closed is newer.
        let open = life.end.from.is_none() && life.destroyed.is_none();
        self.stood.get(&life.key.addr).filter(|stood| open && (life.key.id == 0 || stood.id == life.key.id))
    }

    /// A life with its counts and holders as they were last seen.
    pub(crate) fn fresh<'a>(&self, life: &'a Life) -> Cow<'a, Life> {
        let Some(stood) = self.stood(life) else { return Cow::Borrowed(life) };
        let mut life = life.clone();
        life.stats = Some(stood.stats);
        if !stood.holders.is_empty() {
            life.holders = Some(stood.holders.clone());
        } else if stood.stats.unheld {
            life.holders = Some(Vec::new());
        } else if self.whole {
            // Found by nobody's descriptor, and yet it is there: it is on its way between processes.
            life.holders = None;
        }
        Cow::Owned(life)
    }
}

impl Sink for Board {
    fn report(&mut self, _: &Scene, report: Report<'_>) -> io::Result<()> {
        self.take(report);
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.limit.is_some_and(|limit| self.sockets >= limit)
    }

    fn wants_signals(&self) -> bool {
        false
    }
}

impl Watch for Board {
    fn watches(&self, life: &Life) -> bool {
        self.filter.matches(life)
    }
}

fn is_closed_as_failed(life: &Life) -> bool {
    life.verdict().is_some_and(|verdict| verdict.how == Some(How::Failed))
}

/// Those that ended so short a time ago, newest first.
fn recent(lives: &VecDeque<Arc<Life>>, now: Time, shown: Time) -> impl Iterator<Item = &Life> {
    lives.iter().rev().map(|life| &**life).filter(move |life| is_shown(life, now, shown))
}

fn is_shown(life: &Life, now: Time, shown: Time) -> bool {
    now.saturating_sub(ended_at(life)) < shown
}

/// When it was closed; if that was not seen, when it was last heard of.
pub(crate) fn ended_at(life: &Life) -> Time {
    let closed = life.path.iter().rev().find(|milestone| milestone.phase == Phase::Close);
    closed.map(|milestone| milestone.time).or(life.destroyed).unwrap_or(life.first)
}
