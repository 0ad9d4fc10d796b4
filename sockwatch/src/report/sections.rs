//! The report as tables, for people: text and the page show the same.
//!
//! `?` is what is not known, `-` what does not exist, `≥` a lower bound.

use jiff::{Timestamp, civil, tz::TimeZone};

use super::findings::{
    Band, Example, Failed, Findings, Host, List, Listener, Named, Program, Resets, Times, Traffic, Wall,
};
use crate::{
    event::Endpoint,
    output::text::words::{self, Duration, Size, counted, grouped},
    untrusted::Untrusted,
};

/// A table.
#[derive(Debug)]
pub(super) struct Section {
    /// Its name in a page's address.
    pub(super) anchor: &'static str,
    pub(super) title: &'static str,
    /// What is to be known of all of it.
    pub(super) note: Option<String>,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Cell>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// Numbers, that end at one edge.
    pub(super) right: bool,
}

/// What stands in a table.
#[derive(Debug)]
pub(super) enum Cell {
    /// Words, escaped.
    Text(String),
    /// Trouble.
    Bad(String),
    /// A socket's id.
    Socket(String),
    /// A share of the largest, 0 to 1.
    Bar(f64),
}

fn left(title: &'static str) -> Column {
    Column { title, right: false }
}

fn right(title: &'static str) -> Column {
    Column { title, right: true }
}

/// A line of the head: what, and what there is to say.
pub(super) type Line = (&'static str, String);

/// What the report is about. Whether all of it is good.
pub(super) fn head(findings: &Findings, zone: &TimeZone) -> Vec<Line> {
    let mut lines = Vec::new();
    for recording in &findings.recordings {
        let [host, kernel, boot] = [&recording.host, &recording.kernel, &recording.boot_id].map(|text| known(&text.0));
        lines.push(("host", format!("{host} · Linux {kernel} · boot {boot}")));
    }
    lines.push(("time", time(findings, zone)));
    let roles = |name: &str| findings.roles.iter().find(|role| role.name == name).map_or(0, |role| role.count);
    let kinds = [("listener", "listener"), ("server", "server"), ("client", "client"), ("none", "never used")];
    let kinds: Vec<String> = kinds
        .into_iter()
        .filter(|&(name, _)| roles(name) > 0)
        .map(
            |(name, said)| {
                if name == "none" { format!("{} {said}", grouped(roles(name))) } else { counted(roles(name), said) }
            },
        )
        .collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(": {}", kinds.join(" · ")) };
    lines.push(("sockets", format!("{}{kinds}", grouped(findings.sockets))));
    lines.push(("connections", connections(findings)));
    lines.push(("recorded", recorded(findings)));
    lines
}

fn known(text: &Untrusted) -> String {
    if text.is_empty() { "?".into() } else { text.to_string() }
}

fn time(findings: &Findings, zone: &TimeZone) -> String {
    let (Some(Wall(first)), Some(Wall(last)), Some(duration)) = (findings.first, findings.last, findings.duration_ns)
    else {
        return "no events".into();
    };
    let (from, to) = (zone.to_datetime(first), zone.to_datetime(last));
    let until = if from.date() == to.date() { clock(to) } else { format!("{} {}", to.date(), clock(to)) };
    format!("{} {} to {until} {} · {}", from.date(), clock(from), offset(zone, last), Duration(duration))
}

/// `18:04:11.000`.
fn clock(when: civil::DateTime) -> String {
    format!("{:02}:{:02}:{:02}.{:03}", when.hour(), when.minute(), when.second(), when.subsec_nanosecond() / 1_000_000)
}

/// `UTC`, `UTC+01`.
pub(super) fn offset(zone: &TimeZone, at: Timestamp) -> String {
    let offset = zone.to_offset(at);
    if offset.seconds() == 0 { "UTC".into() } else { format!("UTC{offset}") }
}

fn connections(findings: &Findings) -> String {
    let mut said = vec![grouped(findings.connections), format!("{} failed", grouped(findings.failed_connections))];
    if let (Some(received), Some(sent)) = (findings.received, findings.sent) {
        said.push(format!("in {}", Size(received)));
        said.push(format!("out {}", Size(sent)));
        if findings.uncounted > 0 {
            said.push(format!("bytes of {} not counted", grouped(findings.uncounted)));
        }
    }
    let Resets { local, peer, kernel, unknown } = findings.resets;
    said.push(counted(local + peer + kernel + unknown, "reset"));
    said.push(findings.retransmits.map_or_else(|| "? retransmits".into(), |again| counted(again, "retransmit")));
    said.join(" · ")
}

fn recorded(findings: &Findings) -> String {
    let mut said = vec![counted(findings.events, "event")];
    if findings.complete {
        said.push("complete".into());
    } else {
        said.push("INCOMPLETE".into());
        if findings.lost > 0 {
            said.push(format!("{} lost", counted(findings.lost, "event")));
        }
        if findings.unreadable > 0 {
            said.push(format!("{} unreadable", counted(findings.unreadable, "part")));
        }
        if findings.incomplete_sockets > 0 {
            said.push(format!("{} with gaps", counted(findings.incomplete_sockets, "socket")));
        }
    }
    if findings.omitted_steps > 0 {
        said.push(format!("{} of sockets with very many not looked at", counted(findings.omitted_steps, "step")));
    }
    said.join(" · ")
}

/// All tables.
pub(super) fn sections(findings: &Findings, zone: &TimeZone) -> Vec<Section> {
    let timed = |name, title, anchor, list: &List<Example>| examples(list, title, anchor, name, zone);
    vec![
        listeners(&findings.listeners),
        processes(&findings.processes),
        peers(&findings.peers),
        failed(&findings.failed_connects, "Failed connects", "failed-connects", "OUTCOME"),
        failed(&findings.failed_calls, "Failed binds, listens and accepts", "failed-calls", "CALL"),
        ends(findings),
        times(&findings.times),
        lifetimes(&findings.lifetimes),
        timed(Measure::Time("HANDSHAKE"), "Slowest handshakes", "slowest-handshakes", &findings.slowest_handshakes),
        timed(Measure::Time("CONNECT"), "Slowest connects", "slowest-connects", &findings.slowest_connects),
        timed(Measure::Time("WAITED"), "Longest in an accept queue", "longest-queued", &findings.longest_queued),
        resets(findings),
        timed(Measure::Count("RETRANSMITS"), "Most retransmits", "most-retransmits", &findings.most_retransmits),
        timed(Measure::Time("LIFE"), "Open longest", "longest", &findings.longest),
    ]
}

fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

fn number(count: u64, at_least: bool) -> Cell {
    text(at_least_if(at_least, grouped(count)))
}

/// Red if there is any.
fn trouble(count: u64, at_least: bool) -> Cell {
    let said = at_least_if(at_least, grouped(count));
    if count > 0 { Cell::Bad(said) } else { Cell::Text(said) }
}

fn at_least_if(at_least: bool, said: String) -> String {
    if at_least { format!("≥{said}") } else { said }
}

fn lasted(duration: Option<u64>) -> Cell {
    text(duration.map_or_else(|| "-".into(), |duration| Duration(duration).to_string()))
}

fn size(bytes: Option<u64>) -> Cell {
    text(bytes.map_or_else(|| "?".into(), |bytes| Size(bytes).to_string()))
}

fn end(end: Option<Endpoint>) -> Cell {
    text(end.map_or_else(|| "?".into(), |end| end.to_string()))
}

fn program(program: Option<&Program>) -> Cell {
    let Some(Program { name: Some(name), pid, several, container }) = program else { return text("?") };
    let pid = match pid {
        Some(pid) => format!(" {pid}"),
        None if *several => String::new(),
        None => " ?".into(),
    };
    let container = container.as_deref().map_or_else(String::new, |id| {
        let id = Untrusted::new(id.as_bytes()).to_string();
        format!(" in {}", id.char_indices().nth(12).map_or(&*id, |(at, _)| &id[..at]))
    });
    text(format!("{}{pid}{container}", name.0))
}

fn host(host: &Host) -> Cell {
    let Host { address, port } = *host;
    match (address, port) {
        (Some(address), Some(port)) => end(Some(Endpoint { address, port })),
        (Some(address), None) => text(address.to_string()),
        (None, _) => text("?"),
    }
}

/// How many rows there are beside those that are shown.
fn more<T>(list: &List<T>, what: &str) -> Option<String> {
    let List { total, lower_bound, rows } = list;
    let shown = rows.len() as u64;
    if *lower_bound {
        return Some(format!("{shown} of more {what}s than could be kept apart; counts are lower bounds"));
    }
    (shown < *total).then(|| format!("{shown} of {}", counted(*total, what)))
}

fn listeners(list: &List<Listener>) -> Section {
    let columns = vec![
        left("ADDRESS"),
        left("PROCESS"),
        right("ACCEPTED"),
        right("NOT ACCEPTED"),
        right("WAITING"),
        right("QUEUED P50"),
        right("P99"),
        right("MAX"),
        right("DROPPED"),
        right("BACKLOG"),
        left("SOCKET"),
    ];
    let row = |listener: &Listener| {
        let at_least = list.lower_bound;
        vec![
            end(listener.local),
            program(listener.process.as_ref()),
            number(listener.accepted, at_least),
            trouble(listener.not_accepted, at_least),
            number(listener.waiting, at_least),
            lasted(listener.queue_p50_ns),
            lasted(listener.queue_p99_ns),
            lasted(listener.queue_max_ns),
            listener
                .dropped
                .map_or_else(|| text("?"), |dropped| trouble(dropped, at_least || listener.dropped_lower_bound)),
            text(listener.backlog.map_or_else(|| "?".into(), |backlog| grouped(backlog.into()))),
            match &listener.socket {
                Some(socket) => Cell::Socket(socket.clone()),
                None => text(counted(listener.sockets, "socket")),
            },
        ]
    };
    let rows = list.rows.iter().map(row).collect();
    Section { anchor: "listeners", title: "Listeners", note: more(list, "address"), columns, rows }
}

fn traffic_columns(first: &'static str) -> Vec<Column> {
    vec![
        left(first),
        right("CONNECTIONS"),
        right("SERVERS"),
        right("CLIENTS"),
        right("FAILED"),
        right("IN"),
        right("OUT"),
    ]
}

fn traffic<T>(first: Cell, row: &Traffic<T>, at_least: bool) -> Vec<Cell> {
    vec![
        first,
        number(row.connections, at_least),
        number(row.servers, at_least),
        number(row.clients, at_least),
        trouble(row.failed, at_least),
        size(row.received),
        size(row.sent),
    ]
}

fn processes(list: &List<Traffic<Program>>) -> Section {
    let rows = list.rows.iter().map(|row| traffic(program(Some(&row.whose)), row, list.lower_bound)).collect();
    let note = more(list, "process name");
    Section { anchor: "processes", title: "Busiest processes", note, columns: traffic_columns("PROCESS"), rows }
}

fn peers(list: &List<Traffic<Host>>) -> Section {
    let rows = list.rows.iter().map(|row| traffic(host(&row.whose), row, list.lower_bound)).collect();
    Section {
        anchor: "peers",
        title: "Busiest peers",
        note: more(list, "peer"),
        columns: traffic_columns("PEER"),
        rows,
    }
}

fn failed(list: &List<Failed>, title: &'static str, anchor: &'static str, what: &'static str) -> Section {
    let columns =
        vec![right("COUNT"), left(what), left("ADDRESS"), left("PROCESS"), left("ERROR"), left("FOR EXAMPLE")];
    let row = |row: &Failed| {
        vec![
            number(row.count, list.lower_bound),
            Cell::Bad(row.what.into()),
            end(row.address),
            program(row.process.as_ref()),
            text(row.error.map_or_else(|| "-".into(), words::error)),
            Cell::Socket(row.socket.clone()),
        ]
    };
    let note = more(list, "kind");
    Section { anchor, title, note, columns, rows: list.rows.iter().map(row).collect() }
}

fn ends(findings: &Findings) -> Section {
    let most = findings.ends.iter().map(|end| end.count).max().unwrap_or(0);
    let row = |end: &Named| {
        let fine = matches!(end.name, "open" | "fin" | "closed" | "unknown");
        let name = end.name.to_owned();
        vec![
            if fine { Cell::Text(name) } else { Cell::Bad(name) },
            number(end.count, false),
            Cell::Bar(share(end.count, most)),
        ]
    };
    let rows = findings.ends.iter().filter(|end| end.count > 0).map(row).collect();
    let columns = vec![left("END"), right("SOCKETS"), left("")];
    Section { anchor: "ends", title: "How sockets ended", note: None, columns, rows }
}

fn share(count: u64, most: u64) -> f64 {
    if most == 0 { 0.0 } else { count as f64 / most as f64 }
}

fn times(times: &[Times]) -> Section {
    let row = |times: &Times| {
        let name = match times.name {
            "handshake" => "handshake (server)",
            "accept_queue" => "in the accept queue",
            "connect" => "connect (client)",
            "lifetime" => "first event to destroyed",
            other => other,
        };
        vec![
            text(name),
            number(times.count, false),
            lasted(times.p50_ns),
            lasted(times.p90_ns),
            lasted(times.p99_ns),
            lasted(times.max_ns),
        ]
    };
    let rows = times.iter().filter(|times| times.count > 0).map(row).collect();
    let columns = vec![left("WHAT"), right("COUNT"), right("P50"), right("P90"), right("P99"), right("MAX")];
    Section { anchor: "times", title: "How long things took", note: None, columns, rows }
}

fn lifetimes(bands: &[Band]) -> Section {
    let most = bands.iter().map(|band| band.count).max().unwrap_or(0);
    let mut rows = Vec::new();
    let mut before = None;
    for Band { below_ns, count } in bands {
        let name = match (before, *below_ns) {
            (_, Some(below)) => format!("below {}", plain(below)),
            (Some(before), None) => format!("{} and more", plain(before)),
            (None, None) => "all".into(),
        };
        before = *below_ns;
        rows.push(vec![text(name), number(*count, false), Cell::Bar(share(*count, most))]);
    }
    // The bands around those that hold any.
    while rows.last().is_some_and(|row| is_empty(row)) {
        rows.pop();
    }
    let leading = rows.iter().take_while(|row| is_empty(row)).count();
    rows.drain(..leading);
    let columns = vec![left("LIFETIME"), right("CONNECTIONS"), left("")];
    Section { anchor: "lifetimes", title: "How long connections existed", note: None, columns, rows }
}

fn is_empty(row: &[Cell]) -> bool {
    matches!(row.last(), Some(Cell::Bar(share)) if *share == 0.0)
}

/// A bound, as people say it.
fn plain(bound: u64) -> String {
    const MS: u64 = 1_000_000;
    for (unit, name) in [(86_400_000 * MS, "d"), (3_600_000 * MS, "h"), (60_000 * MS, "min"), (1000 * MS, "s")] {
        if bound >= unit {
            return format!("{} {name}", bound / unit);
        }
    }
    format!("{} ms", bound / MS)
}

/// What puts a socket in a list.
#[derive(Clone, Copy)]
enum Measure {
    Time(&'static str),
    Count(&'static str),
}

fn examples(
    list: &List<Example>,
    title: &'static str,
    anchor: &'static str,
    measure: Measure,
    zone: &TimeZone,
) -> Section {
    let (Measure::Time(name) | Measure::Count(name)) = measure;
    let columns = vec![
        right(name),
        left("SOCKET"),
        left("ROLE"),
        left("LOCAL"),
        left("PEER"),
        left("PROCESS"),
        left("SINCE"),
        left("END"),
    ];
    let row = |row: &Example| {
        let value = match measure {
            Measure::Time(_) => Duration(row.value).to_string(),
            Measure::Count(_) => grouped(row.value),
        };
        let since = zone.to_datetime(row.first.0);
        vec![
            text(at_least_if(row.lower_bound, value)),
            Cell::Socket(row.socket.clone()),
            text(row.role.unwrap_or("-")),
            end(row.local),
            end(row.peer),
            program(row.process.as_ref()),
            text(clock(since)),
            match row.how {
                _ if row.open => text("open"),
                Some(how @ ("fin" | "closed")) => text(how),
                Some(how) => Cell::Bad(how.into()),
                None => text("?"),
            },
        ]
    };
    Section { anchor, title, note: more(list, "socket"), columns, rows: list.rows.iter().map(row).collect() }
}

fn resets(findings: &Findings) -> Section {
    let list = &findings.reset_peers;
    let Resets { local, peer, kernel, unknown } = findings.resets;
    let mut said = vec![format!("{} ended from here", grouped(local)), format!("{} by the peer", grouped(peer))];
    if kernel > 0 {
        said.push(format!("{} by the kernel", grouped(kernel)));
    }
    if unknown > 0 {
        said.push(format!("{} not known by whom", grouped(unknown)));
    }
    said.extend(more(list, "peer"));
    let rows = list.rows.iter().map(|row| {
        let Resets { local, peer, kernel, unknown } = row.resets;
        let mut cells = vec![host(&row.host)];
        cells.extend([local, peer, kernel, unknown].map(|count| number(count, list.lower_bound)));
        cells
    });
    let columns = vec![left("PEER"), right("FROM HERE"), right("BY PEER"), right("BY KERNEL"), right("UNKNOWN")];
    Section { anchor: "resets", title: "Resets", note: Some(said.join(" · ")), columns, rows: rows.collect() }
}
