//! What a life's path tells, attempt by attempt: a socket may connect again after it failed.

use std::sync::Arc;

use crate::{
    event::{Endpoint, Errno, Process, Time},
    lifecycle::{How, Life, Milestone, Phase, Role, Verdict},
};

/// One thing that happened.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// A connection began.
    Opened,
    /// A bind, listen or accept failed.
    CallFailed(Failure<'a>),
    /// A connect came to nothing: before a SYN was sent, or after.
    ConnectFailed(Failure<'a>),
    /// A connection was reset. With whom, and how it ended.
    Reset(Option<Endpoint>, Verdict),
    /// A connection ended otherwise; whether badly.
    Closed(bool),
}

/// What failed.
#[derive(Debug)]
pub(super) struct Failure<'a> {
    /// The call, or how the connect ended.
    pub(super) what: &'static str,
    /// Why.
    pub(super) error: Option<Errno>,
    /// The address asked for.
    pub(super) end: Option<Endpoint>,
    /// Who asked.
    pub(super) by: Option<&'a Arc<Process>>,
}

/// Tells each step of a life and when it was, in order.
pub(super) fn walk<'a>(life: &'a Life, mut tell: impl FnMut(Time, Step<'a>)) {
    let owner = || life.owner.as_ref().map(|owner| &owner.process);
    let by = |milestone: &'a Milestone| milestone.actor.as_ref().map(|actor| &actor.process);
    let now = |milestone: &Milestone| milestone.then.is_none();
    // The connect whose outcome is not known yet.
    let mut connecting: Option<&Milestone> = None;
    let mut opened = false;
    for milestone in &life.path {
        let time = milestone.time;
        let then = milestone.then.as_ref();
        let peer = || then.map_or(life.peer, |then| then.peer);
        let local = || milestone.asked.or(then.map_or(life.local, |then| then.local));
        match milestone.phase {
            Phase::Bind | Phase::Listen | Phase::Accept if milestone.error.is_some() => {
                let (what, error) = (milestone.phase.name(), milestone.error);
                tell(time, Step::CallFailed(Failure { what, error, end: local(), by: by(milestone) }));
            }
            Phase::Bind | Phase::Listen | Phase::Accept => {}
            Phase::Connect if milestone.error.is_some() => {
                let failure =
                    Failure { what: How::Failed.name(), error: milestone.error, end: peer(), by: by(milestone) };
                tell(time, Step::ConnectFailed(failure));
            }
            Phase::Connect => {
                connecting = Some(milestone);
                opened = true;
                tell(time, Step::Opened);
            }
            Phase::SynReceived | Phase::Established => {
                connecting = None;
                if !std::mem::replace(&mut opened, true) {
                    tell(time, Step::Opened);
                }
            }
            Phase::Close => {
                let verdict = then.map_or_else(|| life.verdict(), |then| then.verdict);
                let how = verdict.and_then(|verdict| verdict.how);
                opened = false;
                match (connecting.take(), verdict, how) {
                    (Some(connect), Some(verdict), Some(how)) => {
                        let by = by(connect).or_else(owner);
                        let failure = Failure { what: how.name(), error: verdict.error, end: peer(), by };
                        tell(time, Step::ConnectFailed(failure));
                    }
                    (_, Some(verdict), Some(How::Reset)) => tell(time, Step::Reset(peer(), verdict)),
                    _ if life.role == Some(Role::Listener) && now(milestone) => {}
                    _ => tell(time, Step::Closed(how.is_some_and(is_bad))),
                }
            }
        }
    }
    // A connect that failed before a SYN, and whose call was not seen to return, has no CLOSE of its own.
    if let Some(connect) = connecting
        && let Some(verdict) = life.verdict().filter(|verdict| verdict.how == Some(How::Failed))
    {
        let by = by(connect).or_else(owner);
        let failure = Failure { what: How::Failed.name(), error: verdict.error, end: life.peer, by };
        tell(connect.time, Step::ConnectFailed(failure));
    }
}

/// Whether this is an end that `--failed` asks for.
pub(super) fn is_bad(how: How) -> bool {
    !matches!(how, How::Fin | How::Closed)
}
