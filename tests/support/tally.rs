//! A trace of so many sockets that its lines are counted rather than kept.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use serde_json::Value;

/// What is counted of the `socket` lines of `--view closed`.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) clients: u64,
    pub(crate) servers: u64,
    /// Of both, those with `complete: false`.
    pub(crate) incomplete: u64,
    /// The first few of them.
    pub(crate) incomplete_lines: Vec<String>,
    /// Those that say `complete: true` though a step of their path is missing.
    pub(crate) falsely_complete: Vec<String>,
    pub(crate) lost_lines: Vec<String>,
    pub(crate) summary: Value,
}

impl Tally {
    pub(crate) fn read(file: &Path) -> Self {
        let mut tally = Self::default();
        for line in BufReader::new(File::open(file).expect("the trace's output")).lines() {
            let line = line.expect("UTF-8");
            if line.starts_with("{\"type\":\"socket\"") {
                tally.socket(line);
            } else if line.starts_with("{\"type\":\"lost\"") {
                tally.lost_lines.push(line);
            } else if line.starts_with("{\"type\":\"summary\"") {
                tally.summary = serde_json::from_str(&line).expect("JSON");
            } else {
                assert!(line.starts_with("{\"type\":\"start\""), "no line of this view: {line}");
            }
        }
        tally
    }

    fn socket(&mut self, line: String) {
        let path: &[&str] = if line.contains("\"role\":\"client\"") {
            self.clients += 1;
            &["connect", "established", "close"]
        } else if line.contains("\"role\":\"server\"") {
            self.servers += 1;
            &["syn_received", "established", "accept", "close"]
        } else {
            return;
        };
        if line.contains("\"complete\":false") {
            self.incomplete += 1;
            if self.incomplete_lines.len() < 4 {
                self.incomplete_lines.push(line);
            }
        } else if path.iter().any(|phase| line.matches(&format!("\"phase\":\"{phase}\"")).count() != 1) {
            self.falsely_complete.push(line);
        }
    }

    pub(crate) fn lost(&self) -> u64 {
        self.summary["lost"].as_u64().expect("a summary")
    }
}
