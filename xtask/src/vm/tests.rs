//! The end-to-end tests: built, listed, and which of them say nothing about the kernel they run on.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::kernels::Can;
use crate::command::{cargo, run, stdout_of};
use crate::repo;

/// Tests that run anywhere alike: they read files, arguments or texts, and no kernel tells them anything that another
/// doesn't. A test is one of them if its path begins so.
const LEFT_OUT: [(&str, &str); 16] = [
    ("cases::usage::", "arguments and texts"),
    ("cases::readme::", "the README's commands, which other tests run too"),
    ("cases::follow::choosing::", "what is typed"),
    ("cases::follow::leaving::", "how a terminal is given back"),
    ("cases::follow::recorded::", "recordings on the screen"),
    ("cases::follow::screen::", "what is drawn; follow::lines and port_filter have the same events"),
    ("cases::recording::golden::", "recordings that were made before"),
    ("cases::recording::bad_input::", "damaged files"),
    ("cases::recording::converted::", "exports, read with DuckDB"),
    ("cases::recording::files::", "where a recording may be written"),
    ("cases::recording::full_disk::", "what a full disk does to a recording"),
    ("cases::recording::killed::", "what is left of a recording"),
    ("cases::recording::part::", "parts of a recording"),
    ("cases::recording::segments::", "how a recording is cut into files"),
    ("cases::recording::streams::", "recordings through pipes"),
    ("cases::recording::strangers::", "how hostile names are shown"),
];

/// Tests that come first, before what there may be no time for: of what kernels do each in their own way.
const FIRST: [&str; 9] = [
    "cases::before::",
    "cases::conservation::",
    "cases::corners::",
    "cases::ending::",
    "cases::failing::",
    "cases::probes::",
    "cases::serving::",
    "cases::sharing::",
    "cases::trampolines::",
];

/// How many times slower an emulated machine is. Loads are made smaller by it, and deadlines longer.
const SLOWNESS: u32 = 5;

/// Of the ignored tests, the one for kernels that cannot be traced.
const REFUSAL: &str = "cases::refusal::a_kernel_that_is_too_old_is_refused_with_what_it_lacks";

/// The test program and the program that it tests.
pub(super) struct Tests {
    pub(super) program: PathBuf,
    pub(super) sockwatch: PathBuf,
}

/// The tests to run on a kernel.
pub(super) struct Selection {
    /// Their names.
    pub(super) names: Vec<String>,
    /// How many were left out because the kernel has no say in them.
    pub(super) left_out: usize,
    /// The arguments of the test program that run them, one run after the other.
    runs: Vec<Vec<String>>,
    can: Can,
}

impl Tests {
    /// Builds them as `cargo xtask test` does.
    pub(super) fn build() -> Result<Self> {
        let build = ["test", "--locked", "--package", "sockwatch", "--test", "e2e", "--no-run"];
        run(cargo().args(build))?;
        let messages = stdout_of(cargo().args(build).args(["--quiet", "--message-format", "json"]))?;
        let program = executable(&messages, "e2e").context("cargo built no test program")?;
        let sockwatch = executable(&messages, "sockwatch").context("cargo built no sockwatch")?;
        Ok(Self { program, sockwatch })
    }

    /// Those to run on a kernel that can do so much: all that `words` select, or all that depend on the kernel.
    pub(super) fn select(&self, can: Can, words: &[String]) -> Result<Selection> {
        let (runs, left_out) = match can {
            Can::Refuse => (vec![vec!["--ignored".to_owned(), "--exact".to_owned(), REFUSAL.to_owned()]], 0),
            Can::Trace if !words.is_empty() => (vec![words.to_vec()], 0),
            Can::Trace => {
                let all = self.list(&[])?;
                let skip = |beginning: &str| ["--skip".to_owned(), beginning.to_owned()];
                let without = || LEFT_OUT.iter().flat_map(|(beginning, _)| skip(beginning));
                let first = FIRST.map(str::to_owned).into_iter().chain(without()).collect();
                let rest = FIRST.into_iter().flat_map(skip).chain(without()).collect();
                (vec![first, rest], all.iter().filter(|name| is_left_out(name)).count())
            }
        };
        let names = runs.iter().map(|arguments| self.list(arguments)).collect::<Result<Vec<_>>>()?.concat();
        ensure!(!names.is_empty(), "no test is called {}", words.join(" "));
        Ok(Selection { names, left_out, runs, can })
    }

    /// The names of the tests that these arguments select. The ignored ones among them are not run, and not named.
    fn list(&self, arguments: &[String]) -> Result<Vec<String>> {
        let list = |more: &[&str]| -> Result<Vec<String>> {
            let text = stdout_of(Command::new(&self.program).arg("--list").args(arguments).args(more))?;
            Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
        };
        let names = list(&[])?;
        if arguments.iter().any(|argument| argument.contains("ignored")) {
            return Ok(names);
        }
        let ignored = list(&["--ignored"])?;
        Ok(names.into_iter().filter(|name| !ignored.contains(name)).collect())
    }

    /// The script that runs them in the guest.
    pub(super) fn script(&self, selection: &Selection) -> String {
        let mut script = format!("cd {} || exit\n", quoted(&repo::root().join("sockwatch").to_string_lossy()));
        if selection.can == Can::Trace {
            script += "export SOCKWATCH_REQUIRE_BPF=1\n";
        }
        script += &format!("export SOCKWATCH_TEST_SLOWNESS={SLOWNESS}\ncode=0\n");
        for arguments in &selection.runs {
            script += &quoted(&self.program.to_string_lossy());
            // Most of a test is waiting.
            let always = ["--test-threads", "4", "--show-output"].into_iter();
            for argument in always.chain(arguments.iter().map(String::as_str)) {
                script += &format!(" {}", quoted(argument));
            }
            script += " || code=$?\n";
        }
        script + "exit $code\n"
    }
}

fn is_left_out(name: &str) -> bool {
    LEFT_OUT.iter().any(|(beginning, _)| name.starts_with(beginning))
}

/// What is left out and why, for the table's foot.
pub(super) fn left_out() -> String {
    let reasons: Vec<_> = LEFT_OUT.iter().map(|(beginning, why)| format!("  {beginning} ({why})")).collect();
    reasons.join("\n")
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The executable of a target, of what cargo says with `--message-format json`.
fn executable(messages: &str, target: &str) -> Option<PathBuf> {
    let name = format!("\"name\":\"{target}\"");
    let found =
        messages.lines().filter(|line| line.contains("\"reason\":\"compiler-artifact\"") && line.contains(&name));
    let paths = found.filter_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next());
    paths.map(PathBuf::from).next_back()
}

#[cfg(test)]
mod self_tests {
    use super::{executable, quoted};

    #[test]
    fn the_executable_is_found_in_what_cargo_says() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"sockwatch"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"sockwatch"},"executable":"/t/debug/sockwatch","fresh":true}
{"reason":"compiler-artifact","target":{"name":"e2e"},"executable":"/t/debug/deps/e2e-1","fresh":true}"#;
        assert_eq!(executable(messages, "e2e"), Some("/t/debug/deps/e2e-1".into()));
        assert_eq!(executable(messages, "sockwatch"), Some("/t/debug/sockwatch".into()));
    }

    #[test]
    fn a_shell_reads_a_quoted_word_as_it_is() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
