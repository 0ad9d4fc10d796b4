//! Why a command line is not carried out.

use std::{
    error::Error as _,
    ffi::OsString,
    io::{self, Write},
};

use clap::{
    CommandFactory, Error,
    error::{ContextKind, ErrorKind},
};

use super::Cli;
use crate::untrusted::Untrusted;

/// A command line that is not carried out: bad usage, or a wish for help or the version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// What to tell: of bad usage one line, that says what is accepted. Without a newline at its end.
    pub message: String,
    /// The exit code: 2 for bad usage, otherwise 0.
    pub code: u8,
}

impl Refusal {
    /// Bad usage, and why.
    pub(super) fn usage(why: &str) -> Self {
        // Arguments may hold anything, line breaks and escape sequences too.
        Self { message: format!("sockwatch: {}", Untrusted::new(why.as_bytes())), code: 2 }
    }

    /// What clap says, in one line.
    pub(super) fn of(error: &Error, args: &[OsString]) -> Self {
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            return Self { message: error.render().to_string().trim_end().to_owned(), code: 0 };
        }
        Self::usage(&explain(error, args))
    }

    /// Tells it: bad usage on stderr, what was asked for on stdout. Returns the exit code.
    pub fn tell(&self) -> u8 {
        let Self { message, code } = self;
        // Where that can't be written, nobody is there to be told.
        let _ = match code {
            0 => writeln!(io::stdout(), "{message}"),
            _ => writeln!(io::stderr(), "{message}"),
        };
        *code
    }
}

fn explain(error: &Error, args: &[OsString]) -> String {
    let told = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let commands: Vec<String> = Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let typed =
        args.get(1).and_then(|command| command.to_str()).filter(|&typed| commands.iter().any(|name| name == typed));
    let help = typed.map_or("see 'sockwatch --help'".to_owned(), |command| format!("see 'sockwatch {command} --help'"));
    let commands = commands.join(", ");
    let argument = told(ContextKind::InvalidArg);
    let value = told(ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            format!("no command is given; the commands are: {commands}; {help}")
        }
        ErrorKind::InvalidSubcommand => {
            format!("unknown command '{}'; the commands are: {commands}; {help}", told(ContextKind::InvalidSubcommand))
        }
        ErrorKind::UnknownArgument => {
            let meant = told(ContextKind::SuggestedArg);
            if !meant.is_empty() {
                format!("unexpected argument '{argument}'; did you mean '{meant}'? {help}")
            } else if typed == Some("trace") && !argument.starts_with('-') {
                format!("unexpected argument '{argument}'; a command to trace stands behind '--'; {help}")
            } else {
                format!("unexpected argument '{argument}'; {help}")
            }
        }
        ErrorKind::InvalidValue if value.is_empty() => {
            format!("'{argument}' needs a value{}; {help}", list(": one of ", &told(ContextKind::ValidValue)))
        }
        ErrorKind::InvalidValue => {
            format!(
                "invalid value '{value}' for '{argument}'{}",
                list(": it is one of ", &told(ContextKind::ValidValue))
            )
        }
        ErrorKind::ValueValidation => {
            let why = error.source().map(ToString::to_string).unwrap_or_default();
            format!("invalid value '{value}' for '{argument}'{}", list(": ", &why))
        }
        ErrorKind::MissingRequiredArgument => format!("{argument} is missing; {help}"),
        ErrorKind::TooManyValues => format!("'{argument}' takes no value; {help}"),
        ErrorKind::ArgumentConflict => format!("'{argument}' can be given only once; {help}"),
        ErrorKind::InvalidUtf8 => format!("an argument is not valid UTF-8; {help}"),
        _ => {
            let rendered = error.render().to_string();
            let first = rendered.lines().next().unwrap_or_default();
            format!("{}; {help}", first.trim_start_matches("error: "))
        }
    }
}

/// What follows an introduction; nothing if nothing does.
fn list(introduction: &str, what: &str) -> String {
    if what.is_empty() { String::new() } else { format!("{introduction}{what}") }
}
