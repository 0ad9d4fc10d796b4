//! The sockets that exist at one moment, and nothing that happens to them.

use super::Step;
use crate::{
    clock::boot_time,
    event::{Event, Key, Sock, Stats, What, decode},
    identity::Identities,
    kernel::{Found, Iterators},
    lifecycle::Holder,
};

/// All that exists, as a run of its own.
#[derive(Debug)]
pub struct Still {
    /// That each of them exists, and that these are all; then the end.
    pub steps: Vec<Step>,
    /// What could not be looked at, and why.
    pub unseen: Vec<String>,
}

/// Looks at all sockets, and at who holds them.
#[must_use]
pub fn still(iterators: &mut Iterators) -> Still {
    let Found { records, mut unseen } = iterators.run(true);
    let (mut events, unreadable) = understood(&records, &mut Identities::new(), &|_| true);
    if unreadable > 0 {
        unseen.push(format!("{unreadable} records of sockets could not be understood"));
    }
    events.push(Event { time: boot_time().unwrap_or(0), what: What::Surveyed });
    let steps = events.into_iter().map(Step::Event).chain([Step::End]).collect();
    Still { steps, unseen }
}

/// What exists at one moment, beside a run: nothing of it is a step, so that a run that is looked at tells the same as one that
/// is not.
#[derive(Debug, Default)]
pub struct Picture {
    /// The sockets; one that several descriptors hold is there for each of them.
    pub sockets: Vec<Pictured>,
    /// Whether everything could be looked at.
    pub whole: bool,
}

/// A socket that exists.
#[derive(Debug)]
pub struct Pictured {
    /// Which.
    pub key: Key,
    /// Its counts.
    pub stats: Stats,
    /// Who holds it, if it was found by a descriptor.
    pub holder: Option<Holder>,
}

/// Looks at the sockets that pass, and at who holds them.
pub(super) fn picture(
    iterators: &mut Iterators,
    identities: &mut Identities,
    wanted: &dyn Fn(&Sock) -> bool,
) -> Picture {
    let Found { records, unseen } = iterators.run(true);
    let (events, unreadable) = understood(&records, identities, wanted);
    let pictured = |event: Event| match event.what {
        What::Exists { sock, stats, holder } => {
            let holder = holder.map(|(actor, fd)| Holder { process: actor.process, fd });
            Some(Pictured { key: sock.key, stats, holder })
        }
        _ => None,
    };
    Picture { sockets: events.into_iter().filter_map(pictured).collect(), whole: unseen.is_empty() && unreadable == 0 }
}

/// What the iterators' records say, of sockets that pass; and how many could not be understood. Who holds one that does not pass
/// is not looked up.
pub(super) fn understood(
    records: &[Vec<u8>],
    identities: &mut Identities,
    wanted: &dyn Fn(&Sock) -> bool,
) -> (Vec<Event>, u64) {
    let mut events = Vec::with_capacity(records.len());
    let mut unreadable = 0;
    for record in records {
        match decode(record) {
            Ok(raw) if matches!(&raw.what, What::Exists { sock, .. } if wanted(sock)) => {
                events.push(identities.resolve(raw));
            }
            Ok(_) => {}
            Err(_) => unreadable += 1,
        }
    }
    (events, unreadable)
}
