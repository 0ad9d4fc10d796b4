//! Recordings of the first version of the format: they stay readable for ever, and tell the same for ever.

use crate::support::{
    data,
    recording::{assert_same_lines, run, word},
};

#[test]
fn recordings_of_the_first_format_are_replayed_as_they_were() {
    for (name, view) in [("v1.0", "states"), ("v1.0-segment", "path")] {
        let file = data(&format!("golden/{name}.sw"));
        let expected = std::fs::read_to_string(data(&format!("golden/{name}.jsonl"))).expect("what it told");
        let expected: Vec<&str> = expected.lines().skip(1).collect();
        assert!(expected.len() > 50, "{name}: {} lines", expected.len());
        let replayed = run(&["replay", "--json", "--view", view, word(&file)]).expect(0);
        assert_same_lines(replayed.lines(), &expected, name);
        run(&["verify", word(&file)]).expect(0);
    }
}
