//! What is shown, in order: listeners with their connections beneath, those that connect, what failed to begin. Nothing is
//! put into words here: of ten thousand rows a screen shows forty.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use super::board::{Board, ended_at};
use crate::{
    event::{Endpoint, Time},
    lifecycle::{Life, Origin, Role},
    select::{Query, has_failed},
};

/// What a row stands for: the same in the next picture, wherever it is there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum RowId {
    /// A socket, by its number.
    Socket(u64),
    /// A heading.
    Group(Group),
}

/// Sockets that are beneath no listener.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Group {
    /// Connections whose listener is gone, or not known.
    Orphans,
    /// Those that connect to the target.
    Clients,
    /// Bound, or not even that.
    Others,
}

/// What is told of a listener beneath it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fact {
    /// Who bound it, and when.
    Bound,
    /// Who holds it.
    Held,
    /// Who accepts from it, how often.
    Accepts,
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Row<'a> {
    Listener(Listener<'a>),
    Fact(&'a Life, Fact),
    Group {
        group: Group,
        open: usize,
        ended: usize,
        folded: bool,
    },
    /// A socket that is not a listener; one that is closed has a verdict.
    Socket(&'a Life),
}

/// A listener, and what is beneath it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listener<'a> {
    pub(crate) life: &'a Life,
    pub(crate) open: usize,
    /// Of those, how many are not shown.
    pub(crate) hidden: usize,
    /// Connections that wait to be accepted, as far as they are known.
    pub(crate) waiting: usize,
    pub(crate) folded: bool,
    /// Which one of how many that listen on the same address.
    pub(crate) place: (usize, usize),
}

impl Row<'_> {
    /// None for what can't be chosen.
    pub(crate) fn id(&self) -> Option<RowId> {
        match self {
            Self::Listener(listener) => Some(RowId::Socket(listener.life.number)),
            Self::Socket(life) => Some(RowId::Socket(life.number)),
            Self::Group { group, .. } => Some(RowId::Group(*group)),
            Self::Fact(..) => None,
        }
    }

    /// Whether it has rows beneath it.
    pub(crate) fn is_root(&self) -> bool {
        matches!(self, Self::Listener(_) | Self::Group { .. })
    }
}

/// In which order connections are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Sort {
    #[default]
    Newest,
    Oldest,
    Bytes,
    Rtt,
    Retransmits,
    Peer,
}

impl Sort {
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Newest => Self::Oldest,
            Self::Oldest => Self::Bytes,
            Self::Bytes => Self::Rtt,
            Self::Rtt => Self::Retransmits,
            Self::Retransmits => Self::Peer,
            Self::Peer => Self::Newest,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
            Self::Bytes => "bytes",
            Self::Rtt => "rtt",
            Self::Retransmits => "retransmits",
            Self::Peer => "peer",
        }
    }
}

/// Which sockets beneath the roots are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Only {
    #[default]
    All,
    Open,
    Ended,
    Failed,
}

impl Only {
    pub(crate) fn next(self) -> Self {
        match self {
            Self::All => Self::Open,
            Self::Open => Self::Ended,
            Self::Ended => Self::Failed,
            Self::Failed => Self::All,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Open => "open",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }

    fn passes(self, life: &Life) -> bool {
        match self {
            Self::All => true,
            Self::Open => !is_over(life),
            Self::Ended => is_over(life),
            Self::Failed => has_failed(life),
        }
    }
}

/// How the user wants it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    pub(crate) folded: HashSet<RowId>,
    pub(crate) sort: Sort,
    pub(crate) only: Only,
    /// What was typed.
    pub(crate) query: Option<Query>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Tree<'a> {
    pub(crate) rows: Vec<Row<'a>>,
    /// Listeners that listen.
    pub(crate) listeners: usize,
    /// Connections that are open, or about to be.
    pub(crate) open: usize,
    /// Sockets that are there, but not asked for.
    pub(crate) hidden: usize,
    /// Who is at the other end of a connection, where that is on this host.
    clients: HashMap<u64, &'a Life>,
    /// How many wait to be accepted, by their listener's number.
    waiting: HashMap<u64, usize>,
}

/// What is beneath a root.
#[derive(Default)]
struct Branch<'a> {
    open: Vec<&'a Life>,
    ended: Vec<&'a Life>,
    /// Of those that are open and that have ended, how many are not shown.
    hidden: (usize, usize),
}

impl<'a> Tree<'a> {
    /// From the lives that are known now.
    pub(crate) fn new(lives: impl Iterator<Item = &'a Life>, board: &'a Board, wish: &Wish, now: Time) -> Self {
        let mut tree = Self::default();
        let mut roots: Vec<&Life> = Vec::new();
        let mut sockets: Vec<&Life> = Vec::new();
        for life in lives.filter(|life| board.filter().matches(life)) {
            if let Some(listener) = life.listener.filter(|_| waits(life)) {
                *tree.waiting.entry(listener).or_default() += 1;
            }
            match life.role {
                Some(Role::Listener) if !is_over(life) || board.is_shown(life, now) => roots.push(life),
                _ if board.is_other_end(life) => drop(tree.clients.insert(life.number, life)),
                Some(Role::Listener) => {}
                _ if !is_over(life) || board.is_shown(life, now) => sockets.push(life),
                _ => {}
            }
        }
        // From here on in the order in which they ended.
        for life in board.ended(now) {
            if life.role == Some(Role::Listener) { roots.push(life) } else { sockets.push(life) }
        }
        roots.sort_by(|one, other| {
            let key = |life: &Life| (is_over(life), life.local.map(order_of), life.netns, life.transport.name());
            key(one).cmp(&key(other)).then(one.number.cmp(&other.number))
        });
        let at: HashMap<u64, usize> = roots.iter().enumerate().map(|(at, life)| (life.number, at)).collect();
        let mut beneath: Vec<Branch<'_>> = roots.iter().map(|_| Branch::default()).collect();
        let mut groups: [(Group, Branch<'_>); 3] =
            [Group::Orphans, Group::Clients, Group::Others].map(|group| (group, Branch::default()));
        tree.listeners = roots.iter().filter(|life| !is_over(life)).count();
        for life in sockets {
            let over = is_over(life);
            tree.open += usize::from(!over && life.role.is_some());
            let root = life.listener.and_then(|listener| at.get(&listener));
            let branch = match (life.role, root) {
                (Some(Role::Server), Some(&root)) => &mut beneath[root],
                (Some(Role::Client), _) => &mut groups[1].1,
                (Some(_), _) => &mut groups[0].1,
                (None, _) => &mut groups[2].1,
            };
            let asked = wish.query.as_ref().is_none_or(|query| query.matches(life, tree.client_of(life)));
            match (asked && wish.only.passes(life), over) {
                (true, false) => branch.open.push(life),
                (true, true) => branch.ended.push(life),
                (false, false) => branch.hidden.0 += 1,
                (false, true) => branch.hidden.1 += 1,
            }
            tree.hidden += usize::from(!asked);
        }
        let places = places(&roots);
        for ((life, branch), place) in roots.iter().zip(beneath).zip(places) {
            tree.listener(life, branch, place, board, wish);
        }
        for (group, branch) in groups {
            tree.group(group, branch, board, wish);
        }
        tree
    }

    fn listener(&mut self, life: &'a Life, branch: Branch<'a>, place: (usize, usize), board: &Board, wish: &Wish) {
        let folded = wish.folded.contains(&RowId::Socket(life.number));
        let (hidden, _) = branch.hidden;
        let waiting = self.waiting.get(&life.number).copied().unwrap_or(0);
        self.rows.push(Row::Listener(Listener {
            life,
            open: branch.open.len() + hidden,
            hidden,
            waiting,
            folded,
            place,
        }));
        if folded {
            return;
        }
        let facts = [Fact::Bound, Fact::Held, Fact::Accepts];
        let told = if is_over(life) { &facts[..1] } else { &facts[..] };
        self.rows.extend(told.iter().map(|&fact| Row::Fact(life, fact)));
        self.branch(branch, board, wish);
    }

    fn group(&mut self, group: Group, branch: Branch<'a>, board: &Board, wish: &Wish) {
        if branch.open.is_empty() && branch.ended.is_empty() {
            return;
        }
        let (open, ended) = (branch.open.len() + branch.hidden.0, branch.ended.len() + branch.hidden.1);
        let folded = wish.folded.contains(&RowId::Group(group));
        self.rows.push(Row::Group { group, open, ended, folded });
        if !folded {
            self.branch(branch, board, wish);
        }
    }

    fn branch(&mut self, mut branch: Branch<'a>, board: &Board, wish: &Wish) {
        branch.open.sort_by_cached_key(|life| sort_key(life, board, wish.sort));
        branch.ended.sort_by_cached_key(|life| Reverse((ended_at(life), life.number)));
        self.rows.extend(branch.open.into_iter().chain(branch.ended).map(Row::Socket));
    }

    /// The client of a connection, if it is on this host.
    pub(crate) fn client_of(&self, life: &Life) -> Option<&'a Life> {
        self.clients.get(&life.peer_socket?).copied()
    }

    /// The life that a row stands for.
    pub(crate) fn life(&self, wanted: u64) -> Option<&'a Life> {
        self.rows.iter().find_map(|row| match row {
            Row::Listener(Listener { life, .. }) | Row::Socket(life) if life.number == wanted => Some(*life),
            _ => None,
        })
    }
}

/// Whether it is closed, destroyed or not.
pub(crate) fn is_over(life: &Life) -> bool {
    life.verdict().is_some()
}

/// Whether it is in the queue of its listener: established, or closed since, and not accepted.
fn waits(life: &Life) -> bool {
    let unheld = || life.origin == Origin::Snapshot && life.holders.as_ref().is_some_and(Vec::is_empty);
    let there = life.role == Some(Role::Server) && life.destroyed.is_none() && !life.was_accepted();
    there && (life.established.is_some() || life.peer.is_some() && unheld())
}

/// Of each listener: which one it is of those that listen on the same address, and how many they are. They are in order.
fn places(roots: &[&Life]) -> Vec<(usize, usize)> {
    let same = |one: &Life, other: &Life| {
        let key = |life: &Life| (life.netns, life.local, life.transport, is_over(life));
        key(one) == key(other) && !is_over(one)
    };
    roots
        .chunk_by(|one, other| same(one, other))
        .flat_map(|group| (1..=group.len()).map(|nth| (nth, group.len())))
        .collect()
}

fn order_of(end: Endpoint) -> (u16, IpAddr) {
    (end.port, end.address)
}

/// What comes first is least.
fn sort_key(life: &Life, board: &Board, sort: Sort) -> (u64, Option<(IpAddr, u16)>, u64) {
    let newest = u64::MAX - life.number;
    let most = |count: u64| (u64::MAX - count, None, newest);
    let stats = || board.stats(life).filter(|stats| stats.counted);
    match sort {
        Sort::Newest => (0, None, newest),
        Sort::Oldest => (0, None, life.number),
        Sort::Bytes => most(stats().map_or(0, |stats| stats.received.saturating_add(stats.acked))),
        Sort::Rtt => most(stats().map_or(0, |stats| stats.srtt.into())),
        Sort::Retransmits => most(stats().map_or(0, |stats| stats.retransmits.into())),
        Sort::Peer => (0, life.peer.map(|end| (end.address, end.port)), newest),
    }
}
