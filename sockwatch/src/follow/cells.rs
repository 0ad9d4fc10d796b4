//! The columns of a connection: as many as there is room for, the most telling ones first.

use ratatui::{buffer::Buffer, layout::Rect, style::Style, text::Span};

use super::{
    theme::Theme,
    tree::{Tree, is_over},
    words::Speaker,
};
use crate::{
    event::{Process, State},
    lifecycle::{Life, Origin, Role},
    output::text::words::{self, Duration, Size},
};

/// A column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Peer,
    Owner,
    Fd,
    State,
    Age,
    In,
    Out,
    Rtt,
    Retransmits,
    Handshake,
    Queued,
}

/// Column, title, width, and whether it is flush right; in the order in which they stand.
const COLUMNS: [(Kind, &str, u16, bool); 11] = [
    (Kind::Peer, "PEER", 21, false),
    (Kind::Owner, "OWNER", 12, false),
    (Kind::Fd, "FD", 4, true),
    (Kind::State, "STATE", 14, false),
    (Kind::Age, "AGE", 7, true),
    (Kind::In, "IN", 7, true),
    (Kind::Out, "OUT", 7, true),
    (Kind::Rtt, "RTT", 8, true),
    (Kind::Retransmits, "RETR", 4, true),
    (Kind::Handshake, "HANDSHAKE", 9, true),
    (Kind::Queued, "QUEUED", 8, true),
];

/// The order in which they get room.
const FIRST: [Kind; 11] = [
    Kind::Peer,
    Kind::State,
    Kind::Owner,
    Kind::Age,
    Kind::In,
    Kind::Out,
    Kind::Fd,
    Kind::Rtt,
    Kind::Queued,
    Kind::Retransmits,
    Kind::Handshake,
];

/// What columns grow to where there is room, in this order: any descriptor, the longest address with its port, the longest
/// name with its pid.
const WIDEST: [(Kind, u16); 3] = [(Kind::Fd, 5), (Kind::Peer, 47), (Kind::Owner, 24)];

/// Room for marks before the first column.
pub(crate) const INDENT: u16 = 2;

/// The columns that fit.
#[derive(Debug)]
pub(crate) struct Columns {
    places: Vec<(Kind, &'static str, Rect, bool)>,
}

impl Columns {
    /// In a line of this width.
    pub(crate) fn new(width: u16) -> Self {
        let mut left = width.saturating_sub(INDENT);
        let mut chosen = Vec::new();
        for kind in FIRST {
            let need = COLUMNS.iter().find(|column| column.0 == kind).map_or(0, |column| column.2);
            let need = need + u16::from(!chosen.is_empty());
            if need > left {
                break;
            }
            left -= need;
            chosen.push(kind);
        }
        let mut columns: Vec<_> = COLUMNS.into_iter().filter(|column| chosen.contains(&column.0)).collect();
        for (kind, widest) in WIDEST {
            if let Some((_, _, width, _)) = columns.iter_mut().find(|column| column.0 == kind) {
                // Half of the room for each, so that something is left for the next.
                let more = left.div_ceil(2).min(widest.saturating_sub(*width));
                left -= more;
                *width += more;
            }
        }
        let mut x = INDENT;
        let mut places = Vec::new();
        for (kind, title, width, right) in columns {
            places.push((kind, title, Rect::new(x, 0, width, 1), right));
            x += width + 1;
        }
        Self { places }
    }

    /// Writes the titles.
    pub(crate) fn titles(&self, buffer: &mut Buffer, line: Rect, style: Style) {
        for (_, title, place, right) in &self.places {
            cell(buffer, at(line, *place), title, *right, style);
        }
    }

    /// Writes a row.
    pub(crate) fn row(
        &self,
        buffer: &mut Buffer,
        line: Rect,
        life: &Life,
        speak: &Speaker<'_>,
        tree: &Tree<'_>,
        theme: Theme,
    ) {
        let life = &*speak.board.fresh(life);
        for &(kind, _, place, right) in &self.places {
            let style = if kind == Kind::State { state_style(life, theme) } else { row_style(life, theme) };
            cell(buffer, at(line, place), &content(kind, place.width.into(), life, speak, tree), right, style);
        }
    }
}

fn content(kind: Kind, width: usize, life: &Life, speak: &Speaker<'_>, tree: &Tree<'_>) -> String {
    let connected = life.role.is_some();
    let unknown = || if connected { "?" } else { "-" }.to_owned();
    let time = |ns: Option<u64>| ns.map_or_else(unknown, |ns| Duration(ns).to_string());
    let only_of = |role, ns| if life.role == Some(role) { time(ns) } else { "-".to_owned() };
    match kind {
        Kind::Peer => {
            let asked = || life.path.iter().rev().find_map(|milestone| milestone.asked);
            let end = if connected { life.peer } else { life.local.or_else(asked) };
            let mut text = words::end(end, true).to_string();
            if let Some(owner) = tree.client_of(life).and_then(|client| client.owner.as_ref()) {
                text.push_str(&format!(" {}", owner.process.name));
            }
            text
        }
        Kind::Owner => match (&life.owner, life.role) {
            (Some(owner), _) => process(&owner.process, width),
            // What nobody accepted belongs to nobody.
            (None, Some(Role::Server)) if !life.was_accepted() && life.origin == Origin::Traced => "-".to_owned(),
            _ if life.holders.as_ref().is_some_and(Vec::is_empty) => "-".to_owned(),
            (None, _) => "?".to_owned(),
        },
        Kind::Fd => match (life.fd, &life.owner) {
            (Some(fd), _) => fd.to_string(),
            (None, Some(_)) => "?".to_owned(),
            (None, None) => "-".to_owned(),
        },
        Kind::State => speak.state(life),
        Kind::Age => speak.age(life),
        Kind::In => life.bytes().map_or_else(unknown, |bytes| Size(bytes.received).to_string()),
        Kind::Out => life.bytes().map_or_else(unknown, |bytes| Size(bytes.sent).to_string()),
        Kind::Rtt => life.rtt_us().map_or_else(unknown, |rtt| Duration(u64::from(rtt) * 1000).to_string()),
        Kind::Retransmits => {
            life.stats.filter(|stats| stats.counted).map_or_else(unknown, |stats| stats.retransmits.to_string())
        }
        Kind::Handshake if life.role == Some(Role::Client) => time(life.connect_ns),
        Kind::Handshake => only_of(Role::Server, life.handshake_ns),
        Kind::Queued => match life.established.filter(|_| life.role == Some(Role::Server) && !life.was_accepted()) {
            // It still waits.
            Some(since) if !is_over(life) => Duration(speak.now.saturating_sub(since)).to_string(),
            _ => only_of(Role::Server, life.accept_queue_ns),
        },
    }
}

/// A process; where there is no room for all of its name, its pid is what names it.
fn process(process: &Process, width: usize) -> String {
    let whole = words::process(process).to_string();
    let (name, pid) = whole.rsplit_once(' ').unwrap_or((&whole, ""));
    let room = width.saturating_sub(pid.len() + 2);
    if Span::raw(&whole).width() <= width || room == 0 {
        return whole;
    }
    let mut cut = String::new();
    for character in name.chars() {
        cut.push(character);
        if Span::raw(&cut).width() > room {
            cut.pop();
            break;
        }
    }
    format!("{cut}… {pid}")
}

/// `×` has ended, `!` has failed.
pub(crate) fn mark(life: &Life) -> &'static str {
    match (is_over(life), crate::select::has_failed(life)) {
        (_, true) => "!",
        (true, false) => "×",
        (false, false) => " ",
    }
}

/// What ended fades.
pub(crate) fn row_style(life: &Life, theme: Theme) -> Style {
    if is_over(life) { theme.quiet() } else { Style::new() }
}

fn state_style(life: &Life, theme: Theme) -> Style {
    if crate::select::has_failed(life) {
        return theme.bad();
    }
    match life.state {
        _ if is_over(life) => theme.quiet(),
        State::Established => theme.good(),
        _ => theme.warning(),
    }
}

/// A place in a line.
fn at(line: Rect, place: Rect) -> Rect {
    Rect { x: line.x + place.x, y: line.y, ..place }.intersection(line)
}

/// Writes into a place; what does not fit is cut, and says so.
pub(crate) fn cell(buffer: &mut Buffer, place: Rect, text: &str, right: bool, style: Style) {
    let width = usize::from(place.width);
    let length = Span::raw(text).width();
    if width == 0 || place.height == 0 {
        return;
    }
    if length > width {
        let (end, _) = buffer.set_stringn(place.x, place.y, text, width - 1, style);
        buffer.set_string(end, place.y, "…", style);
        return;
    }
    let before = if right { width - length } else { 0 };
    buffer.set_stringn(place.x + u16::try_from(before).unwrap_or(0), place.y, text, width, style);
}
