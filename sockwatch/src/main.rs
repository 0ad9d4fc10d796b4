//! Shows the life of every socket on a Linux host, from bind to close.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use sockwatch::{
    cli::{
        args::{self, Command, FilterArgs},
        doctor, export, follow, list, record, repair, replay, report, trace, verify,
    },
    select::Filter,
    untrusted::Untrusted,
};

fn main() -> ExitCode {
    let cli = match args::parse_from(std::env::args_os()) {
        Ok(cli) => cli,
        Err(refusal) => return refusal.tell().into(),
    };
    let outcome = match &cli.command {
        Command::Trace(args) => with(&args.filters, |filter| trace::run(args, filter)),
        Command::Follow(args) => with(&args.filters, |filter| follow::run(args, filter)),
        Command::List(args) => with(&args.filters, |filter| list::run(args, filter)),
        Command::Record(args) => with(&args.filters, |filter| record::run(args, filter)),
        Command::Replay(args) => with(&args.filters, |filter| replay::run(args, filter)),
        Command::Export(args) => match args.build() {
            Ok(filter) => export::run(args, filter),
            Err(refusal) => Ok(refusal.tell()),
        },
        Command::Report(args) => with(&args.filters, |filter| report::run(args, filter)),
        Command::Verify(args) => verify::run(args),
        Command::Repair(args) => repair::run(args),
        Command::Doctor(args) => doctor::run(args),
    };
    match outcome {
        Ok(code) => code.into(),
        Err(error) => {
            let text = format!("{error:#}");
            // With standard error closed there is nobody to tell.
            let _ = writeln!(io::stderr(), "sockwatch: {}", Untrusted::new(text.as_bytes()));
            ExitCode::FAILURE
        }
    }
}

/// Runs what needs a filter; bad usage if it is one that nothing passes.
fn with(args: &FilterArgs, run: impl FnOnce(Filter) -> anyhow::Result<u8>) -> anyhow::Result<u8> {
    match args.build() {
        Ok(filter) => run(filter),
        Err(refusal) => Ok(refusal.tell()),
    }
}
