//! Which sockets are shown.

mod name;
mod network;
mod query;
mod target;
#[cfg(test)]
mod tests;

pub use name::{NameError, NamePattern};
pub use network::{Network, NetworkError};
pub(crate) use query::Query;
pub use target::{Target, TargetError};

use crate::{
    event::{Endpoint, Family, Process},
    lifecycle::{How, Life, Role},
};

/// What a socket has to be like to be shown. Every kind that is asked for must hold; of several values of one kind any
/// will do. The default asks for nothing.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// What `follow` and `list` are pointed at.
    pub target: Option<Target>,
    /// The local or the peer's port.
    pub ports: Vec<u16>,
    /// The local port.
    pub local_ports: Vec<u16>,
    /// The peer's port.
    pub peer_ports: Vec<u16>,
    /// The local or the peer's address.
    pub addresses: Vec<Network>,
    /// Its owner or a process that holds it, in sockwatch's pid namespace.
    pub pids: Vec<u32>,
    /// The name of its owner or of a process that holds it.
    pub processes: Vec<NamePattern>,
    /// The user of its owner or of a process that holds it.
    pub uids: Vec<u32>,
    /// The inode of its network namespace.
    pub netns: Vec<u32>,
    /// What the id of its owner's or a holder's container begins with.
    pub containers: Vec<String>,
    /// What it is for.
    pub roles: Vec<Role>,
    /// The family of the socket, whatever addresses it carries.
    pub families: Vec<Family>,
    /// Only those of which a call failed, or that came to a bad end.
    pub failed: bool,
    /// Only those of the command that is traced, and of its descendants.
    pub descendants: bool,
}

impl Filter {
    /// Whether every socket passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self {
            target,
            ports,
            local_ports,
            peer_ports,
            addresses,
            pids,
            processes,
            uids,
            netns,
            containers,
            roles,
            families,
            failed,
            descendants,
        } = self;
        let numbers = [pids, uids, netns];
        [ports, local_ports, peer_ports].iter().all(|wanted| wanted.is_empty())
            && numbers.iter().all(|wanted| wanted.is_empty())
            && target.is_none()
            && addresses.is_empty()
            && processes.is_empty()
            && containers.is_empty()
            && roles.is_empty()
            && families.is_empty()
            && !failed
            && !descendants
    }

    /// Whether a socket passes, by what is known of it now. What is not known does not match.
    #[must_use]
    pub fn matches(&self, life: &Life) -> bool {
        let Self {
            target,
            ports,
            local_ports,
            peer_ports,
            addresses,
            pids,
            processes,
            uids,
            netns,
            containers,
            roles,
            families,
            failed,
            descendants,
        } = self;
        target.is_none_or(|target| target.matches(life))
            && any(roles, |&role| life.role == Some(role))
            && any(families, |&family| life.family == Some(family))
            && any(netns, |&inode| life.netns == Some(inode))
            && any(peer_ports, |&port| peer(life, |end| end.port == port))
            && any(local_ports, |&port| local(life, |end| end.port == port))
            && any(ports, |&port| local(life, |end| end.port == port) || peer(life, |end| end.port == port))
            && any(addresses, |network| {
                let within = |end: &Endpoint| network.contains(end.address);
                local(life, within) || peer(life, within)
            })
            && any(pids, |&pid| held(life, |process| process.pid == Some(pid)))
            && any(uids, |&uid| held(life, |process| process.uid == Some(uid)))
            && any(processes, |pattern| held(life, |process| pattern.matches(&process.name)))
            && any(containers, |prefix| held(life, |process| in_container(process, prefix)))
            && (!failed || has_failed(life))
            && (!descendants || life.descendant)
    }

    /// The options that mean this filter, but for [`Self::descendants`] and [`Self::target`], which are none.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let Self {
            target: _,
            ports,
            local_ports,
            peer_ports,
            addresses,
            pids,
            processes,
            uids,
            netns,
            containers,
            roles,
            families,
            failed,
            descendants: _,
        } = self;
        let mut words = Vec::new();
        let mut add = |option: &str, value: String| words.push(format!("--{option}={value}"));
        for (option, ports) in [("port", ports), ("local-port", local_ports), ("peer-port", peer_ports)] {
            ports.iter().for_each(|port| add(option, port.to_string()));
        }
        for (option, numbers) in [("pid", pids), ("uid", uids), ("netns", netns)] {
            numbers.iter().for_each(|number| add(option, number.to_string()));
        }
        addresses.iter().for_each(|network| add("address", network.to_string()));
        processes.iter().for_each(|pattern| add("process", pattern.to_string()));
        containers.iter().for_each(|prefix| add("container", prefix.clone()));
        roles.iter().for_each(|role| add("role", role.name().to_owned()));
        for family in families {
            add("family", if *family == Family::Ipv4 { "4" } else { "6" }.to_owned());
        }
        if *failed {
            words.push("--failed".to_owned());
        }
        words
    }

    /// Why no socket can ever pass, if that is so.
    #[must_use]
    pub fn conflict(&self) -> Option<String> {
        let listeners_alone = !self.roles.is_empty() && self.roles.iter().all(|&role| role == Role::Listener);
        if listeners_alone && !self.peer_ports.is_empty() {
            return Some("--role listener with --peer-port shows nothing: a listener has no peer".to_owned());
        }
        let ipv4_alone = !self.families.is_empty() && self.families.iter().all(|&family| family == Family::Ipv4);
        let ipv6_addresses = !self.addresses.is_empty() && self.addresses.iter().all(Network::is_ipv6);
        // The other way round is none: an IPv6 socket may carry IPv4.
        (ipv4_alone && ipv6_addresses)
            .then(|| "--family 4 with an IPv6 --address shows nothing: an IPv4 socket has no IPv6 address".to_owned())
    }
}

fn any<T>(wanted: &[T], is: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(is)
}

/// Whether its own end is like this, or one that a failed bind asked for: that is the one it would have had.
fn local(life: &Life, is: impl Fn(&Endpoint) -> bool) -> bool {
    life.local.as_ref().is_some_and(&is) || life.path.iter().any(|milestone| milestone.asked.as_ref().is_some_and(&is))
}

fn peer(life: &Life, is: impl Fn(&Endpoint) -> bool) -> bool {
    life.peer.as_ref().is_some_and(is)
}

/// Whether its owner or a holder is like this.
fn held(life: &Life, is: impl Fn(&Process) -> bool) -> bool {
    life.owner.as_ref().is_some_and(|owner| is(&owner.process))
        || life.holders.iter().flatten().any(|holder| is(&holder.process))
}

fn in_container(process: &Process, prefix: &str) -> bool {
    let start = process.container.as_deref().and_then(|id| id.get(..prefix.len()));
    start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Whether a call of it failed, or it came to a bad end.
pub(crate) fn has_failed(life: &Life) -> bool {
    let bad = |how| !matches!(how, How::Fin | How::Closed);
    life.has_failed_call() || life.verdict().and_then(|verdict| verdict.how).is_some_and(bad)
}
