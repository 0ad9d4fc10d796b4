use ::parquet::{
    basic::{Compression, ConvertedType},
    file::{
        metadata::ParquetMetaData,
        reader::{FileReader, SerializedFileReader},
    },
    record::{Field, Row},
};
use bytes::Bytes;

use super::{super::parquet::Parquet, *};
use crate::{
    export::{events::Events, sockets::Sockets},
    output::{Degraded, Show, Start, View},
    untrusted::Untrusted,
};

/// Rows by the names of their columns, without what is null.
type Rows = Vec<BTreeMap<String, Field>>;

fn read(file: Vec<u8>) -> (ParquetMetaData, Rows) {
    let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    let named = |row: Row| {
        let columns = row.get_column_iter().filter(|(_, value)| **value != Field::Null);
        columns.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let rows = rows.map(|row| named(row.unwrap())).collect();
    (reader.metadata().clone(), rows)
}

/// As CSV would have it.
fn text(field: &Field) -> String {
    match field {
        Field::Str(text) => text.clone(),
        Field::Bool(value) => value.to_string(),
        Field::Int(value) => value.to_string(),
        Field::Long(value) => value.to_string(),
        Field::UShort(value) => value.to_string(),
        Field::UInt(value) => value.to_string(),
        Field::ULong(value) => value.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_read_back_is_what_csv_says() {
    let times = ["time", "first_seen", "established", "closed", "destroyed", "lost_until"];
    for what in [What::Sockets, What::Events] {
        let (_, rows) = read(one_run(To::Parquet, what, busy_host()));
        let csv = String::from_utf8(one_run(To::Csv, what, busy_host())).unwrap();
        let mut csv = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let titles = csv.next().unwrap();
        assert!(rows.len() > 8);
        for (row, line) in rows.iter().zip(csv.by_ref()) {
            for (title, value) in titles.iter().zip(line) {
                let found = row.get(*title);
                if times.contains(title) {
                    let nanoseconds = value.parse::<Timestamp>().ok().map(|time| time.as_nanosecond().to_string());
                    assert_eq!(found.map(text), nanoseconds, "{title}");
                } else {
                    assert_eq!(found.map(text).unwrap_or_default(), value, "{title}");
                }
            }
        }
        assert_eq!(csv.next(), None);
    }
}

#[test]
fn columns_have_types() {
    let (metadata, rows) = read(one_run(To::Parquet, What::Sockets, web_server()));
    let schema = metadata.file_metadata().schema_descr();
    let column = |name: &str| {
        let mut columns = schema.columns().iter();
        columns.find(|column| column.name() == name).unwrap_or_else(|| panic!("{name}")).clone()
    };
    assert_eq!(column("local_port").converted_type(), ConvertedType::UINT_16);
    assert_eq!(column("cookie").converted_type(), ConvertedType::UINT_64);
    assert_eq!(column("process_name").converted_type(), ConvertedType::UTF8);
    let time = format!("{:?}", column("destroyed").logical_type_ref());
    assert!(time.contains("Timestamp") && time.contains("true") && time.to_uppercase().contains("NANOS"), "{time}");
    assert_eq!(rows[0]["local_port"], Field::UShort(80));
    assert_eq!(rows[0]["complete"], Field::Bool(true));
    assert_eq!(rows[0]["accept_queue_ns"], Field::Long(50_000));
    assert_eq!(rows[0].get("backlog"), None);
    assert_eq!(metadata.row_group(0).column(0).compression(), Compression::SNAPPY);
}

#[test]
fn the_largest_numbers_fit() {
    let mut story = client(b"curl", "10.0.0.4:65535", "10.0.0.9:81").events;
    for event in &mut story {
        if let crate::event::What::Transition { sock, .. } | crate::event::What::Close { sock, .. } = &mut event.what {
            (sock.cookie, sock.netns) = (u64::MAX, u32::MAX);
        }
    }
    let (_, rows) = read(one_run(To::Parquet, What::Sockets, story));
    assert_eq!(
        (&rows[0]["cookie"], &rows[0]["netns"], &rows[0]["local_port"]),
        (&Field::ULong(u64::MAX), &Field::UInt(u32::MAX), &Field::UShort(u16::MAX))
    );
}

#[test]
fn names_are_escaped_and_not_marked() {
    for (name, expected) in [("=1+1", "=1+1"), ("\x1b[31m", r"\x1b[31m"), ("a,\"b", "a,\"b"), ("", "")] {
        let events = client(name.as_bytes(), "10.0.0.4:40000", "10.0.0.9:81").events;
        let (_, rows) = read(one_run(To::Parquet, What::Sockets, events));
        assert_eq!(rows[0]["process_name"], Field::Str(expected.to_owned()));
    }
}

#[test]
fn rows_are_written_in_groups_and_none_is_lost_between_them() {
    let story = |id: u64| Story::new(id, process("a", 1), "", "").call(id, CallKind::Bind, 3, 98).destroyed(id + 1);
    let mut out = Vec::new();
    let parquet = Parquet::<Sockets>::with_groups(10).unwrap();
    let mut show = Show::new(&mut out, Box::new(parquet), View::Closed, Filter::default());
    let mut lane = Lane::new(scene("7."));
    for id in 1..=35 {
        for event in story(id * 10).events {
            lane.take(Step::Event(event));
        }
    }
    lane.take(Step::End);
    lane.tell(&mut show).unwrap();
    show.finish(70).unwrap();
    drop(show);
    let (metadata, rows) = read(out);
    let groups: Vec<i64> = metadata.row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [10, 10, 10, 5]);
    let ids: Vec<String> = rows.iter().map(|row| text(&row["socket"])).collect();
    assert_eq!(ids, (1..=35).map(|id| format!("7.s{id}")).collect::<Vec<_>>());
}

#[test]
fn the_footer_tells_of_the_run() {
    let start = Start {
        host: Untrusted::new(b"web1"),
        kernel: Untrusted::new(b"6.12.0"),
        boot_id: Untrusted::new(b"b-1"),
        probes: vec!["inet_sock_set_state".into()],
        degraded: vec![Degraded { probe: "accept".into(), why: "no BTF".into(), lost: "descriptors".into() }],
    };
    let mut out = Vec::new();
    let mut show = Show::new(&mut out, Box::new(Parquet::<Events>::new().unwrap()), View::States, Filter::default());
    show.start(&start).unwrap();
    show.finish(9).unwrap();
    drop(show);
    let (metadata, rows) = read(out);
    assert!(rows.is_empty());
    let pairs = metadata.file_metadata().key_value_metadata().unwrap();
    let value = |key: &str| {
        let pair = pairs.iter().find(|pair| pair.key == key).unwrap_or_else(|| panic!("{key}"));
        flattened(pair.value.as_deref().unwrap())
    };
    assert_eq!(value("sockwatch.start")["host"], "web1");
    assert_eq!((&*value("sockwatch.summary")["events"], &*value("sockwatch.summary")["complete"]), ("9", "true"));
}
