use std::{fs, path::Path};

use clap::Parser;

use super::*;
use crate::{clock::Clock, lifecycle::Report, output::Scene};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    export: Export,
}

fn parse(line: &str) -> Result<Export, clap::Error> {
    Line::try_parse_from(line.split_whitespace()).map(|line| line.export)
}

/// Exports nothing but a loss, or less; returns the exit code.
fn exported(to: &Path, lost: bool, outcome: anyhow::Result<Played>) -> anyhow::Result<u8> {
    let args = parse(&format!("export a.sw --to csv --what events -o {}", to.display()))?.output;
    let output = Output::create(&args.out, args.force)?;
    let code = write(&args, Filter::default(), &output, |sink, _| {
        if lost {
            let scene = Scene::new(Clock::at(0));
            sink.report(&scene, Report::Lost { count: None, since: 1, until: 2 })?;
        }
        outcome
    })?;
    output.finish()?;
    Ok(code)
}

#[test]
fn every_option_means_what_it_says() {
    let export = parse("export a.sw b.sw --to parquet --what events -o out.parquet --force -p 443").unwrap();
    assert_eq!(export.files, [Path::new("a.sw"), Path::new("b.sw")]);
    let ExportArgs { to, out, what, force } = &export.output;
    assert_eq!((*to, out.as_path(), *what, *force), (To::Parquet, Path::new("out.parquet"), Some(What::Events), true));
    assert_eq!(export.build().unwrap().ports, [443]);
}

#[test]
fn the_files_the_format_and_where_to_must_be_said() {
    for line in ["export --to csv -o x", "export a.sw -o x", "export a.sw --to csv", "export a.sw --to xml -o x"] {
        assert!(parse(line).is_err(), "{line}");
    }
    assert!(parse("export - --to jsonl -o -").is_ok());
}

#[test]
fn a_perfetto_trace_holds_all_there_is() {
    let refusal = parse("export a.sw --to perfetto --what events -o x").unwrap().build().unwrap_err();
    assert_eq!(refusal.code, 2);
    assert!(refusal.message.contains("--what is for jsonl, csv and parquet"), "{}", refusal.message);
    assert!(parse("export a.sw --to perfetto -o x").unwrap().build().is_ok());
}

#[test]
fn the_exit_code_tells_of_losses_and_a_failure_leaves_no_file() {
    let folder = std::env::temp_dir().join(format!("sockwatch-{}-codes", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let (events, out) = (9, folder.join("out.csv"));
    for (lost, complete, code) in [(false, true, 0), (false, false, 3), (true, true, 3)] {
        assert_eq!(exported(&out, lost, Ok(Played { events, complete })).unwrap(), code);
        fs::remove_file(&out).unwrap();
    }
    exported(&out, true, Err(anyhow::anyhow!("a bad recording"))).unwrap_err();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    fs::remove_dir(&folder).unwrap();
}
