//! How the kernel object is compiled. This file counts as one of the object's sources: a change here makes it stale.

use std::path::Path;

/// The target of the kernel object.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// Settings of cargo's release profile. They are given here so that the workspace's own profile, which serves the user
/// side, and a user's cargo configuration change nothing.
pub(crate) const PROFILE: [(&str, &str); 8] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "false"),
    ("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "false"),
    ("CARGO_PROFILE_RELEASE_STRIP", "none"),
    ("CARGO_PROFILE_RELEASE_INCREMENTAL", "false"),
];

/// rustc's flags. `places` are directories of this machine and the names that stand for them in the object.
pub(crate) fn rustflags(linker: &Path, places: &[(&Path, &str)]) -> Vec<String> {
    let mut flags = vec![
        // BTF is made from debug information; what else of it there is gets stripped afterwards.
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        format!("-Clinker={}", linker.display()),
        // One scheme for all compilers: object.rs takes the hashes out of these names.
        "-Csymbol-mangling-version=v0".to_owned(),
        // aya-ebpf asks for the host's otherwise. Nothing here reads registers, so one object serves all.
        "--cfg=bpf_target_arch=\"x86_64\"".to_owned(),
    ];
    // Of several that match, rustc takes the last. LLVM copies lines of source into .BTF.ext if it finds the file under
    // the name that it is given: names where no file can be leave them out, everywhere alike.
    flags.extend(
        places.iter().map(|(place, name)| format!("--remap-path-prefix={}=/nonexistent/{name}", place.display())),
    );
    flags
}
