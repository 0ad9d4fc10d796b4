//! The page: what a browser may do with it, and what it holds.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::*;

/// A page with a timeline of at most so many sockets.
fn page_of(most: usize, events: Vec<Event>) -> String {
    let mut aggregate = Aggregate::new(Filter::default(), Options { top: 10, timeline: Some(most) });
    play(&mut aggregate, "", events);
    let (findings, timeline) = aggregate.finish(&facts());
    let mut out = Vec::new();
    html::write(&mut out, &findings, &timeline.unwrap(), &jiff::tz::TimeZone::UTC).unwrap();
    String::from_utf8(out).unwrap()
}

fn page(events: Vec<Event>) -> String {
    page_of(1000, events)
}

/// What stands between two texts, the first time.
fn between<'a>(page: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = page.split_once(start).unwrap_or_else(|| panic!("no {start}"));
    rest.split_once(end).unwrap_or_else(|| panic!("no {end}")).0
}

/// What the timeline is drawn from.
fn embedded(page: &str) -> Value {
    serde_json::from_str(between(page, r#"id="data">"#, "</script>")).unwrap()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            let known = digit <= three.len();
            text.push(if known { DIGITS[(bits >> (18 - 6 * digit) & 63) as usize] as char } else { '=' });
        }
    }
    text
}

fn hash(text: &str) -> String {
    format!("'sha256-{}'", base64(&Sha256::digest(text)))
}

#[test]
fn base64_is_what_everybody_takes_it_for() {
    for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
        assert_eq!(base64(bytes.as_bytes()), text);
    }
}

#[test]
fn a_browser_runs_nothing_but_what_the_policy_names() {
    let page = page(shop());
    let policy = between(&page, r#"<meta http-equiv="Content-Security-Policy" content=""#, "\"");
    let (style, script) = (between(&page, "<style>", "</style>"), between(&page, "<script>", "</script>"));
    let expected = format!(
        "default-src 'none'; script-src {}; style-src {}; base-uri 'none'; form-action 'none'",
        hash(script),
        hash(style)
    );
    assert_eq!(policy, expected, "change STYLE_HASH and SCRIPT_HASH in html.rs to what is on the right");
    // Before the policy nothing may come that it could forbid.
    assert!(page.find("Content-Security-Policy").unwrap() < page.find("<style>").unwrap());
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("<style").count(), 1);
}

#[test]
fn a_page_refers_to_nothing_outside_of_it() {
    let page = page(shop());
    for reference in ["http://", "https://", "src=", "url(", "@import", "eval(", "innerHTML", " style=", " onclick="] {
        assert!(!page.contains(reference), "{reference}");
    }
    let links = page.match_indices("href=\"").map(|(at, found)| &page[at + found.len()..]);
    assert!(links.into_iter().all(|link| link.starts_with('#')));
}

#[test]
fn no_name_gets_out_of_its_place() {
    let names = [
        "</script><script>alert(1)</script>",
        "<!--<script>",
        "\"><img src=x onerror=alert(2)>",
        "\x1b]0;x\x07\u{202e}\u{2028}",
        "a'b`&amp;@style@",
    ];
    let stories = names.iter().enumerate().map(|(at, name)| {
        let at = at as u64;
        Story::new(at + 1, named(name.as_bytes(), 99), "10.0.0.4:40000", "10.0.0.9:81")
            .to(at * MS, State::SynSent, 0)
            .close((at + 1) * MS, false, Stats { error: Errno::new(111), ..Stats::default() })
            .destroyed((at + 2) * MS)
    });
    let page = page(together(stories));
    assert_eq!(page.matches("</script").count(), 2);
    for hostile in ["<img", "<script>alert", "<!--", "\x1b", "\x07", "\u{202e}", "\u{2028}"] {
        assert!(!page.contains(hostile), "{hostile:?}");
    }
    assert!(page.contains("&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(page.contains("a&#39;b`&amp;amp;@style@"));
    // What the script shows are the same escapes as in text.
    let data = embedded(&page);
    let shown: Vec<&str> = data["names"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(shown.contains(&"</script><script>alert(1)</script>"));
    assert!(shown.contains(&r"\x1b]0;x\x07\u{202e}\u{2028}"));
}

#[test]
fn a_row_tells_a_whole_life() {
    let data = embedded(&page(web_server()));
    let rows = data["sockets"].as_array().unwrap();
    let child = rows.iter().find(|row| row[0] == "s2").unwrap();
    // Id, role, transport, ends, name, pid, container, beginning, time, end, how, by, flags.
    let expected = r#"["s2",2,0,"10.0.0.4:80","10.0.0.5:55715",0,814,-1,0,13000000,13000000,1,2,9,"#.to_owned()
        + "[[3,0],[4,10000],[5,60000,814],[6,12910000]],"
        // First FIN, bytes, handshake, queue, connect, rtt, retransmits, listener, namespace, descriptor.
        + "10000000,78,612,210000,50000,-1,210,0,1,1,9]";
    assert_eq!(child, &serde_json::from_str::<Value>(&expected).unwrap());
    assert_eq!(data["names"], serde_json::json!(["nginx", "4026531840"]));
    // The child ended first: its beginning is the base. The listener began 4.88 s before.
    assert_eq!(data["base_ms"], 1_795_370_655_880.0);
    let listener = rows.iter().find(|row| row[0] == "s1").unwrap();
    assert_eq!(listener[8], -4_880_000_000_i64);
}

#[test]
fn of_too_many_sockets_the_telling_ones_are_shown_and_the_rest_is_said() {
    let client = |n: u64, life: Time, errno: i32| {
        let story = Story::new(n, process("curl", 99), "10.0.0.4:40000", "10.0.0.9:81").to(n * MS, State::SynSent, 0);
        let end = n * MS + life;
        let stats = Stats { error: Errno::new(errno), ..counted(0, 0) };
        match errno {
            0 => story
                .to(n * MS + 1000, State::Established, 1680)
                .step(end - 2000, State::CloseWait)
                .step(end - 1000, State::LastAck)
                .close(end, false, stats)
                .destroyed(end + 1000),
            _ => story.close(end, false, stats).destroyed(end + 1000),
        }
    };
    let mut stories: Vec<Story> = (0..1000).map(|n| client(10 + n, MS, 0)).collect();
    stories.push(Story::new(1, process("nginx", 812), "0.0.0.0:80", "").listen(0, 6, 128, 128));
    stories.push(client(5000, MS, 111));
    stories.push(client(5001, 900 * MS, 0));
    let page = page_of(100, together(stories));
    let data = embedded(&page);
    let rows = data["sockets"].as_array().unwrap();
    assert_eq!(rows.len(), 100);
    for (number, why) in [(1, "listens"), (1002, "failed"), (1003, "existed longest")] {
        assert!(rows.iter().any(|row| row[0] == format!("s{number}")), "the one that {why}");
    }
    let mut said = String::new();
    let _ = write!(said, "Left out: 0 listeners, 0 that failed, {} others.", 1003 - 100);
    assert!(page.contains("100 of 1,003 sockets") && page.contains(&said));
    // The sample is from all of the time.
    let thirds = |from: u64, to: u64| {
        let number = |row: &Value| row[0].as_str().unwrap()[1..].parse::<u64>().unwrap();
        rows.iter().filter(|row| (from..to).contains(&number(row))).count()
    };
    assert!(thirds(2, 335) > 15 && thirds(335, 669) > 15 && thirds(669, 1002) > 15);
}

#[test]
fn the_tables_are_on_the_page_too() {
    let page = page(shop());
    for (row, cells) in [("listeners", "0.0.0.0:80"), ("processes", "nginx 814"), ("resets", "10.0.0.6:1024")] {
        let section = between(&page, &format!("id=\"{row}\""), "</section>");
        assert!(section.contains(&format!(">{cells}</td>")), "{section}");
    }
    assert!(page.contains("<a class=\"socket\" href=\"#s2\">s2</a>"));
}
