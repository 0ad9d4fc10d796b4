//! What is drawn. Only what there is room for is put into words.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::Span,
    widgets::{Block, Clear, Paragraph, Widget},
};

use super::{
    board::{Happens, SECONDS},
    cells::{self, Columns, INDENT, cell},
    course::Course,
    details,
    keys::{Over, State},
    theme::Theme,
    tree::{Fact, Row, Tree, is_over},
    words::{self, Speaker},
};
use crate::{
    lifecycle::Life,
    output::text::{table::SEPARATOR, words::grouped},
    select::Target,
    untrusted::Untrusted,
};

const HELP: &[&str] = &[
    "↑ ↓ j k        move; PgUp PgDn Home End too",
    "→ ←            show and hide what is beneath a listener or a heading",
    "Enter, d       all about the chosen one: its path; a listener's graphs",
    "s              order: newest, oldest, bytes, rtt, retransmits, peer",
    "f              which sockets: all, open, ended, failed",
    "/              only those of: curl 10.0.0.0/8 10.0.0.5:4001 :80 4711",
    "               established reset open failed. A name may have * ? [a-z],",
    "               a number is a port or a process. All kinds of words must",
    "               hold, of one kind any. Esc: all again",
    "Ctrl-L         draw everything anew",
    "Ctrl-Z         stop sockwatch; fg goes on",
    "q, Ctrl-C      quit; a summary is told",
    "",
    "!              it failed: a call did, or it was refused, reset, timed out",
    "×              it has ended; it is shown for 20 seconds, or 60 if failed",
    "?              not known       -  does not exist       >9s  at least",
    "QUEUED         between established and accepted; grows while it waits",
    "queue 3 of 511 connections that wait to be accepted, and their limit",
    "overflowed     connections dropped because the queue was full",
    "1 of 2 on this address   listeners that share it, by SO_REUSEPORT or by",
    "               devices of their own",
];

/// What time does in a live view, and in a recording.
const LIVE_HELP: &[&str] = &["Space, p       pause; what happens meanwhile is counted, shown after"];
const RECORDED_HELP: &[&str] = &[
    "Space, p       stop time, and let it go on",
    "n              go on to the next event of a socket of the target",
    ", .            a second back, and on",
    "< >  [ ]       ten seconds, a minute",
    "b e            to the beginning, to the end",
    "x              time: as it happened, ten times as fast, or at once",
    "Tab            the next recording, if there are several",
];

/// What a screen is made of.
pub(crate) struct Scenery<'a> {
    pub(crate) target: Target,
    pub(crate) speak: Speaker<'a>,
    pub(crate) tree: &'a Tree<'a>,
    pub(crate) theme: Theme,
    /// Of a recording: where it is.
    pub(crate) course: Option<Course<'a>>,
}

impl Scenery<'_> {
    /// Draws it, and moves to where the keys led.
    pub(crate) fn draw(&self, buffer: &mut Buffer, area: Rect, state: &mut State) {
        let [header, course, graphs, titles, body, footer] = lines(area, self.course.is_some());
        self.header(buffer, header, state);
        self.course(buffer, course);
        self.graphs(buffer, graphs);
        let columns = Columns::new(body.width);
        columns.titles(buffer, titles, self.theme.strong());
        state.settle(self.tree, body.height.into());
        self.rows(buffer, body, &columns, state);
        self.footer(buffer, footer, state);
        match state.over {
            Over::Nothing => {}
            Over::Help => {
                let time = if self.course.is_some() { RECORDED_HELP } else { LIVE_HELP };
                let lines = time.iter().chain(HELP).map(|&line| line.to_owned());
                self.over(buffer, area, " Keys and signs ", lines, state);
            }
            Over::Details(number) => match self.tree.life(number) {
                Some(life) => {
                    let lines = details::lines(life, &self.speak, self.tree).into_iter();
                    self.over(buffer, area, " Socket ", lines, state);
                }
                None => {
                    let gone = "This socket ended, and is no longer shown. `sockwatch trace` tells of every one.";
                    self.over(buffer, area, " Socket ", [gone.to_owned()].into_iter(), state);
                }
            },
        }
    }

    fn header(&self, buffer: &mut Buffer, line: Rect, state: &State) {
        let Speaker { board, now, .. } = self.speak;
        let elapsed = words::Age(now.saturating_sub(board.began)).to_string();
        let what = if self.course.is_some() { "replay" } else { "follow" };
        let mut facts = vec![format!("{what} {}", self.target)];
        // Of a recording the next line tells it.
        facts.extend(Some(elapsed).filter(|_| self.course.is_none()));
        facts.extend([
            words::count(self.tree.listeners, "listener", "listeners"),
            words::count(self.tree.open, "open", "open"),
            format!("{} accepted", grouped(board.accepted.total)),
            format!("{} failed", grouped(board.failed.total)),
        ]);
        if let Some(query) = &state.wish.query {
            facts.insert(1, format!("/{}", shortened(&query.to_string(), 24)));
        }
        // First what is not to be overlooked: a narrow screen cuts the rest.
        if board.gaps > 0 {
            let lost = if board.lost == 0 { "SOME".to_owned() } else { grouped(board.lost) };
            facts.insert(1, format!("LOST {lost} EVENTS"));
        }
        if state.paused {
            facts.insert(1, "PAUSED".to_owned());
        }
        let style = if board.gaps > 0 { self.theme.bad() } else { Style::new() };
        cell(buffer, line, &facts.join(SEPARATOR), false, style.patch(self.theme.strong()));
    }

    fn course(&self, buffer: &mut Buffer, line: Rect) {
        let Some(course) = &self.course else { return };
        let text = course.line(self.speak.moment(self.speak.now));
        cell(buffer, line, &text, false, self.theme.service());
        let used = u16::try_from(Span::raw(&text).width()).unwrap_or(u16::MAX).saturating_add(2).min(line.width);
        let left = Rect { x: line.x + used, width: line.width - used, ..line };
        if let Some(bar) = course.bar(left.width.into()) {
            cell(buffer, left, &bar, false, self.theme.graph());
        }
    }

    fn graphs(&self, buffer: &mut Buffer, line: Rect) {
        let Speaker { board, now, .. } = self.speak;
        let serves = self.tree.listeners > 0 || board.accepted.total > 0;
        let first = if serves { ("accepted", &board.accepted) } else { ("connected", &board.connected) };
        let all = [first, ("closed", &board.closed), ("failed", &board.failed)];
        let each = line.width / 3;
        for (at, (name, happens)) in (0..).zip(all) {
            let place = Rect { x: line.x + at * each, width: each.saturating_sub(2), ..line };
            self.graph(buffer, place, name, happens, now);
        }
    }

    fn graph(&self, buffer: &mut Buffer, place: Rect, name: &str, happens: &Happens, now: u64) {
        let text = format!("{name} {}/s ", grouped(happens.rate.last(now).into()));
        cell(buffer, place, &text, false, Style::new());
        let used = u16::try_from(Span::raw(&text).width()).unwrap_or(u16::MAX).min(place.width);
        let left = Rect { x: place.x + used, width: place.width - used, ..place };
        let seconds = usize::from(left.width).min(SECONDS - 1);
        let series: Vec<u32> = happens.rate.series(now, seconds).collect();
        let style = if name == "failed" && happens.rate.last(now) > 0 { self.theme.bad() } else { self.theme.graph() };
        cell(buffer, left, &graph(&series), false, style);
    }

    fn rows(&self, buffer: &mut Buffer, body: Rect, columns: &Columns, state: &State) {
        if self.tree.rows.is_empty() {
            let text = match (&state.wish.query, self.tree.hidden) {
                (Some(query), hidden @ 1..) => format!(
                    "None of {} passes /{}; Esc shows them.",
                    words::count(hidden, "socket", "sockets"),
                    shortened(&query.to_string(), 40)
                ),
                _ if self.course.is_some() => {
                    format!("Nobody listens on {} or is connected to it at this time; n: the next event.", self.target)
                }
                _ => format!("Nobody listens on {} or is connected to it; waiting.", self.target),
            };
            let x = body.x + INDENT.min(body.width);
            cell(buffer, Rect { x, width: body.right() - x, ..body }, &text, false, Style::new());
            return;
        }
        for (line, row) in body.rows().zip(self.tree.rows.iter().skip(state.top)) {
            self.row(buffer, line, row, columns);
            if row.id().is_some() && row.id() == state.chosen {
                buffer.set_style(line, self.theme.chosen());
                // Where nothing shows as reversed.
                if buffer.cell((line.x, line.y)).is_some_and(|cell| cell.symbol() == " ") {
                    buffer.set_stringn(line.x, line.y, ">", line.width.into(), self.theme.chosen());
                }
            }
        }
    }

    fn row(&self, buffer: &mut Buffer, line: Rect, row: &Row<'_>, columns: &Columns) {
        let Self { speak, theme, .. } = self;
        let behind = |indent: u16| {
            let indent = indent.min(line.width);
            Rect { x: line.x + indent, width: line.width - indent, ..line }
        };
        let sign = |folded| if folded { "▸" } else { "▾" };
        match row {
            Row::Listener(listener) => {
                let style = if is_over(listener.life) { theme.quiet() } else { theme.service() };
                let mark = if is_over(listener.life) { "×" } else { sign(listener.folded) };
                cell(buffer, line, mark, false, style);
                cell(buffer, behind(INDENT), &speak.listener(listener), false, style);
            }
            Row::Fact(life, fact) => {
                let text = match fact {
                    Fact::Bound => speak.bound(life),
                    Fact::Held => speak.held(life),
                    Fact::Accepts => return self.accepts(buffer, behind(2 * INDENT), life),
                };
                cell(buffer, behind(2 * INDENT), &text, false, cells::row_style(life, *theme));
            }
            Row::Group { group, open, ended, folded } => {
                cell(buffer, line, sign(*folded), false, theme.service());
                let text = words::group(*group, self.target, *open, *ended);
                cell(buffer, behind(INDENT), &text, false, theme.service());
            }
            Row::Socket(life) => {
                cell(buffer, behind(1), cells::mark(life), false, theme.bad());
                columns.row(buffer, line, life, speak, self.tree, *theme);
            }
        }
    }

    /// How many are accepted, how many wait for it, and by whom.
    fn accepts(&self, buffer: &mut Buffer, line: Rect, life: &Life) {
        let Self { speak, theme, .. } = self;
        let (accepts, waits) = match line.width {
            ..60 => (0, 0),
            60..110 => (12, 0),
            110..150 => (16, 12),
            _ => (30, 20),
        };
        let service = speak.board.service(life.number);
        let rates = |seconds| service.map(|service| service.accepts.series(speak.now, seconds).collect());
        let levels = |seconds| service.map(|service| service.queue.series(speak.now, seconds).collect());
        let mut parts = vec![(format!("accepts {}/s ", grouped(speak.accept_rate(life).into())), Style::new())];
        if accepts > 0 {
            parts.push((graph(&rates(accepts).unwrap_or_else(|| vec![0; accepts])), theme.graph()));
        }
        if waits > 0 {
            parts.push((" queue ".to_owned(), Style::new()));
            parts.push((graph(&levels(waits).unwrap_or_else(|| vec![0; waits])), theme.graph()));
        }
        parts.push((format!(" {}", speak.acceptors(life)), Style::new()));
        let mut rest = line;
        for (text, style) in parts {
            cell(buffer, rest, &text, false, style);
            let used = u16::try_from(Span::raw(&text).width()).unwrap_or(u16::MAX).min(rest.width);
            rest = Rect { x: rest.x + used, width: rest.width - used, ..rest };
        }
    }

    fn footer(&self, buffer: &mut Buffer, line: Rect, state: &State) {
        if let Some(prompt) = &state.prompt {
            let text = Untrusted::new(prompt.text.as_bytes());
            let (hint, style) = match &prompt.wrong {
                Some(wrong) => (Untrusted::new(wrong.as_bytes()).to_string(), self.theme.bad()),
                None => ("Enter shows only these · Esc leaves it".to_owned(), Style::new()),
            };
            return cell(buffer, line, &format!("/{text}█  {hint}"), false, style.patch(self.theme.strong()));
        }
        let (sort, only) = (state.wish.sort.name(), state.wish.only.name());
        let pause = if state.paused { "Space go on" } else { "Space pause" };
        // What there is no room for is left out: the highest number first.
        let mut keys = match (state.over, self.course.is_some()) {
            (Over::Nothing, false) => vec![
                (0, "q quit".to_owned()),
                (3, "↑↓ move".to_owned()),
                (4, "←→ fold".to_owned()),
                (1, "Enter details".to_owned()),
                (1, format!("s {sort}")),
                (1, format!("f {only}")),
                (1, "/ filter".to_owned()),
                (2, pause.to_owned()),
                (0, "? help".to_owned()),
            ],
            (Over::Nothing, true) => vec![
                (0, "q quit".to_owned()),
                (1, pause.to_owned()),
                (1, "n next event".to_owned()),
                (2, ", . 1 s".to_owned()),
                (2, "< > 10 s".to_owned()),
                (3, "[ ] 1 min".to_owned()),
                (2, "b e ends".to_owned()),
                (2, "x speed".to_owned()),
                (5, "Enter details".to_owned()),
                (6, format!("s {sort}")),
                (6, format!("f {only}")),
                (4, "/ filter".to_owned()),
                (0, "? help".to_owned()),
            ],
            _ => vec![(0, "↑↓ scroll".to_owned()), (0, "Esc back".to_owned())],
        };
        let text = |keys: &[(u8, String)]| keys.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>().join("  ");
        while Span::raw(text(&keys)).width() > line.width.into()
            && let Some(last) = (0..keys.len()).rev().max_by_key(|&at| keys[at].0)
            && keys[last].0 > 0
        {
            keys.remove(last);
        }
        cell(buffer, line, &text(&keys), false, self.theme.quiet());
    }

    /// Lines in a frame over everything else; long ones go on in the next.
    fn over(
        &self,
        buffer: &mut Buffer,
        area: Rect,
        title: &str,
        lines: impl Iterator<Item = String>,
        state: &mut State,
    ) {
        let margin = |length: u16| if length > 60 { 2 } else { 0 };
        let (left, top) = (margin(area.width), u16::from(area.height > 12));
        let most =
            Rect { x: area.x + left, y: area.y + top, width: area.width - 2 * left, height: area.height - 2 * top };
        let room = usize::from(most.width.saturating_sub(4)).max(1);
        let lines: Vec<String> = lines.flat_map(|line| fold(&line, room)).collect();
        let count = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        let frame = Rect { height: count.saturating_add(2).min(most.height), ..most };
        state.scroll = state.scroll.min(count.saturating_sub(frame.height.saturating_sub(2)));
        Clear.render(frame, buffer);
        let block = Block::bordered().title(title);
        let within = block.inner(frame);
        block.render(frame, buffer);
        let within = Rect { x: within.x + 1.min(within.width), width: within.width.saturating_sub(2), ..within };
        let text: Vec<ratatui::text::Line<'_>> =
            lines.iter().skip(state.scroll.into()).map(|line| line.as_str().into()).collect();
        Paragraph::new(text).render(within, buffer);
    }
}

/// Header, where a recording is, graphs, titles, rows and footer. What there is no room for has no height.
fn lines(area: Rect, recorded: bool) -> [Rect; 6] {
    let mut y = area.y;
    let mut next = |height: u16| {
        let line = Rect { y, height: height.min(area.bottom() - y), ..area };
        y += line.height;
        line
    };
    let header = next(1);
    let course = next(u16::from(recorded && area.height >= 3));
    let graphs = next(u16::from(area.height >= 8));
    let titles = next(u16::from(area.height >= 5));
    let foot = u16::from(area.height >= 4);
    let above = header.height + course.height + graphs.height + titles.height + foot;
    let body = next(area.height.saturating_sub(above));
    [header, course, graphs, titles, body, next(foot)]
}

/// A text, cut where it is longer than that.
fn shortened(text: &str, length: usize) -> String {
    let text = Untrusted::new(text.as_bytes()).to_string();
    if text.chars().count() <= length { text } else { text.chars().take(length - 1).chain(['…']).collect() }
}

/// A bar for each count, the highest as high as the line.
pub(super) fn graph(counts: &[u32]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = u64::from(counts.iter().copied().max().unwrap_or(0).max(1));
    let bar = |&count: &u32| BARS[usize::try_from((u64::from(count) * 7).div_ceil(most)).unwrap_or(0).min(7)];
    counts.iter().map(bar).collect()
}

/// A line in parts of this width. A separator is the best place to part it, then a space.
fn fold(line: &str, room: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut width = 0;
    for word in line.split_inclusive(' ') {
        let length = Span::raw(word.trim_end()).width();
        if width > 0 && width + length > room {
            parts.push(std::mem::take(&mut part));
            part.push_str("    ");
            width = 4;
        }
        // A word that is longer than a line, an address or a path, is parted anywhere.
        for character in word.chars() {
            let wide = Span::raw(character.to_string()).width();
            if width + wide > room && character != ' ' {
                parts.push(std::mem::take(&mut part));
                width = 0;
            }
            part.push(character);
            width += wide;
        }
    }
    parts.push(part);
    parts
}
