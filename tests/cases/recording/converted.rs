//! What a recording is turned into: a report, and what other programs read.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::support::{
    Host, Scratch, Traffic,
    recording::{record, replay, run, verify_whole, word},
};

/// Real traffic, recorded.
fn recording(host: &Host, scratch: &Scratch) -> PathBuf {
    let netns = host.netns();
    let file = scratch.path().join("web.sw");
    let recorder = record(&file, &["--netns", &netns.path().display().to_string()]);
    let traffic = Traffic::begin(&netns);
    traffic.run();
    traffic.end();
    recorder.signal(nix::sys::signal::Signal::SIGINT);
    recorder.end().expect(0);
    verify_whole(&file);
    file
}

/// The socket lines of a replay.
fn sockets(file: &Path) -> Vec<Value> {
    let lines = replay(file, &["--view", "closed"]).expect(0).stdout;
    let values = lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    values.filter(|value| value["type"] == "socket").collect()
}

#[test]
fn a_report_counts_what_the_replay_shows() {
    let Some(host) = Host::shared() else { return };
    let scratch = Scratch::new("report");
    let file = recording(&host, &scratch);
    let sockets = sockets(&file);
    let count = |is: &dyn Fn(&Value) -> bool| sockets.iter().filter(|socket| is(socket)).count() as u64;
    let page = scratch.path().join("page.html");
    let report = run(&["report", word(&file), "--json", "--html", word(&page)]).expect(0);
    assert_eq!(report.stdout.len(), 1);
    let report: Value = serde_json::from_str(&report.stdout[0]).expect("JSON");
    assert_eq!(report["type"], "report");
    assert_eq!(report["sockets"], sockets.len(), "{report}");
    let refused = count(&|socket| socket["close"]["how"] == "refused");
    // curl may have been there before nginx was.
    assert!(refused >= 2, "one for each family");
    let rows = report["failed_connects"]["rows"].as_array().expect("a list");
    let counted = rows.iter().filter(|row| row["what"] == "refused").filter_map(|row| row["count"].as_u64());
    assert_eq!(counted.sum::<u64>(), refused, "{}", report["failed_connects"]);
    let text = run(&["report", word(&file)]).expect(0).stdout.join("\n");
    for part in ["127.0.0.1:7502", "[::1]:7503", "nginx", "refused"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let page = fs::read_to_string(page).expect("a page");
    assert!(page.contains("Content-Security-Policy") && page.contains("127.0.0.1:7502"));
    // The same report, of nothing.
    let nothing = run(&["report", word(&file), "--json", "--port", "1"]).expect(0);
    let nothing: Value = serde_json::from_str(&nothing.stdout[0]).expect("JSON");
    assert_eq!(nothing["sockets"], 0);
}

#[test]
fn jsonl_is_what_replay_prints_and_csv_has_a_row_for_each_socket() {
    let Some(host) = Host::shared() else { return };
    let scratch = Scratch::new("export");
    let file = recording(&host, &scratch);
    let to = |format: &str, name: &str| {
        let out = scratch.path().join(name);
        run(&["export", word(&file), "--to", format, "-o", word(&out)]).expect(0);
        fs::read_to_string(out).expect("text")
    };
    let replayed = replay(&file, &[]).expect(0).stdout.join("\n") + "\n";
    assert_eq!(to("jsonl", "web.jsonl"), replayed);
    let csv = to("csv", "web.csv");
    let rows: Vec<&str> = csv.lines().collect();
    let sockets = sockets(&file);
    assert_eq!(rows.len(), sockets.len() + 1, "a row for each, and the titles");
    for (row, socket) in rows[1..].iter().zip(&sockets) {
        assert!(row.starts_with(socket["socket"].as_str().expect("an id")), "{row}");
    }
    // What exists is not overwritten by mistake.
    let csv = scratch.path().join("web.csv");
    let refused = run(&["export", word(&file), "--to", "csv", "-o", word(&csv)]).expect(1);
    assert!(refused.said().contains("--force"), "{}", refused.said());
    run(&["export", word(&file), "--to", "csv", "-o", word(&csv), "--force"]).expect(0);
}

#[test]
fn every_recipe_of_the_guide_runs_in_duckdb_on_a_real_recording() {
    let Some(host) = Host::shared() else { return };
    let Some(python) = python_with_duckdb() else { return };
    let scratch = Scratch::new("duckdb");
    let file = recording(&host, &scratch);
    let [table, events] = ["web.parquet", "events.parquet"].map(|name| scratch.path().join(name));
    run(&["export", word(&file), "--to", "parquet", "-o", word(&table)]).expect(0);
    run(&["export", word(&file), "--to", "parquet", "--what", "events", "-o", word(&events)]).expect(0);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(&python)
        .arg(root.join("tests/data/duckdb_recipes.py"))
        .arg(root.join("docs/export.md"))
        .args([format!("web.parquet={}", word(&table)), format!("events.parquet={}", word(&events))])
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("nginx"), "{said}");
    let counted = Command::new(&python)
        .args([
            "-c",
            "import duckdb, sys; print(duckdb.sql(\"select count(*) from '\" + sys.argv[1] + \"'\").fetchall()[0][0])",
        ])
        .arg(&table)
        .output()
        .expect("python runs");
    assert_eq!(String::from_utf8_lossy(&counted.stdout).trim(), sockets(&file).len().to_string());
}

#[test]
fn a_trace_for_perfetto_names_every_socket() {
    let Some(host) = Host::shared() else { return };
    let scratch = Scratch::new("perfetto");
    let file = recording(&host, &scratch);
    let out = scratch.path().join("web.pftrace");
    run(&["export", word(&file), "--to", "perfetto", "-o", word(&out)]).expect(0);
    let trace = fs::read(out).expect("a trace");
    for socket in sockets(&file) {
        let name = format!("{} ", socket["socket"].as_str().expect("an id"));
        assert!(trace.windows(name.len()).any(|window| window == name.as_bytes()), "{name}");
    }
}

/// The Python that `cargo xtask test` makes ready.
fn python_with_duckdb() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = root.join("target/python/bin/python3");
    if python.exists() {
        return Some(python);
    }
    let required = std::env::var_os("SOCKWATCH_REQUIRE_BPF").is_some_and(|value| value == "1");
    assert!(!required, "{} is missing: `cargo xtask test` makes it", python.display());
    eprintln!("SKIPPED: DuckDB for Python is not there; `cargo xtask test` installs it below target/");
    None
}
