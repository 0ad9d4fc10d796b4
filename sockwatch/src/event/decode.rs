//! From the kernel's bytes to events. Every field is read by value: nothing from outside is cast to a type of ours.

use bytes::Buf;
use sockwatch_ebpf::{self as abi, family, flag, kind, protocol};

use super::{CallKind, Endpoint, Errno, Event, Family, Key, Mark, Sock, State, Stats, Time, Transport, What};
use crate::untrusted::Untrusted;

/// A record that can't be understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// Shorter than its kind needs.
    #[error("a record of kind {kind} has {length} bytes: too few")]
    Short {
        /// Its kind.
        kind: u16,
        /// Its length.
        length: usize,
    },
    /// Not one of ours.
    #[error("a record of unknown kind {0}")]
    Kind(u16),
    /// A field with a value that the kernel does not use.
    #[error("a record of kind {kind} has the impossible {field} {value}")]
    Value {
        /// Its kind.
        kind: u16,
        /// The field.
        field: &'static str,
        /// What it says.
        value: u32,
    },
}

/// A decoded event whose process is named by bare ids.
pub type Raw = Event<RawTask>;

/// The process ids of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawTask {
    /// When the process started.
    pub start: Time,
    /// Its cgroup's id in the version 2 hierarchy; 0: not known.
    pub cgroup: u64,
    /// Its id; 0 where sockwatch's pid namespace can't see it.
    pub pid: u32,
    /// The thread's id, likewise.
    pub tid: u32,
    /// Its user.
    pub uid: u32,
    /// Whether it descends from the command that is traced.
    pub descendant: bool,
    /// Its name.
    pub name: [u8; 16],
}

/// Decodes one record.
///
/// # Errors
/// If it is short, of unknown kind, or has a value that can't be.
pub fn decode(record: &[u8]) -> Result<Raw, DecodeError> {
    let mut reader = Reader { kind: 0, bytes: record };
    reader.need(size_of::<abi::Head>())?;
    let kind = reader.bytes.get_u16_ne();
    reader.kind = kind;
    reader.bytes.advance(2);
    let flags = reader.bytes.get_u32_ne();
    let time = reader.bytes.get_u64_ne();
    let what = match kind {
        kind::TRANSITION => transition(&mut reader, flags)?,
        kind::STEP => step(&mut reader)?,
        kind::CLOSE => close(&mut reader, flags)?,
        kind::DESTROY => mark(&mut reader, Mark::Destroyed)?,
        kind::RETRANSMIT => mark(&mut reader, Mark::Retransmit)?,
        kind::RESET_SENT => mark(&mut reader, Mark::ResetSent)?,
        kind::RESET_RECEIVED => mark(&mut reader, Mark::ResetReceived)?,
        kind::BIND => call(&mut reader, CallKind::Bind)?,
        kind::LISTEN => call(&mut reader, CallKind::Listen)?,
        kind::CONNECT => call(&mut reader, CallKind::Connect)?,
        kind::ACCEPT => call(&mut reader, CallKind::Accept)?,
        kind::EXEC => exec(&mut reader, flags)?,
        kind::HELD | kind::EXISTS => snapshot(&mut reader, flags)?,
        _ => return Err(DecodeError::Kind(kind)),
    };
    Ok(Event { time, what })
}

struct Reader<'a> {
    kind: u16,
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn need(&self, length: usize) -> Result<(), DecodeError> {
        if self.bytes.remaining() < length {
            return Err(DecodeError::Short { kind: self.kind, length: self.bytes.remaining() });
        }
        Ok(())
    }

    fn bad(&self, field: &'static str, value: u32) -> DecodeError {
        DecodeError::Value { kind: self.kind, field, value }
    }

    fn state(&self, number: u32) -> Result<State, DecodeError> {
        State::from_kernel(number).ok_or_else(|| self.bad("state", number))
    }

    fn array(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.bytes.copy_to_slice(&mut bytes);
        bytes
    }

    fn sock(&mut self) -> Result<Sock, DecodeError> {
        self.need(size_of::<abi::Sock>())?;
        let id = self.bytes.get_u64_ne();
        let parent = self.bytes.get_u64_ne();
        let addr = self.bytes.get_u64_ne();
        let mptcp = self.bytes.get_u64_ne();
        let cookie = self.bytes.get_u64_ne();
        let (local, peer) = (self.array(), self.array());
        let (local_port, peer_port) = (self.bytes.get_u16_ne(), self.bytes.get_u16_ne());
        let family = match self.bytes.get_u16_ne() {
            family::INET => Family::Ipv4,
            family::INET6 => Family::Ipv6,
            other => return Err(self.bad("family", other.into())),
        };
        let transport = match self.bytes.get_u16_ne() {
            protocol::TCP => Transport::Tcp,
            protocol::MPTCP => Transport::Mptcp,
            protocol::SCTP => Transport::Sctp,
            other => return Err(self.bad("protocol", other.into())),
        };
        let netns = self.bytes.get_u32_ne();
        let state = self.bytes.get_u32_ne();
        Ok(Sock {
            key: Key { id, addr },
            parent,
            mptcp,
            cookie,
            netns,
            family,
            transport,
            state: self.state(state)?,
            local: Endpoint::new(family, local, local_port),
            peer: Endpoint::new(family, peer, peer_port),
        })
    }

    fn task(&mut self) -> Result<Option<RawTask>, DecodeError> {
        self.need(size_of::<abi::Task>())?;
        let start = self.bytes.get_u64_ne();
        let cgroup = self.bytes.get_u64_ne();
        let pid = self.bytes.get_u32_ne();
        let tid = self.bytes.get_u32_ne();
        let uid = self.bytes.get_u32_ne();
        let descendant = self.bytes.get_u32_ne() != 0;
        let name = self.array();
        Ok((start != 0).then_some(RawTask { start, cgroup, pid, tid, uid, descendant, name }))
    }

    fn stats(&mut self, flags: u32) -> Result<Stats, DecodeError> {
        self.need(size_of::<abi::Stats>())?;
        Ok(Stats {
            received: self.bytes.get_u64_ne(),
            acked: self.bytes.get_u64_ne(),
            srtt: self.bytes.get_u32_ne(),
            retransmits: self.bytes.get_u32_ne(),
            queue: self.bytes.get_u32_ne(),
            backlog: self.bytes.get_u32_ne(),
            drops: self.bytes.get_u32_ne(),
            error: Errno::new(self.bytes.get_i32_ne()),
            unread: self.bytes.get_u32_ne(),
            unacked: self.bytes.get_u32_ne(),
            counted: flags & flag::HAS_STATS != 0,
            fin_received: flags & flag::FIN_RECEIVED != 0,
            orphan: flags & flag::ORPHAN != 0,
            unheld: flags & flag::UNHELD != 0,
            nothing_sent: flags & flag::NOTHING_SENT != 0,
        })
    }
}

fn transition(reader: &mut Reader<'_>, flags: u32) -> Result<What<RawTask>, DecodeError> {
    reader.need(size_of::<abi::Transition>() - size_of::<abi::Head>())?;
    let (sock, by) = (reader.sock()?, reader.task()?);
    let called = reader.bytes.get_u64_ne();
    let to = reader.bytes.get_u32_ne();
    let fd = reader.bytes.get_i32_ne();
    let srtt = reader.bytes.get_u32_ne();
    let backlog = reader.bytes.get_u32_ne();
    let call = (flags & flag::IN_CALL != 0).then_some((called, fd));
    Ok(What::Transition { sock, to: reader.state(to)?, by, call, srtt, backlog })
}

fn step(reader: &mut Reader<'_>) -> Result<What<RawTask>, DecodeError> {
    reader.need(size_of::<abi::Step>() - size_of::<abi::Head>())?;
    let key = Key { id: reader.bytes.get_u64_ne(), addr: reader.bytes.get_u64_ne() };
    let parent = reader.bytes.get_u64_ne();
    let from = reader.bytes.get_u16_ne();
    let to = reader.bytes.get_u16_ne();
    reader.bytes.advance(4);
    let by = reader.task()?;
    Ok(What::Step { key, parent, from: reader.state(from.into())?, to: reader.state(to.into())?, by })
}

fn close(reader: &mut Reader<'_>, flags: u32) -> Result<What<RawTask>, DecodeError> {
    reader.need(size_of::<abi::Close>() - size_of::<abi::Head>())?;
    let (sock, by, stats) = (reader.sock()?, reader.task()?, reader.stats(flags)?);
    Ok(What::Close { sock, by, stats, in_call: flags & flag::IN_CALL != 0 })
}

fn mark(reader: &mut Reader<'_>, mark: Mark) -> Result<What<RawTask>, DecodeError> {
    reader.need(size_of::<abi::Mark>() - size_of::<abi::Head>())?;
    let key = Key { id: reader.bytes.get_u64_ne(), addr: reader.bytes.get_u64_ne() };
    let mptcp = reader.bytes.get_u64_ne();
    let state = reader.bytes.get_u32_ne();
    Ok(What::Mark { key, mptcp, state: reader.state(state)?, mark })
}

fn call(reader: &mut Reader<'_>, call: CallKind) -> Result<What<RawTask>, DecodeError> {
    reader.need(size_of::<abi::Call>() - size_of::<abi::Head>())?;
    let (sock, by) = (reader.sock()?, reader.task()?);
    let called = reader.bytes.get_u64_ne();
    let fd = reader.bytes.get_i32_ne();
    let error = Errno::new(reader.bytes.get_i32_ne());
    let backlog = (reader.bytes.get_i32_ne(), reader.bytes.get_u32_ne());
    Ok(What::Call {
        call,
        sock,
        by,
        called: (called != 0).then_some(called),
        fd: (fd >= 0).then_some(fd),
        error,
        backlog,
    })
}

fn exec(reader: &mut Reader<'_>, flags: u32) -> Result<What<RawTask>, DecodeError> {
    reader.need(size_of::<abi::Exec>() - size_of::<abi::Head>())?;
    let by = reader.task()?;
    let used = reader.bytes.get_u32_ne();
    reader.bytes.advance(4);
    let (places, _) = reader.bytes.as_chunks::<{ abi::COMPONENT }>();
    let Some(places) = places.get(..used as usize) else { return Err(reader.bad("path length", used)) };
    let whole = flags & flag::TRUNCATED == 0 && used > 0;
    let path = whole.then(|| {
        let mut whole = Vec::with_capacity(places.len() * abi::COMPONENT);
        let components = places.iter().rev().filter_map(|place| place.split(|&byte| byte == 0).next());
        for component in components.filter(|component| !component.is_empty()) {
            whole.push(b'/');
            whole.extend_from_slice(component);
        }
        Untrusted::new(&whole)
    });
    Ok(What::Exec { by, path })
}

fn snapshot(reader: &mut Reader<'_>, flags: u32) -> Result<What<RawTask>, DecodeError> {
    reader.need(size_of::<abi::Snapshot>() - size_of::<abi::Head>())?;
    let (sock, by, stats) = (reader.sock()?, reader.task()?, reader.stats(flags)?);
    let fd = reader.bytes.get_i32_ne();
    Ok(What::Exists { sock, stats, holder: by.map(|task| (task, fd)) })
}
