//! Tables: what a column holds, and how a value reads as text.

use std::{
    fmt::{self, Write},
    net::IpAddr,
};

use crate::{
    event::{Endpoint, Errno, Time},
    lifecycle::{Holder, Life},
    output::{Occurrence, Scene, SocketId},
    untrusted::Untrusted,
};

/// What a column's values are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Text that repeats: names, addresses, the words of the contract.
    Word,
    /// Text of which nearly each is another.
    Text,
    /// A moment: nanoseconds since 1970, UTC.
    Time,
    /// A length of time in nanoseconds.
    Nanoseconds,
    U16,
    U32,
    U64,
    I32,
    Bool,
}

impl Kind {
    /// Its name in the documentation.
    #[cfg(test)]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Word | Self::Text => "text",
            Self::Time => "time",
            Self::Nanoseconds => "ns",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::I32 => "int32",
            Self::Bool => "bool",
        }
    }
}

/// One value of one row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// Not known, or there is none.
    Null,
    Bool(bool),
    /// Of any of the kinds of integers, and of lengths of time.
    Integer(i128),
    Time(Time),
    Word(&'static str),
    Address(IpAddr),
    Id(SocketId<'a>),
    Error(Errno),
    Container(&'a str),
    /// Text that someone else chose.
    Name(&'a Untrusted),
    Path(&'a Life),
    Holders(&'a [Holder]),
}

impl<'a> Value<'a> {
    pub(super) fn integer(value: Option<impl Into<i128>>) -> Self {
        value.map_or(Self::Null, |value| Self::Integer(value.into()))
    }

    pub(super) fn time(value: Option<Time>) -> Self {
        value.map_or(Self::Null, Self::Time)
    }

    pub(super) fn word(value: Option<&'static str>) -> Self {
        value.map_or(Self::Null, Self::Word)
    }

    pub(super) fn bool(value: Option<bool>) -> Self {
        value.map_or(Self::Null, Self::Bool)
    }

    pub(super) fn error(value: Option<Errno>) -> Self {
        value.map_or(Self::Null, Self::Error)
    }

    pub(super) fn name(value: Option<&'a Untrusted>) -> Self {
        value.map_or(Self::Null, Self::Name)
    }

    pub(super) fn address(end: Option<Endpoint>) -> Self {
        end.map_or(Self::Null, |end| Self::Address(end.address))
    }

    pub(super) fn port(end: Option<Endpoint>) -> Self {
        Self::integer(end.map(|end| end.port))
    }

    pub(super) fn id(scene: &'a Scene, number: Option<u64>) -> Self {
        number.map_or(Self::Null, |number| Self::Id(scene.id(number)))
    }

    /// Writes it as text. Of a value that is text the same in every table; a [`Self::Time`] is a matter of the format, and
    /// shows here as it came.
    pub(super) fn write(&self, out: &mut impl Write) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Bool(value) => out.write_str(if *value { "true" } else { "false" }),
            Self::Integer(value) => match u64::try_from(*value) {
                // Nearly all, and written in a third of the time.
                Ok(value) => write!(out, "{value}"),
                Err(_) => write!(out, "{value}"),
            },
            Self::Time(value) => write!(out, "{value}"),
            Self::Word(word) => out.write_str(word),
            Self::Container(id) => out.write_str(id),
            Self::Address(address) => write!(out, "{address}"),
            Self::Id(id) => write!(out, "{id}"),
            Self::Error(error) => out.write_str(&error.name()),
            Self::Name(name) => match plain(name) {
                Some(plain) => out.write_str(plain),
                None => write!(out, "{name}"),
            },
            Self::Path(life) => path(life, out),
            Self::Holders(holders) => self::holders(holders, out),
        }
    }
}

/// When something of a socket was first seen. A connect is timed at the call, which is before the kernel told of the socket.
pub(super) fn first_seen(life: &Life) -> Time {
    life.path.iter().map(|step| step.time).fold(life.first, Time::min)
}

/// A name that needs no escape, as nearly all are: printable ASCII.
fn plain(name: &Untrusted) -> Option<&str> {
    let plain = name.as_bytes().iter().all(|&byte| matches!(byte, b' '..=b'~') && byte != b'\\');
    if plain { str::from_utf8(name.as_bytes()).ok() } else { None }
}

/// `connect+0 established+210000 close!ETIMEDOUT+900000000`: each step, why it failed, and how many nanoseconds after the
/// socket was first seen.
fn path(life: &Life, out: &mut impl Write) -> fmt::Result {
    let first = first_seen(life);
    for (nth, milestone) in life.path.iter().enumerate() {
        if nth > 0 {
            out.write_char(' ')?;
        }
        out.write_str(milestone.phase.name())?;
        if let Some(error) = milestone.error {
            write!(out, "!{}", error.name())?;
        }
        // What is told of a socket that was found later than it was told of (a call entered before) is negative.
        write!(out, "+{}", milestone.time - first)?;
    }
    Ok(())
}

/// `812:6 814:6`: process and descriptor; `?` for a process that is not seen from here.
fn holders(holders: &[Holder], out: &mut impl Write) -> fmt::Result {
    for (nth, Holder { process, fd }) in holders.iter().enumerate() {
        if nth > 0 {
            out.write_char(' ')?;
        }
        match process.pid {
            Some(pid) => write!(out, "{pid}:{fd}")?,
            None => write!(out, "?:{fd}")?,
        }
    }
    Ok(())
}

/// How a value is got from a row.
pub(super) type Get<T> = for<'r, 'a> fn(&'r <T as Table>::Row<'a>) -> Value<'r>;

/// A column of a table.
pub(super) struct Column<T: Table + ?Sized> {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) get: Get<T>,
}

/// A table: its columns, and what makes a row of it.
pub(super) trait Table: 'static {
    /// What a row is made from.
    type Row<'a>;

    const COLUMNS: &'static [Column<Self>];

    /// A row for a whole life, if this table has one.
    fn socket<'a>(_: &'a Scene, _: &'a Life) -> Option<Self::Row<'a>> {
        None
    }

    /// A row for something that happened.
    fn event<'a>(_: &'a Scene, _: &'a Life, _: Occurrence<'a>) -> Option<Self::Row<'a>> {
        None
    }

    /// A row for events that were lost.
    fn lost<'a>(_: &'a Scene, _: Option<u64>, _: (Time, Time)) -> Option<Self::Row<'a>> {
        None
    }
}
