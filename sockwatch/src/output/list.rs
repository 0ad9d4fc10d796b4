//! The still picture: a row for each socket that exists, with whoever holds it.

use std::{
    collections::HashMap,
    fmt::Display,
    io::{self, Write},
    sync::Arc,
};

use anstyle::{AnsiColor, Style};

use super::{
    Format, Json, Scene, Sink, Start, Summary,
    text::{
        table::{Column, Facts, Table},
        words,
    },
};
use crate::{
    event::{Endpoint, Process, State},
    lifecycle::{Life, Report, Role},
    select::Filter,
};

const BOLD: Style = Style::new().bold();
const QUIET: Style = Style::new().dimmed();
const PLAIN: Style = Style::new();
const SERVICE: Style = AnsiColor::Cyan.on_default();
const WARNING: Style = AnsiColor::Yellow.on_default();

/// Sockets as they are at one moment.
#[derive(Debug)]
pub struct List {
    filter: Filter,
    lives: Vec<Life>,
    /// Who holds each of them, those too that are not shown: they may be the other end of one that is.
    known: HashMap<u64, Option<Arc<Process>>>,
}

/// How text is laid out.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListOptions {
    /// Whether to use colors.
    pub color: bool,
    /// The terminal's columns, if it is one.
    pub width: Option<u16>,
    /// The network namespace that needs no mention: the reader's own.
    pub netns: Option<u32>,
}

impl List {
    /// Of the sockets that pass the filter.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        Self { filter, lives: Vec::new(), known: HashMap::new() }
    }

    /// How many sockets it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lives.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lives.is_empty()
    }

    /// Puts a listener before its connections, and what belongs to one port together.
    pub fn sort(&mut self) {
        let end = |end: Option<Endpoint>| end.map_or((0, None), |end| (end.port, Some(end.address)));
        self.lives.sort_by_cached_key(|life| {
            let (port, address) = end(life.local);
            (life.netns, port, place(life), address, end(life.peer), life.number)
        });
    }

    /// Writes a row for each, with titles.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn text(&self, out: &mut dyn Write, scene: &Scene, options: ListOptions) -> io::Result<()> {
        let columns = vec![
            Column::new("SOCKET", 0),
            Column::new("PROCESS", 16).at_most(25),
            Column::new("STATE", "syn_received".len()),
            Column::new("LOCAL", 19),
            Column::new("PEER", 19),
            Column::new("RECV-Q", 0).right(),
            Column::new("SEND-Q", 0).right(),
            Column::new("DETAIL", 0),
        ];
        let ListOptions { color, width, netns } = options;
        let mut table = Table::new(columns, color, width);
        table.titles(out, "SOCKET")?;
        for life in &self.lives {
            table.add(scene.id(life.number), BOLD);
            match life.holders.as_deref() {
                Some([]) => table.add_text("-", PLAIN),
                Some([first, rest @ ..]) => {
                    let mut others: Vec<_> = rest.iter().map(|holder| holder.process.pid).collect();
                    others.retain(|&pid| pid != first.process.pid);
                    others.sort_unstable();
                    others.dedup();
                    process(&mut table, &first.process, others.len());
                }
                None => table.add_text("?", PLAIN),
            }
            match life.state {
                State::Listen => table.add_text(life.state.name(), SERVICE),
                State::Closed if life.role.is_none() && life.local.is_some() => table.add_text("bound", PLAIN),
                state => table.add_text(state.name(), PLAIN),
            }
            table.add(words::end(life.local, true), PLAIN);
            table.add(words::end(life.peer, is_connected(life)), PLAIN);
            let (received, sent) = life.queues().map_or((None, None), |(received, sent)| (Some(received), Some(sent)));
            queue(&mut table, received);
            queue(&mut table, sent);
            table.add_facts(PLAIN, |facts| self.detail(facts, scene, life, netns));
            table.end_row(out)?;
        }
        Ok(())
    }

    fn detail(&self, facts: &mut Facts<'_>, scene: &Scene, life: &Life, netns: Option<u32>) {
        match life.holders.as_deref() {
            Some([]) if life.state == State::TimeWait => {}
            Some([]) if life.state == State::SynReceived => facts.add("half open"),
            Some([]) if life.role == Some(Role::Server) && !life.stats.is_some_and(|stats| stats.orphan) => {
                facts.add("waits to be accepted");
            }
            Some([]) => facts.add("held by no process"),
            Some([one]) => facts.add(format_args!("fd {}", one.fd)),
            Some(_) => facts.add_some(super::text::holders(life)),
            None => facts.add("who holds it can't be seen from here"),
        }
        if let Some(container) = container(life) {
            facts.add(format_args!("container {}", container.get(..12).unwrap_or(container)));
        }
        match life.role {
            Some(Role::Listener) => {
                let dropped = life.stats.map_or(0, |stats| stats.drops);
                facts.add_some((dropped > 0).then(|| format!("dropped {dropped}")));
            }
            Some(Role::Server) => facts.add_some(life.listener.map(|number| format!("from {}", scene.id(number)))),
            Some(Role::Client) | None => {}
        }
        if let Some(number) = life.peer_socket {
            match self.known.get(&number).and_then(Option::as_deref) {
                Some(process) => facts.add(format_args!("peer is {} ({})", scene.id(number), words::process(process))),
                None => facts.add(format_args!("peer is {}", scene.id(number))),
            }
        }
        words::counts(facts, life);
        facts.add_some(life.netns.filter(|_| life.netns != netns).map(|inode| format!("netns {inode}")));
        let transport = life.transport.name();
        facts.add_some((transport != "tcp").then_some(transport));
    }

    /// Writes JSON lines: what can be seen, each socket, and how many there are.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn json(&self, out: &mut dyn Write, scene: &Scene, start: &Start) -> io::Result<()> {
        let mut json = Json::with_queues();
        json.start(out, start)?;
        for life in &self.lives {
            json.socket(out, scene, life)?;
        }
        let complete = self.lives.iter().all(|life| life.complete);
        let sockets = self.lives.len() as u64;
        json.summary(out, &Summary { events: 0, sockets, lost: 0, gaps: 0, complete })
    }
}

impl Sink for List {
    fn report(&mut self, _: &Scene, report: Report<'_>) -> io::Result<()> {
        if let Report::Socket(life) = report {
            let holder = life.holders.as_deref().and_then(|holders| holders.first());
            self.known.insert(life.number, holder.map(|holder| holder.process.clone()));
            if self.filter.matches(life) {
                self.lives.push(life.clone());
            }
        }
        Ok(())
    }

    fn wants_signals(&self) -> bool {
        false
    }
}

fn process(table: &mut Table, first: &Process, more: usize) {
    match more {
        0 => table.add(words::process(first), PLAIN),
        _ => table.add(format_args!("{} +{more}", words::process(first)), PLAIN),
    }
}

/// What waits in a queue: what does stands out.
fn queue(table: &mut Table, bytes: Option<u32>) {
    let content: &dyn Display = match &bytes {
        Some(bytes) => bytes,
        None => &"-",
    };
    table.add(content, if bytes.is_some_and(|bytes| bytes > 0) { WARNING } else { QUIET });
}

fn is_connected(life: &Life) -> bool {
    matches!(life.role, Some(Role::Server | Role::Client))
}

/// Listeners first, then connections, then what is bound only.
fn place(life: &Life) -> u8 {
    match life.role {
        Some(Role::Listener) => 0,
        Some(Role::Server | Role::Client) => 1,
        None => 2,
    }
}

/// The container that its holders are in, if that is one.
fn container(life: &Life) -> Option<&str> {
    let mut all = life.holders.as_deref()?.iter().map(|holder| holder.process.container.as_deref());
    let first = all.next()??;
    all.all(|other| other == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        event::{Event, Stats, What},
        lane::Lane,
        output::stories::{Story, named, process, together},
        source::Step,
    };

    fn list(mut events: Vec<Event>, filter: Filter) -> (List, Lane) {
        events.push(Event { time: 1, what: What::Surveyed });
        let mut lane = Lane::new(Scene::new(Clock::at(0)));
        for step in events.into_iter().map(Step::Event).chain([Step::End]) {
            lane.take(step);
        }
        let mut list = List::new(filter);
        lane.tell(&mut list).unwrap();
        list.sort();
        (list, lane)
    }

    fn rows(events: Vec<Event>, filter: Filter) -> String {
        let (list, lane) = list(events, filter);
        let mut out = Vec::new();
        let options = ListOptions { netns: Some(4_026_531_840), ..ListOptions::default() };
        list.text(&mut out, lane.scene(), options).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// A listener that two hold, a connection that waits to be accepted, its other end, and one that is half open.
    fn host() -> Vec<Event> {
        let counted = Stats { counted: true, srtt: 8 * 210, ..Stats::default() };
        let unheld = Stats { unheld: true, ..counted };
        let listening = Stats { queue: 1, backlog: 511, drops: 3, ..counted };
        let listener = |by| Story::new(1, by, "0.0.0.0:80", "").exists(0, State::Listen, true, listening);
        let waits = Story::new(2, process("nginx", 812), "10.0.0.4:80", "10.0.0.4:55715");
        let other = Story::new(3, process("curl", 9), "10.0.0.4:55715", "10.0.0.4:80");
        let half = Story::new(4, process("nginx", 812), "10.0.0.4:80", "10.0.0.7:1024");
        together([
            other.exists(0, State::Established, true, Stats { unacked: 78, ..counted }),
            listener(process("nginx", 812)),
            listener(process("nginx", 813)),
            waits.exists(0, State::Established, false, Stats { unread: 78, ..unheld }),
            half.exists(0, State::SynReceived, false, Stats { counted: false, ..unheld }),
        ])
    }

    #[test]
    fn a_listener_stands_before_its_connections_with_who_holds_them_and_what_they_wait_for() {
        let expected = "\
SOCKET  PROCESS           STATE         LOCAL                PEER                 RECV-Q  SEND-Q  DETAIL
s2      nginx 812 +1      listen        0.0.0.0:80           -                         1     511  held by nginx 812 as fd 6, nginx 813 as fd 6 · dropped 3
s4      -                 syn_received  10.0.0.4:80          10.0.0.7:1024             -       -  half open · from s2
s3      -                 established   10.0.0.4:80          10.0.0.4:55715           78       0  waits to be accepted · from s2 · peer is s1 (curl 9) · rtt 0.21 ms
s1      curl 9            established   10.0.0.4:55715       10.0.0.4:80               0      78  fd 6 · peer is s3 · rtt 0.21 ms
";
        assert_eq!(rows(host(), Filter::default()), expected);
    }

    #[test]
    fn a_target_shows_what_has_to_do_with_it_and_names_the_other_end_all_the_same() {
        let target = Filter { target: "10.0.0.4:80".parse().ok(), roles: vec![Role::Server], ..Filter::default() };
        let rows = rows(host(), target);
        assert_eq!(rows.lines().count(), 3, "{rows}");
        assert!(rows.contains("peer is s1 (curl 9)"), "{rows}");
    }

    #[test]
    fn queues_are_numbers_or_null_and_a_name_from_outside_hides_nothing() {
        let hostile = Story::new(9, named(b"\x1b[2J\xe2\x80\xae", 1), "10.0.0.4:81", "");
        let events = [host(), hostile.exists(0, State::Closed, true, Stats::default()).events].concat();
        let shown = rows(events.clone(), Filter::default());
        assert!(shown.contains(r"\x1b[2J\u{202e} 1") && shown.contains(" bound "), "{shown}");
        assert!(shown.chars().all(|character| character == '\n' || !character.is_control()), "{shown:?}");
        let (list, lane) = list(events, Filter::default());
        let mut out = Vec::new();
        list.json(&mut out, lane.scene(), &Start::default()).unwrap();
        let lines: Vec<serde_json::Value> =
            out.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        assert_eq!(
            (&lines[0]["type"], &lines[6]["type"], &lines[6]["sockets"]),
            (&"start".into(), &"summary".into(), &5.into())
        );
        let queues = |at: usize| [lines[at]["recv_queue"].as_u64(), lines[at]["send_queue"].as_u64()];
        assert_eq!([1, 2, 3].map(queues), [[Some(1), Some(511)], [None, None], [Some(78), Some(0)]]);
        assert!(lines[2].as_object().unwrap().contains_key("recv_queue"));
    }
}
