//! Shows the life of every socket on a Linux host, from bind to close.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use sockwatch::{
    cli::{
        args::{self, Command},
        doctor, trace,
    },
    untrusted::Untrusted,
};

fn main() -> ExitCode {
    let cli = match args::parse_from(std::env::args_os()) {
        Ok(cli) => cli,
        Err(refusal) => return refusal.tell().into(),
    };
    let outcome = match &cli.command {
        Command::Trace(args) => match args.filters.build() {
            Ok(filter) => trace::run(args, filter),
            Err(refusal) => return refusal.tell().into(),
        },
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
