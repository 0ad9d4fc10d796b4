//! What holds of a socket at one of its milestones. A life tells its last state; a socket that connects or listens again
//! has earlier milestones of which that is not true.

use crate::{
    event::{Endpoint, Time},
    lifecycle::{Life, Milestone, Phase, Role, Verdict},
};

/// A milestone of a life.
#[derive(Clone, Copy)]
pub(crate) struct Moment<'a> {
    pub(crate) life: &'a Life,
    pub(crate) milestone: &'a Milestone,
}

impl<'a> Moment<'a> {
    /// A milestone of this life, which need not be one that its path keeps.
    pub(crate) fn of(life: &'a Life, milestone: &'a Milestone) -> Self {
        Self { life, milestone }
    }

    /// The life, as far as it tells of this moment.
    pub(crate) fn life_now(&self) -> Option<&'a Life> {
        self.milestone.then.is_none().then_some(self.life)
    }

    /// The socket's own end.
    pub(crate) fn local(&self) -> Option<Endpoint> {
        match self.milestone.phase {
            Phase::Bind => self.milestone.asked,
            _ => self.milestone.then.as_ref().map_or(self.life.local, |then| then.local),
        }
    }

    /// The other end.
    pub(crate) fn peer(&self) -> Option<Endpoint> {
        match self.milestone.phase {
            Phase::Bind | Phase::Listen => None,
            _ => self.milestone.then.as_ref().map_or(self.life.peer, |then| then.peer),
        }
    }

    /// Whether this step of a server socket leads back to a listener.
    pub(crate) fn has_listener(&self) -> bool {
        let from_listener = matches!(self.milestone.phase, Phase::SynReceived | Phase::Established | Phase::Accept);
        from_listener && self.life.role == Some(Role::Server)
    }

    /// How it ended, if this is the end.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        if self.milestone.phase != Phase::Close {
            return None;
        }
        self.milestone.then.as_ref().map_or_else(|| self.life.verdict(), |then| then.verdict)
    }

    /// When what ends here began: the connection, or else the attempt at one, or the listening. None if that was not
    /// seen.
    pub(crate) fn began(&self) -> Option<Time> {
        let before = || {
            let path = self.life.path.iter().rev();
            path.filter(|other| other.time <= self.milestone.time && other.error.is_none())
        };
        before()
            .take_while(|other| !matches!(other.phase, Phase::Connect | Phase::Listen))
            .find(|other| other.phase == Phase::Established)
            .or_else(|| {
                before().find(|other| matches!(other.phase, Phase::Connect | Phase::Listen | Phase::SynReceived))
            })
            .map(|other| other.time)
    }
}
