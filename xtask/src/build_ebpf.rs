//! `build-ebpf`: the committed kernel object, built anew or checked. The same sources and the same toolchain give the
//! same bytes wherever the repository lies and whoever builds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::{cargo, forget_build_environment, run};
use crate::digest::{BuildInfo, sha256, source_digest};
use crate::flags::{PROFILE, TARGET, rustflags};
use crate::object;
use crate::repo;
use crate::setup::setup;
use crate::toolchain::{Choice, Rust, Toolchain, debian_root};

/// Arguments of `build-ebpf`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// First install what of the toolchain is missing.
    #[arg(long)]
    setup: bool,
    /// Write nothing: build into a fresh directory, and fail if the committed object differs.
    #[arg(long)]
    check: bool,
    /// Build an object whose programs log what they do: target/sockwatch-log.bpf.o, for debugging.
    #[arg(long, conflicts_with = "check")]
    log: bool,
    /// Which Rust compiles the object.
    #[arg(long, value_enum, default_value = "auto")]
    toolchain: Choice,
}

/// Builds the kernel object, or checks the committed one.
pub(crate) fn build_ebpf(options: &Options) -> Result<()> {
    if options.setup {
        setup(options.toolchain)?;
    }
    let toolchain = Toolchain::find(options.toolchain)?;
    if options.check {
        return check(&toolchain);
    }
    if options.log {
        let bytes = fs::read(build(&toolchain, "log", &repo::target("bpf-log"))?)?;
        replace(&repo::log_object(), &bytes)?;
        println!("{} ({} bytes) is written", repo::log_object().display(), bytes.len());
        return Ok(());
    }
    let bytes = fs::read(build(&toolchain, "programs", &repo::target("bpf"))?)?;
    let buildinfo = BuildInfo { sources: source_digest()?, object: sha256(&bytes), toolchain: toolchain.versions()? };
    replace(&repo::object(), &bytes)?;
    replace(&repo::buildinfo(), buildinfo.render().as_bytes())?;
    println!("{} ({} bytes) and BUILDINFO are written", repo::object().display(), bytes.len());
    Ok(())
}

/// Builds the object with this feature below `directory`, and returns its path.
fn build(toolchain: &Toolchain, feature: &str, directory: &Path) -> Result<PathBuf> {
    // Dependencies first: the directories that they are unpacked into are among those that get other names.
    run(forget_build_environment(&mut cargo()).args(["fetch", "--quiet", "--locked"]))?;
    let mut build = toolchain.rust().cargo()?;
    build
        .args(["build", "--release", "--locked", "--package", "sockwatch-ebpf", "--bin", "sockwatch-ebpf"])
        .args(["--features", feature, "--target", TARGET, "--target-dir"])
        .arg(directory);
    if matches!(toolchain.rust(), Rust::Nightly) {
        build.args(["-Z", "build-std=core"]);
    }
    let (root, cargo_home, sysroot) = (repo::root(), repo::cargo_home()?, toolchain.rust().sysroot()?);
    let unpacked = debian_root();
    let mut places = vec![
        (root.as_path(), "sockwatch"),
        (directory, "target"),
        (&cargo_home, "cargo"),
        (&sysroot, "rust"),
        (&unpacked, "rust"),
    ];
    let registries: Vec<PathBuf> = fs::read_dir(cargo_home.join("registry/src"))
        .context("cargo fetched no dependencies")?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    places.extend(registries.iter().map(|registry| (registry.as_path(), "registry")));
    build.env("CARGO_ENCODED_RUSTFLAGS", rustflags(&toolchain.linker, &places).join("\u{1f}")).envs(PROFILE);
    run(&mut build)?;

    let linked = directory.join(TARGET).join("release/sockwatch-ebpf");
    let stripped = directory.join("sockwatch.bpf.o");
    object::strip(toolchain, &linked, &stripped)?;
    Ok(stripped)
}

/// Builds afresh and compares: bit for bit with the recorded toolchain, by what is in it with another.
fn check(toolchain: &Toolchain) -> Result<()> {
    let recorded = BuildInfo::committed()?;
    if source_digest()? != recorded.sources {
        bail!("the kernel object is stale, its sources have changed: run `cargo xtask build-ebpf`, and commit");
    }
    let directory = repo::target("bpf-check");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    let built = build(toolchain, "programs", &directory)?;
    let (committed, versions) = (repo::object(), toolchain.versions()?);
    if fs::read(&built)? == fs::read(&committed)? {
        println!("the kernel object is what its sources build, bit for bit");
        return Ok(());
    }
    if versions == recorded.toolchain {
        bail!(
            "the committed kernel object is not what its sources build with the recorded toolchain. Compare {} with {}; \
             `cargo xtask build-ebpf` writes it anew",
            committed.display(),
            built.display()
        );
    }
    println!("the toolchain is not the recorded one, so the bytes may differ:");
    for (tool, version) in versions {
        let before = recorded.toolchain.iter().find(|(name, _)| *name == tool).map_or("none", |(_, version)| version);
        if before != version {
            println!("  {tool}: {version} here, {before} recorded");
        }
    }
    let (here, there) = (object::interface(toolchain, &built)?, object::interface(toolchain, &committed)?);
    let differing: BTreeSet<_> = here.symmetric_difference(&there).cloned().collect();
    if !differing.is_empty() {
        bail!("the objects hold different programs or maps: {}", Vec::from_iter(differing).join(", "));
    }
    println!("the same programs and maps are in both");
    Ok(())
}

/// Puts `bytes` into the file `path` in one step.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, bytes).with_context(|| format!("cannot write {}", new.display()))?;
    fs::rename(&new, path).with_context(|| format!("cannot write {}", path.display()))
}
