//! The README: its commands are run as they stand there.

use std::path::Path;

use crate::support::{Host, Scratch, sockwatch};

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of the README's shell blocks, without their comments.
fn commands() -> Vec<String> {
    let readme = file("README.md");
    let blocks = readme.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap_or_default());
    let lines = blocks.flat_map(str::lines).map(|line| line.split(" # ").next().unwrap_or_default().trim().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

#[test]
fn every_sockwatch_command_of_the_readme_works_as_it_stands_there() {
    let Some(_host) = Host::shared() else { return };
    // What one command writes, the next ones read.
    let scratch = Scratch::new("readme");
    let mut ran = 0;
    for command in commands().iter().filter_map(|line| line.strip_prefix("sockwatch ")) {
        let mut words: Vec<&str> = command.split(' ').collect();
        if matches!(words[0], "trace" | "follow" | "record") && !words.contains(&"--duration") {
            // Else it would run until somebody ends it.
            words.splice(1..1, ["--duration", "200ms"]);
        }
        let output = sockwatch(&words).current_dir(scratch.path()).output().expect("sockwatch runs");
        let code = output.status.code();
        // Other tests may flood the host meanwhile, and something be lost.
        assert!(matches!(code, Some(0 | 3)), "{words:?}: {code:?}: {}", String::from_utf8_lossy(&output.stderr));
        ran += 1;
    }
    assert!(ran >= 5, "only {ran} commands were found");
}

#[test]
fn ci_runs_the_two_commands_of_the_readme() {
    let ci = file(".ci/run");
    let two: Vec<String> = commands().into_iter().filter(|line| line.starts_with("sh ")).collect();
    assert_eq!(two.len(), 2, "{two:?}");
    for command in two {
        assert!(ci.contains(&command), "{command}");
    }
}
