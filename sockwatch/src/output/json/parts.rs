//! What the lines are made of.

use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::stamp::{Stamp, Wall};
use crate::{
    event::{Actor, Endpoint, Errno, Family},
    lifecycle::{Holder, Life, Verdict},
    output::Scene,
    untrusted::Untrusted,
};

/// A socket's id.
pub(super) struct Id<'a> {
    pub(super) scene: &'a Scene,
    pub(super) number: u64,
}

impl Serialize for Id<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let id = self.scene.id(self.number);
        match id.alone() {
            Some(text) => serializer.serialize_str(text.as_str()),
            None => serializer.collect_str(&id),
        }
    }
}

/// Text from outside: escaped by the formatter.
pub(super) struct Name<'a>(pub(super) &'a Untrusted);

impl Serialize for Name<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_text())
    }
}

/// An errno's name.
pub(super) struct ErrorName(pub(super) Errno);

impl Serialize for ErrorName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.name())
    }
}

#[derive(Serialize)]
pub(super) struct End {
    address: IpAddr,
    port: u16,
}

impl End {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        let Endpoint { address, port } = endpoint;
        Self { address, port }
    }
}

/// Who did something.
#[derive(Serialize)]
pub(super) struct Doer<'a> {
    pid: Option<u32>,
    tid: Option<u32>,
    name: Name<'a>,
    uid: Option<u32>,
}

impl<'a> Doer<'a> {
    pub(super) fn new(actor: &'a Actor) -> Self {
        let Actor { process, tid, descendant: _ } = actor;
        Self { pid: process.pid, tid: *tid, name: Name(&process.name), uid: process.uid }
    }
}

/// Whose socket it is.
#[derive(Serialize)]
pub(super) struct Owner<'a> {
    #[serde(flatten)]
    doer: Doer<'a>,
    executable: Option<Name<'a>>,
    container: Option<&'a str>,
}

impl<'a> Owner<'a> {
    pub(super) fn new(actor: &'a Actor) -> Self {
        let process = &actor.process;
        let executable = process.executable.as_ref().map(Name);
        Self { doer: Doer::new(actor), executable, container: process.container.as_deref() }
    }
}

#[derive(Serialize)]
pub(super) struct Close {
    by: Option<&'static str>,
    how: Option<&'static str>,
    time_wait: Option<bool>,
    error: Option<ErrorName>,
}

impl Close {
    pub(super) fn new(verdict: Verdict) -> Self {
        let Verdict { by, how, time_wait, error } = verdict;
        Self { by: by.map(|by| by.name()), how: how.map(|how| how.name()), time_wait, error: error.map(ErrorName) }
    }
}

/// A life's milestones.
pub(super) struct Path<'a> {
    pub(super) life: &'a Life,
    pub(super) wall: Wall<'a>,
}

impl Serialize for Path<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Step<'a> {
            phase: &'static str,
            time: Stamp<'a>,
            pid: Option<u32>,
            error: Option<ErrorName>,
        }
        serializer.collect_seq(self.life.path.iter().map(|milestone| Step {
            phase: milestone.phase.name(),
            time: self.wall.at(milestone.time),
            pid: milestone.actor.as_ref().and_then(|actor| actor.process.pid),
            error: milestone.error.map(ErrorName),
        }))
    }
}

/// Who holds a socket.
pub(super) struct Holders<'a>(pub(super) &'a [Holder]);

impl Serialize for Holders<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Held<'a> {
            pid: Option<u32>,
            name: Name<'a>,
            fd: i32,
        }
        serializer.collect_seq(self.0.iter().map(|Holder { process, fd }| Held {
            pid: process.pid,
            name: Name(&process.name),
            fd: *fd,
        }))
    }
}

pub(super) fn family(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    }
}
