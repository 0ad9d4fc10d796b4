//! Where things are in the repository. Every path is absolute.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    // `cargo run` and `cargo test` set it; the value of compile time serves a program started by hand.
    let manifest = env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    Path::new(&manifest).parent().expect("xtask is a directory of the repository").to_owned()
}

/// `target/NAME`, whatever CARGO_TARGET_DIR says: what is kept here outlives any one build.
pub(crate) fn target(name: &str) -> PathBuf {
    root().join("target").join(name)
}

/// The committed kernel object.
pub(crate) fn object() -> PathBuf {
    root().join("sockwatch/prebuilt/sockwatch.bpf.o")
}

/// The kernel object that logs, for debugging. sockwatch's feature `kernel-log` expects it there.
pub(crate) fn log_object() -> PathBuf {
    target("sockwatch-log.bpf.o")
}

/// What the committed kernel object was built from, and with.
pub(crate) fn buildinfo() -> PathBuf {
    root().join("sockwatch/prebuilt/BUILDINFO")
}

/// Cargo's own directory, where the sources of dependencies are unpacked.
pub(crate) fn cargo_home() -> anyhow::Result<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")))
        .ok_or_else(|| anyhow::anyhow!("neither CARGO_HOME nor HOME is set"))
}
