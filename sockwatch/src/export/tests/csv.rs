use super::*;

/// Reads CSV as RFC 4180 has it; a field that is not known is none.
fn read(text: &str) -> Vec<Vec<Option<String>>> {
    let mut rows = vec![vec![]];
    let mut rest = text.chars().peekable();
    let (mut field, mut quoted) = (String::new(), false);
    while let Some(character) = rest.next() {
        match character {
            '"' if field.is_empty() && !quoted => {
                quoted = true;
                loop {
                    match rest.next().expect("a quote is closed") {
                        '"' if rest.next_if_eq(&'"').is_some() => field.push('"'),
                        '"' => break,
                        other => field.push(other),
                    }
                }
            }
            ',' | '\n' => {
                let row = rows.last_mut().unwrap();
                row.push((quoted || !field.is_empty()).then(|| std::mem::take(&mut field)));
                quoted = false;
                if character == '\n' {
                    rows.push(vec![]);
                }
            }
            other => {
                assert!(!quoted, "{other} behind a quote in {text}");
                field.push(other);
            }
        }
    }
    assert_eq!(rows.pop(), Some(vec![]), "the last line ends");
    rows
}

/// Rows by the names of their columns, without what is null.
fn rows(csv: Vec<u8>) -> Vec<BTreeMap<String, String>> {
    let all = read(&String::from_utf8(csv).unwrap());
    let (titles, rows) = all.split_first().unwrap();
    let named = |row: &Vec<Option<String>>| {
        assert_eq!(row.len(), titles.len());
        let pairs = titles.iter().zip(row);
        pairs.filter_map(|(title, value)| Some((title.clone().unwrap(), value.clone()?))).collect()
    };
    rows.iter().map(named).collect()
}

/// Without the columns that only one of two has.
fn without(mut columns: BTreeMap<String, String>, names: &[&str]) -> BTreeMap<String, String> {
    columns.retain(|name, _| !names.contains(&name.as_str()));
    columns
}

fn lines(what: What, kind: &str) -> Vec<BTreeMap<String, String>> {
    let text = String::from_utf8(one_run(To::Jsonl, what, busy_host())).unwrap();
    let lines = text.lines().map(flattened).filter(|columns| columns["type"] == kind);
    lines.map(|columns| without(columns, &["type", "path", "holders"])).collect()
}

#[test]
fn a_row_says_of_a_socket_what_its_json_line_says() {
    let more = ["path", "path_omitted", "first_seen", "established", "closed", "holder_count", "holders"];
    let rows = rows(one_run(To::Csv, What::Sockets, busy_host()));
    let rows: Vec<_> = rows.into_iter().map(|row| without(row, &more)).collect();
    assert!(rows.len() > 8);
    assert_eq!(rows, lines(What::Sockets, "socket"));
}

#[test]
fn a_row_says_of_an_event_what_its_json_line_says() {
    let renamed = |mut columns: BTreeMap<String, String>| {
        for (json, csv) in [("from", "from_state"), ("to", "to_state")] {
            if let Some(state) = columns.remove(json) {
                columns.insert(csv.to_owned(), state);
            }
        }
        columns
    };
    let expected: Vec<_> = lines(What::Events, "event").into_iter().map(renamed).collect();
    let rows = rows(one_run(To::Csv, What::Events, busy_host()));
    for event in ["bind", "listen", "connect", "syn_received", "established", "accept", "close"] {
        assert!(rows.iter().any(|row| row["event"] == event), "{event}");
    }
    for event in ["state", "retransmit", "reset_received"] {
        assert!(rows.iter().any(|row| row["event"] == event), "{event}");
    }
    assert_eq!(rows, expected);
}

#[test]
fn a_path_tells_each_step_and_when_it_was_taken() {
    let rows = rows(one_run(To::Csv, What::Sockets, busy_host()));
    let path = |process: &str| rows.iter().find(|row| row.get("process_name").is_some_and(|name| name == process));
    let accepted = rows.iter().find(|row| row.get("role").is_some_and(|role| role == "server")).unwrap();
    assert_eq!(accepted["path"], "syn_received+0 established+10000 accept+60000 close+12910000");
    assert_eq!(accepted["first_seen"], "2026-11-22T18:04:15.880000000Z");
    assert_eq!(accepted["established"], "2026-11-22T18:04:15.880010000Z");
    assert_eq!(accepted["closed"], "2026-11-22T18:04:15.892910000Z");
    assert_eq!(path("retry").unwrap()["path"], "connect+0 close+1000000 connect+2000000 established+3000000");
    let failed = rows.iter().find(|row| row["path"].contains('!')).unwrap();
    assert_eq!(failed["path"], "bind!EADDRINUSE+0");
    let old = path("redis").unwrap();
    assert_eq!((&*old["holder_count"], &*old["holders"], &*old["origin"]), ("1", "9:6", "snapshot"));
    assert_eq!(old.get("path"), None);
}

#[test]
fn a_socket_is_first_seen_at_the_call_that_connects_it() {
    let mut events = client(b"curl", "10.0.0.4:40000", "10.0.0.9:81").events;
    for event in &mut events {
        if let crate::event::What::Transition { call: Some((called, _)), .. } = &mut event.what {
            *called -= 700;
        }
    }
    let row = &rows(one_run(To::Csv, What::Sockets, events))[0];
    assert_eq!(row["first_seen"], "2026-11-22T18:04:11.009999300Z");
    assert_eq!(row["path"], "connect+0 established+210700 close+12000700");
}

#[test]
fn a_name_that_a_spreadsheet_would_run_is_text() {
    for (name, expected) in [
        ("=cmd|'/c x'!A1", "'=cmd|'/c x'!A1"),
        ("+1", "'+1"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("＝1", "'＝1"),
        ("\t=1", r"\x09=1"),
        ("\r=1", r"\x0d=1"),
        ("a=1", "a=1"),
        ("'", "'"),
        ("", ""),
    ] {
        let events = client(name.as_bytes(), "10.0.0.4:40000", "10.0.0.9:81").events;
        let rows = rows(one_run(To::Csv, What::Sockets, events));
        assert_eq!(rows[0]["process_name"], expected);
    }
}

#[test]
fn a_name_stays_one_field_of_one_row() {
    for name in ["a,b", "a\"b", "\",\"", "a\nb", "a\r\n1,2,3", "\u{2028}", "\x1b[31m", "\u{202e}", "é 漢字", " a "] {
        let events = client(name.as_bytes(), "10.0.0.4:40000", "10.0.0.9:81").events;
        let csv = String::from_utf8(one_run(To::Csv, What::Sockets, events)).unwrap();
        assert_eq!(csv.lines().count(), 2, "{csv}");
        assert!(!csv.replace('\n', "").contains(char::is_control));
        let row = &rows(csv.into_bytes())[0];
        assert_eq!(row["process_name"], crate::untrusted::Untrusted::new(name.as_bytes()).to_string());
        assert_eq!(row["peer_port"], "81");
    }
}

#[test]
fn a_file_without_rows_has_titles_still() {
    for (what, first) in [(What::Sockets, "socket,cookie,netns,"), (What::Events, "time,socket,event,")] {
        let csv = String::from_utf8(one_run(To::Csv, what, vec![])).unwrap();
        assert!(csv.starts_with(first) && csv.lines().count() == 1, "{csv}");
    }
}

#[test]
fn sockets_of_several_runs_are_told_apart() {
    let runs = vec![(scene("1."), web_server()), (scene("2."), web_server())];
    let rows = rows(exported(To::Csv, None, Filter::default(), runs));
    let ids: Vec<_> =
        rows.iter().map(|row| (row["socket"].as_str(), row.get("listener").map(String::as_str))).collect();
    assert_eq!(ids, [("1.s2", Some("1.s1")), ("1.s1", None), ("2.s2", Some("2.s1")), ("2.s1", None)]);
}

#[test]
fn a_filter_chooses_the_rows() {
    let filter = Filter { peer_ports: vec![443], ..Filter::default() };
    for (what, rows_expected) in [(What::Sockets, 1), (What::Events, 8)] {
        let runs = vec![(scene(""), busy_host())];
        let rows = rows(exported(To::Csv, Some(what), filter.clone(), runs));
        assert_eq!(rows.len(), rows_expected, "{rows:?}");
        assert!(rows.iter().all(|row| row["peer_port"] == "443"));
    }
}

#[test]
fn events_that_were_lost_are_a_row_among_the_events() {
    let lost = Event { time: 9, what: crate::event::What::Lost { count: Some(3), since: 5 } };
    let rows = rows(one_run(To::Csv, What::Events, vec![lost]));
    let expected = [
        ("time", "2026-11-22T18:04:11.000000005Z"),
        ("event", "lost"),
        ("lost", "3"),
        ("lost_until", "2026-11-22T18:04:11.000000009Z"),
    ];
    assert_eq!(rows, [expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into()]);
}
