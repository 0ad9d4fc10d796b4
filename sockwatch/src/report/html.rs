//! The report as one HTML page that needs nothing else: no network, no other file.
//!
//! Its policy lets run what is in `page/` and nothing more, by its hash. All text from outside is shown escaped as in a
//! terminal, and escaped again for HTML or for the JSON that the timeline is drawn from.

use std::{
    fmt::{self, Display},
    io::{self, Write},
};

use jiff::tz::TimeZone;
use serde::Serialize;

use super::{
    Timeline,
    findings::Findings,
    rates::Series,
    sections::{self, Cell, Section},
    timeline::Shown,
};
use crate::output::{json, text::words::grouped};

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = concat!(
    "\"use strict\";\n",
    include_str!("page/model.js"),
    include_str!("page/words.js"),
    include_str!("page/view.js"),
    include_str!("page/details.js"),
    include_str!("page/controls.js"),
);
const PAGE: &str = include_str!("page/page.html");

/// How wide the longest bar of a table is, in pixels.
const BAR: f64 = 96.0;

/// SHA-256 of what the policy lets run; a test compares.
const STYLE_HASH: &str = "UMJh0Fyt9NiY53mNd8O3V0pe7BD+5N3/4HFXrbsT7vc=";
const SCRIPT_HASH: &str = "d5DrVFhZ4VLOo0172DjhbsuiqIFaGHSZRIGI+UkYOLI=";

/// Writes the page. Its times are at the offset from UTC that `zone` has when the recording begins.
///
/// # Errors
/// If it can't be written.
pub fn write(out: &mut dyn Write, findings: &Findings, timeline: &Timeline, zone: &TimeZone) -> io::Result<()> {
    let first = findings.first.map(|first| first.0).unwrap_or_default();
    let offset = zone.to_offset(first);
    let zone = TimeZone::fixed(offset);
    let shown = timeline.shown();
    // What stands between two marks is written as it is, a mark is replaced.
    for (nth, part) in PAGE.split('@').enumerate() {
        match part {
            _ if nth.is_multiple_of(2) => out.write_all(part.as_bytes())?,
            "style-hash" => write!(out, "sha256-{STYLE_HASH}")?,
            "script-hash" => write!(out, "sha256-{SCRIPT_HASH}")?,
            "style" => out.write_all(STYLE.as_bytes())?,
            "script" => out.write_all(SCRIPT.as_bytes())?,
            "hosts" => hosts(out, findings)?,
            "version" => out.write_all(findings.version.as_bytes())?,
            "head" => head(out, findings, &zone)?,
            "shown" => said(out, &shown)?,
            "links" => links(out, findings, &zone)?,
            "tables" => tables(out, findings, &zone)?,
            "data" => data(out, findings, &shown, offset.seconds(), &sections::offset(&zone, first))?,
            _ => return Err(io::Error::other(format!("the page has an unknown mark: {part}"))),
        }
    }
    Ok(())
}

/// Text for HTML, in an element or an attribute.
struct Escaped<T>(T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.to_string().chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                _ => write!(f, "{character}")?,
            }
        }
        Ok(())
    }
}

fn hosts(out: &mut dyn Write, findings: &Findings) -> io::Result<()> {
    let mut names: Vec<String> = findings.recordings.iter().map(|recording| recording.host.0.to_string()).collect();
    names.dedup();
    write!(out, "{}", Escaped(names.join(", ")))
}

fn head(out: &mut dyn Write, findings: &Findings, zone: &TimeZone) -> io::Result<()> {
    for (what, said) in sections::head(findings, zone) {
        let class = if what == "recorded" && !findings.complete { " class=\"bad\"" } else { "" };
        writeln!(out, "<div><dt>{}</dt><dd{class}>{}</dd></div>", Escaped(what), Escaped(said))?;
    }
    Ok(())
}

/// Which sockets the timeline shows.
fn said(out: &mut dyn Write, shown: &Shown<'_>) -> io::Result<()> {
    let [listeners, failed, others] = shown.left_out;
    let rows = shown.rows.len() as u64;
    let all = rows + listeners + failed + others;
    if all == rows {
        return write!(out, "All {} sockets.", grouped(all));
    }
    write!(
        out,
        "{} of {} sockets: the listeners, those that failed, those that existed longest, and an even sample of the others. \
         Left out: {} listeners, {} that failed, {} others. The tables count all.",
        grouped(rows),
        grouped(all),
        grouped(listeners),
        grouped(failed),
        grouped(others)
    )
}

fn links(out: &mut dyn Write, findings: &Findings, zone: &TimeZone) -> io::Result<()> {
    for section in sections::sections(findings, zone).iter().filter(|section| !section.rows.is_empty()) {
        writeln!(out, "<a href=\"#{}\">{}</a>", section.anchor, Escaped(section.title))?;
    }
    Ok(())
}

fn tables(out: &mut dyn Write, findings: &Findings, zone: &TimeZone) -> io::Result<()> {
    let sections = sections::sections(findings, zone);
    for section in sections.iter().filter(|section| !section.rows.is_empty()) {
        table(out, section)?;
    }
    let none: Vec<&str> =
        sections.iter().filter(|section| section.rows.is_empty()).map(|section| section.title).collect();
    if !none.is_empty() {
        writeln!(out, "<p class=\"none\">None: {}</p>", Escaped(none.join(" · ")))?;
    }
    Ok(())
}

fn table(out: &mut dyn Write, section: &Section) -> io::Result<()> {
    let Section { anchor, title, note, columns, rows } = section;
    writeln!(out, "<section class=\"table\" id=\"{anchor}\">\n<h2>{}</h2>", Escaped(title))?;
    if let Some(note) = note {
        writeln!(out, "<p class=\"note\">{}</p>", Escaped(note))?;
    }
    write!(out, "<div class=\"scroll\"><table>\n<thead><tr>")?;
    for column in columns {
        let class = if column.right { " class=\"number\"" } else { "" };
        match column.title {
            "" => write!(out, "<td></td>")?,
            title => write!(out, "<th scope=\"col\"{class}>{}</th>", Escaped(title.to_lowercase()))?,
        }
    }
    writeln!(out, "</tr></thead>\n<tbody>")?;
    for row in rows {
        write!(out, "<tr>")?;
        for (cell, column) in row.iter().zip(columns) {
            let class = if column.right { "number" } else { "" };
            match cell {
                Cell::Text(text) => write!(out, "<td class=\"{class}\">{}</td>", Escaped(text))?,
                Cell::Bad(text) => write!(out, "<td class=\"{class} bad\">{}</td>", Escaped(text))?,
                Cell::Socket(id) => write!(out, "<td><a class=\"socket\" href=\"#{0}\">{0}</a></td>", Escaped(id))?,
                // A width that a style would set, which the policy forbids.
                Cell::Bar(share) => write!(
                    out,
                    "<td class=\"bar\"><svg width=\"{BAR}\" height=\"10\" aria-hidden=\"true\">\
                     <rect width=\"{:.1}\" height=\"10\" rx=\"2\"/></svg></td>",
                    (share * BAR).max(1.0)
                )?,
            }
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</tbody></table></div>\n</section>")
}

/// What the timeline is drawn from: JSON in which nothing ends the element that holds it.
fn data(out: &mut dyn Write, findings: &Findings, shown: &Shown<'_>, offset: i32, zone: &str) -> io::Result<()> {
    #[derive(Serialize)]
    struct Graph<'a> {
        /// Nanoseconds since the base.
        since: i64,
        #[serde(flatten)]
        series: &'a Series,
    }
    #[derive(Serialize)]
    struct Head<'a> {
        base_ms: f64,
        offset_s: i32,
        zone: &'a str,
        span: (i64, i64),
        names: &'a [&'a str],
        errors: &'a std::collections::BTreeMap<i32, String>,
        rates: Option<Graph<'a>>,
    }
    let Shown { base, span, names, errors, rows, left_out: _ } = shown;
    let rates = findings
        .rates
        .as_ref()
        .map(|rates| Graph { since: i64::try_from(rates.series.since - base).unwrap_or(0), series: &rates.series });
    let base_ms = *base as f64 / 1e6;
    let head = Head { base_ms, offset_s: offset, zone, span: *span, names, errors, rates };
    let mut json = Vec::new();
    json::write(&mut json, &head)?;
    // Outside of strings JSON has none of these.
    for byte in &json[..json.len() - 1] {
        match byte {
            b'<' | b'>' | b'&' => write!(out, "\\u{byte:04x}")?,
            _ => out.write_all(&[*byte])?,
        }
    }
    out.write_all(b",\"sockets\":[")?;
    for (nth, row) in rows.iter().enumerate() {
        out.write_all(if nth > 0 { b",\n" } else { b"\n" })?;
        out.write_all(row.as_bytes())?;
    }
    out.write_all(b"\n]}")
}
