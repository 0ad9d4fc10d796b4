//! What `follow` and `list` are pointed at: a port, maybe of one address.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use crate::{
    event::{Endpoint, Transport},
    lifecycle::Life,
};

/// A port, as a user names it: `80`, `:80`, `tcp/80`, `10.0.0.4:80`, `[::1]:80`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// The transport; none: any that is followed.
    pub transport: Option<Transport>,
    /// The address; none: any.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

/// Why a text is no [`Target`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TargetError {
    /// As a whole.
    #[error("a target is like 80, :80, tcp/80, 10.0.0.4:80 or [::1]:80")]
    Form,
    /// What stands for the port.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// What stands before the slash.
    #[error("a transport is tcp, mptcp or sctp")]
    Transport,
}

impl Target {
    /// Whether a socket has to do with it: it has this end, or a listener serves it, or the other end is it.
    #[must_use]
    pub fn matches(&self, life: &Life) -> bool {
        if self.transport.is_some_and(|transport| transport != life.transport) {
            return false;
        }
        let asked = life.path.iter().filter_map(|milestone| milestone.asked.as_ref());
        life.local.iter().chain(asked).any(|end| self.is_served_by(end))
            || life.peer.as_ref().is_some_and(|end| self.is(end))
    }

    /// Whether a socket with these ends has to do with it.
    #[must_use]
    pub fn is_between(&self, local: &Endpoint, peer: &Endpoint) -> bool {
        self.is_served_by(local) || self.is(peer)
    }

    /// Whether it is this end.
    #[must_use]
    pub fn is(&self, end: &Endpoint) -> bool {
        end.port == self.port && self.address.is_none_or(|address| address == end.address)
    }

    /// Whether it is this local end, or an address among all those that a wildcard stands for. `::` may or may not serve
    /// IPv4 (`IPV6_V6ONLY`): what may is shown.
    #[must_use]
    pub fn is_served_by(&self, end: &Endpoint) -> bool {
        let wildcard = |address: IpAddr| end.address.is_unspecified() && (end.address.is_ipv6() || address.is_ipv4());
        end.port == self.port && self.address.is_none_or(|address| address == end.address || wildcard(address))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(transport) = self.transport {
            write!(f, "{}/", transport.name())?;
        }
        match self.address {
            Some(address) => Endpoint { address, port: self.port }.fmt(f),
            None if self.transport.is_some() => write!(f, "{}", self.port),
            None => write!(f, ":{}", self.port),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (transport, end) = match text.split_once('/') {
            Some((name, end)) => {
                let known = [Transport::Tcp, Transport::Mptcp, Transport::Sctp];
                let transport = known.into_iter().find(|transport| transport.name() == name.to_ascii_lowercase());
                (Some(transport.ok_or(TargetError::Transport)?), end)
            }
            None => (None, text),
        };
        let (address, port) = end.rsplit_once(':').unwrap_or(("", end));
        let address = match address {
            "" => None,
            bracketed if bracketed.starts_with('[') => {
                let inner = bracketed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
                let address: Ipv6Addr = inner.and_then(|inner| inner.parse().ok()).ok_or(TargetError::Form)?;
                Some(IpAddr::V6(address).to_canonical())
            }
            // An IPv6 address without brackets can't be told from one with a port.
            plain => Some(plain.parse().map(IpAddr::V4).map_err(|_| TargetError::Form)?),
        };
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(if address.is_some() { TargetError::Port } else { TargetError::Form });
        }
        let port = port.parse().ok().filter(|&port| port != 0).ok_or(TargetError::Port)?;
        Ok(Self { transport, address, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_as_people_write_it_and_shown_alike() {
        for (text, shown) in [
            ("80", ":80"),
            (":80", ":80"),
            ("tcp/80", "tcp/80"),
            ("TCP/:80", "tcp/80"),
            ("10.0.0.4:80", "10.0.0.4:80"),
            ("[::1]:65535", "[::1]:65535"),
            ("[::ffff:10.0.0.4]:80", "10.0.0.4:80"),
            ("mptcp/[::]:1", "mptcp/[::]:1"),
        ] {
            assert_eq!(text.parse::<Target>().map(|target| target.to_string()), Ok(shown.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_target_is_refused_with_what_is_wrong() {
        for (text, wrong) in [
            ("", TargetError::Form),
            ("http", TargetError::Form),
            ("10.0.0.4", TargetError::Form),
            ("::1", TargetError::Form),
            ("::1:80", TargetError::Form),
            ("[10.0.0.4]:80", TargetError::Form),
            ("[::1:80", TargetError::Form),
            ("example.com:80", TargetError::Form),
            ("10.0.0.4:", TargetError::Port),
            ("10.0.0.4:http", TargetError::Port),
            ("0", TargetError::Port),
            ("65536", TargetError::Port),
            ("+80", TargetError::Form),
            ("udp/53", TargetError::Transport),
        ] {
            assert_eq!(text.parse::<Target>(), Err(wrong), "{text}");
        }
    }

    #[test]
    fn a_wildcard_serves_the_addresses_of_its_family_and_the_one_of_ipv6_both() {
        for (target, end, served) in [
            ("80", "10.0.0.4:80", true),
            ("80", "10.0.0.4:81", false),
            ("10.0.0.4:80", "10.0.0.4:80", true),
            ("10.0.0.4:80", "10.0.0.5:80", false),
            ("10.0.0.4:80", "0.0.0.0:80", true),
            ("10.0.0.4:80", "[::]:80", true),
            ("[::1]:80", "[::]:80", true),
            ("[::1]:80", "0.0.0.0:80", false),
        ] {
            let socket: std::net::SocketAddr = end.parse().unwrap();
            let end = Endpoint { address: socket.ip(), port: socket.port() };
            assert_eq!(target.parse::<Target>().unwrap().is_served_by(&end), served, "{target} by {end}");
        }
    }
}
