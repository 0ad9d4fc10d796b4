//! A text that someone types to choose among the sockets that are shown.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use super::{NameError, NamePattern, Network, NetworkError, has_failed, held};
use crate::{
    event::{Endpoint, State},
    lifecycle::{How, Life},
};

/// Words, of which all kinds must hold, and of one kind any: names of processes (globs too), addresses and ranges of them,
/// ends, ports, process ids, states, and how sockets ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    text: String,
    names: Vec<NamePattern>,
    places: Vec<Place>,
    /// A process, or a port.
    numbers: Vec<u32>,
    conditions: Vec<Condition>,
}

/// Where an end of it is.
#[derive(Clone, Copy, Debug)]
enum Place {
    Within(Network),
    At(Endpoint),
    Port(u16),
}

/// How it is with a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Condition {
    Open,
    Ended,
    Failed,
    /// It is open, and in this state.
    In(State),
    /// It ended so.
    By(How),
}

const STATES: [State; 10] = [
    State::Established,
    State::SynSent,
    State::SynReceived,
    State::FinWait1,
    State::FinWait2,
    State::TimeWait,
    State::CloseWait,
    State::LastAck,
    State::Listen,
    State::Closing,
];

const ENDS: [How; 7] =
    [How::Fin, How::Reset, How::Timeout, How::Refused, How::Unreachable, How::Aborted, How::Unaccepted];

/// Why a text is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum QueryError {
    #[error("{0}: {1}")]
    Name(String, NameError),
    #[error("{0}: {1}")]
    Network(String, NetworkError),
    #[error("{0}: a number is a port or the id of a process")]
    Number(String),
    #[error("{0}: a port is a number from 1 to 65535")]
    Port(String),
}

impl Query {
    /// Whether a socket passes. `other`: the one at its other end, where that is on this host. What is not known does not
    /// match.
    pub(crate) fn matches(&self, life: &Life, other: Option<&Life>) -> bool {
        let Self { text: _, names, places, numbers, conditions } = self;
        let process =
            |is: &dyn Fn(&crate::event::Process) -> bool| held(life, is) || other.is_some_and(|other| held(other, is));
        let end = |is: &dyn Fn(&Endpoint) -> bool| [life.local, life.peer].iter().flatten().any(is);
        super::any(names, |name| process(&|process| name.matches(&process.name)))
            && super::any(places, |place| end(&|end| place.is(end)))
            && super::any(numbers, |&number| {
                process(&|process| process.pid == Some(number)) || end(&|end| u32::from(end.port) == number)
            })
            && super::any(conditions, |condition| condition.holds(life))
    }
}

impl Place {
    fn is(self, end: &Endpoint) -> bool {
        match self {
            Self::Within(network) => network.contains(end.address),
            Self::At(at) => at == *end,
            Self::Port(port) => port == end.port,
        }
    }
}

impl Condition {
    fn named(word: &str) -> Option<Self> {
        // As `ss` and the RFC write them, too.
        let name = word.to_ascii_lowercase().replace('-', "_");
        let state = || STATES.into_iter().find(|state| state.name() == name);
        let how = || ENDS.into_iter().find(|how| how.name() == name);
        match &*name {
            "open" => Some(Self::Open),
            "ended" => Some(Self::Ended),
            "failed" => Some(Self::Failed),
            // A state and an end have this name: what is closed has ended.
            "closed" => Some(Self::Ended),
            _ => state().map(Self::In).or_else(|| how().map(Self::By)),
        }
    }

    fn holds(self, life: &Life) -> bool {
        let verdict = life.verdict();
        match self {
            Self::Open => verdict.is_none(),
            Self::Ended => verdict.is_some(),
            Self::Failed => has_failed(life),
            Self::In(state) => verdict.is_none() && life.state == state,
            Self::By(how) => verdict.is_some_and(|verdict| verdict.how == Some(how)),
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Query {
    type Err = QueryError;

    /// Reads words. One that is a state, an address or a number is taken as such; a process that is called so is found by a
    /// glob: `[c]losing`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut query = Self::default();
        for word in text.split_whitespace() {
            if !query.text.is_empty() {
                query.text.push(' ');
            }
            query.text.push_str(word);
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let address = word.split('/').next().and_then(|address| address.parse::<IpAddr>().ok());
            if let Some(condition) = Condition::named(word) {
                query.conditions.push(condition);
            } else if let Ok(end) = word.parse::<SocketAddr>() {
                query.places.push(Place::At(Endpoint { address: end.ip().to_canonical(), port: end.port() }));
            } else if address.is_some() {
                let network = word.parse().map_err(|error| QueryError::Network(word.to_owned(), error))?;
                query.places.push(Place::Within(network));
            } else if digits(word) {
                query.numbers.push(word.parse().map_err(|_| QueryError::Number(word.to_owned()))?);
            } else if let Some(port) = word.strip_prefix(':').filter(|port| digits(port)) {
                let port = port.parse().ok().filter(|&port| port != 0);
                query.places.push(Place::Port(port.ok_or_else(|| QueryError::Port(word.to_owned()))?));
            } else if looks_like_an_address(word) {
                return Err(QueryError::Network(word.to_owned(), NetworkError::Address));
            } else {
                query.names.push(word.parse().map_err(|error| QueryError::Name(word.to_owned(), error))?);
            }
        }
        Ok(query)
    }
}

/// Whether it was meant as an address, though it is none: digits with what stands between those of addresses.
fn looks_like_an_address(word: &str) -> bool {
    let all = |is: fn(&u8) -> bool| word.bytes().all(|byte| is(&byte) || matches!(byte, b'.' | b':' | b'/'));
    let numbers = all(u8::is_ascii_digit) && word.contains('.');
    numbers || all(u8::is_ascii_hexdigit) && word.contains(':') && word.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{CallKind, Event},
        lifecycle::Engine,
        output::stories::{MS, Story, client, process},
    };

    fn life(events: impl IntoIterator<Item = Event>) -> Life {
        let mut engine = Engine::new();
        events.into_iter().for_each(|event| engine.event(event));
        engine.lives().next().cloned().expect("one")
    }

    #[test]
    fn what_is_no_query_is_refused_with_the_word_and_why() {
        for (text, why) in [
            ("nginx 10.0.0.0/99", "10.0.0.0/99: a prefix length is a number from 0 to 32 for this address"),
            ("10.0.0.0/", "10.0.0.0/: a prefix length is a number from 0 to 32 for this address"),
            ("10.0.0", "10.0.0: an address is like 10.0.0.4 or ::1, a range of them like 10.0.0.0/8 or fd00::/8"),
            (
                "300.0.0.1/8",
                "300.0.0.1/8: an address is like 10.0.0.4 or ::1, a range of them like 10.0.0.0/8 or fd00::/8",
            ),
            (
                "fd00::1::2",
                "fd00::1::2: an address is like 10.0.0.4 or ::1, a range of them like 10.0.0.0/8 or fd00::/8",
            ),
            ("99999999999", "99999999999: a number is a port or the id of a process"),
            (":0", ":0: a port is a number from 1 to 65535"),
            (":65536", ":65536: a port is a number from 1 to 65535"),
            ("php[0-9", "php[0-9: a '[' needs its ']' (a '[' itself is written '[[]')"),
        ] {
            assert_eq!(
                text.parse::<Query>().map(|query| query.to_string()).map_err(|error| error.to_string()),
                Err(why.to_owned())
            );
        }
        assert_eq!("  nginx \t 10.0.0.0/8 ".parse::<Query>().unwrap().to_string(), "nginx 10.0.0.0/8");
    }

    #[test]
    fn a_query_finds_what_is_meant() {
        let accepted = Story::new(2, process("nginx", 813), "10.0.0.4:80", "10.0.0.5:40001")
            .child_of(1)
            .to(2 * MS, State::SynReceived, 0)
            .to(2 * MS, State::Established, 1680)
            .call(3 * MS, CallKind::Accept, 9, 0);
        let (life, curl) =
            (life(accepted.events), life(client(b"curl", "10.0.0.5:40001", "10.0.0.4:80").events.into_iter().take(2)));
        let (life, other) = (&life, Some(&curl));
        for (text, found) in [
            ("", true),
            ("nginx", true),
            ("ng*", true),
            ("httpd", false),
            ("httpd nginx", true),
            ("curl", true),
            ("813", true),
            ("40001", true),
            ("80", true),
            ("81", false),
            (":80", true),
            (":813", false),
            ("10.0.0.5", true),
            ("10.0.0.0/8", true),
            ("192.168.0.0/16", false),
            ("192.168.0.0/16 ::1 10.0.0.5", true),
            ("10.0.0.5:40001", true),
            ("10.0.0.5:40002", false),
            ("established", true),
            ("Established", true),
            ("fin-wait-1", false),
            ("close_wait established", true),
            ("open", true),
            ("ended", false),
            ("failed", false),
            ("reset", false),
            ("nginx established 10.0.0.0/8", true),
            ("nginx close_wait 10.0.0.0/8", false),
        ] {
            assert_eq!(text.parse::<Query>().unwrap().matches(life, other), found, "{text:?}");
        }
        assert!(!"curl".parse::<Query>().unwrap().matches(life, None), "the other end is elsewhere");
    }
}
