//! A kernel on which nothing can be traced: what is said there.

use serde_json::Value;

use crate::support::sockwatch;

/// `cargo xtask vm` runs it on Linux 5.10, which has no `bpf_get_socket_cookie` for tracepoints.
#[test]
#[ignore = "it needs a kernel that cannot be traced"]
fn a_kernel_that_is_too_old_is_refused_with_what_it_lacks() {
    let doctor = sockwatch(&["doctor", "--json"]).output().expect("sockwatch runs");
    let line: Value = serde_json::from_slice(&doctor.stdout).expect("one line of JSON");
    assert_eq!((doctor.status.code(), &line["ok"]), (Some(1), &false.into()), "{line}");
    let kernel = line["kernel"].as_str().expect("a version");
    let error = line["error"].as_str().expect("why not");
    assert!(error.contains("5.15") && error.contains(kernel), "what is needed, and what is there: {error}");

    let scratch = crate::support::Scratch::new("refused");
    let file = scratch.path().join("recording");
    let file = file.to_str().expect("UTF-8");
    for command in [&["trace", "--json"][..], &["list"], &["follow", "80"], &["record", "-o", file]] {
        let refused = sockwatch(command).output().expect("sockwatch runs");
        let stderr = String::from_utf8_lossy(&refused.stderr);
        eprintln!("{}: {stderr}", command[0]);
        assert_eq!((refused.status.code(), stderr.lines().count()), (Some(1), 1), "{command:?}: {stderr}");
        assert!(stderr.starts_with("sockwatch: ") && stderr.contains("5.15") && stderr.contains(kernel), "{stderr}");
        assert!(refused.stdout.is_empty(), "{}", String::from_utf8_lossy(&refused.stdout));
    }
    assert!(!std::path::Path::new(file).exists(), "nothing was recorded");
}
